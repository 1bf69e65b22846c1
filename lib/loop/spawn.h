/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Starting a child with exactly what it shall have. Needs no event loop; loop/child.h follows the
 * child from one.
 *
 * A child starts with default signal dispositions, nothing blocked, and only the descriptors of
 * its map: 0 and 1 are /dev/null unless mapped, 2 is ours unless mapped, all others are closed.
 */
#include "base/attr.h"

#include <sys/types.h>

/** struct spawn_fd - our descriptor @from (borrowed) becomes the child's @to */
struct spawn_fd {
	int from, to;
};

#define SPAWN_MAX_FDS 48

/**
 * struct spawn - what the child is given
 * @path:	of the program; no search
 * @argv, @env:	NULL-terminated; @env NULL = ours
 * @uid, @gid:	ids to become, with no other groups; 0 = stay. Needs root
 * @death_signal: what it gets when we end; 0 = it outlives us
 * @new_session: setsid(): no terminal's signals reach it
 * @new_group:	setpgid(): likewise, but it stays in our session, and so in what the kernel weighs as one (sched_autogroup)
 * @no_new_privs: no set-id program below it gains anything
 * @at_once:	for a loop that serves others: not to wait until it runs its program. One that cannot be executed ends with
 *		code 127 then
 * @niceness:	added to ours
 * @prepare:	runs in the child just before its ids change; < 0 ends the start with that errno.
 *		Only for single-threaded parents. May be NULL
 */
struct spawn {
	const char *path;
	char *const *argv;
	char *const *env;
	const struct spawn_fd *fds;
	unsigned n_fds;
	uid_t uid;
	gid_t gid;
	int death_signal;
	bool new_session, new_group, no_new_privs, at_once;
	int niceness;
	int (*prepare)(void *data);
	void *data;
};

/**
 * spawn() - start a child; returns when it runs its program (unless @at_once)
 * @ret_pid:	may be NULL
 * @ret_pidfd:	owned by the caller
 *
 * Return: 0; -errno of whatever failed, in the child too (-ENOENT: no such program), and then no
 * child is left.
 */
MUST_CHECK int spawn(const struct spawn *s, pid_t *ret_pid, int *ret_pidfd);

/** struct child_end - how a child ended: @signal 0 and an exit @code, or a signal */
struct child_end {
	int code, signal;
};

/**
 * spawn_reap() - collect an ended child
 *
 * Return: 0; -EAGAIN if it still runs; -ECHILD if it is not ours (any more).
 */
MUST_CHECK int spawn_reap(int pidfd, struct child_end *ret);

/** spawn_wait() - wait for the end of a child; @timeout_ms < 0 = for ever; -ETIMEDOUT */
MUST_CHECK int spawn_wait(int pidfd, int timeout_ms, struct child_end *ret);

/** spawn_signal() - send a signal; an ended child is no error */
void spawn_signal(int pidfd, int sig);

/** child_end_str() - "exit code 3", "signal 9 (Killed)" for logs */
const char *child_end_str(const struct child_end *end, char *to, size_t size);
