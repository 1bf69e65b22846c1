/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qvm-kill, qvm-pause, qvm-unpause: one call for each qube, at once */
#include "qvm.h"

#include "base/str.h"
#include "qubesd.h"
#include "ui.h"

#include <stdio.h>

enum { ALL = OPTION_OWN, EXCLUDE, SUSPEND };

/**
 * struct power - one of the three
 * @state:	with --all, qubes in this state
 * @harmless:	the exception that says there was nothing to do
 */
struct power {
	const char *method, *verb, *state, *harmless;
};

/* one call for each of the chosen qubes that are in state @only (NULL: all); the exit code */
static int call_each(const struct args *a, const struct power *p, const struct choice *choice,
		     const char *only, const char *but, int result)
{
	AUTO_FREE struct call *list = calloc(choice->n + 1, sizeof(*list));
	struct calls calls = {.args = a, .method = p->method, .verb = p->verb, .list = list};

	if (!list)
		return ui_fail(a, "out of memory");
	for (unsigned i = 0; i < choice->n; i++) {
		const char *state = choice_state(choice, choice->names[i]);

		if ((!only || str_eq(state, only)) && (!but || !str_eq(state, but)))
			list[calls.n++].qube = choice->names[i];
	}
	return calls_finish(&calls, calls_run(&calls), p->harmless, result);
}

static int power(const struct args *a, const struct power *p)
{
	AUTO(choice_done)
	struct choice choice = {.all = ALL, .exclude = EXCLUDE, .state = p->state};
	int r = choice_make(a, &choice);

	return r != 0 ? r : call_each(a, p, &choice, NULL, NULL, 0);
}

static int run_kill(const struct args *a)
{
	return power(a, &(struct power){"admin.vm.Kill", "killing", "!Halted",
					"QubesVMNotStartedError"});
}

static int run_pause(const struct args *a)
{
	if (args_has(a, SUSPEND))
		return power(a, &(struct power){"admin.vm.Suspend", "suspending", "Running", NULL});
	return power(a, &(struct power){"admin.vm.Pause", "pausing", "Running", NULL});
}

static int run_unpause(const struct args *a)
{
	static const struct power resume = {"admin.vm.Resume", "resuming", NULL, NULL};
	static const struct power unpause = {"admin.vm.Unpause", "unpausing", NULL, NULL};
	/* with --all what is neither paused nor suspended is left alone */
	AUTO(choice_done) struct choice choice = {.all = ALL, .exclude = EXCLUDE};
	bool all = args_has(a, ALL);
	int r = choice_make(a, &choice);

	if (r != 0)
		return r;
	r = call_each(a, &unpause, &choice, all ? "Paused" : NULL, "Suspended", 0);
	return call_each(a, &resume, &choice, "Suspended", NULL, r);
}

#define OPTIONS_ALL(what)                                                                          \
	{ALL, 0, "all", NULL, what},                                                               \
	{                                                                                          \
		EXCLUDE, 0, "exclude", "QUBE", "with --all, leave this one out (may be repeated)", \
			.words = WORDS_QUBE                                                        \
	}

static const struct option options_kill[] = {OPTIONS_ALL("all qubes that are up"), {0}};
static const struct option options_pause[] = {
	OPTIONS_ALL("all qubes that run"),
	{SUSPEND, 'S', "suspend", NULL,
	 "the same, as before the computer sleeps: its state is Suspended"},
	{0},
};
static const struct option options_unpause[] = {OPTIONS_ALL("all qubes that are paused"), {0}};

const struct command qvm_kill = {
	.name = "kill",
	.summary = "stop qubes at once, as if their power were cut",
	.synopses = {"QUBE...", "--all [--exclude=QUBE]..."},
	.text = "Ends each qube without asking it. What its programs had not written out is lost; "
		"its private\n"
		"volume goes on from what it had flushed. A qube that is halted already is no "
		"error.",
	.options = options_kill,
	.words = {WORDS_RUNNING},
	.run = run_kill,
};

const struct command qvm_pause = {
	.name = "pause",
	.summary = "freeze qubes",
	.synopses = {"[--suspend] QUBE...", "--all [--exclude=QUBE]..."},
	.text = "Stops each qube's processors where they are; its memory stays. qvm-unpause lets "
		"it go "
		"on.",
	.options = options_pause,
	.words = {WORDS_RUNNING},
	.run = run_pause,
};

const struct command qvm_unpause = {
	.name = "unpause",
	.summary = "let paused qubes go on",
	.synopses = {"QUBE...", "--all [--exclude=QUBE]..."},
	.text = "Lets each qube go on that qvm-pause has stopped, with --suspend or without. One that is paused since its pool has no room "
		"left goes on by itself when there is some; this tries at once.",
	.options = options_unpause,
	.words = {WORDS_PAUSED},
	.run = run_unpause,
};
