/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of a running qube, as events of the loop: verdicts of jobs, news from the qube's
 * monitor, a timer, and calls that wait for a state. Each ends in a step that looks at the whole
 * and goes on: no order between, say, a start job's failure and the monitor's end is relied on.
 */
#include "power/power.h"

#include "api/call.h"
#include "api/event.h"
#include "base/log.h"
#include "disposable.h"
#include "job/job.h"
#include "kernel.h"
#include "power/tell.h"
#include "qubesd.h"
#include "store/property.h"
#include "vmm/vmm.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define XID_MAX 32751

enum state { STARTING, RUNNING, PAUSED, HALTING, STOPPING };

/* calls that wait, oldest first */
struct waiting {
	struct call *first;
};

/** PRESS_AGAIN_S - between presses of a qube's power button */
#define PRESS_AGAIN_S 5

struct power {
	struct qubesd *d;
	unsigned qid;
	enum state state;
	uint64_t operation;
	struct vmm *vmm;
	sd_event_source *timer;
	int64_t patience_s; /* what is left of shutdown_timeout; 0: not being shut down */
	bool job;           /* a start or stop job works on it */
	bool suspended;     /* PAUSED is for that */
	bool kill_wanted;   /* before there was anything to kill */
	bool announced;     /* domain-start was told */
	bool gone;          /* the monitor has ended */
	bool clean;         /* and the guest had powered itself off */
	bool failed;        /* it did not start; @why says it */
	struct refusal why;
	char gone_why[256];
	struct waiting starters, stoppers, pausers, unpausers, again;
	struct tell *tell; /* power/tell.c; NULL: nothing was */
};

static struct qube *qube_of(const struct power *p)
{
	return model_get(p->d->model, p->qid);
}

static void set_state(struct power *p, enum state state)
{
	if ((p->state == RUNNING) != (state == RUNNING))
		model_untell(p->d->model, qube_of(p));
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

bool power_is_ending(const struct qube *q)
{
	return q->power && (q->power->state == HALTING || q->power->state == STOPPING);
}

struct tell **power_tell(const struct qube *q)
{
	return q->power ? &q->power->tell : NULL;
}

static struct vmm_usage usage(const struct qube *q)
{
	struct vmm_usage u = {0};

	if (q->power && q->power->vmm && vmm_get_usage(q->power->vmm, &u) < 0)
		u = (struct vmm_usage){0};
	return u;
}

uint64_t power_memory_kib(const struct qube *q)
{
	return usage(q).memory_kib;
}

uint64_t power_cputime_ms(const struct qube *q)
{
	return usage(q).cputime_ms;
}

static int wait_in(struct waiting *w, struct call *c)
{
	struct call **p = &w->first;

	while (*p)
		p = &(*p)->next;
	c->next = NULL;
	*p = c;
	return CALL_LATER;
}

/* answer all that wait: with 0, or with a refusal */
static void answer(struct waiting *w, const struct refusal *why)
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

static void progress(struct power *p, const char *stage, const char *text)
{
	for (struct call *c = p->starters.first; c; c = c->next)
		call_progress(c, stage, text, 0, 0);
	for (struct call *c = p->stoppers.first; c; c = c->next)
		call_progress(c, stage, text, 0, 0);
}

static void timer_off(struct power *p)
{
	p->timer = sd_event_source_disable_unref(p->timer);
}

static void timer_set(struct power *p, int64_t seconds, sd_event_time_handler_t fn)
{
	timer_off(p);
	if (sd_event_add_time_relative(p->d->event, &p->timer, CLOCK_MONOTONIC,
				       (uint64_t)seconds * 1000000, 0, fn, p) < 0)
		log_warn(qube_of(p)->name, "no timer could be set: it is waited for without limit");
}

static void emit_reset(struct qubesd *d, const struct qube *q, const char *property)
{
	char event[64];

	(void)snprintf(event, sizeof(event), "property-reset:%s", property);
	event_emit(d, q, event, "name", property, NULL);
}

/* The end: volumes are put away, the qube is halted. */

static void power_free(struct power *p)
{
	timer_off(p);
	vmm_free(p->vmm);
	tell_free(p->tell);
	free(p);
}

static void halted(struct power *p)
{
	struct qubesd *d = p->d;
	struct qube *q = qube_of(p);
	struct changes AUTO(changes_done) changes = {0};
	struct refusal ended;
	struct call *again;

	changes_end(&changes, p->operation);
	if (store_apply(d->store, &changes) != 0)
		log_err(q->name,
			"the store could not be written; its volumes are looked at again at "
			"the next start of qubesd");
	q->power = NULL;
	q->xid = 0;
	emit_reset(d, q, "xid");
	emit_reset(d, q, "stubdom_xid");
	emit_reset(d, q, "start_time");
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
	answer(&p->starters, &ended);
	answer(&p->pausers, &ended);
	answer(&p->unpausers, &ended);
	answer(&p->stoppers, NULL);
	again = p->again.first;
	p->again.first = NULL;
	disposable_halted(d, q, p->failed && !p->kill_wanted);
	power_free(p);
	while (again) {
		struct call *next = again->next;
		int r = power_call_start(again, q);

		if (r != CALL_LATER)
			call_end(again, r);
		again = next;
	}
}

static void stop_done(void *data, const struct job_end *end)
{
	struct power *p = data;

	p->job = false;
	if (end->type[0] != '\0')
		log_err(qube_of(p)->name, "putting its volumes away: %s", end->text);
	halted(p);
}

/* nothing of it runs any more */
static void put_away(struct power *p)
{
	static const struct job_events events = {NULL, stop_done};
	struct request AUTO(request_done) request = {0};
	const struct job_end failed = {.type = "QubesException", .text = "no job could be started"};
	const struct qube *q = qube_of(p);

	timer_off(p);
	vmm_free(p->vmm);
	p->vmm = NULL;
	set_state(p, STOPPING);
	p->job = true;
	progress(p, "commit", "the volumes are put away");
	request_put(&request, "clean", "%d", p->clean && !p->failed);
	for (unsigned i = 0; i < N_DISKS; i++)
		request_put_volume(&request, disk_name((enum disk)i), p->d, q, i);
	if (job_start(p->d, "stop", &request, &events, p) < 0)
		stop_done(p, &failed);
}

/* News of the monitor. */

static void started(struct power *p)
{
	struct qube *q = qube_of(p);

	timer_off(p);
	set_state(p, RUNNING);
	if (!p->announced) {
		p->announced = true;
		event_emit(p->d, q, "domain-start", "start_guid", "True", NULL);
		log_info(q->name, "running, domain %u", q->xid);
	}
	tell_go(p->d, q);
	answer(&p->starters, NULL);
}

static void shutdown_wait(struct power *p);

/* an earlier qubesd was shutting it down, and had not given up */
static void go_on_halting(struct power *p)
{
	const int64_t patience_s = property_int(p->d->model, qube_of(p), PROP_shutdown_timeout);
	unsigned since_s;

	if (!vmm_get_pressed(p->vmm, &since_s) || since_s >= patience_s)
		return;
	set_state(p, HALTING);
	p->patience_s = patience_s - since_s;
	shutdown_wait(p);
}

static void on_state(void *data, struct vmm *v, enum vmm_state state, bool clean, const char *why)
{
	struct power *p = data;
	struct qube *q = qube_of(p);

	(void)v;
	switch (state) {
	case VMM_STARTING:
		break;
	case VMM_RUNNING:
		if (p->state == PAUSED) {
			set_state(p, p->patience_s > 0 ? HALTING : RUNNING);
			if (p->state == HALTING)
				shutdown_wait(p);
			event_emit(p->d, q, "domain-unpaused", NULL);
			if (p->suspended)
				event_emit(p->d, q, "domain-resumed", NULL);
			p->suspended = false;
		} else if (p->state == STARTING && !p->job) {
			started(p); /* taken back from an earlier qubesd */
			go_on_halting(p);
		}
		answer(&p->unpausers, NULL);
		break;
	case VMM_PAUSED:
		if (p->state == STARTING && !p->job)
			started(p);
		if (p->state == RUNNING || p->state == HALTING) {
			timer_off(p); /* a paused guest cannot be late */
			set_state(p, PAUSED);
			event_emit(p->d, q, "domain-paused", NULL);
		}
		answer(&p->pausers, NULL);
		break;
	case VMM_STOPPING:
		if (p->state == RUNNING)
			set_state(p, HALTING);
		break;
	case VMM_GONE:
		p->gone = true;
		p->clean = clean;
		(void)snprintf(p->gone_why, sizeof(p->gone_why), "%s", why ? why : "");
		vmm_free(p->vmm);
		p->vmm = NULL;
		if (!p->job)
			put_away(p);
		break;
	}
}

static void on_agent(void *data, struct vmm *v, bool up)
{
	(void)data, (void)v, (void)up;
}

static const struct vmm_events vmm_handlers = {.state = on_state, .agent = on_agent};

static int attach(struct power *p)
{
	int r;

	if (p->vmm || p->gone)
		return 0;
	r = vmm_attach(p->d->event, p->d->paths.run, qube_of(p)->xid, &vmm_handlers, p, &p->vmm);
	if (r == 0 && p->kill_wanted)
		r = vmm_kill(p->vmm);
	return r;
}

/* Starting. */

static void start_progress(void *data, const char *stage, const char *text, uint64_t done,
			   uint64_t total)
{
	struct power *p = data;
	struct qube *q = qube_of(p);

	(void)done, (void)total;
	progress(p, stage, text);
	if (strcmp(stage, "spawned") == 0) {
		q->start_time = time(NULL);
		if (attach(p) < 0)
			log_debug(q->name, "its monitor is not there yet");
		emit_reset(p->d, q, "xid");
		emit_reset(p->d, q, "stubdom_xid");
		emit_reset(p->d, q, "start_time");
		event_emit(p->d, q, "domain-spawn", "start_guid", "True", NULL);
		event_emit(p->d, q, "domain-qdb-create", NULL);
		event_emit(p->d, q, "domain-pre-unpaused", NULL);
		event_emit(p->d, q, "domain-unpaused", NULL);
	}
}

static void start_done(void *data, const struct job_end *end)
{
	struct power *p = data;
	struct qube *q = qube_of(p);
	int r = 0;

	p->job = false;
	if (end->type[0] == '\0') {
		r = attach(p);
		if (r == 0 && !p->gone) {
			started(p);
			return;
		}
		(void)refuse(&p->why, "QubesVMError", "'%s' ended as soon as it was started%s%s",
			     q->name, p->gone_why[0] != '\0' ? ": " : "", p->gone_why);
	} else if (p->kill_wanted) {
		(void)refuse(&p->why, "QubesVMError", "'%s' was killed while it started", q->name);
	} else {
		(void)refuse(&p->why, end->type, "%s", end->text);
	}
	p->failed = true;
	p->gone_why[0] = '\0';
	log_warn(q->name, "start: %s", p->why.text);
	event_emit(p->d, q, "domain-start-failed", "reason", p->why.text, NULL);
	/* a start that failed left no process; one whose job died may have left a monitor */
	if (!p->gone && attach(p) == 0 && p->vmm && vmm_kill(p->vmm) == 0)
		return; /* VMM_GONE goes on from here */
	put_away(p);
}

static bool xid_in_use(const struct model *m, unsigned xid)
{
	for (size_t i = 0; i < m->n_qubes; i++)
		if (m->by_name[i]->xid == xid)
			return true;
	return false;
}

static unsigned next_xid(const struct model *m)
{
	unsigned xid = m->last_xid;

	for (unsigned n = 0; n < XID_MAX; n++) {
		xid = xid % XID_MAX + 1;
		if (!xid_in_use(m, xid))
			break;
	}
	return xid;
}

static int may_start(struct call *c, const struct qube *q)
{
	const struct pair *prohibited = pair_find(q->features, "prohibit-start");

	if (q->hidden)
		return refuse(&c->why, "QubesVMNotFoundError", "'%s' is being removed", q->name);
	if (q->klass == KLASS_REMOTE)
		return refuse(&c->why, "QubesVMError", "'%s' runs elsewhere", q->name);
	if (prohibited && prohibited->value[0] != '\0')
		return refuse(&c->why, "QubesVMError", "'%s' must not be started: %s", q->name,
			      prohibited->value);
	if (q->n_busy > 0)
		return refuse(&c->why, "QubesVMInUseError",
			      "another operation works on the volumes of '%s'; try again later",
			      q->name);
	return 0;
}

/* the operation "run" in the store and a struct power, or neither */
static int power_new(struct call *c, struct qube *q, unsigned xid, struct power **ret)
{
	struct changes AUTO(changes_done) changes = {0};
	AUTO_FREE struct power *p = calloc(1, sizeof(*p));
	char detail[16];
	int r;

	if (!p)
		return -ENOMEM;
	p->d = c->d;
	p->qid = q->qid;
	p->state = STARTING;
	p->operation = c->d->model->next_operation;
	(void)snprintf(detail, sizeof(detail), "%u", xid);
	changes_begin(&changes, p->operation, q->qid, "run", detail);
	changes_set_xid(&changes, xid);
	r = call_apply(c, &changes);
	if (r != 0)
		return r;
	*ret = take_ptr(&p);
	return 0;
}

int power_call_start(struct call *c, struct qube *q)
{
	static const struct job_events events = {start_progress, start_done};
	const struct job_end failed = {.type = "QubesVMError", .text = "no job could be started"};
	struct request AUTO(request_done) request = {0};
	struct power *p = q->power;
	char memory[24];
	unsigned xid;
	int r;

	if (q->qid == 0)
		return 0;
	if (p) {
		if (p->state == STARTING)
			return wait_in(&p->starters, c);
		if (power_is_ending(q))
			return wait_in(&p->again, c);
		return 0;
	}
	r = may_start(c, q);
	if (r != 0)
		return r;
	kernel_refresh(c->d);
	xid = next_xid(c->d->model);
	r = power_describe_start(c->d, q, xid, &request, &c->why);
	if (r == 0)
		r = power_new(c, q, xid, &p);
	if (r != 0)
		return r;
	q->power = p;
	q->xid = xid;
	q->start_time = time(NULL);
	(void)snprintf(memory, sizeof(memory), "%" PRId64,
		       property_int(c->d->model, q, PROP_memory));
	event_emit(c->d, q, "domain-pre-start", "start_guid", "True", "mem_required", memory, NULL);
	event_emit(c->d, q, "domain-pre-spawn", "start_guid", "True", NULL);
	(void)wait_in(&p->starters, c);
	p->job = true;
	if (job_start(c->d, "start", &request, &events, p) < 0)
		start_done(p, &failed);
	return CALL_LATER;
}

/* Stopping. */

/* A guest that has just started may answer calls before anything in it listens to the power
 * button, so the button is pressed again; one that is going down already takes no notice.
 */
static int on_shutdown_tick(sd_event_source *s, uint64_t usec, void *data)
{
	struct power *p = data;
	struct qube *q = qube_of(p);
	struct refusal why;

	(void)s, (void)usec;
	timer_off(p);
	p->patience_s -= PRESS_AGAIN_S;
	if (p->patience_s > 0) {
		if (vmm_shutdown(p->vmm) < 0)
			log_warn(q->name, "its power button cannot be pressed again");
		shutdown_wait(p);
		return 0;
	}
	(void)refuse(&why, "QubesVMShutdownTimeoutError",
		     "'%s' did not shut down within %" PRId64 " s; it still runs. Kill it with "
		     "qvm-kill %s",
		     q->name, property_int(p->d->model, q, PROP_shutdown_timeout), q->name);
	set_state(p, RUNNING);
	p->patience_s = 0;
	event_emit(p->d, q, "domain-shutdown-failed", "reason", why.text, NULL);
	answer(&p->stoppers, &why);
	return 0;
}

static void shutdown_wait(struct power *p)
{
	timer_set(p, p->patience_s < PRESS_AGAIN_S ? p->patience_s : PRESS_AGAIN_S,
		  on_shutdown_tick);
}

static int check_clients(struct call *c, const struct qube *q)
{
	const struct model *m = c->d->model;

	for (size_t i = 0; i < m->n_qubes; i++) {
		const struct qube *other = m->by_name[i];

		if (other->power && other != q && property_qube(m, other, PROP_netvm) == q)
			return refuse(&c->why, "QubesVMInUseError",
				      "'%s' gives network to '%s', which runs; use --force to shut "
				      "it down anyway",
				      q->name, other->name);
	}
	return 0;
}

static int not_running(struct call *c, const struct qube *q)
{
	if (q->qid == 0)
		return refuse(&c->why, "QubesVMError",
			      "dom0 cannot be shut down, killed or paused");
	if (!q->power)
		return refuse(&c->why, "QubesVMNotStartedError", "'%s' is not running", q->name);
	return 0;
}

int power_call_shutdown(struct call *c, struct qube *q, bool force, bool wait)
{
	struct power *p = q->power;
	int r = not_running(c, q);

	if (r == 0 && !force)
		r = check_clients(c, q);
	if (r != 0)
		return r;
	if (p->state == STARTING)
		return refuse(&c->why, "QubesVMNotRunningError",
			      "'%s' is still starting; wait for it, or kill it", q->name);
	if (p->state == PAUSED)
		return refuse(&c->why, "QubesVMNotRunningError",
			      "'%s' is paused; unpause it first, or kill it", q->name);
	if (p->state != STOPPING) {
		r = vmm_shutdown(p->vmm);
		if (r < 0)
			return refuse(&c->why, "QubesVMError",
				      "'%s' cannot be told to shut down: %s", q->name,
				      log_errno_str(r));
		event_emit(c->d, q, "domain-pre-shutdown", "force", force ? "True" : "False", NULL);
		set_state(p, HALTING);
		p->patience_s = property_int(c->d->model, q, PROP_shutdown_timeout);
		shutdown_wait(p);
	}
	if (!wait)
		return 0;
	call_progress(c, "stopping", "the guest shuts down", 0, 0);
	return wait_in(&p->stoppers, c);
}

int power_end(struct qube *q, struct refusal *why)
{
	struct power *p = q->power;
	int r;

	p->kill_wanted = true;
	if (!p->vmm || p->state == STOPPING)
		return 0;
	timer_off(p);
	r = vmm_kill(p->vmm);
	if (r < 0)
		return refuse(why, "QubesVMError", "'%s' cannot be killed: %s", q->name,
			      log_errno_str(r));
	return 0;
}

int power_call_kill(struct call *c, struct qube *q)
{
	int r = not_running(c, q);

	if (r == 0)
		r = power_end(q, &c->why);
	return r == 0 ? wait_in(&q->power->stoppers, c) : r;
}

/* that it went well the new state says */
static void refuse_waiting(struct power *p, struct waiting *w, int r, const char *verb,
			   const char *error)
{
	struct refusal why;

	if (r == 0)
		return;
	(void)refuse(&why, "QubesVMError", "'%s' could not be %s: %s", qube_of(p)->name, verb,
		     error);
	answer(w, &why);
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
	return wait_in(pause ? &p->pausers : &p->unpausers, c);
}

int power_call_pause(struct call *c, struct qube *q, bool pause)
{
	struct power *p = q->power;
	int r = not_running(c, q);

	if (q->qid == 0)
		return r;
	if (!p || (p->state != RUNNING && p->state != PAUSED && p->state != HALTING))
		return refuse(&c->why, "QubesVMNotRunningError", "'%s' is not running", q->name);
	if (pause && p->state == PAUSED)
		return refuse(&c->why, "QubesVMNotRunningError", "'%s' is paused already", q->name);
	if (!pause && p->state != PAUSED)
		return refuse(&c->why, "QubesVMNotPausedError", "'%s' is not paused", q->name);
	p->suspended = false;
	return pause_or_go_on(c, q, pause);
}

int power_call_suspend(struct call *c, struct qube *q, bool suspend)
{
	struct power *p = q->power;
	int r = not_running(c, q);

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
	timer_off(p);
	log_warn(qube_of(p)->name, "taken back while it started, and it never answered: killed");
	p->failed = true;
	(void)refuse(&p->why, "QubesVMError", "it never answered");
	if (vmm_kill(p->vmm) < 0)
		put_away(p);
	return 0;
}

static const struct vmm_found *found_as(const struct vmm_found *found, size_t n,
					const struct qube *q, uint64_t xid)
{
	for (size_t i = 0; i < n; i++)
		if (found[i].domid == xid && strcmp(found[i].uuid, q->uuid) == 0)
			return &found[i];
	return NULL;
}

static int take_back(struct qubesd *d, const struct operation *op, const struct vmm_found *found,
		     size_t n_found)
{
	struct qube *q = model_get(d->model, op->qid);
	struct power *p;
	uint64_t xid;

	if (!q || q->power || str_u64(op->detail, XID_MAX, &xid) < 0)
		return 0;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->d = d;
	p->qid = q->qid;
	p->state = STARTING;
	p->operation = op->id;
	q->power = p;
	q->xid = (unsigned)xid;
	q->start_time = time(NULL);
	if (found_as(found, n_found, q, xid) && attach(p) == 0) {
		log_info(q->name, "still running as domain %u: taken back", q->xid);
		p->announced = true;
		timer_set(p, property_int(d->model, q, PROP_qrexec_timeout), on_recover_timeout);
		return 0;
	}
	p->gone = true;
	p->clean = vmm_ended_clean(d->paths.run, q->xid, q->uuid);
	(void)snprintf(p->gone_why, sizeof(p->gone_why), "it had %s while qubesd was away",
		       p->clean ? "powered itself off" : "ended");
	put_away(p);
	return 0;
}

/* A monitor of which the store says nothing: it must not go on unseen. */

static void on_stray(void *data, struct vmm *v, enum vmm_state state, bool clean, const char *why)
{
	(void)data, (void)clean, (void)why;
	if (state == VMM_GONE)
		vmm_free(v);
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

	if (r == -EPERM)
		return r;
	if (r < 0)
		log_warn(NULL, "looking for running qubes: %s", log_errno_str(r));
	for (const struct operation *op = d->model->operations; op; op = next) {
		next = op->next;
		if (!str_eq(op->kind, "run"))
			continue;
		r = take_back(d, op, found, n);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < n; i++) {
		const struct qube *q;
		char uuid[64];

		(void)snprintf(uuid, sizeof(uuid), "uuid:%s", found[i].uuid);
		q = model_find(d->model, uuid);
		if (!q || q->xid != found[i].domid)
			end_stray(d, &found[i]);
	}
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
