/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * A qube that is not halted, as the files of power/ share it: power.c has its life, start.c its beginning and what
 * must run before it, down.c its end and what must end before it.
 */
#include "power/power.h"

#include "power/memory.h"
#include "store/model.h"

#include <systemd/sd-event.h>

struct vmm;

#define XID_MAX 32751

enum state { STARTING, RUNNING, PAUSED, HALTING, STOPPING };

/* calls that wait, oldest first */
struct waiting {
	struct call *first;
};

struct power {
	struct qubesd *d;
	unsigned qid;
	enum state state;
	uint64_t operation;
	unsigned source; /* qid of who wished it to start */
	struct vmm *vmm;
	sd_event_source *timer,
		*end;       /* @end: off, until it has ended and no job puts its volumes away */
	int64_t patience_s; /* what is left of shutdown_timeout; 0: not being shut down */
	bool job;           /* a start or stop job works on it */
	bool begun;         /* a start job has begun: its volumes are to be put away */
	bool suspended;     /* PAUSED is for that */
	bool trying;        /* it was told to go on, and has not answered */
	bool full;          /* its guest stands still: there was no room for what it wrote */
	bool kill_wanted;   /* before there was anything to kill */
	bool announced;     /* domain-start was told */
	bool gone;          /* the monitor has ended */
	bool clean;         /* and the guest had powered itself off */
	bool put_again;     /* its volumes are put away for the second time */
	bool failed;        /* it did not start; @why says it */
	bool after;         /* RUNNING, and shut down as soon as its clients have ended */
	struct call *ahead; /* the start of its netvm, which it waits for; NULL: none */
	struct refusal why;
	char gone_why[256];
	char zygote[24]; /* name of the one it is forked from; "" */
	struct waiting starters, stoppers, pausers, unpausers, again;
	struct tell *tell; /* power/tell.c; NULL: nothing was */
	struct power_memory memory;
};

/** power_make() - of the qube @qid, which starts; power_free() - and let go of its machine. Return: 0; -errno */
MUST_CHECK int power_make(struct qubesd *d, unsigned qid, struct power **ret);
void power_free(struct power *p);
/** power_qube() - whose it is */
struct qube *power_qube(const struct power *p);
/** power_set_state() - and policyd is told in time if it matters to decisions */
void power_set_state(struct power *p, enum state state);
/** power_wait() - @c is answered with the others of @w; CALL_LATER */
int power_wait(struct waiting *w, struct call *c);
/** power_answer() - answer all that wait: with 0, or with a refusal */
void power_answer(struct waiting *w, const struct refusal *why);
/** power_progress() - to those who wait for its start or end */
void power_progress(struct power *p, const char *stage, const char *text);
/** power_emit_reset() - a property that follows its power has another value */
void power_emit_reset(struct qubesd *d, const struct qube *q, const char *property);
/** power_timer_off(), power_timer_set() - it has one timer */
void power_timer_off(struct power *p);
void power_timer_set(struct power *p, int64_t seconds, sd_event_time_handler_t fn);
/** power_put_away() - nothing of it runs any more: the job "stop", then it is halted, and @p freed: never at once */
void power_put_away(struct power *p);
/** power_attach() - to its monitor, unless that was done or it has gone; 0, or -errno */
MUST_CHECK int power_attach(struct power *p);
/** power_started() - it runs: who waits is answered */
void power_started(struct power *p);
/** power_refuse_halted() - @q has nothing to shut down, kill or pause: REFUSED; else 0 */
MUST_CHECK int power_refuse_halted(struct call *c, const struct qube *q);

/** power_start_end() - it waits for its netvm and is not to start any more: it fails (start.c) */
void power_start_end(struct power *p);
/** power_down_wait() - give it what is left of @patience_s (down.c) */
void power_down_wait(struct power *p);
