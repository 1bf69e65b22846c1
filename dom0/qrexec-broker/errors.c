/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What services of dom0 complain about. It may hold whatever the calling qube said, so it comes into dom0's log through
 * one process: line by line, quoted, and no more than so many. That one is confined like a relay, and ends after the last
 * of the services that write to it; none of them waits for the log.
 *
 * The lines are the caller's, whose next broker goes on counting where this one was: the count stands in the file of
 * seats. Who may write to that may be taken over, so nothing but the count is believed.
 */
#include "broker.h"

#include "sandbox/sandbox.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

/** LINE_MAX_LEN - a longer line is told in parts */
#define LINE_MAX_LEN 240

/** LINES_MAX - of one caller, in LINES_S seconds */
#define LINES_MAX 60
#define LINES_S   60

static bool line_allowed(struct log_limit *shared, const char *name)
{
	struct log_limit l = *shared;
	bool allowed;

	l.interval_s = LINES_S;
	l.burst = LINES_MAX;
	allowed = log_allowed(&l, name);
	*shared = l;
	return allowed;
}

static void line_tell(const char *name, struct log_limit *limit, const char *line, size_t len)
{
	char quoted[4 * LINE_MAX_LEN + 8];

	if (len > 0 && line_allowed(limit, name))
		log_info(name, "a service for it says: %s",
			 log_quote(quoted, sizeof(quoted), line, len));
}

static NORETURN void errors_serve(const char *name, struct log_limit *limit, int fd)
{
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
			line_tell(name, limit, line, len);
			len = 0;
		}
	}
	line_tell(name, limit, line, len);
	_exit(EXIT_SUCCESS);
}

int errors_start(const char *name, int seats_fd, int *ret_fd, pid_t *ret_pid)
{
	struct log_limit *limit;
	int fds[2];
	pid_t pid;

	/* whatever is there is what an earlier broker counted */
	if (ftruncate(seats_fd, sizeof(*limit)) < 0)
		return fail_errno();
	limit = mmap(NULL, sizeof(*limit), PROT_READ | PROT_WRITE, MAP_SHARED, seats_fd, 0);
	if (limit == MAP_FAILED)
		return fail_errno();
	if (pipe2(fds, O_CLOEXEC) < 0) {
		const int r = fail_errno();

		(void)munmap(limit, sizeof(*limit));
		return r;
	}
	/* a service that runs as another user may open its /dev/stderr; who else has it there are services too */
	pid = fchmod(fds[1], 0622) == 0 ? fork() : -1;
	if (pid == 0) {
		/* all but the standard streams and this is the broker's */
		if (dup2(fds[0], STDIN_FILENO) < 0 || close_range(STDERR_FILENO + 1, ~0U, 0) < 0)
			_exit(EXIT_FAILURE);
		errors_serve(name, limit, STDIN_FILENO);
	}
	(void)munmap(limit, sizeof(*limit));
	(void)close(fds[0]);
	if (pid < 0) {
		(void)close(fds[1]);
		return fail_errno();
	}
	*ret_fd = fds[1];
	*ret_pid = pid;
	return 0;
}
