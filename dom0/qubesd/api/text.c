/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void text_done(struct text *t)
{
	if (t->at)
		free(t->at - t->skipped);
	*t = (struct text){0};
}

/* what was dropped in front is room again */
static void pull(struct text *t)
{
	if (t->skipped == 0)
		return;
	memmove(t->at - t->skipped, t->at, t->len);
	t->at -= t->skipped;
	t->room += t->skipped;
	t->skipped = 0;
}

static bool grow(struct text *t, size_t len)
{
	size_t room;
	char *more;

	if (t->failed)
		return false;
	if (len >= TEXT_MAX || t->len > TEXT_MAX - len) {
		t->failed = t->too_long = true;
		return false;
	}
	if (t->room - t->len > len)
		return true;
	/* not when little was dropped: moving all of it each time would add up */
	if (t->skipped >= t->len)
		pull(t);
	if (t->room - t->len > len)
		return true;
	pull(t);
	room = t->room > 0 ? 2 * t->room : 256;
	while (room - t->len <= len)
		room *= 2;
	more = realloc(t->at, room);
	if (!more) {
		t->failed = true;
		return false;
	}
	t->at = more;
	t->room = room;
	return true;
}

void text_bytes(struct text *t, const void *bytes, size_t len)
{
	if (len == 0 || !grow(t, len))
		return;
	memcpy(t->at + t->len, bytes, len);
	t->len += len;
	t->at[t->len] = '\0';
}

void text_add(struct text *t, const char *format, ...)
{
	va_list args, again;
	int n;

	va_start(args, format);
	va_copy(again, args);
	n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (n > 0 && grow(t, (size_t)n))
		t->len += (size_t)vsnprintf(t->at + t->len, t->room - t->len, format, again);
	va_end(again);
}

void text_drop(struct text *t, size_t len)
{
	if (len == 0)
		return;
	t->at += len;
	t->len -= len;
	t->room -= len;
	t->skipped += len;
	if (t->len == 0)
		pull(t);
}
