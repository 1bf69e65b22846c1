/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of a running qube, as events of the loop: verdicts of jobs, news from the qube's
 * monitor, a timer, and calls that wait for a state. Each ends in a step that looks at the whole
 * and goes on: no order between, say, a start job's failure and the monitor's end is relied on.
 */
#include "power/state.h"

#include "api/call.h"
#include "api/event.h"
#include "base/log.h"
#include "disposable.h"
#include "growth.h"
#include "job/job.h"
#include "power/memory.h"
#include "power/tell.h"
#include "preload/preload.h"
#include "qubesd.h"
#include "room.h"
#include "store/property.h"
#include "vmm/vmm.h"
#include "zygote/zygotes.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct qube *power_qube(const struct power *p)
{
	return model_get(p->d->model, p->qid);
}

void power_set_state(struct power *p, enum state state)
{
	if ((p->state == RUNNING) != (state == RUNNING))
		model_untell(p->d->model, power_qube(p));
	p->state = state;
}

const char *power_state_name(const struct qube *q)
{
	static const char *const names[] = {[STARTING] = "Transient",
					    [RUNNING] = "Running",
					    [PAUSED] = "Paused",
					    [HALTING] = "Halting",
					    [STOPPING] = "Dying"};

	if (q->qid == 0)
		return "Running";
	if (q->power && q->power->state == PAUSED && q->power->suspended)
		return "Suspended";
	return q->power ? names[q->power->state] : "Halted";
}

bool power_is_running(const struct qube *q)
{
	return q->power && q->power->state == RUNNING && q->power->vmm;
}

bool power_is_ending(const struct qube *q)
{
	return q->power && (q->power->state == HALTING || q->power->state == STOPPING);
}

int power_refuse_busy(const struct qube *q, struct refusal *why)
{
	if (q->power)
		return refuse(why, "QubesVMNotHaltedError",
			      "'%s' is not halted: shut it down first", q->name);
	return power_refuse_worked_on(q, why);
}

int power_refuse_worked_on(const struct qube *q, struct refusal *why)
{
	if (q->n_busy > 0)
		return refuse(why, "QubesVMInUseError",
			      "another operation works on the volumes of '%s'; try again later",
			      q->name);
	return 0;
}

struct tell **power_tell(const struct qube *q)
{
	return q->power ? &q->power->tell : NULL;
}

struct power_memory *power_memory(const struct qube *q)
{
	return q->power ? &q->power->memory : NULL;
}

struct vmm *power_vmm(const struct qube *q)
{
	return q->power ? q->power->vmm : NULL;
}

bool power_is_full(const struct qube *q)
{
	/* one that is just being paused is not told to go on behind that */
	return q->power && q->power->full && q->power->vmm && !q->power->pausers.first;
}

static void on_tried(void *data, int r, const char *error)
{
	struct power *p = data;

	(void)r, (void)error; /* the state says it */
	p->trying = false;
}

void power_try_again(const struct qube *q)
{
	struct power *p = q->power;

	if (p->trying)
		return;
	/* it is asked again in a while; meanwhile the log says that it stands still */
	p->trying = true;
	if (vmm_unpause(p->vmm, on_tried, p) < 0) {
		p->trying = false;
		log_debug(q->name, "does not take the command to go on");
	}
}

bool power_is_unwanted(const struct qube *q)
{
	return q->power && q->power->kill_wanted;
}

static struct vmm_usage usage(const struct qube *q)
{
	struct vmm_usage u = {0};

	if (q->power && q->power->vmm && vmm_get_usage(q->power->vmm, &u) < 0)
		u = (struct vmm_usage){0};
	return u;
}

const char *power_zygote(const struct qube *q)
{
	return q->power && q->power->zygote[0] != '\0' ? q->power->zygote : NULL;
}

uint64_t power_memory_kib(const struct qube *q)
{
	return usage(q).memory_kib;
}

uint64_t power_cputime_ms(const struct qube *q)
{
	return usage(q).cputime_ms;
}

int power_wait(struct waiting *w, struct call *c)
{
	struct call **p = &w->first;

	while (*p)
		p = &(*p)->next;
	c->next = NULL;
	*p = c;
	return CALL_LATER;
}

void power_answer(struct waiting *w, const struct refusal *why)
{
	struct call *c = w->first;

	w->first = NULL;
	while (c) {
		struct call *next = c->next;

		if (why)
			c->why = *why;
		c->changed = true;
		call_end(c, why ? REFUSED : 0);
		c = next;
	}
}

void power_progress(struct power *p, const char *stage, const char *text)
{
	for (struct call *c = p->starters.first; c; c = c->next)
		call_progress(c, stage, text, 0, 0);
	for (struct call *c = p->stoppers.first; c; c = c->next)
		call_progress(c, stage, text, 0, 0);
}

void power_timer_off(struct power *p)
{
	p->timer = sd_event_source_disable_unref(p->timer);
}

void power_timer_set(struct power *p, int64_t seconds, sd_event_time_handler_t fn)
{
	power_timer_off(p);
	if (sd_event_add_time_relative(p->d->event, &p->timer, CLOCK_MONOTONIC,
				       (uint64_t)seconds * 1000000, 0, fn, p) < 0)
		log_warn(power_qube(p)->name,
			 "no timer could be set: it is waited for without limit");
}

void power_emit_reset(struct qubesd *d, const struct qube *q, const char *property)
{
	char event[64];

	(void)snprintf(event, sizeof(event), "property-reset:%s", property);
	event_emit(d, q, event, "name", property, NULL);
}

/* The end: volumes are put away, the qube is halted. */

void power_free(struct power *p)
{
	if (!p)
		return;
	power_timer_off(p);
	p->end = sd_event_source_disable_unref(p->end);
	vmm_free(p->vmm);
	tell_free(p->tell);
	free(p);
}

static void halted(struct power *p)
{
	struct qubesd *d = p->d;
	struct qube *q = power_qube(p);
	struct changes AUTO(changes_done) changes = {0};
	struct refusal ended;
	struct call *again;

	preloads_outdate(d, q);
	changes_end(&changes, p->operation);
	if (store_apply(d->store, &changes) != 0)
		log_err(q->name,
			"the store could not be written; its volumes are looked at again at "
			"the next start of qubesd");
	q->power = NULL;
	q->xid = 0;
	power_emit_reset(d, q, "xid");
	power_emit_reset(d, q, "stubdom_xid");
	power_emit_reset(d, q, "start_time");
	if (p->announced) {
		event_emit(d, q, "domain-stopped", NULL);
		event_emit(d, q, "domain-shutdown", NULL);
	}
	log_info(q->name, "halted%s%s", p->gone_why[0] != '\0' ? ": " : "", p->gone_why);
	if (p->failed)
		ended = p->why;
	else
		(void)refuse(&ended, "QubesVMError", "'%s' has ended%s%s", q->name,
			     p->gone_why[0] != '\0' ? ": " : "", p->gone_why);
	power_answer(&p->starters, &ended);
	power_answer(&p->pausers, &ended);
	power_answer(&p->unpausers, &ended);
	power_answer(&p->stoppers, NULL);
	again = p->again.first;
	p->again.first = NULL;
	disposable_halted(d, q, p->failed && !p->kill_wanted);
	power_free(p);
	if (q->klass == KLASS_TEMPLATE)
		zygotes_template_changed(d, q);
	while (again) {
		struct call *next = again->next;
		int r = power_call_start(again, q);

		if (r != CALL_LATER)
			call_end(again, r);
		again = next;
	}
	power_down_look(d);
}

static void stop_done(void *data, const struct job_end *end)
{
	struct power *p = data;

	p->job = false;
	/* a job that was killed leaves unfinished what is to be a revision: who shut it down would clone, or start, an older one */
	if (end->cut_off && !p->put_again) {
		p->put_again = true;
		log_warn(power_qube(p)->name, "putting its volumes away: %s; once more", end->text);
		power_put_away(p);
		return;
	}
	if (end->type[0] != '\0')
		log_err(power_qube(p)->name, "putting its volumes away: %s", end->text);
	halted(p);
}

/* no job puts anything away: there is nothing, or no job could be started */
static int on_end(sd_event_source *s, void *data)
{
	static const struct job_end nothing = {0}, failed = {.type = "QubesException",
							     .text = "no job could be started"};
	struct power *p = data;

	(void)s;
	stop_done(p, p->begun ? &failed : &nothing);
	return 0;
}

int power_make(struct qubesd *d, unsigned qid, struct power **ret)
{
	struct power *p = calloc(1, sizeof(*p));
	int r = p ? sd_event_add_defer(d->event, &p->end, on_end, p) : -ENOMEM;

	r = r < 0 ? r : sd_event_source_set_enabled(p->end, SD_EVENT_OFF);
	if (r < 0) {
		if (p)
			sd_event_source_disable_unref(p->end);
		free(p);
		return r;
	}
	p->d = d;
	p->qid = qid;
	p->state = STARTING;
	*ret = p;
	return 0;
}

/* In a turn of its own, as it is after a job: who had it start may be in the middle of something. It was made for that beforehand, so
 * that nothing can be short. */
static void end_later(struct power *p)
{
	if (sd_event_source_set_enabled(p->end, SD_EVENT_ONESHOT) < 0)
		log_err(power_qube(p)->name, "it has ended, and is not halted");
}

void power_put_away(struct power *p)
{
	static const struct job_events events = {NULL, stop_done};
	struct request AUTO(request_done) request = {0};
	const struct qube *q = power_qube(p);

	power_timer_off(p);
	vmm_free(p->vmm);
	p->vmm = NULL;
	growth_halted(p->d, p->qid);
	power_set_state(p, STOPPING);
	p->job = true;
	if (!p->begun) {
		end_later(p);
		return;
	}
	power_progress(p, "commit", "the volumes are put away");
	request.source = p->source;
	request_put(&request, "clean", "%d", p->clean && !p->failed);
	for (unsigned i = 0; i < N_DISKS; i++)
		request_put_volume(&request, disk_name((enum disk)i), p->d, q, i);
	if (job_start(p->d, "stop", &request, &events, p) != 0)
		end_later(p);
}

/* News of the monitor. */

static void set_paused(struct power *p)
{
	power_timer_off(p); /* a paused guest cannot be late */
	power_set_state(p, PAUSED);
	event_emit(p->d, power_qube(p), "domain-paused", NULL);
}

void power_started(struct power *p)
{
	struct qube *q = power_qube(p);

	power_timer_off(p);
	power_set_state(p, RUNNING);
	if (!p->announced) {
		p->announced = true;
		event_emit(p->d, q, "domain-start", "start_guid", "True", NULL);
		log_info(q->name, "running, domain %u", q->xid);
	}
	memory_watch(p->d);
	room_watch(p->d);
	tell_go(p->d, q);
	if (p->full)
		set_paused(p);
	power_answer(&p->starters, NULL);
}

/* who waits for its shutdown hears that it takes as long as there is no room */
static void answer_stoppers(struct power *p)
{
	const char *name = power_qube(p)->name;
	struct refusal why;

	p->after = false;
	if (!p->stoppers.first)
		return;
	(void)refuse(
		&why, "QubesVMShutdownTimeoutError",
		"'%s' stands still: no room is left for what it writes. It goes on when there is some; or "
		"kill it with qvm-kill %s",
		name, name);
	power_answer(&p->stoppers, &why);
}

/* an earlier qubesd was shutting it down, and had not given up */
static void go_on_halting(struct power *p)
{
	const int64_t patience_s = property_int(p->d->model, power_qube(p), PROP_shutdown_timeout);
	unsigned since_s;

	if (!vmm_get_pressed(p->vmm, &since_s) || since_s >= patience_s)
		return;
	power_set_state(p, HALTING);
	p->patience_s = patience_s - since_s;
	power_down_wait(p);
}

static void taken_back(struct power *p)
{
	power_started(p);
	go_on_halting(p);
}

/* @full: nobody told it to */
static void stands_still(struct power *p, bool full)
{
	struct qube *q = power_qube(p);

	if (p->state == STARTING && !p->job)
		taken_back(p);
	if (p->state == RUNNING || p->state == HALTING)
		set_paused(p);
	else if (p->state == PAUSED && p->full && !full)
		event_emit(p->d, q, "domain-paused", NULL); /* now somebody did */
	p->full = full;
	if (full)
		room_wanted(p->d, q);
	else
		power_answer(&p->pausers, NULL);
	if (full)
		answer_stoppers(p);
}

static void on_state(void *data, struct vmm *v, enum vmm_state state, bool clean, const char *why)
{
	struct power *p = data;
	struct qube *q = power_qube(p);

	(void)v;
	switch (state) {
	case VMM_STARTING:
		break;
	case VMM_RUNNING:
		p->full = false;
		if (p->state == PAUSED) {
			power_set_state(p, p->patience_s > 0 ? HALTING : RUNNING);
			if (p->state == HALTING)
				power_down_wait(p);
			if (p->after)
				power_down_look(p->d);
			event_emit(p->d, q, "domain-unpaused", NULL);
			if (p->suspended)
				event_emit(p->d, q, "domain-resumed", NULL);
			p->suspended = false;
		} else if (p->state == STARTING && !p->job) {
			taken_back(p);
		}
		power_answer(&p->unpausers, NULL);
		break;
	case VMM_PAUSED:
	case VMM_FULL:
		stands_still(p, state == VMM_FULL);
		break;
	case VMM_STOPPING:
		if (p->state == RUNNING)
			power_set_state(p, HALTING);
		break;
	case VMM_GONE:
		p->gone = true;
		p->clean = clean;
		(void)snprintf(p->gone_why, sizeof(p->gone_why), "%s", why ? why : "");
		vmm_free(p->vmm);
		p->vmm = NULL;
		if (!p->job)
			power_put_away(p);
		break;
	}
}

static void on_agent(void *data, struct vmm *v, bool up)
{
	(void)data, (void)v, (void)up;
}

static const struct vmm_events vmm_handlers = {.state = on_state, .agent = on_agent};

int power_attach(struct power *p)
{
	int r;

	if (p->vmm || p->gone)
		return 0;
	r = vmm_attach(p->d->event, p->d->paths.run, power_qube(p)->xid, &vmm_handlers, p, &p->vmm);
	if (r == 0 && p->kill_wanted)
		r = vmm_kill(p->vmm);
	return r;
}

int power_refuse_halted(struct call *c, const struct qube *q)
{
	if (q->qid == 0)
		return refuse(&c->why, "QubesVMError",
			      "dom0 cannot be shut down, killed or paused");
	if (!q->power)
		return refuse(&c->why, "QubesVMNotStartedError", "'%s' is not running", q->name);
	return 0;
}

/* that it went well the new state says */
static void refuse_waiting(struct power *p, struct waiting *w, int r, const char *verb,
			   const char *error)
{
	struct refusal why;

	if (r == 0)
		return;
	(void)refuse(&why, "QubesVMError", "'%s' could not be %s: %s", power_qube(p)->name, verb,
		     error);
	power_answer(w, &why);
}

static void on_pause_done(void *data, int r, const char *error)
{
	struct power *p = data;

	refuse_waiting(p, &p->pausers, r, "paused", error);
}

static void on_unpause_done(void *data, int r, const char *error)
{
	struct power *p = data;

	refuse_waiting(p, &p->unpausers, r, "unpaused", error);
}

static int pause_or_go_on(struct call *c, struct qube *q, bool pause)
{
	struct power *p = q->power;
	int r;

	event_emit(c->d, q, pause ? "domain-pre-paused" : "domain-pre-unpaused", NULL);
	r = pause ? vmm_pause(p->vmm, on_pause_done, p) : vmm_unpause(p->vmm, on_unpause_done, p);
	if (r < 0)
		return refuse(&c->why, "QubesVMError", "'%s' does not take the command: %s",
			      q->name, log_errno_str(r));
	return power_wait(pause ? &p->pausers : &p->unpausers, c);
}

int power_call_pause(struct call *c, struct qube *q, bool pause)
{
	struct power *p = q->power;
	int r = power_refuse_halted(c, q);

	if (q->qid == 0)
		return r;
	if (!p || (p->state != RUNNING && p->state != PAUSED && p->state != HALTING))
		return refuse(&c->why, "QubesVMNotRunningError", "'%s' is not running", q->name);
	if (pause && p->state == PAUSED && !p->full)
		return refuse(&c->why, "QubesVMNotRunningError", "'%s' is paused already", q->name);
	if (!pause && p->state != PAUSED)
		return refuse(&c->why, "QubesVMNotPausedError", "'%s' is not paused", q->name);
	p->suspended = false;
	return pause_or_go_on(c, q, pause);
}

int power_call_suspend(struct call *c, struct qube *q, bool suspend)
{
	struct power *p = q->power;
	int r = power_refuse_halted(c, q);

	if (q->qid == 0)
		return r;
	if (suspend && (!p || p->state != RUNNING))
		return refuse(&c->why, "QubesVMNotRunningError", "'%s' is not running", q->name);
	/* one that was suspended under an earlier qubesd is merely paused */
	if (!suspend && (!p || p->state != PAUSED))
		return refuse(&c->why, "QubesVMNotSuspendedError", "'%s' is not suspended",
			      q->name);
	p->suspended = true;
	return pause_or_go_on(c, q, suspend);
}

/* qubesd starts, or ends. */

static int on_recover_timeout(sd_event_source *s, uint64_t usec, void *data)
{
	struct power *p = data;

	(void)s, (void)usec;
	power_timer_off(p);
	log_warn(power_qube(p)->name, "taken back while it started, and it never answered: killed");
	p->failed = true;
	(void)refuse(&p->why, "QubesVMError", "it never answered");
	/* its volumes are its own until VMM_GONE */
	if (vmm_kill(p->vmm) < 0)
		log_err(power_qube(p)->name, "it cannot be killed");
	return 0;
}

/* one that does not say who it is has its own volumes, so long as it is there */
static bool is_same(const struct vmm_found *f, const struct qube *q, uint64_t xid)
{
	return f->domid == xid && (f->uuid[0] == '\0' || str_eq(f->uuid, q->uuid));
}

static bool is_found(const struct vmm_found *found, size_t n, const struct qube *q, uint64_t xid)
{
	for (size_t i = 0; i < n; i++)
		if (is_same(&found[i], q, xid))
			return true;
	return false;
}

static int take_back(struct qubesd *d, const struct operation *op, const struct vmm_found *found,
		     size_t n_found)
{
	struct qube *q = model_get(d->model, op->qid);
	struct power *p;
	uint64_t xid;
	int r;

	if (!q || q->power || str_u64(op->detail, XID_MAX, &xid) < 0)
		return 0;
	r = power_make(d, q->qid, &p);
	if (r < 0)
		return r;
	p->begun = true;
	p->operation = op->id;
	q->power = p;
	q->xid = (unsigned)xid;
	q->start_time = time(NULL);
	r = is_found(found, n_found, q, xid) ? power_attach(p) : -ENOENT;
	if (r == 0) {
		log_info(q->name, "still running as domain %u: taken back", q->xid);
		p->announced = true;
		power_timer_set(p, property_int(d->model, q, PROP_qrexec_timeout),
				on_recover_timeout);
		return 0;
	}
	/* its volumes are its own as long as it runs, followed or not */
	if (r != -ENOENT && r != -ECONNREFUSED) {
		log_err(q->name, "runs, and cannot be followed: %s", log_errno_str(r));
		return r;
	}
	p->gone = true;
	p->clean = vmm_ended_clean(d->paths.run, q->xid, q->uuid);
	(void)snprintf(p->gone_why, sizeof(p->gone_why), "it had %s while qubesd was away",
		       p->clean ? "powered itself off" : "ended");
	power_put_away(p);
	return 0;
}

/* A monitor of which the store says nothing: it must not go on unseen. */

static void on_stray(void *data, struct vmm *v, enum vmm_state state, bool clean, const char *why)
{
	(void)data, (void)clean, (void)why;
	if (state == VMM_GONE)
		vmm_free(v);
}

static bool is_known(const struct qubesd *d, const struct vmm_found *f)
{
	for (size_t i = 0; i < d->model->n_qubes; i++)
		if (is_same(f, d->model->by_name[i], d->model->by_name[i]->xid))
			return true;
	return false;
}

static void end_stray(struct qubesd *d, const struct vmm_found *f)
{
	static const struct vmm_events handlers = {.state = on_stray, .agent = on_agent};
	struct vmm *v;

	log_warn(f->name, "domain %u runs though the store does not say so: killed", f->domid);
	if (vmm_attach(d->event, d->paths.run, f->domid, &handlers, NULL, &v) < 0 ||
	    vmm_kill(v) < 0)
		log_err(f->name, "domain %u could not be killed", f->domid);
}

int power_recover(struct qubesd *d)
{
	AUTO_FREE struct vmm_found *found = NULL;
	const struct operation *next;
	size_t n = 0;
	int r = vmm_scan(d->paths.run, &found, &n);

	/* not knowing who runs, nobody's volumes may be put away */
	if (r < 0) {
		log_err(NULL, "running qubes cannot be looked for: %s", log_errno_str(r));
		return r;
	}
	for (const struct operation *op = d->model->operations; op; op = next) {
		next = op->next;
		if (!str_eq(op->kind, "run"))
			continue;
		r = take_back(d, op, found, n);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < n; i++)
		if (!is_known(d, &found[i]))
			end_stray(d, &found[i]);
	return 0;
}

void power_detach_all(struct qubesd *d)
{
	for (size_t i = 0; d->model && i < d->model->n_qubes; i++) {
		struct qube *q = d->model->by_name[i];

		if (!q->power)
			continue;
		power_free(q->power);
		q->power = NULL;
	}
}
