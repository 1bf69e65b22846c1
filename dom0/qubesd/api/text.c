/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void text_done(struct text *t)
{
	free(t->at);
	*t = (struct text){0};
}

static bool grow(struct text *t, size_t len)
{
	size_t room = t->room > 0 ? t->room : 256;
	char *more;

	if (t->failed)
		return false;
	while (room - t->len < len + 1)
		room *= 2;
	if (room == t->room)
		return true;
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
	memmove(t->at, t->at + len, t->len - len);
	t->len -= len;
}
