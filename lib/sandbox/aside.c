/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sandbox/aside.h"

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

/* minus the signal that ended it, or its exit status */
static int run_child(int (*confine)(void), void (*try)(void))
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return 98;
	if (pid == 0) {
		if (confine() < 0)
			_exit(99);
		try();
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid)
		return 97;
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

const char *aside_check(int (*confine)(void))
{
	static const struct {
		const char *what;
		void (*try)(void);
		int end;
	} rows[] = {
		{"standing still", try_nothing, 0}, {"open", try_open, -SIGSYS},
		{"connect", try_connect, -SIGSYS},  {"socket", try_socket, -SIGSYS},
		{"exec", try_exec, -SIGSYS},        {"unlink", try_unlink, -SIGSYS},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (run_child(confine, rows[i].try) != rows[i].end)
			return rows[i].what;
	return NULL;
}
