/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qvm: the tools that create, start, watch and use qubes; qvm-ls and the others are links to it.
 *
 * Runs as the user whose instance it is, holds nothing, trusts qubesd, needs qubesd.sock. Started
 * once per call, so it links libc and our own libraries only.
 */
#include "qvm.h"

#include "base/str.h"
#include "qubesd.h"

#include <stdio.h>
#include <string.h>

static const struct command *const commands[] = {
	/* clang-format off */
	&qvm_appmenus,
	&qvm_check,
	&qvm_clone,
	&qvm_create,
	&qvm_features,
	&qvm_firewall,
	&qvm_kill,
	&qvm_ls,
	&qvm_notes,
	&qvm_pause,
	&qvm_pool,
	&qvm_prefs,
	&qvm_remove,
	&qvm_rename,
	&qvm_restart,
	&qvm_run,
	&qvm_service,
	&qvm_shutdown,
	&qvm_start,
	&qvm_sync_appmenus,
	&qvm_sync_clock,
	&qvm_tags,
	&qvm_template,
	&qvm_top,
	&qvm_unpause,
	&qvm_volume,
	&qubes_event,
	&qubes_prefs,
	NULL,
	/* clang-format on */
};

static const struct program qvm = {
	.name = "qvm",
	.summary = "tools for qubes: create, start, watch, use and remove them",
	.text = "A qube is a virtual machine with a name and a label, the colour that says how far "
		"its owner\n"
		"trusts it. These tools work on the instance that BULKHEAD_HOME names, or on the "
		"user's own.\n"
		"They need its daemon to run: \"bulkhead start\".\n\n"
		"Each command is also a program of its own: \"qvm ls\" is \"qvm-ls\". Names, "
		"options and "
		"output are\n"
		"those of Qubes OS.",
	.commands = commands,
	.links = true,
	.sections =
		{
			{"EXIT STATUS", "0 done; 1 refused or failed, nothing changed beyond what "
					"was said; 2 called "
					"wrongly. qvm-run\n"
					"passes on the exit status of what it ran."},
			{"ENVIRONMENT", "BULKHEAD_HOME names the folder of the instance. NO_COLOR, "
					"set to anything, "
					"keeps colours away."},
		},
};

typedef void (*complete_fn)(const char *name, const char *value);

/* @fn for each qube, with its field @fields behind the name */
static int complete_each(const char *fields, complete_fn fn)
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	AUTO(table_done) struct table t = {0};

	if (table_load("dom0", fields, &t, &answer) != 0)
		return 1;
	for (unsigned row = 0; row < t.n_rows; row++)
		fn(table_cell(&t, row, 0), table_cell(&t, row, 1));
	return 0;
}

/* every tag that a qube has (the shell does not mind twice) */
static void complete_tags(const char *name, const char *tags)
{
	(void)name;
	for (size_t len; *tags != '\0'; tags += len + (tags[len] == ' ')) {
		len = strcspn(tags, " ");
		(void)printf("%.*s\n", (int)len, tags);
	}
}

static void complete_volumes(const char *name, const char *class)
{
	if (!str_eq(class, "AdminVM"))
		(void)printf("%s:root\n%s:private\n%s:volatile\n", name, name, name);
}

int complete_words(const char *kind)
{
	static const struct {
		const char *kind, *state, *class;
	} kinds[] = {
		{"any-qube", NULL, NULL},   {"qube", NULL, "!AdminVM"},
		{"halted", "Halted", NULL}, {"running", "Running", "!AdminVM"},
		{"paused", "Paused", NULL}, {"template", NULL, "TemplateVM"},
	};
	static const char *const fixed[][2] = {
		{"label", "red\norange\nyellow\ngreen\ngray\nblue\npurple\nblack"},
		{"class", "AppVM\nTemplateVM\nStandaloneVM\nDispVM"},
		{"feature",
		 "anon-timezone\ninternal\nprohibit-start\nqrexec\nservice.\ntimezone\nvm-config."},
		{"service", "clocksync\ncrond\ncups\nnetwork-manager\nqubes-firewall\n"
			    "qubes-network\nqubes-update-check\nqubes-updates-proxy\n"
			    "updates-proxy-setup"},
		{"tag-verb", "list\nadd\ndel"},
		{"firewall-verb", "list\nadd\ndel\nreset"},
		{"on-off", "on\noff"},
		{"installable", "debian-12\ndebian-13\nappliance"},
	};
	AUTO(client_answer_done) struct client_answer answer = {0};
	AUTO(table_done) struct table t = {0};

	for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
		if (str_eq(kind, fixed[i][0]))
			(void)puts(fixed[i][1]);
	}
	if (str_eq(kind, "column"))
		qvm_columns();
	if (str_eq(kind, "format"))
		qvm_formats();
	if (str_eq(kind, "property"))
		qvm_properties();
	if (str_eq(kind, "global") &&
	    client_call(NULL, "admin.property.List", "dom0", NULL, NULL, 0, NO_FD, &answer) == 0)
		(void)fputs(answer.data, stdout);
	if (str_eq(kind, "pool") &&
	    client_call(NULL, "admin.pool.List", "dom0", NULL, NULL, 0, NO_FD, &answer) == 0)
		(void)fputs(answer.data, stdout);
	if (str_eq(kind, "volume"))
		return complete_each("name\nclass", complete_volumes);
	if (str_eq(kind, "tag"))
		return complete_each("name\ntags", complete_tags);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (!str_eq(kind, kinds[i].kind))
			continue;
		if (table_load("dom0", "name\nstate\nclass", &t, &answer) != 0)
			return 1;
		for (unsigned row = 0; row < t.n_rows; row++) {
			const char *class = table_cell(&t, row, 2);

			if ((!kinds[i].state || str_eq(kinds[i].state, table_cell(&t, row, 1))) &&
			    (!kinds[i].class ||
			     (kinds[i].class[0] == '!' ? !str_eq(class, kinds[i].class + 1)
						       : str_eq(class, kinds[i].class))))
				(void)puts(table_cell(&t, row, 0));
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	return program_main(&qvm, argc, argv);
}
