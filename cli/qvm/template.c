/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qvm-template: install, list and remove templates. */
#include "template.h"

#include "base/str.h"
#include "ui.h"

#include <stdio.h>
#include <string.h>

static const struct installable installables[] = {
	{"debian-12", "Debian 12 (bookworm), from Debian's archive", "12"},
	{"debian-13", "Debian 13 (trixie), from Debian's archive", "13"},
	{"appliance", "a tiny system for tests and service qubes", "1"},
	{0},
};

const struct installable *template_installables(void)
{
	return installables;
}

const struct installable *template_installable(const char *name)
{
	for (const struct installable *i = installables; i->name; i++) {
		if (str_eq(i->name, name))
			return i;
	}
	return NULL;
}

/* name, state, class of all qubes */
int template_load(const struct args *a, struct table *t)
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	int r = table_load("dom0",
			   "name\nstate\nclass\nfeature:template-name\nfeature:template-epoch\n"
			   "feature:template-version\nfeature:template-release\n"
			   "feature:template-reponame\nfeature:template-summary\n"
			   "feature:template-installtime\ndisk",
			   t, &answer);

	return r == 0 ? 0 : qubesd_failed(a, NULL, r, &answer);
}

static int unknown(const struct args *a, const char *name)
{
	return ui_fail(
		a, "there is no template %s to install; there are: debian-12, debian-13, appliance",
		name);
}

static int install(const struct args *a)
{
	AUTO(table_done) struct table t = {0};
	const char *new_name = args_value(a, NAME);
	int r;

	if (a->n_words < 2) {
		(void)ui_usage(a, "name a template: debian-12, debian-13, appliance");
		return 2;
	}
	if (new_name && a->n_words != 2) {
		(void)ui_usage(a, "--name goes with one template");
		return 2;
	}
	if (new_name && !str_is_qube_name(new_name, strlen(new_name)))
		return ui_fail(a, "\"%s\" is no name for a qube", new_name);
	for (unsigned i = 1; i < a->n_words; i++) {
		if (!template_installable(a->words[i]))
			return unknown(a, a->words[i]);
	}
	r = template_load(a, &t);
	for (unsigned i = 1; i < a->n_words && r == 0; i++) {
		const char *name = new_name ? new_name : a->words[i];
		int row = table_find(&t, name);

		if (row >= 0 && new_name)
			return ui_fail(a, "a qube %s exists already", name);
		if (row >= 0 && !str_eq(table_cell(&t, (unsigned)row, T_CLASS), "TemplateVM"))
			return ui_fail(
				a,
				"a qube %s exists already and is no template; choose another "
				"name with --name",
				name);
		if (row >= 0) {
			ui_note(a,
				"%s is installed already; qvm-template reinstall %s makes it anew",
				name, name);
			continue;
		}
		r = template_install(a, template_installable(a->words[i]), name, false);
	}
	return r;
}

/* template_load(), and the words name templates; 0 or the exit code */
static int load_named(const struct args *a, struct table *t)
{
	int r;

	if (a->n_words < 2) {
		(void)ui_usage(a, "name a template that is installed");
		return 2;
	}
	r = template_load(a, t);
	for (unsigned i = 1; r == 0 && i < a->n_words; i++) {
		int row = table_find(t, a->words[i]);

		if (row < 0 || !str_eq(table_cell(t, (unsigned)row, T_CLASS), "TemplateVM"))
			return ui_fail(
				a,
				"there is no template %s; qvm-template list shows those that "
				"are",
				a->words[i]);
	}
	return r;
}

static int reinstall(const struct args *a)
{
	AUTO(table_done) struct table t = {0};
	int r = load_named(a, &t);

	if (r != 0)
		return r;
	for (unsigned i = 1; i < a->n_words; i++) {
		int row = table_find(&t, a->words[i]);

		if (!template_installable(table_cell(&t, (unsigned)row, T_WHAT)))
			return ui_fail(a, "%s was not made by qvm-template and cannot be made anew",
				       a->words[i]);
		if (!str_eq(table_cell(&t, (unsigned)row, T_STATE), "Halted"))
			return ui_fail(a, "%s is not halted; first: qvm-shutdown --wait %s",
				       a->words[i], a->words[i]);
	}
	if (!args_has(a, YES) && !ui_confirm("What was changed in %s%s will be lost. Go on?",
					     a->words[1], a->n_words > 2 ? " and the others" : ""))
		return ui_fail(a, "nothing was changed");
	for (unsigned i = 1; i < a->n_words && r == 0; i++) {
		int row = table_find(&t, a->words[i]);

		r = template_install(a, template_installable(table_cell(&t, (unsigned)row, T_WHAT)),
				     a->words[i], true);
	}
	return r;
}

static int remove_templates(const struct args *a)
{
	AUTO(table_done) struct table t = {0};
	int r = load_named(a, &t);

	if (r != 0)
		return r;
	if (!args_has(a, YES) &&
	    !ui_confirm("Remove %s%s?", a->words[1], a->n_words > 2 ? " and the others" : ""))
		return ui_fail(a, "nothing was removed");
	for (unsigned i = 1; i < a->n_words; i++) {
		struct client_answer answer;
		int e = qubesd_remove(a->words[i], &answer);

		if (e != 0)
			r = qubesd_failed(a, a->words[i], e, &answer);
		client_answer_done(&answer);
	}
	return r;
}

static int zygotes(const struct args *a)
{
	if (a->n_words > 1) {
		(void)ui_usage(a, "zygotes are listed all at once");
		return 2;
	}
	return zygotes_list(a, args_has(a, MACHINE));
}

static int run(const struct args *a)
{
	static const struct {
		const char *verb;
		int (*run)(const struct args *a);
	} verbs[] = {
		{"install", install},    {"reinstall", reinstall},     {"list", template_list},
		{"info", template_list}, {"remove", remove_templates}, {"zygotes", zygotes},
	};

	if (a->n_words == 0) {
		(void)ui_usage(a,
			       "say what to do: install, reinstall, list, info, remove or zygotes");
		return 2;
	}
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		if (str_eq(a->words[0], verbs[i].verb))
			return verbs[i].run(a);
	}
	(void)ui_usage(
		a,
		"there is no \"%s\" here; there are install, reinstall, list, info, remove and zygotes",
		a->words[0]);
	return 2;
}

static const struct option options[] = {
	{NAME, 0, "name", "NAME", "install: under this name"},
	{POOL, 0, "pool", "POOL", "install: keep its volumes in this pool"},
	{YES, 'y', "yes", NULL, "do not ask"},
	{INSTALLED, 0, "installed", NULL, "list, info: only those that are installed"},
	{AVAILABLE, 0, "available", NULL, "list, info: only those that can be installed"},
	{ALL, 0, "all", NULL, "list, info: both, the default"},
	{MACHINE, 0, "machine-readable", NULL,
	 "list: for programs, STATUS|NAME|VERSION|REPOSITORY; zygotes: with | between the columns, in bytes and seconds since 1970"},
	{MACHINE_JSON, 0, "machine-readable-json", NULL, "list: for programs, as JSON"},
	{0},
};

const struct command qvm_template = {
	.name = "template",
	.summary = "install, list and remove templates",
	.synopses = {"install [--name=NAME] [--pool=POOL] TEMPLATE...",
		     "reinstall [--yes] TEMPLATE...",
		     "list [--installed] [--available] [PATTERN]...", "info [PATTERN]...",
		     "remove [--yes] TEMPLATE...", "zygotes"},
	.text = "A template holds the system that qubes are made from. \"install\" builds it on "
		"this "
		"machine from its\n"
		"distribution's archive, whose signatures are verified, as an ordinary user: "
		"debian-12, debian-13, and\n"
		"appliance, a tiny one. The first time a kernel for qubes is made as well. If the "
		"work "
		"fails or is\n"
		"interrupted nothing is installed; what was downloaded is kept for the next "
		"time. At last a Debian one is started once, to tell what it can do and which applications "
		"it has\n"
		"(qubes.PostInstall), and shut down.\n\n"
		"\"reinstall\" makes an installed template anew; its qubes see it at their next "
		"start. "
		"\"remove\" wants\n"
		"no qube to be made from it any more.\n\n"
		"\"zygotes\" lists the machines, booted once and saved, that qubes with the property \"fork\" start from instead\n"
		"of booting. They are made in the background once such a qube has started, and again when the template has changed;\n"
		"USERS are the qubes that run from one now, as far as this qubesd has started them.",
	.sections = {{"EXAMPLES", "\tqvm-template install debian-12\n"
				  "\tqvm-template install --name debian-12-work debian-12\n"
				  "\tqvm-template list --installed"}},
	.options = options,
	.words = {WORDS_INSTALLABLE},
	.verbs = "install reinstall:template list info remove:template zygotes",
	.run = run,
};
