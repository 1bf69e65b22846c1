/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One disposable that waits for its use. */
#include "preload/state.h"

#include "api/call.h"
#include "api/event.h"
#include "api/feature.h"
#include "base/io.h"
#include "base/log.h"
#include "disposable.h"
#include "policyd.h"
#include "power/power.h"
#include "qubesd.h"
#include "store/property.h"
#include "tool.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/** CLOCK_MS - one that stood still for less has no clock that is worth setting */
#define CLOCK_MS UINT64_C(1000)

static const char taken[] = "taken";
static const char in_progress[] = "preload-dispvm-in-progress";
static const char completed[] = "preload-dispvm-completed";

static struct qube *qube_of(const struct preload *p)
{
	return model_get(p->d->model, p->qid);
}

int preload_new(struct qubesd *d, struct qube *q, uint64_t operation, const char *recipe,
		struct preload **ret)
{
	struct preload *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	*p = (struct preload){
		.d = d, .qid = q->qid, .operation = operation, .made_ms = io_now_ms()};
	(void)snprintf(p->recipe, sizeof(p->recipe), "%s", recipe);
	p->taken = str_eq(recipe, taken);
	q->preload = p;
	*ret = p;
	return 0;
}

/* what it has asked for is answered to nobody */
static void unhear(struct call **c)
{
	struct call *gone = take_ptr(c);

	if (gone)
		gone->ended = NULL;
}

void preload_detach(struct preload *p)
{
	struct qube *q = qube_of(p);

	unhear(&p->pausing);
	unhear(&p->unpausing);
	tool_kill(p->child);
	if (q)
		q->preload = NULL;
	free(p);
}

bool preload_is_idle(const struct qube *q)
{
	return q->preload && !q->preload->taken;
}

bool preload_is_current(const struct preload *p)
{
	const struct qube *q = qube_of(p), *t = model_template(p->d->model, q);
	char now[RECIPE_LEN + 1];

	if (!t || p->ending)
		return false;
	recipe_of(p->d->model, t, now);
	return str_eq(now, p->recipe);
}

/* ---- its end */

void preload_throw(struct preload *p, const char *why)
{
	struct qube *q = qube_of(p);
	struct refusal failed;

	if (p->ending || q->hidden)
		return;
	log_info(q->name, "waited to be used, and goes: %s", why);
	p->ending = true;
	if (!q->power)
		disposable_halted(p->d, q, false);
	else if (power_end(q, &failed) != 0)
		log_err(q->name, "%s", failed.text);
}

bool preload_ended(struct qubesd *d, struct qube *q, struct call **ret_call)
{
	struct preload *p = q->preload;
	struct call *c;
	bool was_taken;

	*ret_call = NULL;
	if (!p)
		return false;
	was_taken = p->taken;
	c = take_ptr(&p->call);
	if (was_taken)
		*ret_call = c;
	if (c && !was_taken)
		call_end(c, refuse(&c->why, "QubesVMError", "'%s' has ended", q->name));
	if (p->ending)
		preloads_look_soon(d);
	else if (!p->ready)
		preloads_failed(d);
	else if (d->preloads)
		d->preloads->rests |= !was_taken;
	preload_detach(p);
	return was_taken;
}

/* ---- what it does by itself */

/* a call about it has been answered: the state says the rest */
static void on_answer(void *data, const struct refusal *why)
{
	struct preload *p = data;

	p->pausing = p->unpausing = NULL;
	if (!why)
		preloads_look_soon(p->d);
	else if (qube_of(p)->power) /* else it has halted, which goes on by itself */
		preload_throw(p, why->text);
}

static void on_started(void *data, const struct refusal *why)
{
	const struct preload *p = data;

	if (why)
		log_debug(qube_of(p)->name, "not preloaded: %s", why->text);
}

/* a call of our own about it; @at: where it is noted as long as it lasts, or NULL. @p may be gone after it */
static void ask(struct preload *p, int (*fn)(struct call *c, struct qube *q), struct call **at)
{
	const struct admin_request none = {.payload = (const uint8_t *)""};
	struct call *c = NULL;
	int fd = NO_FD, r = call_new(p->d, NULL, &none, &fd, &c);

	if (r < 0) {
		preload_throw(p, "out of memory");
		return;
	}
	c->ended = at ? on_answer : on_started;
	c->ended_data = p;
	if (at)
		*at = c;
	r = fn(c, qube_of(p));
	if (r != CALL_LATER)
		call_end(c, r);
}

static int start(struct call *c, struct qube *q)
{
	return power_call_start(c, q);
}

static int pause_it(struct call *c, struct qube *q)
{
	return power_call_pause(c, q, true);
}

static int unpause_it(struct call *c, struct qube *q)
{
	return power_call_pause(c, q, false);
}

static void on_tool(void *data, const struct child_end *end)
{
	struct preload *p = data;

	(void)end; /* an installation without the tools, a guest without the service: it goes on as it is */
	child_free(p->child);
	p->child = NULL;
	preloads_look_soon(p->d);
}

/* Return: it runs, and on_tool() is called */
static bool tool(struct preload *p, const char *const *argv)
{
	AUTO_CLOSE int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);

	return nothing >= 0 && tool_start(p->d, argv, nothing, on_tool, p, &p->child) == 0;
}

/* until all that its system starts has been: what is paused in the midst of that is slow when it is wanted */
static bool settles(struct preload *p)
{
	const char *const argv[] = {"qvm-run",
				    "--quiet",
				    "--no-autostart",
				    "--user",
				    "root",
				    qube_of(p)->name,
				    "systemctl is-system-running --wait",
				    NULL};

	if (p->settled)
		return false;
	p->settled = true;
	return tool(p, argv);
}

static bool sets_clock(struct preload *p)
{
	const char *const argv[] = {"qvm-sync-clock", "--quiet", "--timeout=5", qube_of(p)->name,
				    NULL};

	if (p->set_clock || p->paused_ms == 0 || io_now_ms() - p->paused_ms < CLOCK_MS)
		return false;
	p->set_clock = true;
	return tool(p, argv);
}

static void set_feature(struct changes *changes, struct preload *p, const char *name,
			const char *value)
{
	changes_set_feature(changes, p->qid, name, value);
}

static void tell_feature(struct preload *p, const char *name)
{
	const struct qube *q = qube_of(p);
	const struct pair *now = pair_find(q->features, name);

	feature_emit(p->d, q, now ? FEATURE_SET : FEATURE_DELETE, name, now ? now->value : NULL,
		     NULL);
}

/* it stands still: the wait begins */
static void become_ready(struct preload *p)
{
	struct changes AUTO(changes_done) changes = {0};
	struct call *c = take_ptr(&p->call);
	struct qube *q = qube_of(p);

	p->ready = true;
	p->paused_ms = io_now_ms();
	set_feature(&changes, p, in_progress, "");
	set_feature(&changes, p, completed, "1");
	if (store_apply(p->d->store, &changes) == 0) {
		tell_feature(p, in_progress);
		tell_feature(p, completed);
	}
	log_info(q->name, "started, and waits to be used");
	preloads_ready(p->d);
	if (c)
		p->answer(c, q);
}

/* ---- its use */

/* it is a disposable like any other from now on. Frees @p */
static void become_used(struct preload *p)
{
	static const char *const gone[] = {in_progress, completed};
	struct changes AUTO(changes_done) changes = {0};
	struct qubesd *d = p->d;
	struct qube *q = qube_of(p), *t = model_template(d->model, q);
	void (*answer)(struct call *, struct qube *) = p->answer;
	struct call *c;
	const bool internal = t && pair_find(t->features, "internal");

	changes_end(&changes, p->operation);
	for (size_t i = 0; i < ARRAY_LEN(gone); i++)
		changes_set_feature(&changes, q->qid, gone[i], NULL);
	if (!internal)
		changes_set_feature(&changes, q->qid, "internal", NULL);
	if (store_apply(d->store, &changes) != 0) {
		preload_throw(p, "the store could not be written");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(gone); i++)
		tell_feature(p, gone[i]);
	if (!internal)
		tell_feature(p, "internal");
	c = take_ptr(&p->call);
	preload_detach(p);
	event_emit(d, q, "property-reset:is_preload", "name", "is_preload", NULL);
	if (t)
		event_emit(d, t, "domain-preload-dispvm-used", "dispvm", q->name, NULL);
	preloads_used(d, t);
	policyd_tell(d);
	if (c)
		answer(c, q);
	else
		disposable_used(q);
}

static void step_taken(struct preload *p)
{
	const struct qube *q = qube_of(p);
	const char *state = power_state_name(q);

	if (str_eq(state, "Running") && !p->pausing && !p->child) {
		if (!sets_clock(p))
			become_used(p);
	} else if ((str_eq(state, "Paused") || str_eq(state, "Suspended")) && !p->unpausing &&
		   !p->pausing && !power_is_full(q)) {
		ask(p, unpause_it, &p->unpausing);
	}
}

static void step_idle(struct preload *p)
{
	const struct qube *q = qube_of(p);
	const char *state = power_state_name(q);

	if (str_eq(state, "Running")) {
		if (p->ready) {
			log_info(q->name,
				 "was let go on, though nobody had asked for it: it is used");
			become_used(p);
		} else if (!p->child && !p->pausing && !settles(p)) {
			ask(p, pause_it, &p->pausing);
		}
	} else if (str_eq(state, "Paused") && !power_is_full(q) && !p->ready) {
		become_ready(p);
	}
}

void preload_step(struct preload *p)
{
	const struct qube *q = qube_of(p);

	if (q->hidden || p->ending || power_is_ending(q))
		return;
	if (!q->power) {
		if (p->started)
			return;
		p->started = true;
		ask(p, start, NULL);
		/* out of memory, it is gone already */
		if (!q->preload || q->power)
			return;
		preloads_failed(q->preload->d);
		preload_throw(q->preload, "it cannot be started");
	} else if (p->taken) {
		step_taken(p);
	} else {
		step_idle(p);
	}
}

/* ---- taking */

static const struct preload *better(const struct preload *a, const struct preload *b)
{
	if (!a || a->ready != b->ready)
		return !a || b->ready ? b : a;
	return b->made_ms < a->made_ms ? b : a;
}

static struct preload *choose(struct qubesd *d, const struct qube *t)
{
	const struct preload *best = NULL;

	for (size_t i = 0; i < d->model->n_qubes; i++) {
		const struct qube *q = d->model->by_name[i];

		if (q->preload && !q->hidden && q->power && !power_is_ending(q) &&
		    !q->preload->taken && !q->preload->call && model_template(d->model, q) == t &&
		    preload_is_current(q->preload))
			best = better(best, q->preload);
	}
	return best ? qube_of(best)->preload : NULL;
}

/* the tags of who made it, and for whom */
static void retag(struct changes *changes, const struct qube *q, const char *prefix,
		  const char *name)
{
	char tag[64];

	(void)snprintf(tag, sizeof(tag), "%sdom0", prefix);
	changes_set_tag(changes, q->qid, tag, false);
	(void)snprintf(tag, sizeof(tag), "%s%s", prefix, name);
	changes_set_tag(changes, q->qid, tag, true);
}

static void tell_tag(struct qubesd *d, const struct qube *q, const char *prefix, const char *name,
		     bool there)
{
	char tag[64], event[96];

	(void)snprintf(tag, sizeof(tag), "%s%s", prefix, name);
	(void)snprintf(event, sizeof(event), "domain-tag-%s:%s", there ? "add" : "delete", tag);
	event_emit(d, q, event, "tag", tag, NULL);
}

static void tell_tags(struct qubesd *d, const struct qube *q, const struct qube *source)
{
	static const char *const prefixes[] = {"created-by-", "disp-created-by-"};

	for (size_t i = 0; source->qid != 0 && i < ARRAY_LEN(prefixes); i++) {
		tell_tag(d, q, prefixes[i], "dom0", false);
		tell_tag(d, q, prefixes[i], source->name, true);
	}
}

struct qube *preload_take(struct qubesd *d, const struct qube *template, const struct qube *source,
			  bool held, struct call *call,
			  void (*answer)(struct call *c, struct qube *q))
{
	struct changes AUTO(changes_done) changes = {0};
	struct preload *p = choose(d, template);
	struct qube *q;
	const uint64_t operation = d->model->next_operation;

	if (!p)
		return NULL;
	q = qube_of(p);
	changes_end(&changes, p->operation);
	changes_begin(&changes, operation, q->qid, "preload", taken);
	if (held)
		changes_begin(&changes, operation + 1, q->qid, "hold", "");
	if (source->qid != 0) {
		retag(&changes, q, "created-by-", source->name);
		retag(&changes, q, "disp-created-by-", source->name);
	}
	if (store_apply(d->store, &changes) != 0) {
		log_err(q->name, "the store could not be written: it is not used");
		return NULL;
	}
	p->operation = operation;
	p->taken = true;
	p->call = call;
	p->answer = answer;
	/* who wants it now does not wait for what else it would do */
	tool_kill(p->child);
	p->child = NULL;
	tell_tags(d, q, source);
	preloads_look_soon(d);
	return q;
}
