/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * What a user types inside a qube to reach another: one program under the names of its commands, each
 * a row of main.c's table. They ask qrexec-client-vm, and dom0's policy decides.
 */
#include "base/attr.h"

/** enum - exit codes of our own; else those of qrexec-client-vm, which has the service's */
enum { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_PROBLEM = 125 };

/**
 * struct command - @usage: all of --help behind "usage: NAME "
 * @run:	with the words behind the options; @options: letters of main.c's table that were given
 */
struct command {
	const char *name, *usage;
	const char *options;
	unsigned n_words_min;
	int (*run)(const struct command *c, const char *options, char **words);
};

/** usage_error() - why a command line is none; EXIT_USAGE */
MUST_CHECK int usage_error(const struct command *c, const char *why);
/** complain() - one line on standard error, "NAME: WHAT: WHY"; EXIT_FAILED */
int complain(const struct command *c, const char *what, const char *why);

/** helper_path() - where a program of /usr/lib/qubes is ($BULKHEAD_LIBEXEC stands for that folder) */
MUST_CHECK int helper_path(const char *name, char *to, size_t size);

/**
 * client_exec() - become `qrexec-client-vm OPTIONS -- TARGET SERVICE PROGRAM...`
 * @program:	local program with its words, NULL-terminated; NULL: our own streams are the service's
 *
 * What comes back may command no terminal. Returns an exit code if it cannot be done.
 */
int client_exec(const struct command *c, const char *target, const char *service,
		const char *const *program);

int copy_run(const struct command *c, const char *options, char **words);
int open_run(const struct command *c, const char *options, char **words);
int run_run(const struct command *c, const char *options, char **words);
