/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "gate.h"
#include "sandbox/aside.h"

static void every_step_aside_ends_it(void **state)
{
	static const char *const may[] = {NULL};

	(void)state;
	aside_assert(confine, may);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_step_aside_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
