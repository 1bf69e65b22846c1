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

#include <sys/types.h>

/** enum sandbox_missing - walls that could not be built, a bit set */
enum sandbox_missing {
	SANDBOX_NO_NAMESPACES = 1 << 0,
	SANDBOX_NO_LANDLOCK = 1 << 1,
};

/**
 * struct sandbox_call - one allowed system call
 * @name:	as in libseccomp ("read"); one unknown to this machine is passed over
 * @arg, @mask, @value: with @mask not 0: only if (argument number @arg & @mask) == @value; several
 * rows for one call are alternatives
 *
 * Every table carries a comment per row: who needs the call. The base set (seccomp.c) already has
 * read/write, send/recv, close, fcntl of flags, poll, epoll, timers, clocks, memory that is never
 * executable, getrandom, signals to itself and exit. A daemon with a listening socket adds
 * "accept4"; none adds open, exec, fork, socket, connect, kill or ptrace without a paragraph that
 * says why.
 */
struct sandbox_call {
	const char *name;
	unsigned arg;
	uint64_t mask, value;
};

/** SANDBOX_FILE_MAX - no file becomes larger by a confined program, its log included: what it writes
 * behind that fails with EFBIG */
#define SANDBOX_FILE_MAX (UINT64_C(64) << 20)

/**
 * struct sandbox - what a program keeps
 * @calls, @n_calls:	beyond the base set
 * @uid, @gid:		ids to become when running as root, 0 = stay; without root they must be ours
 * @max_fds:		RLIMIT_NOFILE, which also bounds poll()'s list; 0 = leave it
 * @max_memory:		RLIMIT_AS in bytes; 0 = no limit
 * @max_file:		bytes of a file that it writes; 0 = SANDBOX_FILE_MAX
 * @read_paths:		NULL-terminated list of what Landlock still lets it read; NULL = nothing
 * @tree_fd:		NULL, or a folder below which it goes on making files, folders and links. In
 * namespaces of our own the descriptor is replaced by one of a mount that has this folder for its
 * root, so that nothing leads up from it, and neither devices, programs nor set-id bits work below.
 * Not together with @read_paths.
 */
struct sandbox {
	const struct sandbox_call *calls;
	size_t n_calls;
	uid_t uid;
	gid_t gid;
	unsigned max_fds;
	uint64_t max_memory, max_file;
	const char *const *read_paths;
	int *tree_fd;
};

/**
 * sandbox_enter() - build the walls; there is no way back
 *
 * Should: be called with every descriptor the program needs already open; with sd-event, which
 * opens a file when it arms its first timer, after that and after all signal and child sources.
 * Mustn't: be called twice, or after threads were started. On failure the program must exit: some
 * walls may stand, others not.
 *
 * Afterwards the root directory is empty (unless @read_paths), ids other than our own show as
 * 65534, and core dumps and ptrace by the same user are off. The parent-death signal stays as it
 * was. In a build with a sanitizer there is no seccomp list.
 *
 * Return: 0; -EPERM: @uid without root; -ESRCH: the parent died meanwhile; -errno of the wall that
 * failed.
 */
MUST_CHECK int sandbox_enter(const struct sandbox *s, unsigned *ret_missing);

/**
 * sandbox_enter_small() - the same for a service of dom0 that hears one call of a qube
 *
 * Nobody's id where we are root, 16 descriptors, 64 MiB, and no call beyond the base set. What is missing of the walls is not
 * told. Return: as above.
 */
MUST_CHECK int sandbox_enter_small(void);

/**
 * sandbox_calls_only() - the list of system calls alone
 *
 * For programs that run once per call with their caller's streams: namespaces would cost more than
 * the call, and what they hold is their caller's already. Should and Mustn't: as above.
 *
 * Return: 0; -errno.
 */
MUST_CHECK int sandbox_calls_only(const struct sandbox_call *calls, size_t n_calls);

/**
 * sandbox_relay() - the same for who moves the bytes of a call between a qube and a service of dom0
 * @command:	the service, whose end is waited for and whose process group may be signalled; 0 = none
 *
 * Return: 0; -errno.
 */
MUST_CHECK int sandbox_relay(pid_t command);

/**
 * sandbox_give_up() - refuse for good what no program of dom0 needs, nor any child of one
 *
 * For those that start others and so must keep fork, exec and files: the network, other processes'
 * memory, the machine itself, and parts of the kernel that were often a way out. Should: be called
 * before anything is started. In a build with a sanitizer there is no list.
 *
 * Return: 0; -errno.
 */
MUST_CHECK int sandbox_give_up(void);

/** sandbox_missing_str() - the missing walls in words, for a log line: "namespaces and Landlock" */
const char *sandbox_missing_str(unsigned missing);
