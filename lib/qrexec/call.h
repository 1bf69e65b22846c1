/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * One call, in a process of its own: connects the data channel, starts the command as its user,
 * relays, reports the exit code.
 */
#include "base/attr.h"

/**
 * struct call_request - what is to be run, for whom
 * @vchan_dir:		as of vchan_client_new()
 * @own, @domid, @port:	where the caller's vchan server is: ours, its
 * @just_exec:		start it and report at once; its streams go nowhere
 * @as_we_are:		whatever user the command names, it runs as ourselves, in our environment
 * @keep_errors:	as dom0's services: its errors go where ours go, not to the caller
 * @cancel_fd:		readable or hung up: the caller will not come; NO_FD = only time tells
 * @command:		borrowed
 */
struct call_request {
	const char *vchan_dir;
	unsigned own, domid, port;
	bool just_exec, as_we_are, keep_errors;
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
