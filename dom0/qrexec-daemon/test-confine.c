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

static void every_step_aside_ends_it(void **state)
{
	static const char *const may[] = {"accept4", NULL};

	(void)state;
	aside_assert(confine_work, may);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_step_aside_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
