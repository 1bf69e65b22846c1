/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Talking to the person: messages on standard error, progress, questions.
 *
 * Progress appears only when something takes longer than two seconds: on a terminal as one line
 * that is drawn over and wiped at the end, elsewhere as plain lines now and then.
 */
#include "base/attr.h"

struct args;

/** ui_usage() - say how it was called wrongly and where help is; returns ARGS_E_USAGE */
int ui_usage(const struct args *a, const char *format, ...) PRINTF_LIKE(2, 3);
/** ui_fail() - "TITLE: text"; returns 1, the exit code */
int ui_fail(const struct args *a, const char *format, ...) PRINTF_LIKE(2, 3);
/** ui_fail_errno() - ui_fail() with the text of -errno @r; @what it was about, or NULL */
int ui_fail_errno(const struct args *a, const char *what, int r);
/** ui_note() - as ui_fail() but for what is not an error; silent with -q */
void ui_note(const struct args *a, const char *format, ...) PRINTF_LIKE(2, 3);

/** struct ui_progress - zero-initialised but for @args and, at will, @percent */
struct ui_progress {
	const struct args *args;
	uint64_t since_ms, said_ms;
	bool shown;     /* a line stands on the terminal */
	char said[128]; /* the last text that was printed as a plain line */
};

/**
 * ui_progress() - something is still going on; call every 100 to 500 ms
 * @percent:	0..100, or -1 when nobody knows
 */
void ui_progress(struct ui_progress *p, int percent, const char *format, ...) PRINTF_LIKE(3, 4);
/** ui_progress_end() - wipe the line */
void ui_progress_end(struct ui_progress *p);

/** ui_confirm() - ask a question that only y or yes agrees to; no terminal is no */
bool ui_confirm(const char *format, ...) PRINTF_LIKE(1, 2);

/** ui_colours() - standard output may be coloured (a terminal, and NO_COLOR is not set) */
bool ui_colours(void);
