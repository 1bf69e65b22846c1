/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/shown.h"

static const struct {
	uint32_t first, last;
} ranges[] = {
#include "base/shown-table.h"
};

static bool char_is_shown(uint32_t c)
{
	size_t low = 0, high = ARRAY_LEN(ranges);

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (c > ranges[middle].last)
			low = middle + 1;
		else if (c < ranges[middle].first)
			high = middle;
		else
			return true;
	}
	return false;
}

/* the character at @p of at most @len bytes (at least one); how many bytes it has, 0 if it is none */
static unsigned char_take(const uint8_t *p, size_t len, uint32_t *ret)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned n = p[0] < 0x80 ? 1 : p[0] < 0xc0 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	uint32_t c = n == 1 ? p[0] : p[0] & (0x7fu >> n);

	if (n == 0 || n > len || p[0] > 0xf4)
		return 0;
	for (unsigned i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	*ret = c;
	return c >= least[n] ? n : 0;
}

bool shown_is(const char *text, size_t len)
{
	const uint8_t *p = (const uint8_t *)text;

	while (len > 0) {
		uint32_t c;
		unsigned n;

		if (*p >= 0x20 && *p < 0x7f) {
			p++;
			len--;
			continue;
		}
		n = char_take(p, len, &c);
		if (n == 0 || !char_is_shown(c))
			return false;
		p += n;
		len -= n;
	}
	return true;
}
