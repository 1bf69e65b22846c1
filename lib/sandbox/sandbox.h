/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Giving up privilege, for good. Each daemon calls this between acquire() and serve().
 *
 * Walls, from the outside in: an id of its own (when we are root), empty namespaces (where the
 * kernel lets us), Landlock, no new privileges, limits, and a seccomp list that names every system
 * call and who needs it. seccomp is never optional; what else was missing is told through
 * @ret_missing and belongs into a log line.
 */
#include "base/attr.h"

/** enum sandbox_missing - walls that could not be built, a bit set */
enum sandbox_missing {
	SANDBOX_NO_NAMESPACES = 1 << 0,
	SANDBOX_NO_LANDLOCK = 1 << 1,
};

/**
 * struct sandbox_call - one allowed system call
 * @name:	as in libseccomp ("read"); one unknown to this machine is passed over
 * @arg, @mask, @value: with @mask not 0: only if (argument number @arg & @mask) == @value
 *
 * Every table carries a comment per row: who needs the call.
 */
struct sandbox_call {
	const char *name;
	unsigned arg;
	uint64_t mask, value;
};

/**
 * struct sandbox - what a program keeps
 * @calls, @n_calls:	beyond the base set (sandbox_base_calls: memory, clocks, exit, read/write on
 * what it has)
 * @uid, @gid:		ids to become when running as root; 0 = stay
 * @max_fds:		RLIMIT_NOFILE
 * @max_memory:		RLIMIT_AS in bytes; 0 = no limit
 * @read_paths:		NULL-terminated list of what Landlock still lets it read; NULL = nothing
 */
struct sandbox {
	const struct sandbox_call *calls;
	size_t n_calls;
	uid_t uid;
	gid_t gid;
	unsigned max_fds;
	uint64_t max_memory;
	const char *const *read_paths;
};

/**
 * sandbox_enter() - build the walls; there is no way back
 *
 * Should: be called with every descriptor the program needs already open. Mustn't: be called twice,
 * or after threads were started. On failure the program must exit: some walls may stand, others
 * not.
 *
 * Return: 0; -errno of the wall that failed.
 */
MUST_CHECK int sandbox_enter(const struct sandbox *s, unsigned *ret_missing);
