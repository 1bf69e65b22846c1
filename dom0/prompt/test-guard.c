/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "guard.h"

#define NOW UINT64_C(5000)

static void it_opens_half_a_second_after_window_and_focus(void **state)
{
	struct guard g = {0};

	(void)state;
	assert_false(guard_is_open(&g, NOW + UINT64_C(100) * GUARD_MS));
	guard_map(&g, NOW);
	assert_false(guard_is_open(&g, NOW + UINT64_C(100) * GUARD_MS));
	guard_focus(&g, true, NOW + 300);
	assert_false(guard_is_open(&g, NOW + 299 + GUARD_MS));
	assert_true(guard_is_open(&g, NOW + 300 + GUARD_MS));
}

static void focus_alone_does_not_open_it(void **state)
{
	struct guard g = {0};

	(void)state;
	guard_focus(&g, true, NOW);
	assert_false(guard_is_open(&g, NOW + GUARD_MS));
	guard_map(&g, NOW + GUARD_MS);
	assert_false(guard_is_open(&g, NOW + UINT64_C(2) * GUARD_MS - 1));
	assert_true(guard_is_open(&g, NOW + UINT64_C(2) * GUARD_MS));
}

static void losing_the_focus_closes_it_and_it_opens_late_again(void **state)
{
	struct guard g = {0};

	(void)state;
	guard_map(&g, NOW);
	guard_focus(&g, true, NOW);
	assert_true(guard_input(&g, NOW + GUARD_MS));
	guard_focus(&g, false, NOW + 1000);
	assert_false(guard_is_open(&g, NOW + 9000));
	assert_false(guard_input(&g, NOW + 9000));
	guard_focus(&g, true, NOW + 10000);
	assert_false(guard_is_open(&g, NOW + 9999 + GUARD_MS));
	assert_true(guard_is_open(&g, NOW + 10000 + GUARD_MS));
}

static void typing_keeps_it_closed_until_it_stops(void **state)
{
	struct guard g = {0};
	uint64_t now = NOW;

	(void)state;
	guard_map(&g, now);
	guard_focus(&g, true, now);
	for (unsigned i = 0; i < 50; i++) {
		now += GUARD_MS / 2;
		assert_false(guard_input(&g, now));
	}
	assert_false(guard_is_open(&g, now + GUARD_MS - 1));
	assert_true(guard_is_open(&g, now + GUARD_MS));
	/* once it is open, keys come as fast as they like */
	now += GUARD_MS;
	for (unsigned i = 0; i < 10; i++)
		assert_true(guard_input(&g, now));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_opens_half_a_second_after_window_and_focus),
		cmocka_unit_test(focus_alone_does_not_open_it),
		cmocka_unit_test(losing_the_focus_closes_it_and_it_opens_late_again),
		cmocka_unit_test(typing_keeps_it_closed_until_it_stops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
