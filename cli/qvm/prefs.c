/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qvm-prefs, qubes-prefs: show and set the properties of a qube, and those of the system */
#include "qvm.h"

#include "base/str.h"
#include "grid.h"
#include "qubesd.h"
#include "ui.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { HELP_PROPERTIES = OPTION_OWN, HIDE_DEFAULT, DEFAULT, JSON, GET, SET };

/* whose they are: a qube's, or the system's */
struct owner {
	const char *qube, *methods;
};

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

void qvm_property_unescape(char *text)
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
		qvm_property_unescape(line);
	return true;
}

static bool is_reference(const struct property *p)
{
	return str_eq(p->type, "vm") || str_eq(p->type, "label");
}

/* a method of the owner's properties; @ret may be NULL */
static int call(const struct args *a, const struct owner *o, const char *what, const char *property,
		const char *value, struct client_answer *ret)
{
	char method[64];

	(void)snprintf(method, sizeof(method), "%s%s", o->methods, what);
	return qubesd_call(a, method, o->qube, property, value, ret);
}

static void put_line(const struct property *p, size_t width)
{
	const char *value = p->value[0] == '\0' && is_reference(p) ? "None" : p->value;

	if (p->value[0] == '\0' && !is_reference(p) && !str_eq(p->type, "str"))
		(void)printf("%-*s  U\n", (int)width, p->name);
	else
		(void)printf("%-*s  %c%s%s\n", (int)width, p->name, p->is_default ? 'D' : '-',
			     value[0] != '\0' ? "  " : "", value);
}

static void put_json(const struct property *p, const char *between)
{
	(void)printf("%s\n \"%s\": {\"default\": %s, \"type\": \"%s\", \"value\": ", between,
		     p->name, p->is_default ? "true" : "false", p->type);
	if (str_eq(p->type, "int") || str_eq(p->type, "bool"))
		json_put(p->value);
	else if (p->value[0] == '\0' && is_reference(p))
		(void)fputs("null", stdout);
	else
		json_put_text(p->value);
	(void)putchar('}');
}

static int list(const struct args *a, const struct owner *o)
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	bool hide = args_has(a, HIDE_DEFAULT), json = args_has(a, JSON);
	const char *between = "{";
	size_t width = 0;

	if (call(a, o, "GetAll", NULL, NULL, &answer) != 0)
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

		at[len] = '\0';
		if (!parse(at, true, &p))
			return ui_fail(a, "%s: qubesd's answer cannot be understood", o->qube);
		at = next;
		if (hide && p.is_default)
			continue;
		if (json)
			put_json(&p, between);
		else
			put_line(&p, width);
		between = ",";
	}
	if (json)
		(void)printf("%s\n}\n", between[0] == '{' ? "{" : "");
	return 0;
}

static int get(const struct args *a, const struct owner *o, const char *property)
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	struct property p;

	if (call(a, o, "Get", property, NULL, &answer) != 0)
		return 1;
	if (!parse(answer.data, false, &p))
		return ui_fail(a, "%s: qubesd's answer cannot be understood", o->qube);
	if (p.value[0] != '\0')
		(void)puts(p.value);
	return 0;
}

const char *qvm_property_value(const char *property, const char *value)
{
	static const char *const references[] = {
		"audiovm",           "clockvm",       "default_audiovm",  "default_dispvm",
		"default_guivm",     "default_netvm", "default_template", "guivm",
		"management_dispvm", "netvm",         "template",         "updatevm"};

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

/* the properties of the system with their help */
static int help_globals(const struct args *a)
{
	AUTO(client_answer_done) struct client_answer answer = {0};

	if (qubesd_call(a, "admin.property.List", "dom0", NULL, NULL, &answer) != 0)
		return 1;
	for (char *at = answer.data, *next; *at != '\0'; at = next) {
		AUTO(client_answer_done) struct client_answer help = {0};
		size_t len = strcspn(at, "\n");

		next = at + len + (at[len] == '\n');
		at[len] = '\0';
		if (qubesd_call(a, "admin.property.Help", "dom0", at, NULL, &help) != 0)
			return 1;
		(void)printf("%s\n    %s\n", at, help.data);
	}
	return 0;
}

/* @words: a property and a value, of the @n there may be two */
static int prefs(const struct args *a, const struct owner *o, const char *const *words, unsigned n)
{
	if (n > 2) {
		(void)ui_usage(a, "a property and a value; quote a value that has spaces");
		return 2;
	}
	if (args_has(a, DEFAULT) && n != 1) {
		(void)ui_usage(a, "--default goes with a property, without a value");
		return 2;
	}
	if ((args_has(a, HIDE_DEFAULT) || args_has(a, JSON)) && n > 0) {
		(void)ui_usage(a, "--hide-default and --json are for the list of all properties");
		return 2;
	}
	if (n == 0)
		return list(a, o);
	if (args_has(a, DEFAULT))
		return call(a, o, "Reset", words[0], NULL, NULL);
	if (n == 1)
		return get(a, o, words[0]);
	return call(a, o, "Set", words[0], qvm_property_value(words[0], words[1]), NULL);
}

static int run(const struct args *a)
{
	if (args_has(a, HELP_PROPERTIES))
		return help_properties(a);
	if (a->n_words == 0) {
		(void)ui_usage(a, "name a qube");
		return 2;
	}
	return prefs(a, &(struct owner){a->words[0], "admin.vm.property."}, a->words + 1,
		     a->n_words - 1);
}

static int run_global(const struct args *a)
{
	if (args_has(a, HELP_PROPERTIES))
		return help_globals(a);
	return prefs(a, &(struct owner){"dom0", "admin.property."}, a->words, a->n_words);
}

static const struct option options[] = {
	{DEFAULT, 'D', "default,reset,unset", NULL, "set the property back to its default"},
	{HIDE_DEFAULT, 0, "hide-default", NULL, "list only what is not at its default"},
	{HELP_PROPERTIES, 0, "help-properties", NULL,
	 "list the properties with their help and exit"},
	{JSON, 0, "json", NULL, "for programs: the list as one object"},
	{GET, 'g', "get", NULL, "for old scripts: without effect"},
	{SET, 's', "set", NULL, "for old scripts: without effect"},
	{0},
};

const struct command qvm_prefs = {
	.name = "prefs",
	.summary = "show and set properties of a qube",
	.synopses = {"[--hide-default] [--json] QUBE", "QUBE PROPERTY", "QUBE PROPERTY VALUE",
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

const struct command qubes_prefs = {
	.name = "qubes-prefs",
	.whole = true,
	.summary = "show and set properties of the system",
	.synopses = {"[--hide-default] [--json]", "PROPERTY", "PROPERTY VALUE",
		     "--default PROPERTY", "--help-properties"},
	.text = "Alone it lists the properties of the system as qvm-prefs(1) does those of a qube: "
		"the name, D for a\n"
		"default, - for a value that was set or U for none, and the value. Many are what "
		"qubes have as long as\n"
		"nothing else is set for them. A change is kept when the command returns.\n\n"
		"A reference to no qube is none, or the empty value: qubes-prefs default_netvm "
		"none.",
	.sections = {{"EXAMPLES", "\tqubes-prefs default_template debian-12\n"
				  "\tqubes-prefs --default default_shutdown_timeout"}},
	.options = options,
	.words = {WORDS_GLOBAL, WORDS_TEXT},
	.run = run_global,
};
