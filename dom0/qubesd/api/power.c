/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Start, shut down, kill, pause: the calls; what they do is in power/. */
#include "power/power.h"

#include "api/call.h"
#include "api/method.h"
#include "qubesd.h"
#include "store/property.h"

#include <inttypes.h>
#include <string.h>

int power_start(struct call *c)
{
	return power_call_start(c, c->dest);
}

/* force and wait, each once, joined by '+' */
static int shutdown(struct call *c, bool wait)
{
	bool force = false;
	char *rest = c->q.arg, *word;

	while (c->q.arg[0] != '\0' && (word = strsep(&rest, "+"))) {
		if (strcmp(word, "force") == 0)
			force = true;
		else if (strcmp(word, "wait") == 0)
			wait = true;
		else
			return refuse(&c->why, "ProtocolError",
				      "the argument is force, wait or force+wait, not '%s'", word);
	}
	return power_call_shutdown(c, c->dest, force, wait);
}

int power_shutdown(struct call *c)
{
	return shutdown(c, false);
}

int power_shutdown_wait(struct call *c)
{
	return shutdown(c, true);
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

	if (q->klass == KLASS_REMOTE)
		most = 0;
	text_add(&c->out,
		 "mem=%" PRIu64 " mem_static_max=%" PRIu64 " cputime=%" PRIu64 " power_state=%s",
		 q->qid == 0 ? most * 1024 : power_memory_kib(q), most * 1024, power_cputime_ms(q),
		 power_state_name(q));
	return 0;
}
