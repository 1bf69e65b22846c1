/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qvm-ls: which qubes are wanted. */
#include "ls.h"

#include "base/str.h"
#include "ui.h"

#include <stdio.h>
#include <string.h>

int ls_fit_ask(struct view *v)
{
	static const struct {
		int key;
		const char *field;
	} plain[] = {
		{TAGS, "tags"},
		{EXCLUDE_TAGS, "tags"},
		{INTERNAL, "feature:internal"},
		{SERVICEVM, "feature:servicevm"},
		{PENDING_UPDATE, "feature:updates-available"},
	};

	for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
		if (args_has(v->a, plain[i].key))
			(void)ls_field(v, plain[i].field);
	}
	for (unsigned i = 0; i < v->a->n_given; i++) {
		const struct args_given *g = &v->a->given[i];
		const char *equals;
		char field[FIELD_SIZE];

		if ((g->key == INTERNAL || g->key == SERVICEVM) && !str_eq(g->value, "y") &&
		    !str_eq(g->value, "n")) {
			(void)ui_usage(v->a, "it is y or n, not %s", g->value);
			return 2;
		}
		if (g->key != FEATURES && g->key != PREFS)
			continue;
		equals = strchr(g->value, '=');
		if (!equals ||
		    str_format(field, sizeof(field), "%s%.*s", g->key == FEATURES ? "feature:" : "",
			       (int)(equals - g->value), g->value) < 0 ||
		    ls_field(v, field) < 0) {
			(void)ui_usage(v->a, "NAME=VALUE is what is compared, not %s", g->value);
			return 2;
		}
	}
	return 0;
}

static bool has_word(const char *words, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = words; *at != '\0';) {
		size_t n = strcspn(at, " ");

		if (n == len && memcmp(at, word, len) == 0)
			return true;
		at += n + strspn(at + n, " ");
	}
	return false;
}

/* @key was not given, or one of its values is @cell */
static bool one_of(const struct args *a, int key, const char *value)
{
	return !args_has(a, key) || args_given_is(a, key, value);
}

static bool yes_no_fits(const struct view *v, int key, const char *value)
{
	const char *wanted = args_value(v->a, key);
	bool is = value[0] != '\0' && !str_eq(value, "0");

	return !wanted || is == str_eq(wanted, "y");
}

static bool state_fits(const struct args *a, const char *state)
{
	if (!args_has(a, RUNNING) && !args_has(a, PAUSED) && !args_has(a, HALTED))
		return true;
	return (args_has(a, RUNNING) && !str_eq(state, "Halted") && !str_eq(state, "Paused") &&
		!str_eq(state, "Suspended")) ||
	       (args_has(a, PAUSED) && (str_eq(state, "Paused") || str_eq(state, "Suspended"))) ||
	       (args_has(a, HALTED) && str_eq(state, "Halted"));
}

/* the pairs of --features and --prefs; NAME= and NAME='' both want it empty */
static bool pairs_fit(const struct view *v, unsigned row)
{
	for (unsigned i = 0; i < v->a->n_given; i++) {
		const struct args_given *g = &v->a->given[i];
		char field[FIELD_SIZE];
		const char *equals, *wanted;

		if (g->key != FEATURES && g->key != PREFS)
			continue;
		equals = strchr(g->value, '=');
		(void)snprintf(field, sizeof(field), "%s%.*s", g->key == FEATURES ? "feature:" : "",
			       (int)(equals - g->value), g->value);
		wanted = equals + 1;
		if (str_eq(wanted, "''") || str_eq(wanted, "\"\""))
			wanted = "";
		if (!str_eq(ls_cell(v, row, field), wanted))
			return false;
	}
	return true;
}

static bool tags_fit(const struct view *v, unsigned row)
{
	const char *tags = ls_cell(v, row, "tags");
	bool wanted = !args_has(v->a, TAGS);

	for (unsigned i = 0; i < v->a->n_given; i++) {
		const struct args_given *g = &v->a->given[i];

		if (g->key == TAGS && has_word(tags, g->value))
			wanted = true;
		if (g->key == EXCLUDE_TAGS && has_word(tags, g->value))
			return false;
	}
	return wanted;
}

static bool named(const struct view *v, unsigned row)
{
	const char *name = table_cell(&v->table, row, F_NAME);

	if (v->a->n_words == 0)
		return !args_given_is(v->a, EXCLUDE, name);
	for (unsigned i = 0; i < v->a->n_words; i++) {
		if (str_eq(v->a->words[i], name))
			return true;
	}
	return false;
}

bool ls_fits(const struct view *v, unsigned row)
{
	const struct args *a = v->a;

	return named(v, row) && state_fits(a, table_cell(&v->table, row, F_STATE)) &&
	       one_of(a, CLASS, table_cell(&v->table, row, F_CLASS)) &&
	       one_of(a, LABEL, table_cell(&v->table, row, F_LABEL)) &&
	       one_of(a, TEMPLATE_SOURCE, table_cell(&v->table, row, F_TEMPLATE)) &&
	       one_of(a, NETVM_IS, table_cell(&v->table, row, F_NETVM)) && tags_fit(v, row) &&
	       yes_no_fits(v, INTERNAL, ls_cell(v, row, "feature:internal")) &&
	       yes_no_fits(v, SERVICEVM, ls_cell(v, row, "feature:servicevm")) &&
	       (!args_has(a, PENDING_UPDATE) ||
		ls_cell(v, row, "feature:updates-available")[0] == '1') &&
	       pairs_fit(v, row);
}

int ls_fit_check(const struct view *v)
{
	static const char *const classes =
		"AdminVM, AppVM, DispVM, RemoteVM, StandaloneVM, TemplateVM";

	for (unsigned i = 0; i < v->a->n_given; i++) {
		AUTO(client_answer_done) struct client_answer answer = {0};
		const struct args_given *g = &v->a->given[i];
		const char *at;

		switch (g->key) {
		case LABEL:
			if (qubesd_call(v->a, "admin.label.Get", "dom0", g->value, NULL, &answer) !=
			    0)
				return 1;
			break;
		case CLASS:
			at = g->value[0] != '\0' ? strstr(classes, g->value) : NULL;
			if (!at || (at != classes && at[-1] != ' ') ||
			    !strchr(",", at[strlen(g->value)]))
				return ui_fail(v->a, "there is no class '%s'; there are: %s",
					       g->value, classes);
			break;
		case TEMPLATE_SOURCE:
		case NETVM_IS:
			if (g->value[0] != '\0' && table_find(&v->table, g->value) < 0)
				return qubesd_no_qube(v->a, g->value);
			break;
		default:
			break;
		}
	}
	return 0;
}
