/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * What a command is: one table row from which its parsing, --help, manual page and completion are
 * made. A program (qvm, bulkhead) is a table of commands.
 */
#include "base/attr.h"

struct args;

/** enum words - what a word on the command line names; for completion */
enum words {
	WORDS_NONE,
	WORDS_QUBE,     /* any qube but dom0 */
	WORDS_ANY_QUBE, /* dom0 too */
	WORDS_HALTED,
	WORDS_RUNNING,
	WORDS_PAUSED,
	WORDS_TEMPLATE,
	WORDS_LABEL,
	WORDS_CLASS,
	WORDS_PROPERTY,
	WORDS_GLOBAL, /* a property of the system */
	WORDS_FEATURE,
	WORDS_SERVICE,
	WORDS_TAG,
	WORDS_TAG_VERB,
	WORDS_FIREWALL_VERB,
	WORDS_POOL,
	WORDS_VOLUME, /* QUBE:VOLUME */
	WORDS_ON_OFF,
	WORDS_COLUMN,
	WORDS_FORMAT,
	WORDS_INSTALLABLE,
	WORDS_TEXT, /* only the person knows: nothing is offered */
	WORDS_FILE,
};

/* keys that every command has; its own begin at OPTION_OWN */
enum {
	OPTION_HELP = 1,
	OPTION_VERBOSE,
	OPTION_QUIET,
	OPTION_VERSION,
	OPTION_IGNORED, /* accepted for old scripts, without effect, not shown */
	OPTION_OWN,
};

/**
 * struct option - one option
 * @letter:	short form, or 0
 * @names:	long forms without the dashes, the first is the one shown: "autostart,auto"
 * @value:	what its argument is called ("SECONDS"); NULL = it takes none
 * @many:	takes all words up to the next option
 * @optional:	its argument may be left out; given only as --name=VALUE
 * @words:	what its argument names
 */
struct option {
	int key;
	char letter;
	const char *names;
	const char *value;
	const char *help;
	bool many, optional;
	enum words words;
};

/** struct section - of a manual page; text as in struct command */
struct section {
	const char *title, *text;
};

#define COMMAND_MAX_SYNOPSES 8
#define COMMAND_MAX_SECTIONS 4
#define COMMAND_MAX_WORDS    3

/**
 * struct command
 * @name:	as in the table: "ls" of qvm is also the program qvm-ls
 * @whole:	that program has no more than this name: "qubes-prefs"
 * @synopses:	what follows the name, each a line: "[OPTION]... [QUBE]..."
 * @text:	for the manual page: paragraphs parted by an empty line; lines that begin with a
 *		tab are shown as they are
 * @options:	ends with an entry whose key is 0; may be NULL
 * @words:	what its plain words name; the last one repeats
 * @run:	0 done; 1 failed and said so; 2 called wrongly and said so; for qvm-run the remote's
 *		exit code
 */
struct command {
	const char *name, *summary;
	bool whole;
	const char *synopses[COMMAND_MAX_SYNOPSES];
	const char *text;
	struct section sections[COMMAND_MAX_SECTIONS];
	const struct option *options;
	enum words words[COMMAND_MAX_WORDS];
	/* the first word is one of these; "list remove:template": behind remove stand templates, not
	 * what @words says */
	const char *verbs;
	int (*run)(const struct args *args);
};

/**
 * struct program
 * @links:	each command is a program of its own too, NAME-COMMAND unless @whole
 */
struct program {
	const char *name, *summary, *text;
	const struct command *const *commands; /* ends with NULL */
	bool links;
	struct section sections[COMMAND_MAX_SECTIONS];
};

/** program_main() - find the command that @argv names, parse, run; the value is main()'s */
int program_main(const struct program *program, int argc, char **argv);

/** option_common - options that every command has; ends with an entry whose key is 0 */
extern const struct option option_common[];

/** command_title() - "qvm-ls" or "bulkhead start" in @to */
const char *command_title(const struct program *p, const struct command *c, char *to, size_t size);

/* The descriptions, to standard output. Return: 0, or 1 if there is no such command or shell. */
int describe_help(const struct program *p, const struct command *c);
int describe_program(const struct program *p);
int describe_man(const struct program *p, const char *command);
int describe_completion(const struct program *p, const char *shell);

/** complete_words() - print what @kind may be, one per line; silent if qubesd does not answer */
int complete_words(const char *kind);
