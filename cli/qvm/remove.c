/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qvm-remove: delete qubes with all their data */
#include "qvm.h"

#include "base/str.h"
#include "qubesd.h"
#include "ui.h"

#include <stdio.h>

enum { ALL = OPTION_OWN, EXCLUDE, FORCE };

static int run(const struct args *a)
{
	AUTO(choice_done) struct choice choice = {.all = ALL, .exclude = EXCLUDE};
	AUTO_FREE struct call *list = NULL;
	struct calls calls = {.args = a, .method = "bulkhead.vm.Remove", .verb = "removing"};
	int r, result = 0;

	r = choice_make(a, &choice);
	if (r != 0)
		return r;
	for (unsigned i = 0; i < choice.n; i++) {
		const char *name = choice.names[i];

		if (!str_eq(choice_state(&choice, name), "Halted"))
			result = ui_fail(a, "%s is not halted; first: qvm-shutdown --wait %s", name,
					 name);
	}
	if (result != 0 || choice.n == 0)
		return result;
	if (!args_has(a, FORCE)) {
		(void)fputs("This deletes with all their data:", stderr);
		for (unsigned i = 0; i < choice.n; i++)
			(void)fprintf(stderr, " %s", choice.names[i]);
		(void)fputc('\n', stderr);
		if (!ui_confirm("Are you sure?"))
			return ui_fail(a, "nothing was removed");
	}
	list = calloc(choice.n, sizeof(*list));
	if (!list)
		return ui_fail(a, "out of memory");
	for (unsigned i = 0; i < choice.n; i++)
		list[calls.n++].qube = choice.names[i];
	calls.list = list;
	r = calls_run(&calls);
	/* a template may have been refused because its qubes went in the same batch: once more */
	for (unsigned i = 0; i < calls.n; i++) {
		if (list[i].r != CLIENT_E_EXCEPTION ||
		    !str_eq(list[i].answer.type, "QubesVMInUseError"))
			continue;
		client_answer_done(&list[i].answer);
		list[i].r = qubesd_remove(list[i].qube, &list[i].answer);
	}
	return calls_finish(&calls, r, NULL, result);
}

static const struct option options[] = {
	{FORCE, 'f', "force", NULL, "do not ask"},
	{ALL, 0, "all", NULL, "all qubes"},
	{EXCLUDE, 0, "exclude", "QUBE", "with --all, leave this one out (may be repeated)",
	 .words = WORDS_QUBE},
	{0},
};

const struct command qvm_remove = {
	.name = "remove",
	.summary = "delete qubes with all their data",
	.synopses = {"[--force] QUBE...", "[--force] --all [--exclude=QUBE]..."},
	.text = "Deletes each qube, its volumes and their revisions; there is no way back. The "
		"qubes "
		"must be\n"
		"halted, and nothing may depend on them: a template goes after the qubes that are "
		"made from it.",
	.options = options,
	.words = {WORDS_HALTED},
	.run = run,
};
