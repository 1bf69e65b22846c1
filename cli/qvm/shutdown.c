/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qvm-shutdown: ask qubes to shut down, and with --wait see to it that they do */
#include "qvm.h"

#include "base/str.h"
#include "down.h"
#include "ui.h"

#include <stdio.h>

#define MAX_TIMEOUT_S UINT64_C(604800) /* a week */

enum { ALL = OPTION_OWN, EXCLUDE, WAIT, TIMEOUT, FORCE, DRY_RUN };

int qvm_timeout(const struct args *a, int key, uint64_t *ret_s)
{
	const char *timeout = args_value(a, key);

	if (timeout && str_u64(timeout, MAX_TIMEOUT_S, ret_s) < 0)
		return ui_usage(a, "--timeout wants a number of seconds, not %s", timeout);
	return 0;
}

static int run(const struct args *a)
{
	AUTO(choice_done)
	struct choice choice = {.all = ALL, .exclude = EXCLUDE, .state = "!Halted"};
	AUTO_FREE struct call *list = NULL;
	bool wait = args_has(a, WAIT);
	struct calls calls = {.args = a, .verb = "shutting down"};
	struct down how = {.wait = wait, .force = args_has(a, FORCE) || args_has(a, ALL)};
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
	/* "0 seconds" is to kill them now */
	if (args_has(a, TIMEOUT))
		how.timeout_ms = timeout_s > 0 ? timeout_s * 1000 : 1;
	return calls_finish(&calls, down_run(&calls, &how), "QubesVMNotStartedError", result);
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
		"error.\n\n"
		"One that gives network to others goes after those of them that are to go too. "
		"While another\n"
		"one runs it is refused, unless --force is given.",
	.sections = {{"EXAMPLES", "\tqvm-shutdown --wait work\n"
				  "\tqvm-shutdown --wait --timeout 20 --all"}},
	.options = options,
	.words = {WORDS_RUNNING},
	.run = run,
};
