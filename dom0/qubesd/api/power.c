/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Start, shut down, kill, pause: the calls; what they do is in power/. */
#include "power/power.h"
#include "power/memory.h"

#include "api/call.h"
#include "api/method.h"
#include "proto/argument.h"
#include "qubesd.h"
#include "store/property.h"

#include <inttypes.h>
#include <string.h>

int power_start(struct call *c)
{
	return power_call_start(c, c->dest);
}

static int shutdown_words(struct call *c, bool own, struct power_down *how)
{
	struct argument_shutdown a;

	if (argument_shutdown_decode(c->q.arg, strlen(c->q.arg), own, &a) != 0)
		return refuse(&c->why, "ProtocolError",
			      "the argument is made of %s, each once, joined by +, not '%s'",
			      own ? "force, after and wait or later" : "force and wait", c->q.arg);
	how->force = a.force;
	how->wait = own ? !a.later : a.wait;
	how->after = a.after;
	return 0;
}

int power_shutdown(struct call *c)
{
	struct power_down how = {0};
	int r = shutdown_words(c, false, &how);

	return r == 0 ? power_call_shutdown(c, c->dest, &how) : r;
}

int power_shutdown_wait(struct call *c)
{
	struct power_down how = {0};
	int r = shutdown_words(c, true, &how);

	return r == 0 ? power_call_shutdown(c, c->dest, &how) : r;
}

int power_kill(struct call *c)
{
	return power_call_kill(c, c->dest);
}

int power_pause(struct call *c)
{
	return power_call_pause(c, c->dest, true);
}

int power_unpause(struct call *c)
{
	return power_call_pause(c, c->dest, false);
}

int power_suspend(struct call *c)
{
	return power_call_suspend(c, c->dest, true);
}

int power_resume(struct call *c)
{
	return power_call_suspend(c, c->dest, false);
}

int power_state(struct call *c)
{
	const struct model *m = c->d->model;
	const struct qube *q = c->dest;
	uint64_t most =
		q->qid == 0 ? m->machine.memory_mib : (uint64_t)property_int(m, q, PROP_memory);
	struct memory_figures f;

	if (q->klass == KLASS_REMOTE)
		most = 0;
	if (memory_figures(c->d, q, &f))
		most = f.most / 1024;
	text_add(&c->out,
		 "mem=%" PRIu64 " mem_static_max=%" PRIu64 " cputime=%" PRIu64 " power_state=%s",
		 q->qid == 0 ? most * 1024 : power_memory_kib(q), most * 1024, power_cputime_ms(q),
		 power_state_name(q));
	return 0;
}
