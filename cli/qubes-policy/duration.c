/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Spans of time as a person writes them: "90s", "30m", "12h", "7d". */
#include "qubes-policy.h"

#include "base/str.h"

#include <string.h>

#define DURATION_MAX_S (INT64_C(10) * 365 * 86400)

int duration_parse(const char *text, int64_t *ret_s)
{
	static const struct {
		char letter;
		int64_t seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
	size_t len = strlen(text);
	char digits[20];
	uint64_t n;

	if (len < 2 || str_copy(digits, sizeof(digits), text, len - 1) < 0)
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (text[len - 1] != units[i].letter)
			continue;
		if (str_u64(digits, (uint64_t)(DURATION_MAX_S / units[i].seconds), &n) < 0)
			return -EINVAL;
		*ret_s = (int64_t)n * units[i].seconds;
		return 0;
	}
	return -EINVAL;
}
