/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "policyd.h"
#include "sandbox/aside.h"

static int confine_policyd(void)
{
	return confine(geteuid() == 0 ? 0x70000000 : 0);
}

static void one_step_aside_ends_it(void **state)
{
	(void)state;
	assert_null(aside_check(confine_policyd));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(one_step_aside_ends_it)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
