/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qvm-prefs: show and set a qube's properties */
#include "qvm.h"

#include "base/str.h"
#include "qubesd.h"
#include "ui.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { HELP_PROPERTIES = OPTION_OWN, HIDE_DEFAULT, DEFAULT, GET, SET };

/* one line of GetAll or an answer of Get: [name] default=True|False type=T VALUE */
struct property {
	char *name, *type, *value;
	bool is_default;
};

/* the next word of *@at, which ends at a space; NULL if there is none */
static char *word(char **at)
{
	char *start = *at;
	size_t len = strcspn(start, " ");

	if (start[len] == '\0')
		return NULL;
	start[len] = '\0';
	*at = start + len + 1;
	return start;
}

/* \\ and \n of GetAll back to what they stand for, in place */
static void unescape(char *text)
{
	char *to = text;

	for (; *text != '\0'; text++) {
		if (*text == '\\' && text[1] != '\0')
			*to++ = (char)(*++text == 'n' ? '\n' : *text);
		else
			*to++ = *text;
	}
	*to = '\0';
}

static bool parse(char *line, bool named, struct property *ret)
{
	char *set;

	ret->name = named ? word(&line) : NULL;
	set = word(&line);
	ret->type = set ? word(&line) : NULL;
	if ((named && !ret->name) || !ret->type || !str_starts(set, "default=") ||
	    !str_starts(ret->type, "type="))
		return false;
	ret->is_default = str_eq(set, "default=True");
	ret->type += strlen("type=");
	ret->value = line;
	if (named)
		unescape(line);
	return true;
}

static bool is_reference(const struct property *p)
{
	return str_eq(p->type, "vm") || str_eq(p->type, "label");
}

static int list(const struct args *a, const char *qube)
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	bool hide = args_has(a, HIDE_DEFAULT);
	size_t width = 0;

	if (qubesd_call(a, "admin.vm.property.GetAll", qube, NULL, NULL, &answer) != 0)
		return 1;
	for (const char *at = answer.data; *at != '\0';) {
		size_t name = strcspn(at, " "), line = strcspn(at, "\n");
		bool hidden = hide && str_starts(at + name, " default=True");

		if (!hidden && name > width)
			width = name;
		at += line + (at[line] == '\n');
	}
	for (char *at = answer.data; *at != '\0';) {
		size_t len = strcspn(at, "\n");
		char *next = at + len + (at[len] == '\n');
		struct property p;
		const char *value;

		at[len] = '\0';
		if (!parse(at, true, &p))
			return ui_fail(a, "%s: qubesd's answer cannot be understood", qube);
		at = next;
		if (hide && p.is_default)
			continue;
		value = p.value[0] == '\0' && is_reference(&p) ? "None" : p.value;
		if (p.value[0] == '\0' && !is_reference(&p) && !str_eq(p.type, "str"))
			(void)printf("%-*s  U\n", (int)width, p.name);
		else
			(void)printf("%-*s  %c%s%s\n", (int)width, p.name, p.is_default ? 'D' : '-',
				     value[0] != '\0' ? "  " : "", value);
	}
	return 0;
}

static int get(const struct args *a, const char *qube, const char *property)
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	struct property p;

	if (qubesd_call(a, "admin.vm.property.Get", qube, property, NULL, &answer) != 0)
		return 1;
	if (!parse(answer.data, false, &p))
		return ui_fail(a, "%s: qubesd's answer cannot be understood", qube);
	if (p.value[0] != '\0')
		(void)puts(p.value);
	return 0;
}

const char *qvm_property_value(const char *property, const char *value)
{
	static const char *const references[] = {"audiovm", "default_dispvm",    "guivm",
						 "netvm",   "management_dispvm", "template"};

	for (size_t i = 0; i < ARRAY_LEN(references); i++) {
		if (str_eq(property, references[i]) && strcasecmp(value, "none") == 0)
			return "";
	}
	return value;
}

static int compare_lines(const void *left, const void *right)
{
	const char *const *l = left, *const *r = right;

	return strcmp(*l, *r);
}

#define MAX_PROPERTIES 512

/**
 * collect() - the properties of one qube of each class, as "PROPERTY\tQUBE" in order
 * @ret:	room for MAX_PROPERTIES, each owned by the caller
 *
 * Return: as client_call(); @answer says why.
 */
static int collect(char **ret, unsigned *ret_n, struct client_answer *answer)
{
	AUTO(table_done) struct table t = {0};
	unsigned n = 0;
	int r;

	*ret_n = 0;
	r = table_load("dom0", "name\nclass", &t, answer);
	if (r != 0)
		return r;
	for (unsigned row = 0; row < t.n_rows; row++) {
		bool seen = false;

		for (unsigned above = 0; above < row; above++)
			seen = seen || str_eq(table_cell(&t, above, 1), table_cell(&t, row, 1));
		if (seen)
			continue;
		client_answer_done(answer);
		r = client_call(NULL, "admin.vm.property.List", table_cell(&t, row, 0), NULL, NULL,
				0, NO_FD, answer);
		if (r != 0)
			break;
		for (char *at = answer->data; *at != '\0' && n < MAX_PROPERTIES;) {
			size_t len = strcspn(at, "\n");

			if (len > 0 && asprintf(&ret[n], "%.*s\t%s", (int)len, at,
						table_cell(&t, row, 0)) >= 0)
				n++;
			at += len + (at[len] == '\n');
		}
	}
	qsort(ret, n, sizeof(*ret), compare_lines);
	*ret_n = n;
	return r;
}

/* each property once, with its help if that is wanted */
static void print_properties(char **list, unsigned n, bool with_help)
{
	const char *before = "";

	for (unsigned i = 0; i < n; i++) {
		AUTO(client_answer_done) struct client_answer help = {0};
		char *owner = list[i] + strcspn(list[i], "\t");

		*owner++ = '\0';
		if (str_eq(list[i], before))
			continue;
		before = list[i];
		(void)puts(list[i]);
		if (with_help && client_call(NULL, "admin.vm.property.Help", owner, list[i], NULL,
					     0, NO_FD, &help) == 0)
			(void)printf("    %s\n", help.data);
	}
	for (unsigned i = 0; i < n; i++)
		free(list[i]);
}

static int help_properties(const struct args *a)
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	char *list[MAX_PROPERTIES];
	unsigned n;
	int r = collect(list, &n, &answer);

	print_properties(list, n, true);
	return r == 0 ? 0 : qubesd_failed(a, NULL, r, &answer);
}

void qvm_properties(void)
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	char *list[MAX_PROPERTIES];
	unsigned n;

	if (collect(list, &n, &answer) == 0)
		print_properties(list, n, false);
}

static int run(const struct args *a)
{
	if (args_has(a, HELP_PROPERTIES))
		return help_properties(a);
	if (a->n_words == 0) {
		(void)ui_usage(a, "name a qube");
		return 2;
	}
	if (a->n_words > 3) {
		(void)ui_usage(a, "a qube, a property and a value; quote a value that has spaces");
		return 2;
	}
	if (args_has(a, DEFAULT) && a->n_words != 2) {
		(void)ui_usage(a, "--default goes with a qube and a property, without a value");
		return 2;
	}
	if (args_has(a, HIDE_DEFAULT) && a->n_words != 1) {
		(void)ui_usage(a, "--hide-default goes with a qube alone");
		return 2;
	}
	if (a->n_words == 1)
		return list(a, a->words[0]);
	if (args_has(a, DEFAULT))
		return qubesd_call(a, "admin.vm.property.Reset", a->words[0], a->words[1], NULL,
				   NULL);
	if (a->n_words == 2)
		return get(a, a->words[0], a->words[1]);
	return qubesd_call(a, "admin.vm.property.Set", a->words[0], a->words[1],
			   qvm_property_value(a->words[1], a->words[2]), NULL);
}

static const struct option options[] = {
	{DEFAULT, 'D', "default,reset,unset", NULL, "set the property back to its default"},
	{HIDE_DEFAULT, 0, "hide-default", NULL, "list only what is not at its default"},
	{HELP_PROPERTIES, 0, "help-properties", NULL,
	 "list the properties with their help and exit"},
	{GET, 'g', "get", NULL, "for old scripts: without effect"},
	{SET, 's', "set", NULL, "for old scripts: without effect"},
	{0},
};

const struct command qvm_prefs = {
	.name = "prefs",
	.summary = "show and set properties of a qube",
	.synopses = {"[--hide-default] QUBE", "QUBE PROPERTY", "QUBE PROPERTY VALUE",
		     "--default QUBE PROPERTY", "--help-properties"},
	.text = "With a qube alone all its properties are listed: the name, D for a default, - for "
		"a "
		"value that was\n"
		"set or U for none, and the value. A change is kept when the command returns; most "
		"take effect at the\n"
		"qube's next start.\n\n"
		"A reference to no qube is none, or the empty value: qvm-prefs work netvm none. "
		"Numbers of memory are MiB.\n"
		"Yes is True, yes, on or 1; no is False, no, off or 0.",
	.sections = {{"EXAMPLES", "\tqvm-prefs work\n"
				  "\tqvm-prefs work memory 500\n"
				  "\tqvm-prefs --default work memory"}},
	.options = options,
	.words = {WORDS_ANY_QUBE, WORDS_PROPERTY, WORDS_TEXT},
	.run = run,
};
