/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "looks.h"

#include "api/call.h"
#include "base/str.h"
#include "job/job.h"
#include "qubesd.h"
#include "volume.h"

#include <stdio.h>
#include <stdlib.h>

/** AT_ONCE - so many volumes cost less than a job: 0.05 ms each */
#define AT_ONCE 8

struct seen {
	unsigned qid;
	enum disk disk;
	bool known; /* @usage */
	uint64_t usage;
};

/* those in the instance's own folder, and those of each other pool: a look at one is not to wait for another. So many pools at once have
 * a part of their own, more share the last */
#define NEAR    0
#define N_PARTS 9

/* @pool: "" = free yet, or NEAR */
struct part {
	struct looks *l;
	struct request request;
	char pool[64];
	struct seen *at;
	size_t n, room, next; /* @next: where looks_usage() begins to search */
	bool job;             /* one looks */
};

struct looks {
	struct call *call;
	struct part parts[N_PARTS];
	unsigned n_going; /* parts that are not looked at yet, and looks_go() */
	bool failed, outdated, damaged, to_the_end;
	struct text revisions;
	struct job_end end; /* of the first part that failed */
	looks_fn fn;
	void *data;
};

struct looks *looks_new(struct call *c, looks_fn fn, void *data)
{
	struct looks *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->call = c;
	for (unsigned i = 0; i < N_PARTS; i++) {
		l->parts[i].l = l;
		l->parts[i].request.source = c->source_qid;
	}
	l->fn = fn;
	l->data = data;
	return l;
}

void looks_free(struct looks *l)
{
	if (!l)
		return;
	for (unsigned i = 0; i < N_PARTS; i++) {
		request_done(&l->parts[i].request);
		free(l->parts[i].at);
	}
	text_done(&l->revisions);
	free(l);
}

void looks_to_the_end(struct looks *l)
{
	l->to_the_end = true;
}

static struct part *part_of(struct looks *l, const struct qube *q, enum disk disk)
{
	const struct qubesd *d = l->call->d;
	const char *pool = model_volume_pool(d->model, q, disk);
	struct part *p = &l->parts[NEAR + 1];

	if (!pool || volume_pool_is_near(d, pool))
		return &l->parts[NEAR];
	while (p < &l->parts[N_PARTS - 1] && p->pool[0] != '\0' && !str_eq(p->pool, pool))
		p++;
	if (p->pool[0] == '\0')
		(void)snprintf(p->pool, sizeof(p->pool), "%s", pool);
	return p;
}

void looks_add(struct looks *l, const struct qube *q, enum disk disk, unsigned what)
{
	struct qubesd *d = l->call->d;
	struct volume_place place;
	struct storage_volume v;
	struct part *p;

	if (!volume_for_storage(d, q, disk, &place, &v))
		return;
	p = part_of(l, q, disk);
	if (p->n == p->room) {
		const size_t room = p->room > 0 ? p->room * 2 : 4;
		struct seen *more = reallocarray(p->at, room, sizeof(*more));

		if (!more) {
			l->failed = true;
			return;
		}
		p->at = more;
		p->room = room;
	}
	p->at[p->n++] = (struct seen){.qid = q->qid, .disk = disk};
	request_pool(&p->request, d, model_volume_pool(d->model, q, disk));
	look_put(&p->request, &v, what);
}

static void on_seen(void *data, const char *seen, const char *text, uint64_t volume, uint64_t value)
{
	struct part *p = data;
	struct looks *l = p->l;

	if (volume >= p->n)
		return;
	if (str_eq(seen, "usage")) {
		p->at[volume].known = true;
		p->at[volume].usage = value;
	} else if (str_eq(seen, "outdated")) {
		l->outdated = true;
	} else if (str_eq(seen, "damaged")) {
		l->damaged = true;
	} else if (str_eq(seen, "revision")) {
		text_add(&l->revisions, "%s\n", text);
	}
}

/* what could not be looked at is not seen */
static void gone(struct looks *l)
{
	if (--l->n_going > 0)
		return;
	l->call->abandoned = NULL;
	l->fn(l->call, l, l->data);
	looks_free(l);
}

static void on_end(void *data, const struct job_end *end)
{
	struct part *p = data;

	p->job = false;
	if (p->l->end.type[0] == '\0')
		p->l->end = *end;
	gone(p->l);
}

/* the last of them frees @l */
static void abandon(struct looks *l)
{
	struct qubesd *d = l->call->d;
	bool job[N_PARTS];

	for (unsigned i = 0; i < N_PARTS; i++)
		job[i] = l->parts[i].job;
	for (unsigned i = 0; i < N_PARTS; i++)
		if (job[i])
			job_abandon(d, &l->parts[i]);
}

static void on_abandoned(void *data)
{
	abandon(data);
}

static int begin(struct part *p, bool at_once)
{
	static const struct job_events events = {on_seen, on_end};
	int r;

	if (p->n == 0)
		return 0;
	if (at_once)
		return look_each(&p->request, on_seen, p);
	r = job_start(p->l->call->d, "look", &p->request, &events, p);
	if (r == 0) {
		p->job = true;
		p->l->n_going++;
	}
	return r;
}

int looks_go(struct looks *l)
{
	struct call *c = l->call;
	int r = l->failed ? -ENOMEM : 0;

	l->n_going = 1;
	for (unsigned i = 0; r == 0 && i < N_PARTS; i++)
		r = l->parts[i].request.body.failed
			    ? -ENOMEM
			    : begin(&l->parts[i], i == NEAR && l->parts[i].n <= AT_ONCE);
	if (r != 0) {
		abandon(l);
		looks_free(l);
		return r == JOB_E_MANY ? call_refuse_many(c) : r;
	}
	if (l->n_going > 1 && !l->to_the_end) {
		c->abandoned = on_abandoned;
		c->ended_data = l;
	}
	gone(l);
	return CALL_LATER;
}

bool looks_usage(struct looks *l, const struct qube *q, enum disk disk, uint64_t *ret)
{
	for (unsigned k = 0; k < 2 * N_PARTS; k++) {
		struct part *p = &l->parts[k % N_PARTS];
		/* what comes next in each of them, then all */
		const size_t n = k < N_PARTS && p->n > 0 ? 1 : p->n;

		for (size_t i = 0; i < n; i++) {
			const struct seen *s = &p->at[(p->next + i) % p->n];

			if (s->qid != q->qid || s->disk != disk)
				continue;
			p->next = (p->next + i + 1) % p->n;
			*ret = s->usage;
			return s->known;
		}
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
