/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qvm-restart: shut qubes down, wait, and start them again */
#include "qvm.h"

#include "base/str.h"
#include "down.h"
#include "ui.h"

enum { ALL = OPTION_OWN, EXCLUDE, TIMEOUT };

/* does the qube end with its shutdown, so that there is nothing to start? */
static bool goes_away(const struct table *t, const char *name)
{
	int row = table_find(t, name);

	return row >= 0 && str_eq(table_cell(t, (unsigned)row, 1), "True");
}

/* the names of @choice that can be restarted, to the front of it; their number */
static unsigned keep(const struct args *a, struct choice *choice, const struct table *t,
		     int *result)
{
	unsigned n = 0;

	for (unsigned i = 0; i < choice->n; i++) {
		const char *name = choice->names[i];

		if (goes_away(t, name)) {
			if (!args_has(a, ALL))
				*result = ui_fail(
					a, "%s is a disposable that is gone once it is shut down",
					name);
			continue;
		}
		if (str_eq(choice_state(choice, name), "Paused")) {
			*result = ui_fail(a, "%s is paused and cannot hear; first: qvm-unpause %s",
					  name, name);
			continue;
		}
		choice->names[n++] = name;
	}
	return n;
}

/* shut those down that are up; a qube that stays up is left out of @names */
static int stop(const struct args *a, struct choice *choice, uint64_t timeout_ms)
{
	AUTO_FREE struct call *list = calloc(choice->n + 1, sizeof(*list));
	struct calls calls = {.args = a, .verb = "shutting down", .list = list};
	const struct down how = {.wait = true, .force = true, .timeout_ms = timeout_ms};
	unsigned n = 0;
	int r;

	if (!list)
		return ui_fail(a, "out of memory");
	for (unsigned i = 0; i < choice->n; i++) {
		if (!str_eq(choice_state(choice, choice->names[i]), "Halted"))
			list[calls.n++].qube = choice->names[i];
	}
	r = down_run(&calls, &how);
	for (unsigned i = 0; i < choice->n; i++) {
		bool down = true;

		for (unsigned k = 0; k < calls.n; k++) {
			if (list[k].qube == choice->names[i])
				down = list[k].r == 0 ||
				       str_eq(list[k].answer.type, "QubesVMNotStartedError");
		}
		if (down)
			choice->names[n++] = choice->names[i];
	}
	choice->n = n;
	return calls_finish(&calls, r, "QubesVMNotStartedError", 0);
}

static int start(const struct args *a, const struct choice *choice, int result)
{
	AUTO_FREE struct call *list = calloc(choice->n + 1, sizeof(*list));
	struct calls calls = {.args = a,
			      .method = "bulkhead.vm.Start",
			      .verb = "starting",
			      .list = list,
			      .n_at_once = QVM_STARTS_AT_ONCE};

	if (!list)
		return ui_fail(a, "out of memory");
	for (unsigned i = 0; i < choice->n; i++)
		list[calls.n++].qube = choice->names[i];
	return calls_finish(&calls, calls_run(&calls), NULL, result);
}

static int run(const struct args *a)
{
	AUTO(choice_done)
	struct choice choice = {.all = ALL, .exclude = EXCLUDE, .state = "Running"};
	AUTO(client_answer_done) struct client_answer answer = {0};
	AUTO(table_done) struct table t = {0};
	uint64_t timeout_s = 0;
	int r, result = 0;

	if (qvm_timeout(a, TIMEOUT, &timeout_s) != 0)
		return 2;
	r = choice_make(a, &choice);
	if (r != 0)
		return r;
	r = table_load("dom0", "name\nauto_cleanup", &t, &answer);
	if (r != 0)
		return qubesd_failed(a, NULL, r, &answer);
	choice.n = keep(a, &choice, &t, &result);
	/* "0 seconds" is to kill them now */
	r = stop(a, &choice, args_has(a, TIMEOUT) && timeout_s == 0 ? 1 : timeout_s * 1000);
	return start(a, &choice, r != 0 ? r : result);
}

static const struct option options[] = {
	{ALL, 0, "all", NULL, "all qubes that run, but for disposables"},
	{EXCLUDE, 0, "exclude", "QUBE", "with --all, leave this one out (may be repeated)",
	 .words = WORDS_QUBE},
	{TIMEOUT, 0, "timeout", "SECONDS",
	 "how long before they are killed (otherwise each qube's shutdown_timeout)"},
	{0},
};

const struct command qvm_restart = {
	.name = "restart",
	.summary = "shut qubes down and start them again",
	.synopses = {"[--timeout=SECONDS] QUBE...",
		     "[--timeout=SECONDS] --all [--exclude=QUBE]..."},
	.text = "Shuts each qube down, waits, and starts it again; one that is halted is started. So "
		"a qube gets the\n"
		"template's newest root, and properties that count at the next start. One that does "
		"not shut down in\n"
		"time is killed. Others may depend on it meanwhile: a qube that gives network is "
		"restarted under its\n"
		"clients.",
	.sections = {{"EXAMPLES", "\tqvm-restart work\n\tqvm-restart --all --exclude vault"}},
	.options = options,
	.words = {WORDS_RUNNING},
	.run = run,
};
