/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qvm-start: start qubes, several at once */
#include "qvm.h"

#include "base/str.h"
#include "qubesd.h"
#include "ui.h"

#include <stdio.h>

enum { ALL = OPTION_OWN, EXCLUDE, SKIP, DRIVE };

static int run(const struct args *a)
{
	AUTO(choice_done)
	struct choice choice = {.all = ALL, .exclude = EXCLUDE, .here = true, .state = "Halted"};
	AUTO_FREE struct call *list = NULL;
	struct calls calls = {.args = a,
			      .method = "bulkhead.vm.Start",
			      .verb = "starting",
			      .n_at_once = QVM_STARTS_AT_ONCE};
	int r, result = 0;

	if (args_has(a, DRIVE))
		return ui_fail(a, "drives for a start are not available in this version of "
				  "Bulkhead; nothing was started");
	r = choice_make(a, &choice);
	if (r != 0)
		return r;
	list = calloc(choice.n + 1, sizeof(*list));
	if (!list)
		return ui_fail(a, "out of memory");
	for (unsigned i = 0; i < choice.n; i++) {
		const char *name = choice.names[i], *state = choice_state(&choice, name);

		if (str_eq(state, "Halted") || str_eq(state, "Transient"))
			list[calls.n++].qube = name;
		else if (str_eq(state, "Paused"))
			result = ui_fail(a, "%s is paused; let it go on with: qvm-unpause %s", name,
					 name);
		else if (!args_has(a, SKIP))
			result = ui_fail(a, "%s is running already", name);
	}
	calls.list = list;
	return calls_finish(&calls, calls_run(&calls), NULL, result);
}

static const struct option options[] = {
	{SKIP, 0, "skip-if-running", NULL, "a qube that runs already is no error"},
	{ALL, 0, "all", NULL, "start all qubes that are halted"},
	{EXCLUDE, 0, "exclude", "QUBE", "with --all, leave this one out (may be repeated)",
	 .words = WORDS_QUBE},
	{DRIVE, 0, "drive,hddisk,cdrom", "DRIVE", "not available yet: nothing is started"},
	{DRIVE, 0, "install-windows-tools", NULL, "not available yet: nothing is started"},
	{0},
};

const struct command qvm_start = {
	.name = "start",
	.summary = "start qubes",
	.synopses = {"[--skip-if-running] QUBE...", "--all [--exclude=QUBE]..."},
	.text = "Starts each qube and waits until its agent answers, so that qvm-run works at once "
		"afterwards.\n"
		"Several are started side by side. A start that fails leaves the qube halted and "
		"nothing behind;\n"
		"the message names the cause.\n\n"
		"What the qube's kernel and services print is kept in state/log/ of the instance.",
	.sections = {{"EXAMPLES", "\tqvm-start work untrusted\n"
				  "\tqvm-start --all --exclude vault"}},
	.options = options,
	.words = {WORDS_HALTED},
	.run = run,
};
