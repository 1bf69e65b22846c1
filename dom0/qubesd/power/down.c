/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A qube goes down: asked to by its power button, after those it gives network to if that is wanted, or killed.
 */
#include "power/state.h"

#include "api/call.h"
#include "api/event.h"
#include "base/log.h"
#include "job/job.h"
#include "preload/preload.h"
#include "qubesd.h"
#include "store/property.h"
#include "vmm/vmm.h"

#include <inttypes.h>

/** PRESS_AGAIN_S - between presses of a qube's power button */
#define PRESS_AGAIN_S 5
/** AFTER_S - a qube that is to go after its clients waits so long for one of them to begin */
#define AFTER_S 10

/* A guest that has just started may answer calls before anything in it listens to the power
 * button, so the button is pressed again; one that is going down already takes no notice.
 */
static int on_shutdown_tick(sd_event_source *s, uint64_t usec, void *data)
{
	struct power *p = data;
	struct qube *q = power_qube(p);
	struct refusal why;

	(void)s, (void)usec;
	power_timer_off(p);
	p->patience_s -= PRESS_AGAIN_S;
	if (p->patience_s > 0) {
		if (vmm_shutdown(p->vmm) < 0)
			log_warn(q->name, "its power button cannot be pressed again");
		power_down_wait(p);
		return 0;
	}
	(void)refuse(&why, "QubesVMShutdownTimeoutError",
		     "'%s' did not shut down within %" PRId64 " s; it still runs. Kill it with "
		     "qvm-kill %s",
		     q->name, property_int(p->d->model, q, PROP_shutdown_timeout), q->name);
	power_set_state(p, RUNNING);
	p->patience_s = 0;
	event_emit(p->d, q, "domain-shutdown-failed", "reason", why.text, NULL);
	power_answer(&p->stoppers, &why);
	return 0;
}

void power_down_wait(struct power *p)
{
	power_timer_set(p, p->patience_s < PRESS_AGAIN_S ? p->patience_s : PRESS_AGAIN_S,
			on_shutdown_tick);
}

/* a qube that is not halted and gets its network from @q; NULL if there is none. One that nobody uses yet is none */
static const struct qube *client_of(const struct model *m, const struct qube *q)
{
	for (size_t i = 0; i < m->n_qubes; i++) {
		const struct qube *other = m->by_name[i];

		if (other->power && other != q && !preload_is_idle(other) &&
		    property_qube(m, other, PROP_netvm) == q)
			return other;
	}
	return NULL;
}

static int refuse_clients(struct refusal *why, const struct qube *q, const struct qube *client)
{
	return refuse(why, "QubesVMInUseError",
		      "'%s' gives network to '%s', which runs; use --force to shut it down anyway",
		      q->name, client->name);
}

/* now */
static int shut_down(struct power *p, bool force, struct refusal *why)
{
	const struct qube *q = power_qube(p);
	int r = vmm_shutdown(p->vmm);

	p->after = false;
	if (r < 0)
		return refuse(why, "QubesVMError", "'%s' cannot be told to shut down: %s", q->name,
			      log_errno_str(r));
	event_emit(p->d, q, "domain-pre-shutdown", "force", force ? "True" : "False", NULL);
	power_set_state(p, HALTING);
	p->patience_s = property_int(p->d->model, q, PROP_shutdown_timeout);
	power_down_wait(p);
	return 0;
}

/* is one of those it gives network to on its way? */
static bool clients_are_ending(const struct power *p)
{
	const struct model *m = p->d->model;
	const struct qube *q = power_qube(p);

	for (size_t i = 0; i < m->n_qubes; i++) {
		const struct qube *other = m->by_name[i];

		if (other->power && property_qube(m, other, PROP_netvm) == q &&
		    (power_is_ending(other) || other->power->after))
			return true;
	}
	return false;
}

/* it waits for its clients, of which none goes */
static int on_after_tick(sd_event_source *s, uint64_t usec, void *data)
{
	struct power *p = data;
	const struct qube *client = client_of(p->d->model, power_qube(p));
	struct refusal why;

	(void)s, (void)usec;
	power_timer_set(p, AFTER_S, on_after_tick);
	if (!client || clients_are_ending(p))
		return 0;
	power_timer_off(p);
	p->after = false;
	(void)refuse_clients(&why, power_qube(p), client);
	log_info(power_qube(p)->name, "goes on: '%s' does not shut down", client->name);
	power_answer(&p->stoppers, &why);
	return 0;
}

void power_down_look(struct qubesd *d)
{
	for (size_t i = 0; i < d->model->n_qubes; i++) {
		const struct qube *q = d->model->by_name[i];
		struct power *p = q->power;
		struct refusal why;

		if (!p || !p->after || p->state != RUNNING)
			continue;
		if (client_of(d->model, q))
			power_timer_set(p, AFTER_S, on_after_tick);
		else if (shut_down(p, false, &why) != 0)
			power_answer(&p->stoppers, &why);
	}
}

static int may_shut_down(struct call *c, const struct qube *q)
{
	const struct power *p = q->power;
	int r = power_refuse_halted(c, q);

	if (r == 0 && p->state == STARTING)
		return refuse(&c->why, "QubesVMNotRunningError",
			      "'%s' is still starting; wait for it, or kill it", q->name);
	if (r == 0 && p->state == PAUSED)
		return refuse(&c->why, "QubesVMNotRunningError",
			      "'%s' is paused; unpause it first, or kill it", q->name);
	return r;
}

int power_call_shutdown(struct call *c, struct qube *q, const struct power_down *how)
{
	struct power *p = q->power;
	const struct qube *client = client_of(c->d->model, q);
	int r;

	/* nothing in it is to be put in order */
	if (preload_is_idle(q) && p)
		return power_call_kill(c, q);
	r = may_shut_down(c, q);
	if (r != 0)
		return r;
	if (client && !how->force && !how->after)
		return refuse_clients(&c->why, q, client);
	if (p->state == RUNNING && client && how->after) {
		p->after = true;
		power_timer_set(p, AFTER_S, on_after_tick);
	} else if (p->state == RUNNING || p->state == HALTING) {
		r = shut_down(p, how->force, &c->why);
		if (r != 0)
			return r;
	}
	if (!how->wait)
		return 0;
	call_progress(c, "stopping",
		      p->after ? "its clients shut down first" : "the guest shuts down", 0, 0);
	return power_wait(&p->stoppers, c);
}

int power_end(struct qube *q, struct refusal *why)
{
	struct power *p = q->power;
	int r;

	p->kill_wanted = true;
	if (p->ahead) {
		power_start_end(p);
		return 0;
	}
	if (p->state == STARTING && job_waits(p->d, p)) {
		p->begun = false;
		(void)job_withdraw(p->d, p);
		return 0;
	}
	if (!p->vmm || p->state == STOPPING)
		return 0;
	power_timer_off(p);
	r = vmm_kill(p->vmm);
	if (r < 0)
		return refuse(why, "QubesVMError", "'%s' cannot be killed: %s", q->name,
			      log_errno_str(r));
	return 0;
}

int power_call_kill(struct call *c, struct qube *q)
{
	struct power *p = q->power;
	int r = power_refuse_halted(c, q);

	if (r != 0)
		return r;
	/* it may be over at once, and @c answered */
	if (p->ahead || (p->state == STARTING && job_waits(p->d, p))) {
		(void)power_wait(&p->stoppers, c);
		return power_end(q, &c->why) == 0 ? CALL_LATER : REFUSED;
	}
	r = power_end(q, &c->why);
	return r == 0 ? power_wait(&p->stoppers, c) : r;
}
