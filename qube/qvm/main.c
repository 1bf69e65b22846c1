/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qvm-copy, qvm-move, qvm-open-in-vm, qvm-run...: see qvm.h.
 *
 * runs as the user who typed it;
 * holds the user's streams;
 * trusts the user;
 * needs qrexec-client-vm, found by PATH.
 */
#include "qvm.h"

#include "base/log.h"
#include "base/str.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#define FILE_HELP                                                                                  \
	"  --without-progress   do not tell how much has been sent\n"                              \
	"  --ignore-symlinks    leave links out\n"                                                 \
	"  --help, --version\n"
#define OPEN_HELP                                                                                  \
	"  --view-only   the other qube is asked not to change it, and changes are left out\n"     \
	"  --help, --version\n"
#define RUN_HELP(name)                                                                             \
	"[OPTION]... QUBE COMMAND [ARG]...\n"                                                      \
	"       " name " --dispvm[=TEMPLATE] [OPTION]... COMMAND [ARG]...\n"                       \
	"Run a command in another qube, or in a new disposable one. Standard streams and exit\n"   \
	"code are the command's.\n\n"                                                              \
	"  --no-shell     COMMAND is a program and its arguments, not a line for a shell\n"        \
	"  --gui, --no-gui\n"                                                                      \
	"                 wait for the session of its user or not; a disposable qube is\n"         \
	"                 waited for unless told otherwise\n"                                      \
	"  -p, --pass-io  nothing more: they are always passed\n"                                  \
	"  --help, --version\n"

static const struct command commands[] = {
	{"qvm-copy",
	 "[OPTION]... FILE...\n"
	 "Copy files and folders to another qube, to ~/QubesIncoming there. dom0 asks which.\n\n" FILE_HELP,
	 "pi", 1, copy_run},
	{"qvm-move",
	 "[OPTION]... FILE...\n"
	 "Copy files and folders to another qube, to ~/QubesIncoming there, and remove them\n"
	 "here once all of them have arrived. dom0 asks which.\n\n" FILE_HELP,
	 "pi", 1, copy_run},
	{"qvm-copy-to-vm",
	 "[OPTION]... QUBE FILE...\n"
	 "Copy files and folders to ~/QubesIncoming in QUBE.\n\n" FILE_HELP,
	 "pi", 2, copy_run},
	{"qvm-move-to-vm",
	 "[OPTION]... QUBE FILE...\n"
	 "Copy files and folders to ~/QubesIncoming in QUBE, and remove them here once all of\n"
	 "them have arrived.\n\n" FILE_HELP,
	 "pi", 2, copy_run},
	{"qvm-open-in-vm",
	 "[OPTION] QUBE FILE|URL\n"
	 "Open a file in QUBE and take it back if it was changed there, or open a web page.\n\n" OPEN_HELP,
	 "o", 2, open_run},
	{"qvm-open-in-dvm",
	 "[OPTION] FILE|URL\n"
	 "Open a file in a new disposable qube and take it back if it was changed there, or open\n"
	 "a web page.\n\n" OPEN_HELP,
	 "o", 1, open_run},
	{"qvm-run", RUN_HELP("qvm-run"), "dsgnP", 1, run_run},
	{"qvm-run-vm", RUN_HELP("qvm-run-vm"), "dsgnP", 1, run_run},
};

/* @val: the letter by which a command's row takes it */
static const struct option options[] = {
	{"without-progress", no_argument, NULL, 'p'},
	{"ignore-symlinks", no_argument, NULL, 'i'},
	{"view-only", no_argument, NULL, 'o'},
	{"dispvm", optional_argument, NULL, 'd'},
	{"no-shell", no_argument, NULL, 's'},
	{"gui", no_argument, NULL, 'g'},
	{"no-gui", no_argument, NULL, 'n'},
	{"pass-io", no_argument, NULL, 'P'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{0},
};

int usage_error(const struct command *c, const char *why)
{
	(void)fprintf(stderr, "%s: %s\nusage: %s %s", c->name, why, c->name, c->usage);
	return EXIT_USAGE;
}

int complain(const struct command *c, const char *what, const char *why)
{
	char quoted[1024];

	(void)fprintf(stderr, "%s: %s: %s\n", c->name,
		      log_quote(quoted, sizeof(quoted), what, strlen(what)), why);
	return EXIT_FAILED;
}

int helper_path(const char *name, char *to, size_t size)
{
	const char *folder = getenv("BULKHEAD_LIBEXEC");

	return str_format(to, size, "%s/%s", folder && folder[0] ? folder : "/usr/lib/qubes", name);
}

int client_exec(const struct command *c, const char *target, const char *service,
		const char *const *program)
{
	const char *argv[8];
	const char **all, **at;
	size_t n_program = 0, n = 0;

	argv[n++] = "qrexec-client-vm";
	if (!program && isatty(STDOUT_FILENO))
		argv[n++] = "--filter-escape-chars-stdout";
	if (isatty(STDERR_FILENO))
		argv[n++] = "--filter-escape-chars-stderr";
	argv[n++] = "--";
	argv[n++] = target;
	argv[n++] = service;
	while (program && program[n_program])
		n_program++;
	all = calloc(n + n_program + 1, sizeof(*all));
	if (!all)
		return complain(c, "qrexec-client-vm", log_errno_str(ENOMEM));
	at = all;
	for (size_t i = 0; i < n; i++)
		*at++ = argv[i];
	for (size_t i = 0; i < n_program; i++)
		*at++ = program[i];
	(void)execvp(all[0], (char *const *)all);
	(void)complain(c, all[0], log_errno_str(errno));
	free(all);
	return EXIT_PROBLEM;
}

/* "qvm-run" of "/usr/bin/qvm-run"; NULL: no command of ours */
static const struct command *command_find(const char *name)
{
	const char *slash = strrchr(name, '/');

	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(slash ? slash + 1 : name, commands[i].name) == 0)
			return &commands[i];
	return NULL;
}

int main(int argc, char **argv)
{
	const struct command *c = command_find(argc > 0 ? argv[0] : "");
	char given[ARRAY_LEN(options) + 1] = "", *to = given;
	char disposable[128] = "@dispvm";
	bool dispvm = false;
	int letter;

	if (!c) {
		(void)fputs("this program is called qvm-copy, qvm-run...\n", stderr);
		return EXIT_USAGE;
	}
	opterr = 0;
	while ((letter = getopt_long(argc, argv, "+hp", options, NULL)) != -1) {
		if (letter == 'p' && c->run == run_run)
			letter = 'P';
		if (letter == 'h') {
			(void)printf("usage: %s %s", c->name, c->usage);
			return 0;
		}
		if (letter == 'V') {
			(void)printf("%s " BULKHEAD_VERSION "\n", c->name);
			return 0;
		}
		if (letter == '?' || !strchr(c->options, letter))
			return usage_error(c, "there is no such option");
		if (letter == 'd' && optarg &&
		    str_format(disposable, sizeof(disposable), "@dispvm:%s", optarg) < 0)
			return usage_error(c, "no qube has such a name");
		dispvm |= letter == 'd';
		if (!strchr(given, letter))
			*to++ = (char)letter;
	}
	/* a new disposable one is a target like others */
	if (dispvm && optind > 0)
		argv[--optind] = disposable;
	if (argc - optind < (int)c->n_words_min || argv[optind][0] == '\0')
		return usage_error(c, "something is missing");
	return c->run(c, given, argv + optind);
}
