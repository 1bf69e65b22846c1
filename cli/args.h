/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* A parsed command line: options in the order given, and the plain words. */
#include "command.h"

struct args_given {
	int key;
	const char *value; /* NULL for options without */
};

struct args {
	const char *title; /* "qvm-ls", for messages */
	const struct program *program;
	const struct command *command;
	struct args_given *given;
	unsigned n_given;
	const char **words;
	unsigned n_words;
	bool dashes; /* "--" stood before the last words */
	int verbose; /* -v counted up, -q down */
};

/** enum args_outcome */
enum args_outcome {
	ARGS_E_USAGE = 1, /* called wrongly, and said so */
	ARGS_E_SHOWN,     /* --help or --version were answered */
};

/**
 * args_parse() - parse @argv (NULL-terminated, without the program's name)
 *
 * Options may stand anywhere before "--"; long ones may be shortened while they are clear; -1 is a
 * word. Return: 0, and then args_done() frees @ret; an outcome; -ENOMEM.
 */
MUST_CHECK int args_parse(const struct program *program, const struct command *command,
			  char *const *argv, struct args *ret);
void args_done(struct args *a);

/** args_has() - an option was given */
bool args_has(const struct args *a, int key);
/** args_value() - the last value given, or NULL */
const char *args_value(const struct args *a, int key);
/** args_switch() - of two opposite options the last one given decides; @otherwise if none was */
bool args_switch(const struct args *a, int on_key, int off_key, bool otherwise);
/** args_given_is() - @value was given for @key (among others) */
bool args_given_is(const struct args *a, int key, const char *value);
