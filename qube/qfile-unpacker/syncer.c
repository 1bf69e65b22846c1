/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "syncer.h"

#include "base/io.h"
#include "sandbox/sandbox.h"

#include <poll.h>
#include <sys/socket.h>

/* So much is worth a write to the disk: one more commit of its journal for each. */
#define ENOUGH_FILES 1000
#define ENOUGH_BYTES (32u << 20)

/* in place of the standard streams, and all that it keeps; the folder is let go of first */
enum { FOLDER_FD, WISHES_FD, N_FDS };

/* A byte is a wish; those that came during a sync are one. The end of the stream is ours. */
static NORETURN void serve(int wishes_fd, int folder_fd)
{
	static const struct sandbox_call calls[] = {
		{"syncfs"}, /* what it is for */
	};
	char wishes[64];

	if (dup2(folder_fd, FOLDER_FD) < 0 || dup2(wishes_fd, WISHES_FD) < 0 ||
	    close_range(N_FDS, ~0u, 0) < 0 || sandbox_calls_only(calls, ARRAY_LEN(calls)) < 0)
		_exit(EXIT_FAILURE);
	for (;;) {
		ssize_t n = read(WISHES_FD, wishes, sizeof(wishes));

		if (n == 0 || (n < 0 && errno != EINTR))
			_exit(EXIT_SUCCESS);
		if (n > 0)
			(void)syncfs(FOLDER_FD);
	}
}

void syncer_start(struct syncer *s, int folder_fd)
{
	int pair[2];
	pid_t pid;

	*s = (struct syncer){.fd = NO_FD};
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return;
	pid = fork();
	if (pid == 0)
		serve(pair[1], folder_fd);
	(void)close(pair[1]);
	if (pid < 0)
		(void)close(pair[0]);
	else
		s->fd = pair[0];
}

void syncer_add(struct syncer *s, uint64_t size)
{
	s->n_files++;
	s->n_bytes += size;
	if (s->fd == NO_FD || (s->n_files < ENOUGH_FILES && s->n_bytes < ENOUGH_BYTES))
		return;
	s->n_files = 0;
	s->n_bytes = 0;
	/* where there is no room it has enough to do */
	(void)send(s->fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

int syncer_done(struct syncer *s)
{
	struct pollfd p = {.fd = s->fd, .events = POLLIN};
	int n;

	if (s->fd == NO_FD)
		return 0;
	(void)shutdown(s->fd, SHUT_WR);
	n = poll(&p, 1, SYNCER_MS);
	close_fd(&s->fd);
	return n == 0 ? -ETIMEDOUT : 0;
}
