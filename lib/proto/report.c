/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/report.h"

#include "base/bytes.h"
#include "base/str.h"

#include <string.h>

#define BLANKS     " \t\r\n"
#define DIGITS_MAX 18 /* fewer than could be too large a number */

const char *report_find(const struct report *r, const char *name)
{
	for (unsigned i = 0; i < r->n; i++)
		if (strcmp(r->claims[i].name, name) == 0)
			return r->claims[i].value;
	return NULL;
}

/* the lengths are without a NUL */
static int add(struct report *r, const char *name, size_t name_len, const char *value,
	       size_t value_len)
{
	struct report_claim *c = &r->claims[r->n];

	if (name_len == 0 || name_len > REPORT_NAME_MAX ||
	    !bytes_are_alnum_or(name, name_len, "_.-"))
		return REPORT_E_NAME;
	if (value_len > REPORT_VALUE_MAX || !bytes_are_alnum_or(value, value_len, "_.- "))
		return REPORT_E_VALUE;
	if (r->n == REPORT_CLAIMS_MAX)
		return REPORT_E_MANY;
	memcpy(c->name, name, name_len);
	c->name[name_len] = '\0';
	if (report_find(r, c->name))
		return REPORT_E_TWICE;
	memcpy(c->value, value, value_len);
	c->value[value_len] = '\0';
	r->n++;
	return 0;
}

int report_add(struct report *r, const char *name, const char *value)
{
	return add(r, name, strlen(name), value, strlen(value));
}

size_t report_encode(const struct report *r, void *buf)
{
	struct wr w = wr_of(buf, REPORT_LEN_MAX);

	for (unsigned i = 0; i < r->n; i++) {
		const struct report_claim *c = &r->claims[i];

		wr_bytes(&w, c->name, strlen(c->name));
		wr_u8(&w, '=');
		wr_bytes(&w, c->value, strlen(c->value));
		wr_u8(&w, '\n');
	}
	return wr_done(&w);
}

int report_decode(const void *bytes, size_t len, struct report *ret)
{
	const char *at = bytes, *end = at + len;

	ret->n = 0;
	while (at < end) {
		const char *line_end = memchr(at, '\n', (size_t)(end - at));
		const char *equals = line_end ? memchr(at, '=', (size_t)(line_end - at)) : NULL;
		int r;

		if (!equals)
			return REPORT_E_FORMAT;
		r = add(ret, at, (size_t)(equals - at), equals + 1,
			(size_t)(line_end - equals - 1));
		if (r != 0)
			return r;
		at = line_end + 1;
	}
	return 0;
}

int report_count_decode(const void *bytes, size_t len, uint64_t *ret)
{
	const char *at = bytes, *end = at + len;
	uint64_t n = 0;
	size_t n_digits = 0;

	if (len > REPORT_COUNT_LEN_MAX)
		return REPORT_E_FORMAT;
	while (at < end && *at != '\0' && strchr(BLANKS, *at))
		at++;
	for (; at < end && *at >= '0' && *at <= '9'; at++, n_digits++)
		n = n_digits < DIGITS_MAX ? n * 10 + (uint64_t)(*at - '0') : n;
	while (at < end && *at != '\0' && strchr(BLANKS, *at))
		at++;
	if (at != end || n_digits == 0 || n_digits > DIGITS_MAX)
		return REPORT_E_FORMAT;
	*ret = n;
	return 0;
}

const char *report_outcome_str(int outcome)
{
	static const char *const texts[] = {
		[0] = "well",
		[REPORT_E_NAME] = "a name that no feature has",
		[REPORT_E_VALUE] =
			"a value that is too long, or not of letters, digits and \"_.- \"",
		[REPORT_E_MANY] = "too many claims",
		[REPORT_E_TWICE] = "the same name twice",
		[REPORT_E_FORMAT] = "not what a report looks like",
	};

	return outcome >= 0 && (size_t)outcome < ARRAY_LEN(texts) ? texts[outcome] : "unknown";
}
