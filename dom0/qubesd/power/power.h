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

/**
 * struct power_down - how a qube is shut down
 * @force:	though others get their network from it
 * @wait:	answer when it is halted
 * @after:	once those others have ended; refused when none of them goes
 */
struct power_down {
	bool force, wait, after;
};

struct call;
struct operation;
struct power_memory;
struct qube;
struct qubesd;
struct request;
struct tell;
struct vmm;

/** power_state_name() - "Halted", "Running"... */
const char *power_state_name(const struct qube *q);
/** power_is_running() - its guest is up, and neither paused nor on its way down */
bool power_is_running(const struct qube *q);
/** power_is_ending() - being shut down, or gone and being put away: a start waits for that */
bool power_is_ending(const struct qube *q);
/** power_refuse_busy() - refuse unless @q is halted and nobody works on its volumes; 0 or REFUSED */
MUST_CHECK int power_refuse_busy(const struct qube *q, struct refusal *why);
/** power_refuse_worked_on() - only the latter: it may run */
MUST_CHECK int power_refuse_worked_on(const struct qube *q, struct refusal *why);
/** power_memory_kib(), power_cputime_ms() - of a running qube; 0 for one that does not run */
uint64_t power_memory_kib(const struct qube *q);
uint64_t power_cputime_ms(const struct qube *q);

/** power_tell() - where power/tell.c keeps what a qube that is not halted is to be told; NULL if it is */
struct tell **power_tell(const struct qube *q);

/** power_memory(), power_vmm() - for power/memory.c: of one that is not halted; its machine, while there is one. NULL */
struct power_memory *power_memory(const struct qube *q);
struct vmm *power_vmm(const struct qube *q);
/** power_is_full() - its guest stands still, since there was no room for what it wrote; nobody paused it */
bool power_is_full(const struct qube *q);
/** power_try_again() - such a one goes on; or stands still again */
void power_try_again(const struct qube *q);
/** power_is_unwanted() - it was killed while it started */
bool power_is_unwanted(const struct qube *q);
/** power_go_on() - the start of @q, which waited for memory, goes on, or ends with @why */
void power_go_on(struct qube *q, const struct refusal *why);

/* The calls about power; each answers now or keeps @c until the qube is where it should be, and
 * returns as a handler does. */
/** power_call_start() - its netvm first, if that does not run; without it there is no start */
MUST_CHECK int power_call_start(struct call *c, struct qube *q);
/** power_call_shutdown() - qubes that get their network from @q prevent it, unless @how says otherwise */
MUST_CHECK int power_call_shutdown(struct call *c, struct qube *q, const struct power_down *how);
MUST_CHECK int power_call_kill(struct call *c, struct qube *q);
MUST_CHECK int power_call_pause(struct call *c, struct qube *q, bool pause);
/** power_call_suspend() - a qube has no devices of its own yet that would have to be put to sleep: it
 * stands still, and is called Suspended */
MUST_CHECK int power_call_suspend(struct call *c, struct qube *q, bool suspend);

/** power_down_look() - somebody may have ended, or changed its netvm: those that are to go after their clients */
void power_down_look(struct qubesd *d);

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
/** power_describe_machine() - of that only what a machine needs that is like @q's and nobody's: no QubesDB entries */
MUST_CHECK int power_describe_machine(const struct qubesd *d, const struct qube *q, unsigned xid,
				      struct request *request, struct refusal *why);
/** power_take_xid() - a fresh domain id, noted in the store. Return: 0; -errno */
MUST_CHECK int power_take_xid(struct qubesd *d, unsigned *ret);
/** power_zygote() - name of the zygote that @q was forked from; NULL: none, or not known since qubesd was started anew */
const char *power_zygote(const struct qube *q);
/** power_describe_start() - all that the job "start" is told about @q; 0 or REFUSED */
MUST_CHECK int power_describe_start(const struct qubesd *d, const struct qube *q, unsigned xid,
				    struct request *request, struct refusal *why);
