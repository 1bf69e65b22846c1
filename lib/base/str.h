/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Strings: strict numbers, character sets, names of the field. Nothing here allocates or repairs.
 */
#include "base/attr.h"

/** QUBE_NAME_MAX - bytes of a qube's name without its NUL */
#define QUBE_NAME_MAX 31

/**
 * str_copy() - copy @len bytes and a NUL into @to of @size bytes
 *
 * Return: 0; -ENAMETOOLONG if they do not fit (nothing is written).
 */
MUST_CHECK int str_copy(char *to, size_t size, const char *from, size_t len);

/** str_format() - snprintf into @to of @size bytes; -ENAMETOOLONG if it does not fit */
MUST_CHECK int str_format(char *to, size_t size, const char *format, ...) PRINTF_LIKE(3, 4);

/** str_eq() - both are given and equal */
bool str_eq(const char *a, const char *b);
/** str_starts() - @s begins with @prefix */
bool str_starts(const char *s, const char *prefix);
/** bytes_are_alnum_or() - each of the @len bytes is a letter or digit of ASCII, or one of @others */
bool bytes_are_alnum_or(const char *bytes, size_t len, const char *others);

/**
 * str_u64() - a decimal number, digits only, no leading zero but "0" itself
 * @s:		text
 * @max:	largest number accepted
 * @ret:	the number
 *
 * Return: 0; -EINVAL if it is not such a number; -ERANGE if it is larger than @max.
 */
MUST_CHECK int str_u64(const char *s, uint64_t max, uint64_t *ret);

/**
 * str_is_qube_name() - the @len bytes at @s are a valid qube name
 *
 * [a-zA-Z][a-zA-Z0-9_.-]{0,30}, not "none", "default" or "Domain-0" (as in Qubes), not ending in
 * "-dm".
 */
bool str_is_qube_name(const char *s, size_t len);
