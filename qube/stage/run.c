/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run.h"

#include "base/io.h"

#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define EXIT_NO_PROGRAM 127

static int child_wait(pid_t pid, unsigned timeout_ms)
{
	AUTO_CLOSE int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	uint64_t end_ms = io_now_ms() + timeout_ms;

	if (fd < 0)
		return fail_errno();
	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		uint64_t now_ms = io_now_ms();
		int n;

		if (now_ms >= end_ms)
			return -ETIMEDOUT;
		n = poll(&p, 1, (int)(end_ms - now_ms));
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return fail_errno();
	}
}

int program_run(char *const argv[], unsigned timeout_ms, int *ret_status)
{
	int status, r;
	pid_t pid = fork();

	if (pid < 0)
		return fail_errno();
	if (pid == 0) {
		(void)execvp(argv[0], argv);
		_exit(EXIT_NO_PROGRAM);
	}
	if (timeout_ms > 0) {
		r = child_wait(pid, timeout_ms);
		if (r < 0)
			return r;
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return fail_errno();
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_NO_PROGRAM)
		return -ENOENT;
	*ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return 0;
}
