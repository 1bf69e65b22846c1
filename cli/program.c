/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From argv to a command: by the program's name (qvm-ls), or by its first word (qvm ls). */
#include "args.h"
#include "base/slice.h"
#include "base/str.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

const char *command_title(const struct program *p, const struct command *c, char *to, size_t size)
{
	(void)snprintf(to, size, "%s%s%s", c->whole ? "" : p->name,
		       c->whole   ? ""
		       : p->links ? "-"
				  : " ",
		       c->name);
	return to;
}

static const struct command *find(const struct program *p, const char *name)
{
	for (const struct command *const *c = p->commands; *c; c++) {
		if (str_eq((*c)->name, name))
			return *c;
	}
	return NULL;
}

static int run(const struct program *p, const struct command *c, char *const *words)
{
	struct args args;
	int r;

	r = args_parse(p, c, words, &args);
	if (r < 0) {
		(void)fprintf(stderr, "%s: out of memory\n", p->name);
		return 1;
	}
	if (r > 0)
		return r == ARGS_E_SHOWN ? 0 : 2;
	r = c->run(&args);
	args_done(&args);
	if (fflush(stdout) != 0 && r == 0)
		r = 1;
	return r;
}

static int usage(const struct program *p, const char *word)
{
	if (word)
		(void)fprintf(stderr, "%s: there is no command %s\n", p->name, word);
	else
		(void)fprintf(stderr, "usage: %s COMMAND [OPTION]... [ARGUMENT]...\n", p->name);
	(void)fprintf(stderr, "Try: %s --help\n", p->name);
	return 2;
}

int program_main(const struct program *p, int argc, char **argv)
{
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
	const char *name = slash ? slash + 1 : argc > 0 ? argv[0] : p->name;
	size_t len = strlen(p->name);
	const struct command *c;

	/* what a shell script left blocked or ignored does not concern us */
	(void)signal(SIGPIPE, SIG_DFL);
	slice_be_short(100);
	c = p->links ? find(p, name) : NULL;
	if (c && c->whole)
		return run(p, c, argv + 1);
	if (p->links && str_starts(name, p->name) && name[len] == '-') {
		c = find(p, name + len + 1);
		return c ? run(p, c, argv + 1) : usage(p, name);
	}
	if (argc < 2)
		return usage(p, NULL);
	if (str_eq(argv[1], "--help") || str_eq(argv[1], "-h") || str_eq(argv[1], "help"))
		return describe_program(p);
	if (str_eq(argv[1], "--version")) {
		(void)printf("%s (Bulkhead) " BULKHEAD_VERSION "\n", p->name);
		return 0;
	}
	if (str_eq(argv[1], "--man"))
		return describe_man(p, argc > 2 ? argv[2] : NULL);
	if (str_eq(argv[1], "--completion"))
		return describe_completion(p, argc > 2 ? argv[2] : "bash");
	if (str_eq(argv[1], "--words"))
		return complete_words(argc > 2 ? argv[2] : "");
	c = find(p, argv[1]);
	/* "qvm qvm-ls" is what was meant */
	if (!c && p->links && str_starts(argv[1], p->name) && argv[1][len] == '-')
		c = find(p, argv[1] + len + 1);
	return c ? run(p, c, argv + 2) : usage(p, argv[1]);
}
