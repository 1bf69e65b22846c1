/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/notes.h"

#include <string.h>

/* Characters that are not what they look like: controls, what turns the direction of others or joins
 * them, separators of lines that are no newline, private ones and those that are none. Sorted.
 */
static const struct {
	uint32_t first, last;
} unsafe[] = {
	{0x00, 0x08},       {0x0b, 0x1f},       {0x7f, 0x9f},       {0xad, 0xad},
	{0x600, 0x605},     {0x61c, 0x61c},     {0x6dd, 0x6dd},     {0x70f, 0x70f},
	{0x890, 0x891},     {0x8e2, 0x8e2},     {0x115f, 0x1160},   {0x180b, 0x180f},
	{0x200b, 0x200f},   {0x2028, 0x202e},   {0x2060, 0x206f},   {0x3164, 0x3164},
	{0xd800, 0xf8ff},   {0xfdd0, 0xfdef},   {0xfe00, 0xfe0f},   {0xfeff, 0xfeff},
	{0xffa0, 0xffa0},   {0xfff0, 0xfffb},   {0x110bd, 0x110bd}, {0x110cd, 0x110cd},
	{0x13430, 0x1345f}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0x10ffff},
};

static bool is_safe(uint32_t c)
{
	if ((c & 0xfffe) == 0xfffe)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(unsafe) && c >= unsafe[i].first; i++)
		if (c <= unsafe[i].last)
			return false;
	return true;
}

/* the length of the character at @at; 0: it is none */
static size_t take(const uint8_t *at, size_t len, uint32_t *ret)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = at[0] < 0x80 ? 1 : at[0] < 0xc0 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
	uint32_t c = n < 2 ? at[0] : at[0] & (0x7fu >> n);

	if (n == 0 || at[0] >= 0xf8 || n > len)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (at[i] & 0x3fu);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*ret = c;
	return n;
}

int notes_decode(const void *bytes, size_t len, char *ret, size_t *ret_len)
{
	const uint8_t *at = bytes, *end = at + len;
	size_t to = 0;

	if (len > NOTES_MAX)
		return NOTES_E_LONG;
	while (at < end) {
		uint32_t c;
		size_t n = take(at, (size_t)(end - at), &c);

		if (n == 0)
			return NOTES_E_FORMAT;
		if (is_safe(c)) {
			memcpy(ret + to, at, n);
			to += n;
		} else {
			ret[to++] = '_';
		}
		at += n;
	}
	*ret_len = to;
	return 0;
}
