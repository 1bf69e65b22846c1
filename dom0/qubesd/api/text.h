/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Bytes that grow: results and queues. Running out of memory is sticky. Zero-initialise. */
#include "base/attr.h"

struct text {
	char *at;
	size_t len, room;
	bool failed;
};

void text_done(struct text *t);
void text_bytes(struct text *t, const void *bytes, size_t len);
void text_add(struct text *t, const char *format, ...) PRINTF_LIKE(2, 3);
/** text_drop() - forget the first @len bytes */
void text_drop(struct text *t, size_t len);
