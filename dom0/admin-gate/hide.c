/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A qube that may list or follow all qubes hears only of those about which the policy would let it ask: each line and event is
 * a question to policyd, and what a person would have to be asked is not shown. Nothing is remembered but that a qube was shown, so that
 * its end is told too, which the policy cannot judge any more; so a changed policy or tag counts from the next event on.
 */
#include "gate.h"

#include "base/io.h"
#include "base/str.h"
#include "proto/decision.h"
#include "proto/gate.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/** SHOWN_MAX - qubes whose end is told for having been shown; more than there can be at a time */
#define SHOWN_MAX 10240

/* what is_allowed() says. What the policy says of a qube it does not know is what it says of no target at all, and so of any:
 * a rule against that very qube, or its tags, is not among those that were looked at */
enum { HIDDEN, TOLD, UNKNOWN_TOLD };

/* does the policy let the caller call @service of @target? -errno: it does not answer any more */
static int is_allowed(const struct hide *h, const char *service, const char *target)
{
	const struct decision_request q = {.source = h->source,
					   .target = target,
					   .service = service,
					   .just_evaluate = true,
					   .keep = true};
	static char text[8192];
	struct decision_answer a;
	size_t len = decision_request_encode(&q, text, sizeof(text)), n = 0;
	int r;

	if (len == 0)
		return 0;
	r = io_write_full(h->policy_fd, text, len);
	while (r == 0 && decision_answer_len(text, n) == 0) {
		ssize_t got = n < sizeof(text) ? read(h->policy_fd, text + n, sizeof(text) - n) : 0;

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? fail_errno() : -EPROTO;
		n += (size_t)got;
	}
	if (r < 0)
		return r;
	if (decision_answer_len(text, n) != n || decision_answer_decode(text, n - 1, &a) != 0)
		return -EPROTO;
	if (!a.allow)
		return HIDDEN;
	return str_eq(a.requested_target, "@default") ? UNKNOWN_TOLD : TOLD;
}

int hide_begin(const struct hide *h, const struct gate_method *m)
{
	char first[128];
	int r;

	if (h->policy_fd < 0)
		return 0;
	gate_event_service(m->name, "connection-established", first, sizeof(first));
	r = is_allowed(h, first, "@adminvm");
	return r < 0 ? r : 0;
}

int hide_list(const struct hide *h, const char *answer, size_t len, int to)
{
	const char *at = answer + 2, *line;
	char name[ADMIN_MAX_NAME + 1];
	size_t line_len;
	int r = 0;

	if (h->policy_fd < 0 || len < 2 || answer[0] != ADMIN_OK)
		return io_write_full(to, answer, len);
	AUTO_FREE char *kept = malloc(len);
	size_t n = 2;

	if (!kept)
		return -ENOMEM;
	memcpy(kept, answer, 2);
	while (gate_list_line(&at, answer + len, &line, &line_len, name)) {
		r = is_allowed(h, "admin.vm.List+", name);
		if (r < 0)
			return r;
		if (r == TOLD) {
			memcpy(kept + n, line, line_len);
			n += line_len;
		}
	}
	/* all of it was understood, or none of it is told */
	return at == answer + len ? io_write_full(to, kept, n) : -EPROTO;
}

/* bytes of events that are held: one, and what came with its end */
#define HELD_MAX ((size_t)2 * ADMIN_MAX_EVENT)

/* names of qubes that were shown */
struct shown {
	char (*names)[QUBE_NAME_MAX + 1];
	size_t n;
};

static void shown_done(struct shown *s)
{
	free(s->names);
}

static size_t shown_find(const struct shown *s, const char *name)
{
	size_t i = 0;

	while (i < s->n && !str_eq(s->names[i], name))
		i++;
	return i;
}

static int shown_add(struct shown *s, const char *name)
{
	void *more;

	if (s->n == SHOWN_MAX || !str_is_qube_name(name, strlen(name)) ||
	    shown_find(s, name) < s->n)
		return 0;
	more = s->n % 256 == 0 ? realloc(s->names, (s->n + 256) * sizeof(*s->names)) : s->names;
	if (!more)
		return -ENOMEM;
	s->names = more;
	(void)snprintf(s->names[s->n++], sizeof(s->names[0]), "%s", name);
	return 0;
}

static void shown_remove(struct shown *s, const char *name)
{
	size_t i = shown_find(s, name);

	if (i < s->n)
		memmove(s->names[i], s->names[--s->n], sizeof(s->names[0]));
}

static const char *value_of(const struct admin_event *e, const char *key)
{
	for (unsigned i = 0; i < e->n; i++)
		if (str_eq(e->keys[i], key))
			return e->values[i];
	return NULL;
}

/* 1: the caller hears it; 0; -errno */
static int is_for(const struct hide *h, const struct gate_method *m, struct shown *s,
		  const struct admin_event *e)
{
	const char *about = e->subject[0] != '\0' ? e->subject : value_of(e, "vm");
	const bool gone = e->subject[0] == '\0' && str_eq(e->name, "domain-delete");
	const bool going = e->subject[0] == '\0' && str_eq(e->name, "domain-pre-delete");
	char service[512];
	int r;

	/* tells of nothing but the stream */
	if (e->subject[0] == '\0' && str_eq(e->name, "connection-established"))
		return 1;
	gate_event_service(m->name, e->name, service, sizeof(service));
	r = is_allowed(h, service, about ? about : "@adminvm");
	if (r < 0)
		return r;
	if (!about)
		return r != HIDDEN;
	/* the policy may have forgotten it already: then only who has heard of it hears of its end */
	if ((gone || going) && r != TOLD)
		r = shown_find(s, about) < s->n ? TOLD : HIDDEN;
	if (gone)
		shown_remove(s, about);
	else if (r != HIDDEN && shown_add(s, about) < 0)
		return -ENOMEM;
	return r != HIDDEN;
}

/* what came by now, as far as it is whole */
static int tell(const struct hide *h, const struct gate_method *m, struct shown *s, char *buf,
		size_t *len, int to)
{
	size_t at = 0, one;
	struct admin_event e;
	int r = 0;

	while (r == 0 && admin_event_decode(buf + at, *len - at, &e, &one) == 0) {
		r = is_for(h, m, s, &e);
		if (r == 1)
			r = io_write_full(to, buf + at, one);
		at += one;
	}
	memmove(buf, buf + at, *len - at);
	*len -= at;
	return r;
}

/* the caller is there, and so is who decides what it hears: both are watched while nothing happens. 0: there is something to be read */
static int wait_for(const struct hide *h, int from, int to)
{
	struct pollfd p[] = {{from, POLLIN, 0}, {to, 0, 0}, {h->policy_fd, 0, 0}};

	while (poll(p, ARRAY_LEN(p), -1) < 0)
		if (errno != EINTR)
			return fail_errno();
	return p[1].revents || p[2].revents ? -EPIPE : 0;
}

int hide_events(const struct hide *h, const struct gate_method *m, int from, int to)
{
	AUTO(shown_done) struct shown shown = {0};
	AUTO_FREE char *buf = malloc(HELD_MAX);
	struct admin_event e;
	size_t len = 0, one;

	if (!buf)
		return -ENOMEM;
	for (;;) {
		int r = wait_for(h, from, to);
		ssize_t n = r == 0 ? read(from, buf + len, HELD_MAX - len) : 0;

		if (r < 0)
			return r;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno();
		/* an exception, whole */
		if (n == 0)
			return len > 0 && buf[0] == ADMIN_EXCEPTION ? io_write_full(to, buf, len)
			       : len > 0                            ? -EPROTO
								    : 0;
		len += (size_t)n;
		if (h->policy_fd < 0) {
			r = io_write_full(to, buf, len);
			len = 0;
		} else {
			r = tell(h, m, &shown, buf, &len, to);
		}
		if (r < 0)
			return r;
		if (len >= ADMIN_MAX_EVENT &&
		    admin_event_decode(buf, len, &e, &one) != ADMIN_E_MORE)
			return -EPROTO;
	}
}
