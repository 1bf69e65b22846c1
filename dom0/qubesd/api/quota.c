/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/quota.h"

#include "api/call.h"
#include "api/method.h"
#include "base/log.h"
#include "qubesd.h"

#include <stdio.h>
#include <string.h>

/** struct quota - of a qube that said something lately; it goes when @spent is 0 again and nothing is kept */
struct quota {
	struct quota *next;
	struct qubesd *d;
	char key[sizeof("uuid:") + UUID_LEN]; /* of the qube, for model_find() */
	unsigned spent;
	bool told;         /* in the log */
	struct call *kept; /* one of each method */
	sd_event_source *timer;
};

static void quota_free(struct quota *q)
{
	struct quota **at = &q->d->quotas;

	while (*at != q)
		at = &(*at)->next;
	*at = q->next;
	while (q->kept) {
		struct call *c = q->kept;

		q->kept = c->next;
		call_drop(c);
	}
	sd_event_source_disable_unref(q->timer);
	free(q);
}

static struct quota *quota_find(struct qubesd *d, const struct qube *qube)
{
	struct quota *q = d->quotas;

	while (q && strcmp(q->key + strlen("uuid:"), qube->uuid) != 0)
		q = q->next;
	return q;
}

/* what was kept of this method; NULL: nothing */
static struct call *take_kept(struct quota *q, const struct method *method)
{
	for (struct call **at = &q->kept; *at; at = &(*at)->next)
		if ((*at)->method == method) {
			struct call *c = *at;

			*at = c->next;
			c->next = NULL;
			return c;
		}
	return NULL;
}

static void run_kept(struct quota *q, struct qube *qube)
{
	struct call *c = take_kept(q, q->kept->method);
	int r;

	if (!c)
		return;
	c->source = qube;
	r = c->method->handler(c);
	if (r != CALL_LATER)
		call_end(c, r);
}

static int on_period(sd_event_source *source, uint64_t usec, void *data)
{
	struct quota *q = data;
	struct qube *qube = model_find(q->d->model, q->key);

	(void)usec;
	if (q->spent > 0)
		q->spent--;
	if (qube && !qube->hidden && q->kept && q->spent < QUOTA_BURST)
		run_kept(q, qube);
	if (!qube || qube->hidden || (q->spent == 0 && !q->kept) ||
	    sd_event_source_set_time_relative(source, QUOTA_PERIOD_MS * UINT64_C(1000)) < 0 ||
	    sd_event_source_set_enabled(source, SD_EVENT_ONESHOT) < 0)
		quota_free(q);
	return 0;
}

static int quota_new(struct qubesd *d, const struct qube *qube, struct quota **ret)
{
	struct quota *q = calloc(1, sizeof(*q));
	int r;

	if (!q)
		return -ENOMEM;
	q->d = d;
	(void)snprintf(q->key, sizeof(q->key), "uuid:%s", qube->uuid);
	r = sd_event_add_time_relative(d->event, &q->timer, CLOCK_MONOTONIC,
				       QUOTA_PERIOD_MS * UINT64_C(1000),
				       QUOTA_PERIOD_MS * UINT64_C(10), on_period, q);
	if (r < 0) {
		free(q);
		return r;
	}
	q->next = d->quotas;
	d->quotas = q;
	*ret = q;
	return 0;
}

/* the call, without its client, in place of what was kept of its method */
static int keep(struct quota *q, const struct call *c)
{
	struct call *copy, *old, **at;
	int no_fd = NO_FD, r = call_new(c->d, NULL, &c->q, &no_fd, &copy);

	if (r < 0)
		return r;
	copy->method = c->method;
	old = take_kept(q, c->method);
	if (old)
		call_drop(old);
	for (at = &q->kept; *at; at = &(*at)->next)
		;
	*at = copy; /* who waits longest is first */
	return 0;
}

int quota_take(struct call *c, bool changes)
{
	struct quota *q = quota_find(c->d, c->source);
	struct call *old = q ? take_kept(q, c->method) : NULL;
	int r = 0;

	if (old)
		call_drop(old);
	if (!changes)
		return 0;
	if (!q)
		r = quota_new(c->d, c->source, &q);
	if (r < 0)
		return r;
	if (q->spent < QUOTA_BURST) {
		q->spent++;
		return 0;
	}
	r = keep(q, c);
	if (r < 0)
		return r;
	if (!q->told)
		log_warn(
			c->source->name,
			"%s: it changes its mind too often; from now on its last word counts once in %u s",
			c->q.method, QUOTA_PERIOD_MS / 1000);
	q->told = true;
	return refuse(&c->why, "QubesException",
		      "'%s' reports too often; this counts later, unless it says something else",
		      c->source->name);
}

void quota_forget(struct qubesd *d, const struct qube *qube, int (*handler)(struct call *c))
{
	struct quota *q = quota_find(d, qube);
	const struct call *c = q ? q->kept : NULL;

	while (c && c->method->handler != handler)
		c = c->next;
	if (c)
		call_drop(take_kept(q, c->method));
}

void quota_end(struct qubesd *d)
{
	while (d->quotas)
		quota_free(d->quotas);
}
