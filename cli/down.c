/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "down.h"

#include "base/io.h"
#include "base/str.h"
#include "ui.h"

#include <stdio.h>

/* the fields of the table that is looked at before each round */
enum { F_NAME, F_STATE, F_NETVM };
static const char fields[] = "name\nstate\nnetvm";

static const struct call *call_of(const struct calls *calls, const char *qube)
{
	for (unsigned i = 0; i < calls->n; i++) {
		if (str_eq(calls->list[i].qube, qube))
			return &calls->list[i];
	}
	return NULL;
}

/* can a qube in this state hear that it is to shut down? */
static bool can_go(const char *state)
{
	return str_eq(state, "Running") || str_eq(state, "Halting") || str_eq(state, "Dying");
}

/* what qubesd is to be told about @qube: does it give network to others, and do all of those go too? */
static const char *way(const struct calls *calls, const struct table *t, const char *qube,
		       const struct down *how)
{
	bool going = false, staying = false;

	for (unsigned row = 0; row < t->n_rows; row++) {
		const char *state = table_cell(t, row, F_STATE);

		if (!str_eq(table_cell(t, row, F_NETVM), qube) || str_eq(state, "Halted"))
			continue;
		if (call_of(calls, table_cell(t, row, F_NAME)) && can_go(state))
			going = true;
		else
			staying = true;
	}
	if (staying)
		return how->force ? "force" : NULL;
	return going ? "after" : NULL;
}

/* refused because of others: may be tried again when they have gone */
static bool in_use(const struct call *call)
{
	return call->r == CLIENT_E_EXCEPTION && str_eq(call->answer.type, "QubesVMInUseError");
}

static bool too_slow(const struct call *call)
{
	return call->r == -ETIMEDOUT || (call->r == CLIENT_E_EXCEPTION &&
					 str_eq(call->answer.type, "QubesVMShutdownTimeoutError"));
}

/* it waited for others, and may not have had a turn: it has one when they are gone */
static bool had_no_turn(const struct call *call)
{
	return call->r == -ETIMEDOUT && str_starts(call->arg, "after");
}

static void again(struct call *call)
{
	client_answer_done(&call->answer);
	call->ended = false;
	call->r = 0;
}

static void kill_one(const struct args *a, struct call *call)
{
	ui_note(a, "%s did not shut down in time: killing it", call->qube);
	client_answer_done(&call->answer);
	call->r =
		client_call(NULL, "admin.vm.Kill", call->qube, NULL, NULL, 0, NO_FD, &call->answer);
	if (call->r == CLIENT_E_EXCEPTION && str_eq(call->answer.type, "QubesVMNotStartedError"))
		call->r = 0; /* gone by itself meanwhile */
}

/* after a round: who is killed, and who tried again; the number of those */
static unsigned look(const struct calls *calls)
{
	unsigned n = 0;

	for (unsigned i = 0; i < calls->n; i++) {
		struct call *call = &calls->list[i];

		if (in_use(call) || had_no_turn(call))
			n++;
		else if (too_slow(call))
			kill_one(calls->args, call);
	}
	return n;
}

/* what each is told in the next round; without the table qubesd refuses what it must */
static void choose_ways(struct calls *calls, const struct down *how)
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	AUTO(table_done) struct table t = {0};
	int r = table_load("dom0", fields, &t, &answer);

	for (unsigned i = 0; i < calls->n; i++) {
		struct call *call = &calls->list[i];
		const char *arg = r == 0 ? way(calls, &t, call->qube, how) : NULL;

		(void)snprintf(call->arg, sizeof(call->arg), "%s%s%s", arg ? arg : "",
			       arg && !how->wait ? "+" : "", how->wait ? "" : "later");
	}
}

int down_run(struct calls *calls, const struct down *how)
{
	unsigned n_before = calls->n + 1;

	calls->method = "bulkhead.vm.Shutdown";
	for (;;) {
		unsigned n_again;
		int r;

		choose_ways(calls, how);
		calls->deadline_ms = how->timeout_ms > 0 ? io_now_ms() + how->timeout_ms : 0;
		r = calls_run(calls);
		if (r < 0 || !how->wait)
			return r;
		n_again = look(calls);
		if (n_again == 0 || n_again >= n_before)
			return 0;
		n_before = n_again;
		for (unsigned i = 0; i < calls->n; i++) {
			if (in_use(&calls->list[i]) || had_no_turn(&calls->list[i]))
				again(&calls->list[i]);
		}
	}
}
