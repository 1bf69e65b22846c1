/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"

static void qube_names(void **state)
{
	static const struct {
		const char *name;
		bool good;
	} rows[] = {
		{"work", true},
		{"a", true},
		{"sys-net", true},
		{"A.b_c-9", true},
		{"abcdefghijklmnopqrstuvwxyz01234", true},
		{"abcdefghijklmnopqrstuvwxyz012345", false},
		{"", false},
		{"9lives", false},
		{"-x", false},
		{"a b", false},
		{"a/b", false},
		{"none", false},
		{"default", false},
		{"Domain-0", false},
		{"work-dm", false},
		{"nonesuch", true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (str_is_qube_name(rows[i].name, strlen(rows[i].name)) != rows[i].good)
			fail_msg("%s", rows[i].name);
	assert_false(str_is_qube_name("wo\0rk", 5));
}

static void numbers(void **state)
{
	static const struct {
		const char *text;
		uint64_t max, value;
		int r;
	} rows[] = {
		{"0", 10, 0, 0},
		{"10", 10, 10, 0},
		{"11", 10, 0, -ERANGE},
		{"007", 10, 0, -EINVAL},
		{"", 10, 0, -EINVAL},
		{"-1", 10, 0, -EINVAL},
		{"1x", 10, 0, -EINVAL},
		{" 1", 10, 0, -EINVAL},
		{"18446744073709551615", UINT64_MAX, UINT64_MAX, 0},
		{"18446744073709551616", UINT64_MAX, 0, -ERANGE},
		{"99999999999999999999999", UINT64_MAX, 0, -ERANGE},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t v = 0;
		int r = str_u64(rows[i].text, rows[i].max, &v);

		if (r != rows[i].r || v != rows[i].value)
			fail_msg("%s: %d", rows[i].text, r);
	}
}

static void text_that_does_not_fit_is_refused(void **state)
{
	char to[4] = "old";

	(void)state;
	assert_int_equal(str_copy(to, sizeof(to), "1234", 4), -ENAMETOOLONG);
	assert_string_equal(to, "old");
	assert_int_equal(str_copy(to, sizeof(to), "123", 3), 0);
	assert_string_equal(to, "123");
	assert_int_equal(str_format(to, sizeof(to), "%d", 12345), -ENAMETOOLONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(qube_names),
		cmocka_unit_test(numbers),
		cmocka_unit_test(text_that_does_not_fit_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
