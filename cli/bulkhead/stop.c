/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bulkhead stop: all qubes down, then qubesd */
#include "bulkhead.h"

#include "base/io.h"
#include "base/str.h"
#include "down.h"
#include "ui.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>

#define DEFAULT_TIMEOUT_S 60
#define MAX_TIMEOUT_S     86400
#define QUIT_MS           10000
#define KILL_MS           20000

enum { TIMEOUT = OPTION_OWN, KILL, KEEP };

/* shut all down that are not halted, or kill them; in @ret_failed for how many that failed */
static int for_all(const struct args *a, bool kill, uint64_t timeout_ms, unsigned *ret_failed)
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	AUTO(table_done) struct table t = {0};
	AUTO_FREE struct call *list = NULL;
	struct calls calls = {
		.args = a, .method = "admin.vm.Kill", .verb = kill ? "killing" : "shutting down"};
	const struct down how = {.wait = true, .force = true, .timeout_ms = timeout_ms};
	int r;

	*ret_failed = 0;
	r = table_load("dom0", "name\nstate\nclass", &t, &answer);
	if (r != 0)
		return qubesd_failed(a, NULL, r, &answer);
	list = calloc(t.n_rows + 1, sizeof(*list));
	if (!list)
		return ui_fail(a, "out of memory");
	for (unsigned row = 0; row < t.n_rows; row++) {
		if (!str_eq(table_cell(&t, row, 1), "Halted") &&
		    !str_eq(table_cell(&t, row, 2), "AdminVM"))
			list[calls.n++].qube = table_cell(&t, row, 0);
	}
	calls.list = list;
	calls.deadline_ms = io_now_ms() + timeout_ms;
	r = kill ? calls_run(&calls) : down_run(&calls, &how);
	for (unsigned i = 0; i < calls.n; i++) {
		/* one that is halted by now has nothing against it */
		if (list[i].r == 0 || (list[i].r == CLIENT_E_EXCEPTION &&
				       str_eq(list[i].answer.type, "QubesVMNotStartedError")))
			continue;
		++*ret_failed;
		ui_note(a, "%s: %s%s", list[i].qube,
			list[i].r == CLIENT_E_EXCEPTION ? list[i].answer.data : "no answer",
			kill ? "" : "; killing it");
	}
	calls_done(&calls);
	return r < 0 ? ui_fail_errno(a, NULL, r) : 0;
}

static int stop_qubes(const struct args *a, uint64_t timeout_ms)
{
	unsigned n_failed = 1;
	int r = 0;

	if (!args_has(a, KILL))
		r = for_all(a, false, timeout_ms > 0 ? timeout_ms : 1, &n_failed);
	if (r == 0 && n_failed > 0)
		r = for_all(a, true, KILL_MS, &n_failed);
	if (r == 0 && n_failed > 0)
		return ui_fail(a, "%u qubes cannot be stopped; qubesd goes on", n_failed);
	return r;
}

/* the prompt, which has nothing to ask any more */
static void stop_prompt(void)
{
	struct paths paths;

	if (paths_init(&paths, false) < 0)
		return;
	prompt_stop(&paths);
	paths_done(&paths);
}

/* qubesd's process, to wait for its end: it goes on for a moment after it has closed its sockets.
 * NO_FD if it cannot be had */
static int daemon_pidfd(void)
{
	AUTO(client_answer_done) struct client_answer answer;
	const char *at;
	uint64_t pid;

	if (client_call(NULL, "bulkhead.Status", "dom0", NULL, NULL, 0, NO_FD, &answer) != 0)
		return NO_FD;
	at = strstr(answer.data, "\npid=");
	if (!at)
		return NO_FD;
	at += strlen("\npid=");
	answer.data[strcspn(at, "\n") + (size_t)(at - answer.data)] = '\0';
	return str_u64(at, INT32_MAX, &pid) < 0 ? NO_FD : pidfd_open((pid_t)pid, 0);
}

static bool daemon_has_ended(int pidfd)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	return !daemon_answers() && (pidfd < 0 || poll(&p, 1, 0) == 1);
}

static int run(const struct args *a)
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	const char *timeout = args_value(a, TIMEOUT);
	uint64_t timeout_s = DEFAULT_TIMEOUT_S, end;
	int r;

	if (a->n_words > 0) {
		(void)ui_usage(a, "it takes no arguments, but got '%s'", a->words[0]);
		return 2;
	}
	if (timeout && str_u64(timeout, MAX_TIMEOUT_S, &timeout_s) < 0) {
		(void)ui_usage(a, "--timeout wants a number of seconds, not %s", timeout);
		return 2;
	}
	if (!daemon_answers()) {
		stop_prompt();
		ui_note(a, "not running");
		return 0;
	}
	r = args_has(a, KEEP) ? 0 : stop_qubes(a, timeout_s * 1000);
	if (r != 0)
		return r;
	AUTO_CLOSE int pidfd = daemon_pidfd();
	r = client_call(NULL, "bulkhead.Quit", "dom0", NULL, NULL, 0, NO_FD, &answer);
	if (r != 0 && r != CLIENT_E_EMPTY)
		return qubesd_failed(a, NULL, r, &answer);
	end = io_now_ms() + QUIT_MS;
	while (!daemon_has_ended(pidfd)) {
		if (io_now_ms() > end)
			return ui_fail(a, "qubesd was asked to end and still runs");
		(void)usleep(20000);
	}
	if (!args_has(a, KEEP))
		stop_prompt();
	if (a->verbose >= 0)
		(void)puts(args_has(a, KEEP) ? "qubesd has ended; the qubes go on"
					     : "Bulkhead is stopped");
	return 0;
}

static const struct option options[] = {
	{TIMEOUT, 0, "timeout", "SECONDS",
	 "how long qubes may take to shut down before they are killed (otherwise 60)"},
	{KILL, 0, "kill", NULL, "kill the qubes at once"},
	{KEEP, 0, "keep-qubes", NULL, "end only qubesd; the qubes go on until it is started again"},
	{0},
};

const struct command bulkhead_stop = {
	.name = "stop",
	.summary = "shut all qubes down and end the daemons",
	.synopses = {"[--timeout=SECONDS] [--kill]", "--keep-qubes"},
	.text = "Shuts down all qubes of the instance, kills those that take too long, then ends "
		"qubesd. A qube that\n"
		"gives network goes after those that get it from there; it has the whole time then. "
		"An instance that\n"
		"does not run is no error.",
	.options = options,
	.run = run,
};
