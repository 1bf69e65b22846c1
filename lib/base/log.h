/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Logging, for programs only: libraries return.
 *
 * A line goes to standard error: "PROGRAM: [QUBE: ]text", with a journal priority prefix when
 * standard error is the journal. err = someone must act; warn = odd, and we go on; info = state
 * changes; debug = off unless BULKHEAD_DEBUG is set. Logging preserves errno and never fails.
 */
#include "base/attr.h"

/** log_open() - name the program; call once in main() */
void log_open(const char *program);

/* @who: the qube a line is about, or NULL */
void log_err(const char *who, const char *format, ...) PRINTF_LIKE(2, 3);
void log_warn(const char *who, const char *format, ...) PRINTF_LIKE(2, 3);
void log_info(const char *who, const char *format, ...) PRINTF_LIKE(2, 3);
void log_debug(const char *who, const char *format, ...) PRINTF_LIKE(2, 3);

/** log_errno_str() - text of a negative or positive errno, without locale or allocation */
const char *log_errno_str(int err);

/**
 * log_quote() - a peer's bytes made safe for a line
 * @to:		room for the text; @size at least 8
 *
 * Printable ASCII stays, the rest becomes \xNN, a cut is marked with "...". Returns @to.
 */
const char *log_quote(char *to, size_t size, const void *untrusted_bytes, size_t len);

/** struct log_limit - at most @burst lines per @interval_s seconds; zero-initialise, then set both
 */
struct log_limit {
	unsigned interval_s, burst;
	unsigned n_sent, n_dropped;
	int64_t window_s;
};

/** log_allowed() - may a peer-caused line be logged now? Drops are counted and told with the next
 * window. */
bool log_allowed(struct log_limit *limit, const char *who);
