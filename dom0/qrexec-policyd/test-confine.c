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

static void every_step_aside_ends_it(void **state)
{
	static const char *const may[] = {"accept4", "lseek", "ftruncate", "sysinfo", NULL};

	(void)state;
	aside_assert(confine_policyd, may);
}

static void every_step_aside_ends_the_loader(void **state)
{
	/* openat, socket and fcntl: with some arguments */
	static const char *const may[] = {
		"getdents64", "newfstatat",   "fstat",         "access",
		"faccessat",  "lseek",        "sysinfo",       "connect",
		"getsockopt", "geteuid",      "inotify_init1", "inotify_add_watch",
		"ftruncate",  "memfd_create", "readlink",      "readlinkat",
		NULL};

	(void)state;
	aside_assert_list(confine_loader, may);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_step_aside_ends_it),
		cmocka_unit_test(every_step_aside_ends_the_loader),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
