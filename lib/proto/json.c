/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/json.h"

#include <string.h>

struct jr jr_of(const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	return (struct jr){.at = at, .end = len > 0 ? at + len : at};
}

static void fail(struct jr *r)
{
	r->failed = true;
}

char jr_peek(struct jr *r)
{
	while (!r->failed && r->at < r->end &&
	       (*r->at == ' ' || *r->at == '\t' || *r->at == '\r' || *r->at == '\n'))
		r->at++;
	if (r->failed || r->at >= r->end)
		return '\0';
	return (char)*r->at;
}

bool jr_done(struct jr *r)
{
	(void)jr_peek(r);
	return !r->failed && r->at >= r->end;
}

/* the next byte, whatever it is; 0 at the end */
static uint8_t next(struct jr *r)
{
	if (r->failed || r->at >= r->end) {
		fail(r);
		return 0;
	}
	return *r->at++;
}

static void expect(struct jr *r, const char *word)
{
	(void)jr_peek(r);
	for (; *word != '\0'; word++)
		if (next(r) != (uint8_t)*word)
			fail(r);
}

static unsigned hex4(struct jr *r)
{
	unsigned v = 0;

	for (int i = 0; i < 4; i++) {
		uint8_t c = next(r);

		v <<= 4;
		if (c >= '0' && c <= '9')
			v |= (unsigned)c - '0';
		else if (c >= 'a' && c <= 'f')
			v |= (unsigned)c - 'a' + 10;
		else if (c >= 'A' && c <= 'F')
			v |= (unsigned)c - 'A' + 10;
		else
			fail(r);
	}
	return v;
}

/* after "\u": a code point; surrogates come in pairs or not at all */
static unsigned unicode(struct jr *r)
{
	unsigned high = hex4(r), low;

	if (high < 0xd800 || high > 0xdfff)
		return high;
	if (high > 0xdbff || next(r) != '\\' || next(r) != 'u') {
		fail(r);
		return 0;
	}
	low = hex4(r);
	if (low < 0xdc00 || low > 0xdfff) {
		fail(r);
		return 0;
	}
	return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

static size_t utf8(unsigned c, char out[4])
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

static unsigned escaped(struct jr *r)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	uint8_t c = next(r);
	const char *p;

	if (c == 'u')
		return unicode(r);
	p = c != '\0' ? strchr(from, c) : NULL;
	if (!p) {
		fail(r);
		return 0;
	}
	return (uint8_t)to[p - from];
}

bool jr_str(struct jr *r, char *to, size_t size)
{
	bool fits = true;
	size_t len = 0;

	if (to && size > 0)
		to[0] = '\0';
	if (jr_peek(r) != '"') {
		fail(r);
		return false;
	}
	r->at++;
	for (;;) {
		uint8_t c = next(r);
		char bytes[4];
		size_t n;

		if (c == '"')
			break;
		if (c == '\\') {
			unsigned code = escaped(r);

			if (code == 0)
				fail(r);
			n = utf8(code, bytes);
		} else {
			if (c < 0x20 || c > 0x7e)
				fail(r);
			bytes[0] = (char)c;
			n = 1;
		}
		if (r->failed)
			return false;
		if (!to)
			continue;
		fits = fits && n < size - len;
		if (fits) {
			memcpy(to + len, bytes, n);
			len += n;
		}
	}
	if (to)
		to[len] = '\0';
	return fits;
}

bool jr_bool(struct jr *r)
{
	bool yes = jr_peek(r) == 't';

	expect(r, yes ? "true" : "false");
	return yes && !r->failed;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* digits and, outside @whole, all else that a number may have */
static uint64_t number(struct jr *r, bool whole)
{
	uint64_t v = 0;
	bool zero;

	if (!whole && jr_peek(r) == '-')
		r->at++;
	if (r->at >= r->end || !is_digit((char)*r->at)) {
		fail(r);
		return 0;
	}
	zero = *r->at == '0';
	for (unsigned n = 0; r->at < r->end && is_digit((char)*r->at); r->at++, n++) {
		unsigned digit = (unsigned)(*r->at - '0');

		if (zero && n > 0)
			fail(r);
		if (whole && v > (UINT64_MAX - digit) / 10)
			fail(r);
		v = v * 10 + digit;
	}
	if (r->at >= r->end || (*r->at != '.' && *r->at != 'e' && *r->at != 'E'))
		return v;
	if (whole) {
		fail(r);
		return 0;
	}
	if (*r->at == '.') {
		r->at++;
		if (r->at >= r->end || !is_digit((char)*r->at))
			fail(r);
		while (r->at < r->end && is_digit((char)*r->at))
			r->at++;
	}
	if (r->at < r->end && (*r->at == 'e' || *r->at == 'E')) {
		r->at++;
		if (r->at < r->end && (*r->at == '+' || *r->at == '-'))
			r->at++;
		if (r->at >= r->end || !is_digit((char)*r->at))
			fail(r);
		while (r->at < r->end && is_digit((char)*r->at))
			r->at++;
	}
	return 0;
}

uint64_t jr_u64(struct jr *r)
{
	(void)jr_peek(r);
	return r->failed ? 0 : number(r, true);
}

bool jr_open(struct jr *r)
{
	if (jr_peek(r) != '{') {
		fail(r);
		return false;
	}
	r->at++;
	return true;
}

bool jr_key(struct jr *r, bool *first, char *key, size_t size)
{
	char c = jr_peek(r);

	if (c == '}') {
		r->at++;
		return false;
	}
	if (!*first) {
		if (c != ',') {
			fail(r);
			return false;
		}
		r->at++;
	}
	*first = false;
	if (!jr_str(r, key, size))
		key[0] = '\0';
	expect(r, ":");
	return !r->failed;
}

void jr_skip(struct jr *r, unsigned depth)
{
	bool first = true;
	char key[2];

	switch (jr_peek(r)) {
	case '"':
		(void)jr_str(r, NULL, 0);
		break;
	case 't':
	case 'f':
		(void)jr_bool(r);
		break;
	case 'n':
		expect(r, "null");
		break;
	case '{':
		if (depth >= JSON_MAX_DEPTH) {
			fail(r);
			break;
		}
		(void)jr_open(r);
		while (jr_key(r, &first, key, sizeof(key)))
			jr_skip(r, depth + 1);
		break;
	case '[':
		if (depth >= JSON_MAX_DEPTH) {
			fail(r);
			break;
		}
		r->at++;
		if (jr_peek(r) == ']') {
			r->at++;
			break;
		}
		for (;;) {
			jr_skip(r, depth + 1);
			if (jr_peek(r) != ',')
				break;
			r->at++;
		}
		expect(r, "]");
		break;
	case '\0':
		fail(r);
		break;
	default:
		(void)number(r, false);
		break;
	}
}

struct jw jw_of(void *buf, size_t size)
{
	return (struct jw){.w = wr_of(buf, size)};
}

void jw_raw(struct jw *w, const char *s)
{
	wr_bytes(&w->w, s, strlen(s));
}

static void separate(struct jw *w)
{
	if (w->comma)
		wr_u8(&w->w, ',');
	w->comma = true;
}

void jw_begin(struct jw *w, char bracket)
{
	separate(w);
	wr_u8(&w->w, (uint8_t)bracket);
	w->comma = false;
}

void jw_end(struct jw *w, char bracket)
{
	wr_u8(&w->w, (uint8_t)bracket);
	w->comma = true;
}

void jw_str(struct jw *w, const char *s)
{
	static const char hex[] = "0123456789abcdef";

	separate(w);
	wr_u8(&w->w, '"');
	for (; *s != '\0'; s++) {
		uint8_t c = (uint8_t)*s;

		if (c == '"' || c == '\\') {
			wr_u8(&w->w, '\\');
			wr_u8(&w->w, c);
		} else if (c < 0x20 || c == 0x7f) {
			jw_raw(w, "\\u00");
			wr_u8(&w->w, (uint8_t)hex[c >> 4]);
			wr_u8(&w->w, (uint8_t)hex[c & 15]);
		} else {
			wr_u8(&w->w, c);
		}
	}
	wr_u8(&w->w, '"');
}

void jw_key(struct jw *w, const char *key)
{
	jw_str(w, key);
	wr_u8(&w->w, ':');
	w->comma = false;
}

void jw_u64(struct jw *w, uint64_t v)
{
	char digits[20];
	size_t n = sizeof(digits);

	separate(w);
	do {
		digits[--n] = (char)('0' + v % 10);
		v /= 10;
	} while (v > 0);
	wr_bytes(&w->w, digits + n, sizeof(digits) - n);
}

void jw_bool(struct jw *w, bool v)
{
	separate(w);
	jw_raw(w, v ? "true" : "false");
}

void jw_null(struct jw *w)
{
	separate(w);
	jw_raw(w, "null");
}

size_t jw_done(struct jw *w)
{
	size_t len = wr_done(&w->w);

	if (len == 0 || len >= w->w.size)
		return 0;
	w->w.at[len] = '\0';
	return len;
}
