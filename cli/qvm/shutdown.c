/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qvm-shutdown: ask qubes to shut down, and with --wait see to it that they do */
#include "qvm.h"

#include "base/io.h"
#include "base/str.h"
#include "qubesd.h"
#include "ui.h"

#include <stdio.h>

#define MAX_TIMEOUT_S UINT64_C(604800) /* a week */

enum { ALL = OPTION_OWN, EXCLUDE, WAIT, TIMEOUT, FORCE, DRY_RUN };

/* refused because a qube that is also going down still uses it: may be tried again */
static bool in_use(const struct call *call)
{
	return call->r == CLIENT_E_EXCEPTION && str_eq(call->answer.type, "QubesVMInUseError");
}

static bool too_slow(const struct call *call)
{
	return call->r == -ETIMEDOUT || (call->r == CLIENT_E_EXCEPTION &&
					 str_eq(call->answer.type, "QubesVMShutdownTimeoutError"));
}

/* run; then again those that were refused because of others, as long as others have gone */
static int run_in_order(struct calls *calls)
{
	unsigned n_before = calls->n + 1;

	for (;;) {
		unsigned n_refused = 0;
		int r = calls_run(calls);

		if (r < 0)
			return r;
		for (unsigned i = 0; i < calls->n; i++)
			n_refused += in_use(&calls->list[i]);
		if (n_refused == 0 || n_refused >= n_before)
			return 0;
		n_before = n_refused;
		for (unsigned i = 0; i < calls->n; i++) {
			struct call *call = &calls->list[i];

			if (!in_use(call))
				continue;
			client_answer_done(&call->answer);
			call->ended = false;
			call->r = 0;
		}
	}
}

/* those that did not go in time are killed, and said so */
static void kill_slow(struct calls *calls)
{
	for (unsigned i = 0; i < calls->n; i++) {
		struct call *call = &calls->list[i];

		if (!too_slow(call))
			continue;
		ui_note(calls->args, "%s did not shut down in time: killing it", call->qube);
		client_answer_done(&call->answer);
		call->r = client_call(NULL, "admin.vm.Kill", call->qube, NULL, NULL, 0, NO_FD,
				      &call->answer);
		if (call->r == CLIENT_E_EXCEPTION &&
		    str_eq(call->answer.type, "QubesVMNotStartedError"))
			call->r = 0; /* gone by itself meanwhile */
	}
}

int qvm_timeout(const struct args *a, int key, uint64_t *ret_s)
{
	const char *timeout = args_value(a, key);

	if (timeout && str_u64(timeout, MAX_TIMEOUT_S, ret_s) < 0)
		return ui_usage(a, "--timeout wants a number of seconds, not %s", timeout);
	return 0;
}

int qvm_shutdown_wait(struct calls *calls, uint64_t timeout_s, bool has_timeout)
{
	int r;

	if (has_timeout)
		calls->deadline_ms = io_now_ms() + timeout_s * 1000;
	r = run_in_order(calls);
	kill_slow(calls);
	return r;
}

static int run(const struct args *a)
{
	AUTO(choice_done)
	struct choice choice = {.all = ALL, .exclude = EXCLUDE, .state = "!Halted"};
	AUTO_FREE struct call *list = NULL;
	bool wait = args_has(a, WAIT);
	struct calls calls = {.args = a,
			      .method = wait ? "bulkhead.vm.Shutdown" : "admin.vm.Shutdown",
			      .verb = "shutting down",
			      .arg = args_has(a, FORCE) || args_has(a, ALL) ? "force" : NULL};
	uint64_t timeout_s = 0;
	int r, result = 0;

	if (qvm_timeout(a, TIMEOUT, &timeout_s) != 0)
		return 2;
	if (args_has(a, TIMEOUT) && !wait)
		ui_note(a, "--timeout counts only with --wait; without it nothing is waited for");
	r = choice_make(a, &choice);
	if (r != 0)
		return r;
	list = calloc(choice.n + 1, sizeof(*list));
	if (!list)
		return ui_fail(a, "out of memory");
	for (unsigned i = 0; i < choice.n; i++) {
		const char *state = choice_state(&choice, choice.names[i]);

		if (str_eq(state, "Halted"))
			continue;
		if (args_has(a, DRY_RUN))
			(void)printf("%s\n", choice.names[i]);
		else if (str_eq(state, "Paused"))
			result = ui_fail(a,
					 "%s is paused and cannot hear; first: qvm-unpause %s (or "
					 "qvm-kill %s)",
					 choice.names[i], choice.names[i], choice.names[i]);
		else
			list[calls.n++].qube = choice.names[i];
	}
	calls.list = list;
	r = wait ? qvm_shutdown_wait(&calls, timeout_s, args_has(a, TIMEOUT)) : calls_run(&calls);
	return calls_finish(&calls, r, "QubesVMNotStartedError", result);
}

static const struct option options[] = {
	{ALL, 0, "all", NULL, "all qubes that are up; implies --force"},
	{EXCLUDE, 0, "exclude", "QUBE", "with --all, leave this one out (may be repeated)",
	 .words = WORDS_QUBE},
	{WAIT, 0, "wait", NULL, "wait until they are down; those that take too long are killed"},
	{TIMEOUT, 0, "timeout", "SECONDS",
	 "with --wait: how long before they are killed (otherwise each qube's shutdown_timeout)"},
	{FORCE, 0, "force", NULL, "even if other running qubes depend on it"},
	{DRY_RUN, 0, "dry-run", NULL, "only print which qubes would be shut down"},
	{0},
};

const struct command qvm_shutdown = {
	.name = "shutdown",
	.summary = "shut qubes down",
	.synopses = {"[--wait] [--timeout=SECONDS] [--force] QUBE...",
		     "[--wait] [--timeout=SECONDS] --all [--exclude=QUBE]..."},
	.text = "Asks each qube to shut down as its power button would. Without --wait the command "
		"returns at\n"
		"once, and a qube that ignores the request goes on running. A qube that is halted "
		"already is no\n"
		"error.",
	.sections = {{"EXAMPLES", "\tqvm-shutdown --wait work\n"
				  "\tqvm-shutdown --wait --timeout 20 --all"}},
	.options = options,
	.words = {WORDS_RUNNING},
	.run = run,
};
