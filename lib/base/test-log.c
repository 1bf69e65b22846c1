/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"

static void peer_text_is_made_safe(void **state)
{
	char to[64], small[12];

	(void)state;
	assert_string_equal(log_quote(to, sizeof(to), "a b\n\\\x1b[0m", 9),
			    "a b\\x0a\\x5c\\x1b[0m");
	assert_string_equal(log_quote(to, sizeof(to), "", 0), "");
	assert_string_equal(log_quote(small, sizeof(small), "abcdefghijklmnop", 16), "abcde...");
}

static void a_flood_is_cut(void **state)
{
	struct log_limit limit = {.interval_s = 3600, .burst = 3};
	unsigned n = 0;

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		n += log_allowed(&limit, NULL);
	assert_int_equal(n, 3);
	assert_int_equal(limit.n_dropped, 97);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(peer_text_is_made_safe),
		cmocka_unit_test(a_flood_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
