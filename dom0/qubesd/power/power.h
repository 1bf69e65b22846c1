/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Qubes that are not halted: starting, running, stopping. A qube has a struct power from the commit
 * that says it is being started until the one that says its volumes are put away; in between the
 * operation "run" stands in the store, with its domain id, so that a qubesd that starts anew knows
 * what to look for.
 *
 *	Halted -> Transient (job "start") -> Running <-> Paused
 *	Running -> Halting (asked to shut down) -> Dying (gone; job "stop") -> Halted
 *
 * A qube that ends by itself or is killed goes to Dying from wherever it is.
 */
#include "base/attr.h"

#include "store/refusal.h"

struct call;
struct operation;
struct qube;
struct qubesd;
struct request;
struct tell;

/** power_state_name() - "Halted", "Running"... */
const char *power_state_name(const struct qube *q);
/** power_is_ending() - being shut down, or gone and being put away: a start waits for that */
bool power_is_ending(const struct qube *q);
/** power_memory_kib(), power_cputime_ms() - of a running qube; 0 for one that does not run */
uint64_t power_memory_kib(const struct qube *q);
uint64_t power_cputime_ms(const struct qube *q);

/** power_tell() - where power/tell.c keeps what a qube that is not halted is to be told; NULL if it is */
struct tell **power_tell(const struct qube *q);

/* The calls about power; each answers now or keeps @c until the qube is where it should be, and
 * returns as a handler does. */
MUST_CHECK int power_call_start(struct call *c, struct qube *q);
MUST_CHECK int power_call_shutdown(struct call *c, struct qube *q, bool force, bool wait);
MUST_CHECK int power_call_kill(struct call *c, struct qube *q);
MUST_CHECK int power_call_pause(struct call *c, struct qube *q, bool pause);
/** power_call_suspend() - a qube has no devices of its own yet that would have to be put to sleep: it
 * stands still, and is called Suspended */
MUST_CHECK int power_call_suspend(struct call *c, struct qube *q, bool suspend);

/** power_end() - kill it as soon as there is something to kill; @q is not halted */
MUST_CHECK int power_end(struct qube *q, struct refusal *why);
/** power_recover() - at start: take running qubes back, put away what ended meanwhile */
MUST_CHECK int power_recover(struct qubesd *d);
/** power_autostart() - at start, after power_recover(): those that start with the system, if it has just
 * started. power_autostart_again(): the next qubesd does so again, unless a qube runs */
void power_autostart(struct qubesd *d);
void power_autostart_again(struct qubesd *d);
/** power_detach_all() - qubesd ends: let go of running qubes, which go on */
void power_detach_all(struct qubesd *d);

/** power_describe_log() - where the console of @q is logged, for a job */
void power_describe_log(const struct qubesd *d, const struct qube *q, struct request *request);
/** power_describe_start() - all that the job "start" is told about @q; 0 or REFUSED */
MUST_CHECK int power_describe_start(const struct qubesd *d, const struct qube *q, unsigned xid,
				    struct request *request, struct refusal *why);
