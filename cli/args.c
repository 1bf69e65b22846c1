/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "args.h"

#include "base/str.h"
#include "ui.h"

#include <stdio.h>
#include <string.h>

const struct option option_common[] = {
	{OPTION_HELP, 'h', "help", NULL, "show this help and exit"},
	{OPTION_VERBOSE, 'v', "verbose", NULL, "say more"},
	{OPTION_QUIET, 'q', "quiet", NULL, "say less"},
	{OPTION_VERSION, 0, "version", NULL, "show the version and exit"},
	{OPTION_IGNORED, 0, "force-root,no-spinner,spinner", NULL, NULL},
	{0},
};

/* which of the comma-separated @names is @word (@word_len bytes)? 2 exactly, 1 its beginning, 0
 * none
 */
static int names_match(const char *names, const char *word, size_t word_len)
{
	int best = 0;

	for (const char *at = names; *at != '\0';) {
		size_t len = strcspn(at, ",");

		if (len >= word_len && memcmp(at, word, word_len) == 0) {
			if (len == word_len)
				return 2;
			best = 1;
		}
		at += len;
		if (*at == ',')
			at++;
	}
	return best;
}

/* the option a long name means, given whole or shortened; *@ret_many if it could be several */
static const struct option *find_long(const struct command *c, const char *word, size_t len,
				      bool *ret_many)
{
	const struct option *tables[] = {c->options, option_common};
	const struct option *found = NULL;

	*ret_many = false;
	for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
		for (const struct option *o = tables[t]; o && o->key != 0; o++) {
			int m = o->names ? names_match(o->names, word, len) : 0;

			if (m == 2) {
				*ret_many = false;
				return o;
			}
			if (m == 1) {
				*ret_many = *ret_many || (found && found->key != o->key);
				found = o;
			}
		}
	}
	return *ret_many ? NULL : found;
}

static const struct option *find_letter(const struct command *c, char letter)
{
	const struct option *tables[] = {c->options, option_common};

	for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
		for (const struct option *o = tables[t]; o && o->key != 0; o++) {
			if (o->letter == letter)
				return o;
		}
	}
	return NULL;
}

struct parse {
	struct args *a;
	char *const *at; /* the next word of the command line */
};

static void add(struct parse *p, const struct option *o, const char *value)
{
	struct args *a = p->a;

	if (o->key == OPTION_VERBOSE)
		a->verbose++;
	else if (o->key == OPTION_QUIET)
		a->verbose--;
	a->given[a->n_given++] = (struct args_given){o->key, value};
}

static bool is_option(const char *word)
{
	return word[0] == '-' && word[1] != '\0' && !(word[1] >= '0' && word[1] <= '9');
}

/* @o was met as @shown; take its value from @joined ("--x=V", "-xV") or from the next words */
static int take(struct parse *p, const struct option *o, const char *shown, const char *joined)
{
	if (!o->value) {
		if (joined)
			return ui_usage(p->a, "%s takes no value", shown);
		add(p, o, NULL);
		return 0;
	}
	if (joined || o->optional) {
		add(p, o, joined);
		return 0;
	}
	if (!*p->at || (is_option(*p->at) && o->many))
		return ui_usage(p->a, "%s needs a value (%s)", shown, o->value);
	do
		add(p, o, *p->at++);
	while (o->many && *p->at && !is_option(*p->at));
	return 0;
}

/* a word that is no option of ours: perhaps it belongs to a command to be run */
static int unknown(struct parse *p, const char *word)
{
	if (p->a->n_words > 0 && str_eq(p->a->command->name, "run"))
		return ui_usage(p->a,
				"unknown option %s; if it belongs to the command, put \"--\" "
				"before the qube's name, or quote the command",
				word);
	return ui_usage(p->a, "unknown option %s", word);
}

static int parse_long(struct parse *p, const char *word)
{
	const char *name = word + 2, *joined = strchr(name, '=');
	size_t len = joined ? (size_t)(joined - name) : strlen(name);
	const struct option *o;
	bool many;
	char shown[64];

	o = find_long(p->a->command, name, len, &many);
	if (many)
		return ui_usage(p->a, "%s could be several options", word);
	if (!o || str_format(shown, sizeof(shown), "--%.*s", (int)len, name) < 0)
		return unknown(p, word);
	return take(p, o, shown, joined ? joined + 1 : NULL);
}

static int parse_letters(struct parse *p, const char *word)
{
	for (const char *at = word + 1; *at != '\0'; at++) {
		const struct option *o = find_letter(p->a->command, *at);
		const char shown[3] = {'-', *at, '\0'};
		const char *rest = at[1] == '=' ? at + 2 : at + 1;
		int r;

		if (!o)
			return unknown(p, word);
		if (o->value && at[1] != '\0')
			return take(p, o, shown, rest);
		r = take(p, o, shown, NULL);
		if (r != 0)
			return r;
	}
	return 0;
}

int args_parse(const struct program *program, const struct command *command, char *const *argv,
	       struct args *ret)
{
	AUTO(args_done) struct args a = {.program = program, .command = command};
	struct parse p = {&a, argv};
	size_t n = 0;
	char title[64];
	int r = 0;

	/* every letter may be an option of its own */
	for (char *const *w = argv; *w; w++)
		n += strlen(*w) + 1;
	a.given = calloc(n + 1, sizeof(*a.given));
	a.words = calloc(n + 1, sizeof(*a.words));
	a.title = strdup(command_title(program, command, title, sizeof(title)));
	if (!a.given || !a.words || !a.title)
		return -ENOMEM;
	while (*p.at && r == 0) {
		const char *word = *p.at++;

		if (str_eq(word, "--")) {
			a.dashes = true;
			while (*p.at)
				a.words[a.n_words++] = *p.at++;
		} else if (str_starts(word, "--")) {
			r = parse_long(&p, word);
		} else if (is_option(word)) {
			r = parse_letters(&p, word);
		} else {
			a.words[a.n_words++] = word;
		}
	}
	/* help is answered even on a line that is wrong further on */
	if (args_has(&a, OPTION_HELP)) {
		(void)describe_help(program, command);
		return ARGS_E_SHOWN;
	}
	if (r != 0)
		return r;
	if (args_has(&a, OPTION_VERSION)) {
		(void)printf("%s (Bulkhead) " BULKHEAD_VERSION "\n", a.title);
		return ARGS_E_SHOWN;
	}
	*ret = a;
	a = (struct args){0};
	return 0;
}

void args_done(struct args *a)
{
	free(a->given);
	free((void *)a->words);
	free((char *)a->title);
	*a = (struct args){0};
}

bool args_has(const struct args *a, int key)
{
	for (unsigned i = 0; i < a->n_given; i++) {
		if (a->given[i].key == key)
			return true;
	}
	return false;
}

const char *args_value(const struct args *a, int key)
{
	for (unsigned i = a->n_given; i-- > 0;) {
		if (a->given[i].key == key)
			return a->given[i].value;
	}
	return NULL;
}

bool args_switch(const struct args *a, int on_key, int off_key, bool otherwise)
{
	for (unsigned i = a->n_given; i-- > 0;) {
		if (a->given[i].key == on_key)
			return true;
		if (a->given[i].key == off_key)
			return false;
	}
	return otherwise;
}

bool args_given_is(const struct args *a, int key, const char *value)
{
	for (unsigned i = 0; i < a->n_given; i++) {
		if (a->given[i].key == key && str_eq(a->given[i].value, value))
			return true;
	}
	return false;
}
