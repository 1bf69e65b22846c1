/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All disposables that wait for their use: how many there are to be, and when one more is made. */
#include "preload/state.h"

#include "api/call.h"
#include "api/event.h"
#include "api/feature.h"
#include "api/text.h"
#include "base/io.h"
#include "base/log.h"
#include "disposable.h"
#include "making.h"
#include "power/memory.h"
#include "power/power.h"
#include "qubesd.h"
#include "store/property.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/** BUSY_MS - until it is looked again whether somebody's start is over; MEMORY_MS - whether there is memory */
#define BUSY_MS   UINT64_C(500)
#define MEMORY_MS UINT64_C(10000)
/** FAILED_MS - after one that did not start; twice that after two, and so on, up to FAILED_MOST_MS */
#define FAILED_MS      UINT64_C(5000)
#define FAILED_MOST_MS UINT64_C(600000)

static const char list_feature[] = "preload-dispvm";

/* ---- what is there */

static const struct qube *template_of(const struct model *m, const struct qube *q)
{
	return model_template(m, q);
}

static bool is_of(const struct model *m, const struct qube *q, const struct qube *t)
{
	return preload_is_idle(q) && !q->preload->ending && template_of(m, q) == t;
}

static unsigned count(const struct model *m, const struct qube *t)
{
	unsigned n = 0;

	for (size_t i = 0; i < m->n_qubes; i++)
		n += is_of(m, m->by_name[i], t);
	return n;
}

/* one that is not so far yet as to wait */
static bool any_in_progress(const struct model *m)
{
	for (size_t i = 0; i < m->n_qubes; i++) {
		const struct preload *p = m->by_name[i]->preload;

		if (p && !p->taken && !p->ending && !p->ready && !p->settled)
			return true;
	}
	return false;
}

/* somebody waits for a start, or for the first moment of what was started for him */
static bool is_busy(const struct model *m)
{
	for (size_t i = 0; i < m->n_qubes; i++) {
		const struct qube *q = m->by_name[i];

		if (preload_is_idle(q))
			continue;
		if (q->preload || str_eq(power_state_name(q), "Transient"))
			return true;
	}
	return false;
}

/* ---- looking */

static int on_turn(sd_event_source *s, void *data);

static struct preloads *preloads_of(struct qubesd *d)
{
	if (!d->preloads) {
		d->preloads = calloc(1, sizeof(*d->preloads));
		if (d->preloads)
			d->preloads->d = d;
	}
	return d->preloads;
}

void preloads_look_soon(struct qubesd *d)
{
	struct preloads *all = preloads_of(d);

	if (!all || (!all->turn && sd_event_add_defer(d->event, &all->turn, on_turn, all) < 0) ||
	    sd_event_source_set_enabled(all->turn, SD_EVENT_ONESHOT) < 0)
		log_err(NULL, "out of memory: nothing is preloaded");
}

static int on_timer(sd_event_source *s, uint64_t usec, void *data)
{
	struct preloads *all = data;

	(void)s, (void)usec;
	all->timer = sd_event_source_disable_unref(all->timer);
	preloads_look_soon(all->d);
	return 0;
}

static void look_later(struct preloads *all, uint64_t ms)
{
	all->timer = sd_event_source_disable_unref(all->timer);
	if (sd_event_add_time_relative(all->d->event, &all->timer, CLOCK_MONOTONIC, ms * 1000, 1000,
				       on_timer, all) < 0)
		log_warn(NULL, "no timer: nothing is preloaded for now");
}

static bool is_interesting(const char *event)
{
	static const char *const prefixes[] = {
		"property-set:",      "property-reset:", "property-del:",    "domain-feature-set:",
		"domain-feature-del", "domain-tag-",     "firewall-changed", "domain-start",
		"domain-paused",      "domain-unpaused", "domain-shutdown",  "domain-add",
		"domain-delete",
	};

	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
		if (str_starts(event, prefixes[i]))
			return true;
	return false;
}

void preloads_event(struct qubesd *d, const struct qube *q, const char *event)
{
	struct preloads *all = d->preloads;

	if (!all || !is_interesting(event))
		return;
	/* a clone, or an import, brings features with it */
	if (all->unused && !str_starts(event, "domain-feature-set:preload-dispvm-") &&
	    !str_eq(event, "domain-add"))
		return;
	if (str_starts(event, "domain-feature-set:preload-dispvm-")) {
		all->rests = false;
		all->n_failed = 0;
		all->not_before_ms = 0;
	}
	if (str_eq(event, "domain-start") && q && !q->preload)
		all->rests = false;
	preloads_look_soon(d);
}

/* ---- fewer */

/* those that have less of a right to wait: not ready, then young */
static struct qube *least(const struct model *m, const struct qube *t)
{
	struct qube *worst = NULL;

	for (size_t i = 0; i < m->n_qubes; i++) {
		struct qube *q = m->by_name[i];

		if (!is_of(m, q, t) || q->hidden)
			continue;
		if (!worst || worst->preload->ready > q->preload->ready ||
		    (worst->preload->ready == q->preload->ready &&
		     worst->preload->made_ms < q->preload->made_ms))
			worst = q;
	}
	return worst;
}

static void trim(const struct model *m, const struct qube *t)
{
	for (unsigned n = count(m, t), wanted = recipe_wanted(m, t); n > wanted; n--) {
		struct qube *q = least(m, t);

		if (!q)
			return; /* it is being made: when it is there */
		preload_throw(q->preload, "fewer are wanted");
	}
}

/* the feature preload-dispvm of @t names those that are there */
static void write_list(struct qubesd *d, const struct qube *t)
{
	const struct pair *had = pair_find(t->features, list_feature);
	struct changes AUTO(changes_done) changes = {0};
	struct text AUTO(text_done) names = {0};
	AUTO_FREE char *old = had ? strdup(had->value) : NULL;
	const struct model *m = d->model;

	for (size_t i = 0; i < m->n_qubes; i++)
		if (is_of(m, m->by_name[i], t) && !m->by_name[i]->hidden)
			text_add(&names, "%s%s", names.len > 0 ? " " : "", m->by_name[i]->name);
	if (names.failed || str_eq(old ? old : "", names.len > 0 ? names.at : ""))
		return;
	changes_set_feature(&changes, t->qid, list_feature, names.len > 0 ? names.at : "");
	if (store_apply(d->store, &changes) == 0)
		feature_emit(d, t, FEATURE_SET, list_feature, names.len > 0 ? names.at : "", old);
}

/* ---- more */

static void made(void *data, struct qube *q, const struct refusal *why)
{
	struct preload *p = data;
	struct qubesd *d = p->d;
	struct call *c = take_ptr(&p->call);

	if (q) {
		p->call = c;
		preloads_look_soon(d);
		return;
	}
	log_warn(NULL, "no disposable could be made beforehand: %s", why->text);
	if (c) {
		c->why = *why;
		call_end(c, REFUSED);
	}
	preload_detach(p);
	preloads_failed(d);
}

static int make(struct qubesd *d, const struct qube *t, struct preload **ret, struct refusal *why)
{
	static const struct making_events events = {NULL, made};
	const struct qube *dom0 = model_get(d->model, 0);
	char recipe[RECIPE_LEN + 1];
	AUTO_FREE struct preload *p = calloc(1, sizeof(*p));
	struct wish w = {0};
	struct qube *q;
	int r = p ? 0 : -ENOMEM;

	if (r == 0)
		r = disposable_wish(d, t, dom0, &w, why);
	if (r != 0)
		return r;
	recipe_of(d->model, t, recipe);
	w.preload = recipe;
	*p = (struct preload){.d = d, .made_ms = io_now_ms()};
	(void)snprintf(p->recipe, sizeof(p->recipe), "%s", recipe);
	/* the operations "create" and then "preload" */
	p->operation = d->model->next_operation + 1;
	r = making_create(d, &w, &events, p, &q, why);
	if (r != 0)
		return r;
	p->qid = q->qid;
	q->preload = p;
	*ret = take_ptr(&p);
	return 0;
}

/* a template that has fewer than it wants; NULL: none has */
static const struct qube *lacking(const struct model *m)
{
	for (size_t i = 0; i < m->n_qubes; i++) {
		const struct qube *t = m->by_name[i];
		unsigned wanted = recipe_wanted(m, t);

		if (wanted > 0 && count(m, t) < wanted)
			return t;
	}
	return NULL;
}

static bool has_memory(struct preloads *all, const struct qube *t)
{
	const struct model *m = all->d->model;
	const uint64_t mib = (uint64_t)property_int(m, t, PROP_memory) + recipe_threshold_mib(m);
	const bool has = memory_has_room(all->d, mib * 1024);

	if (!has && !all->said_no_memory)
		log_info(t->name,
			 "no disposable is started beforehand as long as %" PRIu64
			 " MiB of memory are not free",
			 mib);
	all->said_no_memory = !has;
	return has;
}

static void fill(struct preloads *all)
{
	const struct model *m = all->d->model;
	const struct qube *t = all->begun && !all->rests ? lacking(m) : NULL;
	const uint64_t now_ms = io_now_ms();
	struct refusal why;
	struct preload *p;
	int r;

	if (!t || any_in_progress(m))
		return;
	if (now_ms < all->not_before_ms) {
		look_later(all, all->not_before_ms - now_ms);
		return;
	}
	if (is_busy(m)) {
		look_later(all, BUSY_MS);
		return;
	}
	if (!has_memory(all, t)) {
		look_later(all, MEMORY_MS);
		return;
	}
	event_emit(all->d, t, "domain-preload-dispvm-start", "reason", "there is a gap", NULL);
	r = make(all->d, t, &p, &why);
	if (r != 0) {
		log_warn(t->name, "no disposable is made beforehand: %s",
			 r == REFUSED ? why.text : log_errno_str(r));
		preloads_failed(all->d);
	}
}

/* a template, or dom0, says that disposables are to wait: now or once it is allowed to */
static bool is_wished(const struct model *m)
{
	for (size_t i = 0; i < m->n_qubes; i++) {
		const struct pair *p = pair_find(m->by_name[i]->features, "preload-dispvm-max");

		if (p && p->value[0] != '\0' && !str_eq(p->value, "0"))
			return true;
	}
	return false;
}

/* qubes come and go meanwhile: by number, of which each is looked at once */
static int on_turn(sd_event_source *s, void *data)
{
	struct preloads *all = data;
	const struct model *m = all->d->model;
	bool any = false;

	(void)s;
	for (unsigned qid = 1; qid <= QID_MAX; qid++) {
		struct qube *q = model_get(m, qid);

		if (!q || !q->preload)
			continue;
		any = true;
		if (preload_is_idle(q) && !preload_is_current(q->preload))
			preload_throw(q->preload, "a new one would be another");
		else
			preload_step(q->preload);
	}
	for (unsigned qid = 1; qid <= QID_MAX; qid++) {
		const struct qube *t = model_get(m, qid);

		if (!t || t->hidden ||
		    (!any && recipe_wanted(m, t) == 0 && !pair_find(t->features, list_feature)))
			continue;
		trim(m, t);
		write_list(all->d, t);
	}
	fill(all);
	all->unused = !any && !is_wished(m);
	return 0;
}

int preload_make(struct call *c, const struct qube *template,
		 void (*answer)(struct call *c, struct qube *q))
{
	struct preload *p;
	int r;

	if (count(c->d->model, template) >= recipe_wanted(c->d->model, template))
		return refuse(&c->why, "QubesException",
			      "'%s' has as many disposables waiting as its preload-dispvm-max says",
			      template->name);
	r = make(c->d, template, &p, &c->why);
	if (r != 0)
		return r;
	p->call = c;
	p->answer = answer;
	return CALL_LATER;
}

/* ---- what came of one */

void preloads_failed(struct qubesd *d)
{
	struct preloads *all = preloads_of(d);
	uint64_t ms = FAILED_MS;

	if (!all)
		return;
	for (unsigned i = 0; i < all->n_failed && ms < FAILED_MOST_MS; i++)
		ms *= 2;
	all->n_failed++;
	all->not_before_ms = io_now_ms() + (ms < FAILED_MOST_MS ? ms : FAILED_MOST_MS);
	preloads_look_soon(d);
}

void preloads_ready(struct qubesd *d)
{
	if (d->preloads)
		d->preloads->n_failed = 0;
	preloads_look_soon(d);
}

void preloads_used(struct qubesd *d, const struct qube *t)
{
	struct preloads *all = preloads_of(d);

	if (!all)
		return;
	all->rests = false;
	if (t)
		all->not_before_ms = io_now_ms() + recipe_delay_s(d->model, t) * 1000;
	preloads_look_soon(d);
}

/* ---- other volumes */

void preloads_outdate(struct qubesd *d, const struct qube *q)
{
	struct changes AUTO(changes_done) changes = {0};
	const struct model *m = d->model;
	uint64_t operation = m->next_operation;

	for (size_t i = 0; i < m->n_qubes; i++) {
		const struct qube *t = template_of(m, m->by_name[i]);
		struct preload *p = m->by_name[i]->preload;

		if (!p || p->taken || !t || (t != q && template_of(m, t) != q) ||
		    str_eq(p->recipe, "outdated"))
			continue;
		changes_end(&changes, p->operation);
		p->operation = operation++;
		changes_begin(&changes, p->operation, p->qid, "preload", "outdated");
		(void)snprintf(p->recipe, sizeof(p->recipe), "outdated");
	}
	if (!changes.first)
		return;
	if (store_apply(d->store, &changes) != 0)
		log_err(q->name,
			"the store could not be written: disposables that wait are gone with "
			"this qubesd only");
	preloads_look_soon(d);
}

/* ---- qubesd starts, or ends */

static bool is_held(const struct model *m, unsigned qid)
{
	for (const struct operation *op = m->operations; op; op = op->next)
		if (op->qid == qid && str_eq(op->kind, "hold"))
			return true;
	return false;
}

int preloads_recover(struct qubesd *d)
{
	if (!preloads_of(d))
		return -ENOMEM;
	for (const struct operation *op = d->model->operations; op; op = op->next) {
		struct qube *q = model_get(d->model, op->qid);
		struct preload *p;
		int r;

		/* what is halted goes, as all of its kind; what is hidden has its own operation */
		if (!str_eq(op->kind, "preload") || !q || q->hidden || !q->power || q->preload)
			continue;
		r = preload_new(d, q, op->id, op->detail, &p);
		if (r < 0)
			return r;
		p->started = true;
		/* if nobody is left who could use it, it goes: no recipe is "taken" */
		p->taken &= is_held(d->model, q->qid);
	}
	preloads_look_soon(d);
	return 0;
}

void preloads_begin(struct qubesd *d)
{
	const struct model *m = d->model;

	if (!preloads_of(d))
		return;
	d->preloads->begun = true;
	for (size_t i = 0; i < m->n_qubes; i++)
		if (recipe_wanted(m, m->by_name[i]) > 0)
			event_emit(d, m->by_name[i], "domain-preload-dispvm-autostart", NULL);
	preloads_look_soon(d);
}

static bool others_run(const struct model *m)
{
	for (size_t i = 0; i < m->n_qubes; i++)
		if (m->by_name[i]->power && !preload_is_idle(m->by_name[i]))
			return true;
	return false;
}

void preloads_end(struct qubesd *d)
{
	const bool alone = d->model && !others_run(d->model);

	for (size_t i = 0; d->model && i < d->model->n_qubes; i++) {
		struct qube *q = d->model->by_name[i];
		struct refusal why;

		if (!q->preload)
			continue;
		if (alone && q->power && power_vmm(q) && power_end(q, &why) != 0)
			log_warn(q->name, "%s", why.text);
		if (q->preload->call)
			q->preload->call = NULL;
		preload_detach(q->preload);
	}
	if (!d->preloads)
		return;
	sd_event_source_disable_unref(d->preloads->turn);
	sd_event_source_disable_unref(d->preloads->timer);
	free(d->preloads);
	d->preloads = NULL;
}
