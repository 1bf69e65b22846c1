/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "looks.h"

#include "api/call.h"
#include "base/str.h"
#include "job/job.h"
#include "qubesd.h"
#include "volume.h"

#include <stdlib.h>

/** AT_ONCE - so many volumes cost less than a job: 0.05 ms each */
#define AT_ONCE 8

struct seen {
	unsigned qid;
	enum disk disk;
	bool known; /* @usage */
	uint64_t usage;
};

struct looks {
	struct call *call;
	struct request request;
	struct seen *at;
	size_t n, room, next; /* @next: where looks_usage() begins to search */
	bool failed, outdated, damaged, to_the_end;
	struct text revisions;
	struct job_end end;
	looks_fn fn;
	void *data;
};

struct looks *looks_new(struct call *c, looks_fn fn, void *data)
{
	struct looks *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->call = c;
	l->request.source = c->source_qid;
	l->fn = fn;
	l->data = data;
	return l;
}

void looks_free(struct looks *l)
{
	if (!l)
		return;
	request_done(&l->request);
	text_done(&l->revisions);
	free(l->at);
	free(l);
}

void looks_to_the_end(struct looks *l)
{
	l->to_the_end = true;
}

void looks_add(struct looks *l, const struct qube *q, enum disk disk, unsigned what)
{
	struct qubesd *d = l->call->d;
	struct volume_place place;
	struct storage_volume v;

	if (!volume_for_storage(d, q, disk, &place, &v))
		return;
	if (l->n == l->room) {
		const size_t room = l->room > 0 ? l->room * 2 : 4;
		struct seen *more = reallocarray(l->at, room, sizeof(*more));

		if (!more) {
			l->failed = true;
			return;
		}
		l->at = more;
		l->room = room;
	}
	l->at[l->n++] = (struct seen){.qid = q->qid, .disk = disk};
	request_pool(&l->request, d, model_volume_pool(d->model, q, disk));
	look_put(&l->request, &v, what);
}

static void on_seen(void *data, const char *seen, const char *text, uint64_t volume, uint64_t value)
{
	struct looks *l = data;

	if (volume >= l->n)
		return;
	if (str_eq(seen, "usage")) {
		l->at[volume].known = true;
		l->at[volume].usage = value;
	} else if (str_eq(seen, "outdated")) {
		l->outdated = true;
	} else if (str_eq(seen, "damaged")) {
		l->damaged = true;
	} else if (str_eq(seen, "revision")) {
		text_add(&l->revisions, "%s\n", text);
	}
}

/* what could not be looked at is not seen */
static void on_end(void *data, const struct job_end *end)
{
	struct looks *l = data;

	l->end = *end;
	l->call->abandoned = NULL;
	l->fn(l->call, l, l->data);
	looks_free(l);
}

static void on_abandoned(void *data)
{
	struct looks *l = data;

	job_abandon(l->call->d, l);
}

int looks_go(struct looks *l)
{
	static const struct job_events events = {on_seen, on_end};
	static const struct job_end well = {0};
	struct call *c = l->call;
	int r = l->failed || l->request.body.failed ? -ENOMEM : 0;

	if (r == 0 && l->n <= AT_ONCE && l->request.pools[0][0] == '\0') {
		r = look_each(&l->request, on_seen, l);
		if (r == 0)
			on_end(l, &well);
	} else if (r == 0) {
		r = job_start(c->d, "look", &l->request, &events, l);
		if (r == 0 && !l->to_the_end) {
			c->abandoned = on_abandoned;
			c->ended_data = l;
		}
	}
	if (r == 0)
		return CALL_LATER;
	looks_free(l);
	return r == JOB_E_MANY ? call_refuse_many(c) : r;
}

bool looks_usage(struct looks *l, const struct qube *q, enum disk disk, uint64_t *ret)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct seen *s = &l->at[(l->next + i) % l->n];

		if (s->qid != q->qid || s->disk != disk)
			continue;
		l->next = (l->next + i + 1) % l->n;
		*ret = s->usage;
		return s->known;
	}
	return false;
}

const char *looks_unanswered(const struct looks *l)
{
	return l->end.type[0] != '\0' ? l->end.text : NULL;
}

bool looks_outdated(const struct looks *l)
{
	return l->outdated;
}

bool looks_damaged(const struct looks *l)
{
	return l->damaged;
}

const struct text *looks_revisions(const struct looks *l)
{
	return &l->revisions;
}
