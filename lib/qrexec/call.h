/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * One call, in a process of its own: connects the data channel, starts the command as its user,
 * relays, reports the exit code.
 */
#include "base/attr.h"

#include <sys/types.h>

/** enum - outcomes */
enum {
	CALL_E_NONE = 1, /* there is nothing to run */
};

/** CALL_USER_DEFAULT - in a command: whoever @as_we_are is; else the daemon has put a name there */
#define CALL_USER_DEFAULT "DEFAULT"

/**
 * struct call_request - what is to be run, for whom
 * @vchan_dir:		as of vchan_client_new()
 * @own, @domid, @port:	where the caller's vchan server is: ours, its
 * @just_exec:		start it and report at once; its streams go nowhere
 * @as_we_are:		the user CALL_USER_DEFAULT is ourselves, who keep our environment; another one is for root alone
 * @keep_errors:	as dom0's services: its errors go where ours go, not to the caller
 * @quiet:		what the caller can cause is not logged: whoever waits for this process may say how it ended
 * @confine:		called when the command runs and before a byte of the call is read; < 0 ends the call. From then
 *			on only streams are moved, and @command (0 = none) is waited for and its process group signalled.
 *			NULL = nothing
 * @cancel_fd:		readable or hung up: the caller will not come; NO_FD = only time tells
 * @command:		borrowed
 */
struct call_request {
	const char *vchan_dir;
	unsigned own, domid, port;
	bool just_exec, as_we_are, keep_errors, quiet;
	int (*confine)(pid_t command);
	int cancel_fd;
	const char *command;
};

/**
 * call_main() - be the process of a call, from fork() to exit
 *
 * Should: be called in a fresh child that holds nothing of its parent's. Signals SIGCHLD and
 * SIGUSR1 are blocked here and the command gets all of them as they were meant.
 */
NORETURN void call_main(const struct call_request *q);

/**
 * call_start_here() - run a command as ourselves, in a session of its own, with the streams @fds; a service that is a
 * socket is connected with them by a process in its place
 * @command:	as of struct call_request
 * @fds:	standard input, output, error; borrowed. Why it does not run is said on the last
 * @with_us:	it is hung up when we end
 * @ret_pid:	the command's, if it was started
 * @ret_code:	else its exit code: QREXEC_EXIT_NO_SERVICE, QREXEC_EXIT_PROBLEM
 *
 * Return: 0; CALL_E_NONE: it was not started; -errno.
 */
MUST_CHECK int call_start_here(const char *command, const int fds[3], bool with_us, pid_t *ret_pid,
			       unsigned *ret_code);
