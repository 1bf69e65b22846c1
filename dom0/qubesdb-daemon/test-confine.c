/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon behind its own walls: what it lives from works, and one step aside ends it. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "confine.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

static void try_nothing(void)
{
}

static void try_open(void)
{
	(void)open("/etc/passwd", O_RDONLY);
}

static void try_connect(void)
{
	const struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "/run/qubesd.sock"};

	(void)connect(0, (const struct sockaddr *)&a, sizeof(a));
}

static void try_socket(void)
{
	(void)socket(AF_UNIX, SOCK_STREAM, 0);
}

static void try_exec(void)
{
	(void)execl("/bin/sh", "sh", (char *)NULL);
}

static void try_unlink(void)
{
	(void)unlink("/tmp/qubesdb-test-none");
}

static void one_step_aside_ends_it(void **state)
{
	static const struct {
		void (*try)(void);
		bool lives;
	} rows[] = {
		{try_nothing, true}, {try_open, false}, {try_connect, false},
		{try_socket, false}, {try_exec, false}, {try_unlink, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int status;
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0) {
			if (confine("work", geteuid() == 0 ? 0x70000007 : 0) < 0)
				_exit(99);
			rows[i].try();
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (rows[i].lives)
			assert_int_equal(status, 0);
		else
			assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_step_aside_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
