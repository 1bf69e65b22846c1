/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tool.h"

#include "base/program.h"
#include "qubesd.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <unistd.h>

/* behind everything that somebody waits for */
#define NICENESS 10

int tool_start(const struct qubesd *d, const char *const *argv, int in, child_fn fn, void *data,
	       struct child **ret)
{
	char program[PATH_MAX];
	AUTO_CLOSE int nowhere = NO_FD;
	struct spawn_fd fds[3] = {{in, STDIN_FILENO}};
	struct spawn s = {
		.path = program,
		.argv = (char *const *)argv,
		.death_signal = SIGKILL,
		.new_group = true,
		.no_new_privs = true,
		.niceness = NICENESS,
	};
	AUTO_CLOSE int pidfd = NO_FD;
	int r = program_find("qvm", program, sizeof(program));

	if (r == 0 && in >= 0) {
		nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
		if (nowhere < 0)
			return fail_errno();
		fds[1] = (struct spawn_fd){nowhere, STDOUT_FILENO};
		fds[2] = (struct spawn_fd){nowhere, STDERR_FILENO};
		s.fds = fds;
		s.n_fds = ARRAY_LEN(fds);
	}
	if (r < 0)
		return r;
	r = spawn(&s, NULL, &pidfd);
	if (r == 0)
		r = child_new(d->event, pidfd, fn, data, ret);
	if (r == 0)
		(void)take_fd(&pidfd);
	return r;
}

void tool_kill(struct child *c)
{
	if (!c)
		return;
	spawn_signal(child_get_pidfd(c), SIGKILL);
	child_free(c);
}
