/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * One call, in a process of its own: connects the data channel, starts the command as its user,
 * relays, reports the exit code.
 */
#include "base/attr.h"

/**
 * struct call_request - what the daemon asked for
 * @domid, @port:	where the caller's vchan server is
 * @just_exec:		start it and report at once; its streams go nowhere
 * @command:		borrowed
 */
struct call_request {
	unsigned domid, port;
	bool just_exec;
	const char *command;
};

/**
 * call_main() - be the process of a call, from fork() to exit
 *
 * Should: be called in a fresh child that holds nothing of its parent's. Signals SIGCHLD and
 * SIGUSR1 are blocked here and the command gets all of them as they were meant.
 */
NORETURN void call_main(const struct call_request *q);
