/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "disposable.h"

#include "api/call.h"
#include "api/client.h"
#include "api/method.h"
#include "base/log.h"
#include "base/str.h"
#include "making.h"
#include "power/power.h"
#include "preload/preload.h"
#include "qubesd.h"
#include "store/property.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define DISPIDS 10000
/** HOLD_AGAIN_S - for who held it to notice that there is a qubesd again */
#define HOLD_AGAIN_S 30
/** HELD_MAX - disposables that one qube has at a time, from the wish until it has halted: each is a machine. Its broker
 * has the same bound, but a qube whose agent comes and goes has a new broker before its disposables are gone */
#define HELD_MAX 32

/* of a held disposable: from the wish to its end */
struct hold {
	struct qubesd *d;
	struct call *call; /* whose connection is its life; NULL: nobody holds it (any more) */
	unsigned qid,
		source; /* @source: whom it is for; 0: dom0, or not held again since qubesd was away */
	sd_event_source *timer; /* until it is held again */
};

/* ---- what is made */

const struct qube *disposable_template(const struct model *m, const struct qube *dest,
				       const struct qube *source, struct refusal *why)
{
	const struct qube *t = dest;

	if (dest->qid == 0)
		t = property_qube(m, source, PROP_default_dispvm);
	if (t && property_bool(m, t, PROP_template_for_dispvms))
		return t;
	if (t)
		(void)refuse(why, "QubesException",
			     "no disposable is made from '%s', whose template_for_dispvms is False",
			     t->name);
	else
		(void)refuse(why, "QubesException",
			     "'%s' has no default_dispvm; name one: qvm-prefs %s default_dispvm "
			     "TEMPLATE",
			     source->name, source->name);
	return NULL;
}

static void take_used(const struct qubesd *d, bool *taken)
{
	const unsigned room = ARRAY_LEN(d->dispids.last);
	uint64_t id;

	for (size_t i = 0; i < d->model->n_qubes; i++) {
		const char *value = d->model->by_name[i]->values[PROP_dispid];

		if (value && str_u64(value, DISPIDS - 1, &id) == 0)
			taken[id] = true;
	}
	for (unsigned i = 0; i < room && i < d->dispids.n; i++)
		taken[d->dispids.last[i]] = true;
}

int disposable_choose(struct qubesd *d, struct wish *w, struct refusal *why)
{
	bool taken[DISPIDS] = {0};
	char name[QUBE_NAME_MAX + 1];
	uint16_t start;

	if (getrandom(&start, sizeof(start), 0) != sizeof(start))
		return fail_errno();
	take_used(d, taken);
	/* from a random place on, with a step that comes by everywhere */
	for (unsigned i = 0; i < DISPIDS; i++) {
		const unsigned id = (start + i * 7919U) % DISPIDS;

		(void)snprintf(name, sizeof(name), "disp%u", id);
		if (taken[id] || model_find(d->model, name))
			continue;
		d->dispids.last[d->dispids.n++ % ARRAY_LEN(d->dispids.last)] = (uint16_t)id;
		w->dispid = id;
		if (w->name[0] == '\0')
			memcpy(w->name, name, sizeof(name));
		return 0;
	}
	return refuse(why, "QubesException", "there are too many disposables: shut some down");
}

int disposable_wish(struct qubesd *d, const struct qube *dest, const struct qube *source,
		    struct wish *ret, struct refusal *why)
{
	const struct qube *t = disposable_template(d->model, dest, source, why);
	char buf[PROPERTY_BUF];

	if (!t)
		return REFUSED;
	*ret = (struct wish){
		.klass = KLASS_DISP, .template = t, .creator = source, .cleanup = true};
	ret->label = model_label(d->model, property_text(d->model, t, PROP_label, buf));
	for (unsigned i = 0; i < N_DISKS; i++)
		(void)snprintf(ret->pools[i], sizeof(ret->pools[i]), "%.63s", t->volumes[i].pool);
	return disposable_choose(d, ret, why);
}

/* ---- its end */

static struct qube *qube_of(const struct hold *h)
{
	return model_get(h->d->model, h->qid);
}

static void hold_free(struct hold *h)
{
	(void)sd_event_source_disable_unref(h->timer);
	free(h);
}

/* nobody holds it any more; who did hears why */
static void let_go(struct hold *h, const struct refusal *why)
{
	struct call *c = take_ptr(&h->call);

	if (!c)
		return;
	if (why)
		c->why = *why;
	c->abandoned = NULL;
	call_end(c, why ? REFUSED : 0);
}

/* a disposable for one use is halted */
static void dispose(struct qubesd *d, struct qube *q, unsigned source, bool keep_log)
{
	struct refusal why;
	int r = making_remove(d, q, source, !keep_log, NULL, NULL, &why);

	if (r != 0)
		log_warn(q->name, "is halted and cannot be removed: %s",
			 r == REFUSED ? why.text : log_errno_str(r));
}

static bool is_for_one_use(const struct model *m, const struct qube *q)
{
	return q->klass == KLASS_DISP && !q->hidden && !q->power &&
	       property_bool(m, q, PROP_auto_cleanup);
}

/* the operation "hold" ends with the qube, or here */
static void end_operation(struct qubesd *d, const struct qube *q)
{
	struct changes AUTO(changes_done) changes = {0};

	for (const struct operation *op = d->model->operations; op; op = op->next)
		if (op->qid == q->qid && str_eq(op->kind, "hold"))
			changes_end(&changes, op->id);
	if (changes.first && store_apply(d->store, &changes) != 0)
		log_err(q->name, "the store could not be written");
}

/* what it was given has ended before it was of use: another one */
static void once_more(struct call *c)
{
	int r = REFUSED;

	c->source = model_get(c->d->model, c->source_qid);
	c->dest = model_get(c->d->model, c->dest_qid);
	if (c->source && c->dest)
		r = c->method->handler(c);
	else
		(void)refuse(&c->why, "QubesVMNotFoundError", "there is no qube '%s' any more",
			     c->dest_name);
	if (r != CALL_LATER)
		call_end(c, r);
}

void disposable_halted(struct qubesd *d, struct qube *q, bool keep_log)
{
	struct hold *h = take_ptr(&q->hold);
	const unsigned source = h ? h->source : 0;
	struct call *again = NULL;
	struct refusal why;

	if (preload_ended(d, q, &again) && h && h->call) {
		again = take_ptr(&h->call);
		again->abandoned = NULL;
	}
	if (h) {
		(void)refuse(&why, "QubesVMError", "'%s' has ended", q->name);
		let_go(h, &why);
		hold_free(h);
		if (!property_bool(d->model, q, PROP_auto_cleanup))
			end_operation(d, q);
	}
	if (is_for_one_use(d->model, q))
		dispose(d, q, source, keep_log);
	if (again)
		once_more(again);
}

static void kill_it(struct qube *q)
{
	struct refusal why;

	if (power_end(q, &why) != 0)
		log_err(q->name, "%s", why.text);
}

/* the connection is closed */
static void on_abandoned(void *data)
{
	struct hold *h = data;
	struct qube *q = qube_of(h);

	let_go(h, NULL);
	if (q->hidden)
		return; /* being made: made() goes on from here */
	log_info(q->name, "nobody holds it any more");
	if (q->power)
		kill_it(q);
	else
		disposable_halted(h->d, q, false);
}

/* ---- its beginning */

static void tell_running(struct hold *h, const struct qube *q)
{
	const struct admin_event e = {.subject = q->name,
				      .name = "disposable",
				      .keys = {"name", "uuid"},
				      .values = {q->name, q->uuid},
				      .n = 2};
	char buf[256];
	size_t len;

	/* if this fails the call is abandoned, and the hold may be gone */
	if (h->call && h->call->client && admin_event_encode(&e, buf, sizeof(buf), &len) == 0)
		(void)client_send(h->call->client, buf, len);
}

void disposable_used(struct qube *q)
{
	if (q->hold)
		tell_running(q->hold, q);
}

/* it runs, or does not: then it is halted already, or was never started */
static void started(void *data, const struct refusal *why)
{
	struct hold *h = data;
	struct qube *q = qube_of(h);
	const bool wanted = h->call != NULL;

	if (!why) {
		tell_running(h, q);
		return;
	}
	let_go(h, why);
	if (!q->power)
		disposable_halted(h->d, q, wanted);
}

/* one that starts already is waited for */
static int start(struct hold *h)
{
	const struct admin_request none = {.payload = (const uint8_t *)""};
	struct qube *q = qube_of(h);
	struct call *c = NULL;
	int fd = NO_FD, r = call_new(h->d, NULL, &none, &fd, &c);

	if (r < 0)
		return r;
	c->source_qid = h->source;
	c->ended = started;
	c->ended_data = h;
	r = power_call_start(c, q);
	if (r != CALL_LATER)
		call_end(c, r);
	return 0;
}

static void made(void *data, struct qube *q, const struct refusal *why)
{
	struct hold *h = data;
	struct refusal no_memory;

	if (!q) {
		/* what could not be removed either is still in the model */
		q = qube_of(h);
		if (q && q->hold == h)
			q->hold = NULL;
		let_go(h, why);
		hold_free(h);
		return;
	}
	if (!h->call) {
		disposable_halted(h->d, q, false);
		return;
	}
	call_progress(h->call, "created", q->name, 0, 0);
	if (!q->hold || start(h) == 0)
		return; /* it was abandoned just now, or is started */
	(void)refuse(&no_memory, "MemoryError", "'%s' cannot be started: no memory", q->name);
	let_go(h, &no_memory);
	disposable_halted(h->d, q, false);
}

static unsigned n_held_for(const struct model *m, const struct qube *source)
{
	unsigned n = 0;

	for (size_t i = 0; i < m->n_qubes; i++) {
		const struct hold *h = m->by_name[i]->hold;

		n += h && h->source == source->qid;
	}
	return n;
}

/* one that waits for its use, as soon as it runs: disposable_used(). NULL: there is none */
static struct qube *take(struct call *c)
{
	const struct qube *t = disposable_template(c->d->model, c->dest, c->source, &c->why);
	struct qube *q = t ? preload_take(c->d, t, c->source, true, NULL, NULL) : NULL;

	if (q)
		call_progress(c, "created", q->name, 0, 0);
	return q;
}

static int make(struct call *c)
{
	static const struct making_events events = {NULL, made};
	AUTO_FREE struct hold *h = calloc(1, sizeof(*h));
	struct wish w = {0};
	const unsigned source = c->source->qid;
	struct qube *q;
	int r = 0;

	if (source != 0 && n_held_for(c->d->model, c->source) >= HELD_MAX)
		return refuse(&c->why, "QubesException",
			      "'%s' has %u disposables already, which is the most at a time",
			      c->source->name, HELD_MAX);
	if (!h)
		return -ENOMEM;
	q = take(c);
	if (!q) {
		r = disposable_wish(c->d, c->dest, c->source, &w, &c->why);
		w.held = true;
		if (r == 0)
			r = making_create(c->d, &w, &events, h, &q, &c->why);
		if (r != 0)
			return r;
	}
	*h = (struct hold){.d = c->d, .call = c, .qid = q->qid, .source = source};
	c->abandoned = on_abandoned;
	c->ended_data = h;
	q->hold = take_ptr(&h);
	return CALL_LATER;
}

static int hold_again(struct call *c, struct qube *q)
{
	struct hold *h = q->hold;

	/* one that ends is not started again: its hold goes with it */
	if (!h || !q->power || power_is_ending(q))
		return refuse(&c->why, "QubesVMNotRunningError",
			      "'%s' is no disposable that can be held", q->name);
	if (h->call)
		return refuse(&c->why, "QubesVMInUseError", "'%s' is held already", q->name);
	h->timer = sd_event_source_disable_unref(h->timer);
	h->call = c;
	h->source = c->source->qid;
	c->abandoned = on_abandoned;
	c->ended_data = h;
	/* one that waited for its use, and is not used yet: disposable_used() */
	if (q->preload || start(h) == 0)
		return CALL_LATER;
	h->call = NULL;
	c->abandoned = NULL;
	kill_it(q);
	return -ENOMEM;
}

int disposable_hold(struct call *c)
{
	return c->dest->klass == KLASS_DISP ? hold_again(c, c->dest) : make(c);
}

/* ---- qubesd starts, or ends */

static int on_not_held(sd_event_source *s, uint64_t usec, void *data)
{
	struct hold *h = data;
	struct qube *q = qube_of(h);

	(void)s, (void)usec;
	h->timer = sd_event_source_disable_unref(h->timer);
	log_info(q->name, "nobody holds it since qubesd was away");
	kill_it(q);
	return 0;
}

/* one that is halted needs no hold: it goes, as all of its kind */
static int recover(struct qubesd *d, const struct operation *op)
{
	struct qube *q = model_get(d->model, op->qid);
	struct hold *h;

	if (!q || q->hidden || !q->power || q->hold)
		return 0;
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	h->d = d;
	h->qid = q->qid;
	q->hold = h;
	return sd_event_add_time_relative(d->event, &h->timer, CLOCK_MONOTONIC,
					  (uint64_t)HOLD_AGAIN_S * 1000000, 0, on_not_held, h);
}

int disposables_recover(struct qubesd *d)
{
	int r = 0;

	for (const struct operation *op = d->model->operations; r >= 0 && op; op = op->next)
		if (str_eq(op->kind, "hold"))
			r = recover(d, op);
	for (size_t i = 0; r >= 0 && i < d->model->n_qubes; i++) {
		struct qube *q = d->model->by_name[i];

		if (is_for_one_use(d->model, q))
			dispose(d, q, 0, false);
		else if (q->klass == KLASS_DISP && !q->hidden && !q->power)
			end_operation(d, q); /* nobody holds what is halted, and this one stays */
	}
	return r < 0 ? r : 0;
}

void disposables_detach(struct qubesd *d)
{
	for (size_t i = 0; d->model && i < d->model->n_qubes; i++) {
		struct hold *h = take_ptr(&d->model->by_name[i]->hold);

		if (!h)
			continue;
		if (h->call)
			h->call->abandoned = NULL;
		hold_free(h);
	}
}
