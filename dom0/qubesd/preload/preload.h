/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Disposables that are started before anybody asks for one, and stand still until somebody does (doc/decisions/0070).
 *
 *	made -> started -> settled -> paused -> taken -> used
 *
 * A template for disposables says by its feature preload-dispvm-max how many it keeps. The operation "preload" stands in the store
 * from the wish until the qube is used; its detail says what the qube was made like (its recipe), "outdated" that nobody gets it any more, or
 * "taken" that somebody does. All that follows from what is in the store and from what the qubes' states are, in one look at a turn of
 * the loop after something happened, so nothing here relies on an order of events, and a qubesd that starts anew goes on.
 */
#include "base/attr.h"

struct call;
struct changes;
struct preload;
struct preloads;
struct qube;
struct qubesd;
struct refusal;

/** preload_may_set() - a feature that says how many, when, or beside how much free memory; 0 or REFUSED */
MUST_CHECK int preload_may_set(const char *name, const char *value, struct refusal *why);

/** preload_take() - one of @template's for @source; it is used as soon as it runs
 * @held:	the operation "hold" begins with it; disposable_used() is called
 * @call:	where nobody holds it: @answer is called with it
 *
 * Return: the qube, whose end is told by preload_ended(); NULL: there is none.
 */
struct qube *preload_take(struct qubesd *d, const struct qube *template, const struct qube *source,
			  bool held, struct call *call,
			  void (*answer)(struct call *c, struct qube *q));
/** preload_make() - one more now, though none was used; @c hears of it when it is there. CALL_LATER; REFUSED; -errno */
MUST_CHECK int preload_make(struct call *c, const struct qube *template,
			    void (*answer)(struct call *c, struct qube *q));
/** preload_ended() - @q has halted, and goes. @ret_call: who had taken it, or NULL. Return: somebody had taken it, and it was never used */
bool preload_ended(struct qubesd *d, struct qube *q, struct call **ret_call);
/** preload_is_idle() - @q is one that nobody has taken */
bool preload_is_idle(const struct qube *q);

/** preloads_event() - something is told about @q (NULL: the system): there may be more or less to do */
void preloads_event(struct qubesd *d, const struct qube *q, const char *event);
/** preloads_outdate() - the volumes of @q are others from now on: nobody gets what was made of them, even if qubesd ends now */
void preloads_outdate(struct qubesd *d, const struct qube *q);
/** preloads_recover() - at start, after power_recover(); preloads_begin(): others may start from now on; preloads_end(): qubesd ends.
 * Those that are all that runs end with it */
MUST_CHECK int preloads_recover(struct qubesd *d);
void preloads_begin(struct qubesd *d);
void preloads_end(struct qubesd *d);
