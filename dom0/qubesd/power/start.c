/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A qube starts: its netvm first, if that does not run, then the job "start", as soon as there is memory for it. While it waits it is
 * Transient already, so that it can be killed, and nobody shuts its netvm down meanwhile.
 */
#include "power/state.h"

#include "api/call.h"
#include "api/event.h"
#include "base/log.h"
#include "job/job.h"
#include "kernel.h"
#include "qubesd.h"
#include "store/property.h"
#include "vmm/vmm.h"
#include "zygote/zygotes.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* its monitor has ended, whether we have heard so or not: the next one is followed anew */
static void machine_failed(struct power *p, const char *text)
{
	p->zygote[0] = '\0';
	vmm_free(p->vmm);
	p->vmm = NULL;
	p->gone = false;
	p->gone_why[0] = '\0';
	power_progress(p, "booting", text);
}

static void zygote_progress(struct power *p, const char *stage, const char *text)
{
	if (strcmp(stage, "zygote-used") == 0)
		(void)snprintf(p->zygote, sizeof(p->zygote), "%s", text);
	if (strcmp(stage, "zygote-failed") == 0)
		machine_failed(p, text);
}

static void start_progress(void *data, const char *stage, const char *text, uint64_t done,
			   uint64_t total)
{
	struct power *p = data;
	struct qube *q = power_qube(p);

	(void)done, (void)total;
	if (zygotes_news(p->d, q, stage, text)) {
		zygote_progress(p, stage, text);
		return;
	}
	if (strcmp(stage, "again") == 0) {
		machine_failed(p, text);
		return;
	}
	power_progress(p, stage, text);
	if (strcmp(stage, "spawned") == 0) {
		q->start_time = time(NULL);
		if (power_attach(p) < 0)
			log_debug(q->name, "its monitor is not there yet");
		power_emit_reset(p->d, q, "xid");
		power_emit_reset(p->d, q, "stubdom_xid");
		power_emit_reset(p->d, q, "start_time");
		event_emit(p->d, q, "domain-spawn", "start_guid", "True", NULL);
		event_emit(p->d, q, "domain-qdb-create", NULL);
		event_emit(p->d, q, "domain-pre-unpaused", NULL);
		event_emit(p->d, q, "domain-unpaused", NULL);
	}
}

/* @p->why says why */
static void tell_failed(struct power *p)
{
	const struct qube *q = power_qube(p);

	p->failed = true;
	p->gone_why[0] = '\0';
	log_warn(q->name, "start: %s", p->why.text);
	event_emit(p->d, q, "domain-start-failed", "reason", p->why.text, NULL);
}

static void start_done(void *data, const struct job_end *end)
{
	struct power *p = data;
	struct qube *q = power_qube(p);
	int r = 0;

	p->job = false;
	if (end->type[0] == '\0') {
		r = power_attach(p);
		if (r == 0 && !p->gone) {
			power_started(p);
			return;
		}
		(void)refuse(&p->why, "QubesVMError", "'%s' ended as soon as it was started%s%s",
			     q->name, p->gone_why[0] != '\0' ? ": " : "", p->gone_why);
	} else if (p->kill_wanted) {
		(void)refuse(&p->why, "QubesVMError", "'%s' was killed while it started", q->name);
	} else {
		(void)refuse(&p->why, end->type, "%s", end->text);
	}
	tell_failed(p);
	/* a start that failed left no process; one whose job died may have left a monitor */
	if (!p->gone && power_attach(p) == 0 && p->vmm && vmm_kill(p->vmm) == 0)
		return; /* VMM_GONE goes on from here */
	power_put_away(p);
}

static bool xid_in_use(const struct qubesd *d, unsigned xid)
{
	const struct model *m = d->model;

	if (zygotes_xid(d) == xid)
		return true;
	for (size_t i = 0; i < m->n_qubes; i++)
		if (m->by_name[i]->xid == xid)
			return true;
	return false;
}

static unsigned next_xid(const struct qubesd *d)
{
	unsigned xid = d->model->last_xid;

	for (unsigned n = 0; n < XID_MAX; n++) {
		xid = xid % XID_MAX + 1;
		if (!xid_in_use(d, xid))
			break;
	}
	return xid;
}

int power_take_xid(struct qubesd *d, unsigned *ret)
{
	struct changes AUTO(changes_done) changes = {0};
	const unsigned xid = next_xid(d);
	int r;

	changes_set_xid(&changes, xid);
	r = store_apply(d->store, &changes);
	if (r != 0)
		return r < 0 ? r : -EIO;
	*ret = xid;
	return 0;
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
	struct power *p = NULL;
	char detail[16];
	int r = power_make(c->d, q->qid, &p);

	if (r < 0)
		return r;
	p->source = c->source_qid;
	p->operation = c->d->model->next_operation;
	(void)snprintf(detail, sizeof(detail), "%u", xid);
	/* its end could not be written: the disk was full */
	for (const struct operation *op = c->d->model->operations; op; op = op->next)
		if (op->qid == q->qid && str_eq(op->kind, "run"))
			changes_end(&changes, op->id);
	changes_begin(&changes, p->operation, q->qid, "run", detail);
	changes_set_xid(&changes, xid);
	r = call_apply(c, &changes);
	if (r != 0) {
		power_free(p);
		return r;
	}
	*ret = p;
	return 0;
}

static void launch(struct power *p)
{
	static const struct job_events events = {start_progress, start_done};
	const struct job_end failed = {.type = "QubesVMError", .text = "no job could be started"};
	struct request AUTO(request_done) request = {0};
	const struct qube *q = power_qube(p);
	int r = power_describe_start(p->d, q, q->xid, &request, &p->why);

	if (r != 0) {
		tell_failed(p);
		power_put_away(p);
		return;
	}
	zygotes_describe(p->d, q, &request);
	request.source = p->source;
	p->job = true;
	p->begun = true;
	if (job_start(p->d, "start", &request, &events, p) != 0)
		start_done(p, &failed);
}

void power_go_on(struct qube *q, const struct refusal *why)
{
	struct power *p = q->power;

	p->job = false;
	if (!why && !p->kill_wanted) {
		launch(p);
		return;
	}
	if (p->kill_wanted)
		(void)refuse(&p->why, "QubesVMError", "'%s' was killed while it started", q->name);
	else if (why)
		p->why = *why;
	tell_failed(p);
	power_put_away(p);
}

/* its turn has come, but for memory */
static void spawn(struct power *p)
{
	struct refusal why;
	int r = memory_wait(p->d, power_qube(p), &why);

	if (r != MEMORY_WAITS) {
		power_go_on(power_qube(p), r == REFUSED ? &why : NULL);
		return;
	}
	p->job = true; /* as if one worked on it */
	power_progress(p, "memory", "memory is asked back from other qubes");
}

void power_start_end(struct power *p)
{
	const struct qube *q = power_qube(p);

	/* the netvm's own start goes on: others may wait for it */
	p->ahead->ended = NULL;
	p->ahead = NULL;
	(void)refuse(&p->why, "QubesVMError", "'%s' was killed while it waited for its netvm",
		     q->name);
	tell_failed(p);
	power_put_away(p);
}

static void netvm_started(void *data, const struct refusal *why)
{
	struct power *p = data;
	const struct qube *q = power_qube(p);

	p->ahead = NULL;
	if (!why) {
		spawn(p);
		return;
	}
	(void)refuse(&p->why, why->type, "the netvm of '%s' did not start: %s", q->name, why->text);
	tell_failed(p);
	power_put_away(p);
}

/* what must run before it, then itself */
static int start_ahead(struct power *p)
{
	const struct admin_request none = {.payload = (const uint8_t *)""};
	struct qube *netvm = property_qube(p->d->model, power_qube(p), PROP_netvm);
	struct call *c;
	int fd = NO_FD, r;

	if (!netvm || netvm->qid == 0) {
		spawn(p);
		return 0;
	}
	r = call_new(p->d, NULL, &none, &fd, &c);
	if (r < 0)
		return r;
	c->source_qid = p->source;
	c->ended = netvm_started;
	c->ended_data = p;
	p->ahead = c;
	if (!netvm->power)
		power_progress(p, "netvm", "its netvm starts");
	/* @p may be gone after this */
	r = power_call_start(c, netvm);
	if (r != CALL_LATER)
		call_end(c, r);
	return 0;
}

/** CHAIN_MAX - netvms behind each other: each is started inside the start of the one before it */
#define CHAIN_MAX 64

/* a store of old may hold what is refused today */
static int check_chain(struct call *c, const struct qube *q)
{
	const struct model *m = c->d->model;
	const struct qube *at = q;

	for (unsigned n = 0; n <= CHAIN_MAX; n++) {
		at = property_qube(m, at, PROP_netvm);
		if (!at)
			return 0;
		if (at == q)
			return refuse(
				&c->why, "QubesVMError",
				"'%s' gets its network from itself: its netvm, that one's and so on are a loop",
				q->name);
	}
	return refuse(
		&c->why, "QubesVMError",
		"'%s' gets its network through more than %u others: its netvm, that one's and so on",
		q->name, CHAIN_MAX);
}

int power_call_start(struct call *c, struct qube *q)
{
	struct request AUTO(request_done) request = {0};
	struct power *p = q->power;
	char memory[24];
	unsigned xid;
	int r;

	if (q->qid == 0)
		return 0;
	if (p) {
		if (p->state == STARTING)
			return power_wait(&p->starters, c);
		if (power_is_ending(q))
			return power_wait(&p->again, c);
		return 0;
	}
	r = may_start(c, q);
	if (r == 0)
		r = check_chain(c, q);
	if (r != 0)
		return r;
	kernel_refresh(c->d);
	xid = next_xid(c->d);
	/* that it can be described; it is again when its turn has come */
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
	(void)power_wait(&p->starters, c);
	r = start_ahead(p);
	if (r < 0) {
		(void)refuse(&p->why, "MemoryError", "no memory to start its netvm");
		tell_failed(p);
		power_put_away(p);
	}
	return CALL_LATER;
}
