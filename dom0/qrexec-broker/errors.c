/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What services of dom0 complain about. It may hold whatever the calling qube said, so it comes into dom0's log through
 * one process: line by line, quoted, and no more than so many. That one is confined like a relay, and ends after the last
 * of the services that write to it; none of them waits for the log.
 */
#include "broker.h"

#include "sandbox/sandbox.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <string.h>
#include <sys/stat.h>

/** LINE_MAX_LEN - a longer line is told in parts */
#define LINE_MAX_LEN 240

static void line_tell(const char *name, struct log_limit *limit, const char *line, size_t len)
{
	char quoted[4 * LINE_MAX_LEN + 8];

	if (len > 0 && log_allowed(limit, name))
		log_info(name, "a service for it says: %s",
			 log_quote(quoted, sizeof(quoted), line, len));
}

static NORETURN void errors_serve(const char *name, int fd)
{
	struct log_limit limit = {.interval_s = 60, .burst = 60};
	char line[LINE_MAX_LEN];
	size_t len = 0;

	if (sandbox_relay(0) < 0)
		_exit(EXIT_FAILURE);
	for (;;) {
		char bytes[4096];
		ssize_t n = read(fd, bytes, sizeof(bytes));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		for (ssize_t i = 0; i < n; i++) {
			const bool end = bytes[i] == '\n';

			if (!end)
				line[len++] = bytes[i];
			if (!end && len < sizeof(line))
				continue;
			line_tell(name, &limit, line, len);
			len = 0;
		}
	}
	line_tell(name, &limit, line, len);
	_exit(EXIT_SUCCESS);
}

int errors_start(const char *name, int *ret_fd)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return fail_errno();
	/* a service that runs as another user may open its /dev/stderr; who else has it there are services too */
	pid = fchmod(fds[1], 0622) == 0 ? fork() : -1;
	if (pid == 0) {
		/* all but the standard streams and this is the broker's */
		if (dup2(fds[0], STDIN_FILENO) < 0 || close_range(STDERR_FILENO + 1, ~0U, 0) < 0)
			_exit(EXIT_FAILURE);
		errors_serve(name, STDIN_FILENO);
	}
	(void)close(fds[0]);
	if (pid < 0) {
		(void)close(fds[1]);
		return fail_errno();
	}
	*ret_fd = fds[1];
	return 0;
}
