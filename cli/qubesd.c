/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qubesd.h"

#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "ui.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#define TICK_MS 250

bool text_names(const char *text, const char *who)
{
	size_t len = strlen(who);

	for (const char *at = text; len > 0 && (at = strstr(at, who)); at++) {
		if ((at == text || !bytes_are_alnum_or(at - 1, 1, "_.-")) &&
		    (at[len] == '\0' || !bytes_are_alnum_or(at + len, 1, "_.-")))
			return true;
	}
	return false;
}

/* what to do next after an exception of @type with @text; "; ..." or "" */
static const char *next_step(const char *type, const char *text)
{
	static const struct {
		const char *type, *text, *step;
	} steps[] = {
		{"QubesVMNotFoundError", "there is no template",
		 "; qvm-template list shows what is installed and what can be"},
		{"QubesVMNotFoundError", "there is no qube", "; qvm-ls lists them"},
		{"QubesNoSuchPropertyError", "of the system",
		 "; qubes-prefs --help-properties lists them"},
		{"QubesNoSuchPropertyError", "", "; qvm-prefs --help-properties lists them"},
	};

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		if (str_eq(type, steps[i].type) && strstr(text, steps[i].text))
			return steps[i].step;
	}
	return "";
}

int qubesd_failed(const struct args *a, const char *who, int r, const struct client_answer *answer)
{
	const char *text = r == CLIENT_E_EXCEPTION && answer->data ? answer->data : "";
	/* a text that names the qube needs no name before it */
	bool named = who && text_names(text, who);
	const char *colon = who && !named ? ": " : "";

	who = who && !named ? who : "";
	if (r == -ENOENT || r == -ECONNREFUSED)
		return ui_fail(a, "Bulkhead is not running; start it with: bulkhead start");
	if (r == CLIENT_E_EXCEPTION)
		return ui_fail(a, "%s%s%s%s", who, colon, text[0] != '\0' ? text : answer->type,
			       next_step(answer->type, text));
	if (r == CLIENT_E_EMPTY)
		return ui_fail(
			a,
			"%s%squbesd closed the connection without an answer; what happened is "
			"in its log (bulkhead status says where)",
			who, colon);
	if (r > 0)
		return ui_fail(a, "%s%squbesd's answer cannot be understood", who, colon);
	if (r == -EINVAL)
		return ui_fail(a, "%s%snames hold neither spaces nor control characters", who,
			       colon);
	if (r == -E2BIG)
		return ui_fail(a, "%s%stoo long", who, colon);
	if (r == -EPERM || r == -EACCES)
		return ui_fail(a, "%s%squbesd belongs to another user", who, colon);
	return ui_fail(a, "%s%s%s", who, colon, log_errno_str(r));
}

int qubesd_call(const struct args *a, const char *method, const char *dest, const char *arg,
		const char *payload, struct client_answer *ret)
{
	struct client_answer answer;
	int r = client_call(NULL, method, dest, arg, payload, payload ? strlen(payload) : 0, NO_FD,
			    &answer);

	if (r != 0)
		r = qubesd_failed(a, str_eq(dest, "dom0") ? NULL : dest, r, &answer);
	else if (ret) {
		*ret = answer;
		return 0;
	}
	client_answer_done(&answer);
	if (ret)
		*ret = answer;
	return r;
}

static bool is_default_template(const char *qube)
{
	AUTO(client_answer_done) struct client_answer answer;
	const char *value;

	if (client_call(NULL, "admin.property.Get", "dom0", "default_template", NULL, 0, NO_FD,
			&answer) != 0)
		return false;
	value = strrchr(answer.data, ' ');
	return value && str_eq(value + 1, qube);
}

int qubesd_remove(const char *qube, struct client_answer *ret)
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	int r = client_call(NULL, "bulkhead.vm.Remove", qube, NULL, NULL, 0, NO_FD, ret);

	if (r != CLIENT_E_EXCEPTION || !str_eq(ret->type, "QubesVMInUseError") ||
	    !is_default_template(qube))
		return r;
	if (client_call(NULL, "admin.property.Reset", "dom0", "default_template", NULL, 0, NO_FD,
			&answer) != 0)
		return r;
	client_answer_done(&answer);
	client_answer_done(ret);
	r = client_call(NULL, "bulkhead.vm.Remove", qube, NULL, NULL, 0, NO_FD, ret);
	/* something else needs it: as before */
	if (r != 0 && client_call(NULL, "admin.property.Set", "dom0", "default_template", qube,
				  strlen(qube), NO_FD, &answer) != 0)
		client_answer_done(&answer);
	return r;
}

/* cut @t's data into cells; the first line only names the fields */
static int table_cut(struct table *t)
{
	char *at = t->data + strcspn(t->data, "\n");
	size_t n = 0;

	if (*at == '\n')
		at++;
	while (*at != '\0') {
		for (unsigned i = 0; i < t->n_fields; i++) {
			size_t len = strcspn(at, "\t\n");
			char end = at[len];

			if ((i + 1 < t->n_fields) != (end == '\t'))
				return CLIENT_E_FORMAT;
			t->cells[n++] = at;
			at[len] = '\0';
			at += len + (end != '\0');
		}
		t->n_rows++;
	}
	return 0;
}

int table_load(const char *dest, const char *fields, struct table *ret,
	       struct client_answer *answer)
{
	AUTO(table_done) struct table t = {0};
	size_t most = 1;
	int r;

	*ret = t;
	r = client_call(NULL, "bulkhead.List", dest, NULL, fields, strlen(fields), NO_FD, answer);
	if (r != 0)
		return r;
	t.data = take_ptr(&answer->data);
	t.n_fields = 1;
	for (const char *at = t.data; *at != '\0' && *at != '\n'; at++)
		t.n_fields += *at == '\t';
	for (const char *at = t.data; *at != '\0'; at++)
		most += *at == '\t' || *at == '\n';
	t.cells = calloc(most, sizeof(*t.cells));
	if (!t.cells)
		return -ENOMEM;
	r = table_cut(&t);
	if (r != 0)
		return r;
	*ret = t;
	t = (struct table){0};
	return 0;
}

void table_done(struct table *t)
{
	free(t->data);
	free((void *)t->cells);
	*t = (struct table){0};
}

const char *table_cell(const struct table *t, unsigned row, unsigned field)
{
	return t->cells[row * t->n_fields + field];
}

int table_find(const struct table *t, const char *name)
{
	for (unsigned row = 0; row < t->n_rows; row++) {
		if (str_eq(table_cell(t, row, 0), name))
			return (int)row;
	}
	return -1;
}

static void call_end(struct call *call, int r)
{
	call->r = r;
	call->ended = true;
	client_events_free(call->stream);
	call->stream = NULL;
}

static void call_begin(struct call *call, const struct calls *c)
{
	AUTO_CLOSE int sock = NO_FD;
	int r;

	r = client_open(NULL, c->method, call->qube, call->arg[0] != '\0' ? call->arg : c->arg,
			c->payload, c->payload ? strlen(c->payload) : 0, c->fd ? *c->fd : NO_FD,
			&sock);
	if (r == 0)
		r = client_events_new(&sock, &call->stream);
	if (r != 0)
		call_end(call, r);
}

static uint64_t number(const char *text)
{
	uint64_t n;

	return text && str_u64(text, UINT64_MAX, &n) == 0 ? n : 0;
}

/* take what has arrived */
static void call_go_on(struct call *call)
{
	struct client_event event;
	const char *text;
	int r;

	while ((r = client_events_next(call->stream, 0, &event)) == 0) {
		if (!str_eq(event.name, "progress"))
			continue;
		text = client_event_value(&event, "text");
		(void)snprintf(call->text, sizeof(call->text), "%s", text ? text : "");
		call->done = number(client_event_value(&event, "done"));
		call->total = number(client_event_value(&event, "total"));
	}
	if (r == -ETIMEDOUT)
		return;
	if (r == CLIENT_E_ANSWER)
		r = client_events_answer(call->stream, &call->answer);
	else if (r == -ENODATA)
		r = CLIENT_E_EMPTY;
	call_end(call, r);
}

/* "starting work: waiting for its agent", or how many are not done */
static void show(const struct calls *c, struct ui_progress *progress)
{
	const struct call *first = NULL;
	unsigned n_open = 0;
	int percent = -1;

	for (unsigned i = 0; i < c->n; i++) {
		if (c->list[i].ended)
			continue;
		n_open++;
		if (!first)
			first = &c->list[i];
	}
	if (!first)
		return;
	if (n_open > 1) {
		ui_progress(progress, -1, "%s %s and %u more", c->verb, first->qube, n_open - 1);
		return;
	}
	if (first->total > 0)
		percent = (int)(first->done * 100 / first->total);
	if (c->percent_to > 0)
		percent = c->percent_from +
			  (percent > 0 ? percent * (c->percent_to - c->percent_from) / 100 : 0);
	ui_progress(progress, percent, "%s %s%s%s", c->verb, first->qube,
		    first->text[0] != '\0' ? ": " : "", first->text);
}

int calls_run(struct calls *c)
{
	AUTO_FREE struct pollfd *polls = calloc(c->n + 1, sizeof(*polls));
	AUTO_FREE struct call **polled = calloc(c->n + 1, sizeof(*polled));
	struct ui_progress progress = {.args = c->args};
	unsigned at_once = c->n_at_once == 0 ? c->n : c->n_at_once;

	if (!polls || !polled)
		return -ENOMEM;
	for (;;) {
		unsigned n_open = 0;

		for (unsigned i = 0; i < c->n; i++) {
			struct call *call = &c->list[i];

			if (!call->ended && !call->stream && n_open < at_once)
				call_begin(call, c);
			if (call->ended || !call->stream)
				continue;
			polled[n_open] = call;
			polls[n_open].fd = client_events_fd(call->stream);
			polls[n_open++].events = POLLIN;
		}
		if (n_open == 0)
			break;
		if ((c->deadline_ms != 0 && io_now_ms() >= c->deadline_ms) ||
		    (c->stop && *c->stop)) {
			for (unsigned i = 0; i < c->n; i++) {
				if (!c->list[i].ended)
					call_end(&c->list[i],
						 c->stop && *c->stop ? -EINTR : -ETIMEDOUT);
			}
			break;
		}
		if (poll(polls, n_open, TICK_MS) < 0 && errno != EINTR)
			return fail_errno();
		for (unsigned i = 0; i < n_open; i++) {
			if (polls[i].revents != 0)
				call_go_on(polled[i]);
		}
		show(c, &progress);
	}
	ui_progress_end(&progress);
	return 0;
}

void calls_done(struct calls *c)
{
	for (unsigned i = 0; i < c->n; i++) {
		client_events_free(c->list[i].stream);
		client_answer_done(&c->list[i].answer);
	}
}

int calls_finish(struct calls *c, int r, const char *harmless, int result)
{
	if (r < 0)
		result = ui_fail_errno(c->args, NULL, r);
	for (unsigned i = 0; i < c->n; i++) {
		const struct call *call = &c->list[i];

		if (call->r == CLIENT_E_EXCEPTION && str_eq(call->answer.type, harmless))
			continue;
		if (call->r != 0)
			result = qubesd_failed(c->args, call->qube, call->r, &call->answer);
	}
	calls_done(c);
	return result;
}

static bool state_fits(const char *state, const char *wanted)
{
	if (!wanted)
		return true;
	return wanted[0] == '!' ? !str_eq(state, wanted + 1) : str_eq(state, wanted);
}

int qubesd_no_qube(const struct args *a, const char *name)
{
	return ui_fail(a, "there is no qube '%s'; qvm-ls lists them", name);
}

static int choose_all(const struct args *a, struct choice *c)
{
	/* a name that is misspelt would not be left out */
	for (unsigned i = 0; i < a->n_given; i++) {
		if (a->given[i].key == c->exclude && table_find(&c->table, a->given[i].value) < 0)
			return qubesd_no_qube(a, a->given[i].value);
	}
	for (unsigned row = 0; row < c->table.n_rows; row++) {
		const char *name = table_cell(&c->table, row, 0);
		const char *class = table_cell(&c->table, row, 2);

		if (!str_eq(class, "AdminVM") && !(c->here && str_eq(class, "RemoteVM")) &&
		    !args_given_is(a, c->exclude, name) &&
		    state_fits(table_cell(&c->table, row, 1), c->state))
			c->names[c->n++] = name;
	}
	return 0;
}

static int choose_named(const struct args *a, struct choice *c)
{
	for (unsigned i = 0; i < a->n_words; i++) {
		int row = table_find(&c->table, a->words[i]);
		const char *name;
		bool twice = false;

		if (row < 0)
			return qubesd_no_qube(a, a->words[i]);
		name = table_cell(&c->table, (unsigned)row, 0);
		if (str_eq(table_cell(&c->table, (unsigned)row, 2), "AdminVM"))
			return ui_fail(a, "%s is the trusted side itself; this is for qubes", name);
		for (unsigned k = 0; k < c->n; k++)
			twice = twice || c->names[k] == name;
		if (!twice)
			c->names[c->n++] = name;
	}
	return 0;
}

int choice_make(const struct args *a, struct choice *c)
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	bool all = c->all != 0 && args_has(a, c->all);
	int r;

	if (all && a->n_words > 0) {
		(void)ui_usage(a, "name qubes or say --all, not both");
		return 2;
	}
	if (!all && a->n_words == 0) {
		(void)ui_usage(a, c->all != 0 ? "name a qube, or say --all" : "name a qube");
		return 2;
	}
	if (!all && c->exclude != 0 && args_has(a, c->exclude)) {
		(void)ui_usage(a, "--exclude goes with --all");
		return 2;
	}
	r = table_load("dom0", "name\nstate\nclass", &c->table, &answer);
	if (r != 0)
		return qubesd_failed(a, NULL, r, &answer);
	c->names = calloc(c->table.n_rows + a->n_words + 1, sizeof(*c->names));
	if (!c->names)
		return qubesd_failed(a, NULL, -ENOMEM, &answer);
	return all ? choose_all(a, c) : choose_named(a, c);
}

void choice_done(struct choice *c)
{
	table_done(&c->table);
	free((void *)c->names);
	c->names = NULL;
}

const char *choice_state(const struct choice *c, const char *name)
{
	int row = table_find(&c->table, name);

	return row < 0 ? "" : table_cell(&c->table, (unsigned)row, 1);
}
