/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "suspend.h"

#include "api/call.h"
#include "api/method.h"
#include "base/log.h"
#include "qubesd.h"
#include "tool.h"

#include <time.h>

/** PATIENCE_S - for one step, all qubes at once */
#define PATIENCE_S 20
#define STEPS_MAX  2

/* one command of qvm's after the other */
struct step {
	const char *argv[10];
};

#define SERVICE(name)                                                                              \
	{                                                                                          \
		{                                                                                  \
			"qvm-run", "--quiet", "--all", "--no-autostart", "--user", "root",         \
				"--service", name, NULL                                            \
		}                                                                                  \
	}

static const struct step before[STEPS_MAX + 1] = {SERVICE("qubes.SuspendPreAll")};
static const struct step after[STEPS_MAX + 1] = {
	{{"qvm-sync-clock", "--quiet", "--timeout=15", NULL}},
	SERVICE("qubes.SuspendPostAll"),
};

struct suspend {
	struct call *call;
	const struct step *step;
	bool is_after;
	struct child *child;
	sd_event_source *timer;
};

static void suspend_free(struct suspend *s)
{
	tool_kill(s->child);
	(void)sd_event_source_disable_unref(s->timer);
	free(s);
}

static void go_on(struct qubesd *d);

static void over(struct qubesd *d)
{
	struct suspend *s = d->suspend;

	child_free(s->child);
	s->child = NULL;
	s->timer = sd_event_source_disable_unref(s->timer);
	s->step++;
	go_on(d);
}

/* it has said what is wrong, and no qube's trouble keeps the machine from its sleep */
static void on_child(void *data, const struct child_end *end)
{
	(void)end;
	over(data);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *data)
{
	struct qubesd *d = data;
	struct suspend *s = d->suspend;

	(void)source, (void)usec;
	log_warn(NULL, "%s: not all qubes have done it within %u s, and nobody waits any longer",
		 s->step->argv[0], PATIENCE_S);
	tool_kill(s->child);
	s->child = NULL;
	over(d);
	return 0;
}

static void go_on(struct qubesd *d)
{
	struct suspend *s = d->suspend;

	for (; s->step->argv[0]; s->step++) {
		int r = tool_start(d, s->step->argv, NO_FD, on_child, d, &s->child);

		if (r == 0)
			r = sd_event_add_time_relative(d->event, &s->timer, CLOCK_MONOTONIC,
						       PATIENCE_S * UINT64_C(1000000), 0, on_timer,
						       d);
		if (r >= 0)
			return;
		log_warn(NULL, "%s cannot be started: %s", s->step->argv[0], log_errno_str(r));
		tool_kill(s->child);
		s->child = NULL;
	}
	d->suspend = NULL;
	call_end(s->call, 0);
	suspend_free(s);
}

static int begin(struct call *c, const struct step *step)
{
	struct suspend *s = c->d->suspend;

	/* the machine sleeps again while qubes are told that it has slept: the rest of that is out of date */
	if (s && s->is_after && step == before) {
		c->d->suspend = NULL;
		call_end(s->call, 0);
		suspend_free(s);
	} else if (s) {
		return refuse(&c->why, "QubesException",
			      "the qubes are being told of the machine's sleep already");
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->call = c;
	s->step = step;
	s->is_after = step == after;
	c->d->suspend = s;
	go_on(c->d);
	return CALL_LATER;
}

int internal_suspend_pre(struct call *c)
{
	return begin(c, before);
}

int internal_suspend_post(struct call *c)
{
	return begin(c, after);
}

void suspend_end(struct qubesd *d)
{
	struct suspend *s = take_ptr(&d->suspend);

	if (!s)
		return;
	call_drop(s->call);
	suspend_free(s);
}
