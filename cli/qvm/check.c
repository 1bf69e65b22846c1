/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qvm-check: does a qube exist, is it in that state? The exit code answers. */
#include "qvm.h"

#include "base/str.h"
#include "qubesd.h"
#include "ui.h"

#include <stdio.h>

#define SOME 3 /* the exit code when some are and some are not */

enum { ALL = OPTION_OWN, EXCLUDE, RUNNING, PAUSED, TEMPLATE, NETWORKED };

enum { F_NAME, F_STATE, F_CLASS, F_NETVM, F_PROVIDES };
static const char fields[] = "name\nstate\nclass\nnetvm\nprovides_network";

static bool fits(const struct args *a, const struct table *t, unsigned row)
{
	const char *state = table_cell(t, row, F_STATE);

	return (!args_has(a, RUNNING) || (!str_eq(state, "Halted") && !str_eq(state, "NA"))) &&
	       (!args_has(a, PAUSED) || str_eq(state, "Paused")) &&
	       (!args_has(a, TEMPLATE) || str_eq(table_cell(t, row, F_CLASS), "TemplateVM")) &&
	       (!args_has(a, NETWORKED) || table_cell(t, row, F_NETVM)[0] != '\0' ||
		str_eq(table_cell(t, row, F_PROVIDES), "True"));
}

/* "running, networked": what was asked */
static const char *question(const struct args *a, char to[64])
{
	static const struct {
		int key;
		const char *word;
	} words[] = {
		{RUNNING, "running"},
		{PAUSED, "paused"},
		{TEMPLATE, "template"},
		{NETWORKED, "networked"},
	};
	int n = 0;

	to[0] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (args_has(a, words[i].key))
			n += snprintf(to + n, 64 - (size_t)n, "%s%s", n > 0 ? ", " : "",
				      words[i].word);
	}
	return n > 0 ? to : "exists";
}

/* one qube looked at */
static bool look(const struct args *a, const struct table *t, unsigned row, const char *asked)
{
	bool well = fits(a, t, row);

	if (a->verbose >= 0)
		(void)printf("%s: %s%s\n", table_cell(t, row, F_NAME), well ? "" : "not ", asked);
	return well;
}

static int check(const struct args *a, const struct table *t)
{
	unsigned n = 0, n_well = 0, n_missing = 0;
	char words[64];
	const char *asked = question(a, words);

	for (unsigned i = 0; i < a->n_words; i++) {
		int row = table_find(t, a->words[i]);

		if (row < 0) {
			n_missing++;
			if (a->verbose >= 0)
				(void)printf("%s: there is no such qube\n", a->words[i]);
			continue;
		}
		n++;
		n_well += look(a, t, (unsigned)row, asked);
	}
	for (unsigned row = 0; row < t->n_rows && a->n_words == 0; row++) {
		if (str_eq(table_cell(t, row, F_CLASS), "AdminVM") ||
		    args_given_is(a, EXCLUDE, table_cell(t, row, F_NAME)))
			continue;
		n++;
		n_well += look(a, t, row, asked);
	}
	if (n_missing > 0 || n_well == 0)
		return 1;
	return n_well == n ? 0 : SOME;
}

static int run(const struct args *a)
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	AUTO(table_done) struct table t = {0};
	int r;

	if (!args_has(a, ALL) && a->n_words == 0) {
		(void)ui_usage(a, "name a qube, or say --all");
		return 2;
	}
	if (args_has(a, ALL) && a->n_words > 0) {
		(void)ui_usage(a, "name qubes or say --all, not both");
		return 2;
	}
	if (args_has(a, EXCLUDE) && !args_has(a, ALL)) {
		(void)ui_usage(a, "--exclude goes with --all");
		return 2;
	}
	r = table_load("dom0", fields, &t, &answer);
	return r == 0 ? check(a, &t) : qubesd_failed(a, NULL, r, &answer);
}

static const struct option options[] = {
	{RUNNING, 0, "running", NULL, "is it up? (paused is up)"},
	{PAUSED, 0, "paused", NULL, "is it paused?"},
	{TEMPLATE, 0, "template", NULL, "is it a template?"},
	{NETWORKED, 0, "networked", NULL, "has it a netvm, or is one itself?"},
	{ALL, 0, "all", NULL, "look at all qubes but dom0"},
	{EXCLUDE, 0, "exclude", "QUBE", "with --all, leave this one out (may be repeated)",
	 .words = WORDS_QUBE},
	{0},
};

const struct command qvm_check = {
	.name = "check",
	.summary = "ask whether qubes exist and how they are",
	.synopses = {"[OPTION]... QUBE...", "[OPTION]... --all [--exclude=QUBE]..."},
	.text = "Answers by its exit status, and in words unless --quiet is given. Without an "
		"option it asks whether\n"
		"the qubes exist. Of several options all must hold.",
	.sections =
		{
			{"EXIT STATUS",
			 "0 all of the qubes are so; 3 some of them; 1 none is, or one does not "
			 "exist; 2 called wrongly."},
			{"EXAMPLES",
			 "\tif qvm-check -q --running work; then qvm-shutdown work; fi"},
		},
	.options = options,
	.words = {WORDS_ANY_QUBE},
	.run = run,
};
