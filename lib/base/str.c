/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int str_copy(char *to, size_t size, const char *from, size_t len)
{
	if (len >= size)
		return -ENAMETOOLONG;
	memcpy(to, from, len);
	to[len] = '\0';
	return 0;
}

int str_format(char *to, size_t size, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(to, size, format, args);
	va_end(args);
	if (n < 0)
		return -EINVAL;
	return (size_t)n < size ? 0 : -ENAMETOOLONG;
}

bool str_eq(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

bool str_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

bool bytes_are_alnum_or(const char *bytes, size_t len, const char *others)
{
	for (size_t i = 0; i < len; i++)
		if (!is_letter(bytes[i]) && !is_digit(bytes[i]) &&
		    (bytes[i] == '\0' || !strchr(others, bytes[i])))
			return false;
	return true;
}

int str_u64(const char *s, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (!is_digit(s[0]) || (s[0] == '0' && s[1] != '\0'))
		return -EINVAL;
	for (; *s != '\0'; s++) {
		unsigned digit = (unsigned)(*s - '0');

		if (!is_digit(*s))
			return -EINVAL;
		if (v > UINT64_MAX / 10 || v * 10 > UINT64_MAX - digit)
			return -ERANGE;
		v = v * 10 + digit;
	}
	if (v > max)
		return -ERANGE;
	*ret = v;
	return 0;
}

bool str_is_qube_name(const char *s, size_t len)
{
	static const char *const reserved[] = {"none", "default", "Domain-0"};

	if (len == 0 || len > QUBE_NAME_MAX || !is_letter(s[0]))
		return false;
	if (!bytes_are_alnum_or(s, len, "_.-"))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
		if (strlen(reserved[i]) == len && memcmp(reserved[i], s, len) == 0)
			return false;
	return !(len >= 3 && memcmp(s + len - 3, "-dm", 3) == 0);
}
