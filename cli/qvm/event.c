/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qubes-event: what happens to qubes, line by line as it happens.
 *
 * Values come from qubesd, some of them from a person or a qube: what is no printable character is
 * shown as \xHH.
 */
#include "qvm.h"

#include "base/io.h"
#include "base/str.h"
#include "grid.h"
#include "qubesd.h"
#include "ui.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

enum { QUBE = OPTION_OWN, COUNT, TIMEOUT, JSON };

/* is the event one of those asked for? Without patterns all are, but for the connection's own. */
static bool wanted(const struct args *a, const struct client_event *e)
{
	for (unsigned i = 0; i < a->n_words; i++) {
		if (fnmatch(a->words[i], e->name, 0) == 0)
			return true;
	}
	return a->n_words == 0 && !str_eq(e->name, "connection-established");
}

static void put_text(const char *text)
{
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x20 || c == 0x7f || c == '\\')
			(void)printf("\\x%02x", c);
		else
			(void)putchar(c);
	}
}

static void put_plain(const struct client_event *e)
{
	put_text(e->subject[0] == '\0' ? "-" : e->subject);
	(void)putchar('\t');
	put_text(e->name);
	for (unsigned i = 0; i < e->n; i++) {
		(void)putchar('\t');
		put_text(e->keys[i]);
		(void)putchar('=');
		put_text(e->values[i]);
	}
	(void)putchar('\n');
}

static void put_json(const struct client_event *e)
{
	(void)fputs("{\"subject\": ", stdout);
	if (e->subject[0] == '\0')
		(void)fputs("null", stdout);
	else
		json_put_text(e->subject);
	(void)fputs(", \"event\": ", stdout);
	json_put_text(e->name);
	for (unsigned i = 0; i < e->n; i++) {
		(void)fputs(i == 0 ? ", \"values\": {" : ", ", stdout);
		json_put_text(e->keys[i]);
		(void)fputs(": ", stdout);
		json_put_text(e->values[i]);
	}
	(void)puts(e->n > 0 ? "}}" : "}");
}

/* @count: end after so many; 0 = never. @deadline_ms: by io_now_ms(); 0 = none */
static int follow(const struct args *a, struct client_events *stream, uint64_t count,
		  uint64_t deadline_ms)
{
	const char *qube = args_value(a, QUBE);
	struct client_event e;

	for (uint64_t n = 0;;) {
		uint64_t now = io_now_ms();
		uint64_t left = now < deadline_ms ? deadline_ms - now : 0;
		int r = client_events_next(stream, deadline_ms == 0 ? -1 : (int)left, &e);

		if (r == CLIENT_E_ANSWER) {
			struct client_answer answer = {0};

			r = client_events_answer(stream, &answer);
			r = qubesd_failed(a, qube, r, &answer);
			client_answer_done(&answer);
			return r;
		}
		if (r == -ETIMEDOUT)
			return ui_fail(a, "it has not happened in that time");
		if (r == -ENODATA)
			return ui_fail(
				a,
				"qubesd has closed the connection; bulkhead status says how it is");
		if (r != 0)
			return qubesd_failed(a, qube, r, NULL);
		if (!wanted(a, &e))
			continue;
		if (args_has(a, JSON))
			put_json(&e);
		else
			put_plain(&e);
		/* who reads us wants it now, and may have gone */
		if (fflush(stdout) != 0)
			return 1;
		if (++n == count)
			return 0;
	}
}

static int run(const struct args *a)
{
	const char *qube = args_value(a, QUBE), *count = args_value(a, COUNT);
	struct client_events *stream = NULL;
	AUTO_CLOSE int sock = NO_FD;
	uint64_t n = 0, timeout_s = 0;
	int r;

	if (count && (str_u64(count, UINT32_MAX, &n) < 0 || n == 0)) {
		(void)ui_usage(a, "--count wants a number above 0, not %s", count);
		return 2;
	}
	if (qvm_timeout(a, TIMEOUT, &timeout_s) != 0)
		return 2;
	r = client_open(NULL, "admin.Events", qube ? qube : "dom0", NULL, NULL, 0, NO_FD, &sock);
	r = r != 0 ? r : client_events_new(&sock, &stream);
	if (r != 0)
		return qubesd_failed(a, qube, r, NULL);
	r = follow(a, stream, n, args_has(a, TIMEOUT) ? io_now_ms() + timeout_s * 1000 + 1 : 0);
	client_events_free(stream);
	return r;
}

static const struct option options[] = {
	{QUBE, 0, "qube", "QUBE", "only what concerns this qube", .words = WORDS_QUBE},
	{COUNT, 'n', "count", "NUMBER", "end after so many events"},
	{TIMEOUT, 0, "timeout", "SECONDS", "give up after this time, with exit status 1"},
	{JSON, 0, "json", NULL, "for programs: each event an object on a line"},
	{0},
};

const struct command qubes_event = {
	.name = "qubes-event",
	.whole = true,
	.summary = "show what happens to qubes, as it happens",
	.synopses = {"[OPTION]... [EVENT]..."},
	.text = "Prints each event as a line: the qube or - for the system, the event's name, and "
		"what belongs to it\n"
		"as KEY=VALUE, separated by tabs. With EVENTs only those of such a name, which may "
		"have * and ? in it.\n"
		"It goes on until it is ended, unless --count says otherwise.\n\n"
		"The event connection-established, the first on every connection, is shown only "
		"if asked for: from\n"
		"then on nothing is missed.",
	.sections =
		{
			{"EVENTS",
			 "\tdomain-add, domain-delete             a qube came, went\n"
			 "\tdomain-pre-start, domain-start        it is starting, has started\n"
			 "\tdomain-pre-shutdown, domain-shutdown  it shuts down, is halted\n"
			 "\tdomain-paused, domain-unpaused\n"
			 "\tproperty-set:NAME, property-reset:NAME\n"
			 "\tdomain-feature-set:NAME, domain-feature-delete:NAME\n"
			 "\tdomain-tag-add:TAG, domain-tag-delete:TAG\n"
			 "\tfirewall-changed"},
			{"EXAMPLES",
			 "\tqubes-event 'domain-*'\n"
			 "\tqubes-event --qube work -n 1 --timeout 60 domain-shutdown\n"
			 "\tqubes-event --json | jq -r 'select(.event == \"domain-start\").subject'"},
		},
	.options = options,
	.words = {WORDS_TEXT},
	.run = run,
};
