/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "daemon.h"
#include "sandbox/aside.h"

static int confine_work(void)
{
	return confine("work", geteuid() == 0 ? 0x70000008 : 0);
}

static void one_step_aside_ends_it(void **state)
{
	(void)state;
	assert_null(aside_check(confine_work));
}

static void every_call_that_is_not_its_own_ends_it(void **state)
{
	static const char *const may[] = {"accept4", NULL};
	const char *failed = aside_check_all(confine_work, may);

	(void)state;
	if (failed)
		fail_msg("%s", failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_step_aside_ends_it),
		cmocka_unit_test(every_call_that_is_not_its_own_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
