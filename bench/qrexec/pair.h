/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Two qubes as plain processes, for what is measured of qrexec: agent and daemon of "work" (42) and "vault" (43) over vchan
 * sockets in a folder of their own, in memory as theirs are, and one who decides by a policy of 156 rules, as many as
 * Qubes' default policy has. Whatever fails ends the program.
 */
#include "../figures.h"
#include "base/attr.h"

#include <sys/types.h>

struct pair {
	char dir[64];
	char client[4200]; /* qrexec-client-vm */
	char agent_socket[96];
	pid_t pids[5];
};

/** pair_begin() - @service: what "test.Service" is; a program's path */
void pair_begin(struct pair *p, const char *service);
/** pair_end() - all of it is gone; also called at exit */
void pair_end(void);

/** pair_print_log() - what agents and daemons said, to stdout: it goes with the folder at the end */
void pair_print_log(const struct pair *p);

/**
 * pair_call() - qrexec-client-vm vault test.Service, in a process of its own
 * @in, @out:	its standard streams; NO_FD = /dev/null
 */
pid_t pair_call(const struct pair *p, int in, int out);
/** pair_call_service() - the same of "test.Service+ARGUMENT" */
pid_t pair_call_service(const struct pair *p, const char *service, int in, int out);
/** pair_spawn() - a program without arguments, its streams as above */
pid_t pair_spawn(const char *path, int in, int out);
/** pair_wait() - its exit code; 128+N after signal N */
int pair_wait(pid_t pid);

NORETURN void pair_give_up(const char *what);
