/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Bytes that grow: results and queues. Running out of memory, or of TEXT_MAX, is sticky. Zero-initialise. */
#include "base/attr.h"

/** TEXT_MAX - bytes of the longest; more than a thousand qubes with all there is to say of them */
#define TEXT_MAX ((size_t)64 << 20)

/**
 * struct text
 * @at:		the bytes, and a NUL behind them
 * @room:	bytes that are allocated from @at on, @skipped before it: what was dropped
 * @failed:	not all of it is there; @too_long: for it would be more than TEXT_MAX
 */
struct text {
	char *at;
	size_t len, room, skipped;
	bool failed, too_long;
};

void text_done(struct text *t);
void text_bytes(struct text *t, const void *bytes, size_t len);
void text_add(struct text *t, const char *format, ...) PRINTF_LIKE(2, 3);
/** text_drop() - forget the first @len bytes, which costs nothing however many follow */
void text_drop(struct text *t, size_t len);
