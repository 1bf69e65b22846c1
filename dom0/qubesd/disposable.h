/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Disposables: DispVMs, and those among them that are for one use.
 *
 * One with auto_cleanup is removed as soon as it is halted, however that came about; what is left
 * halted when qubesd starts is removed then. One that is made by bulkhead.vm.Disposable is *held*:
 * the connection of that call is its life. When it closes the disposable is killed. While qubesd is
 * away nobody can hold anything, so a disposable that it takes back has HOLD_AGAIN_S to be held
 * again by who held it.
 */
#include "base/attr.h"

struct model;
struct qube;
struct qubesd;
struct refusal;
struct wish;

/**
 * disposable_template() - from which a disposable is made
 * @dest:	it, or dom0: the default_dispvm of @source
 *
 * Return: NULL: @why says why there is none.
 */
const struct qube *disposable_template(const struct model *m, const struct qube *dest,
				       const struct qube *source, struct refusal *why);
/** disposable_choose() - number of a DispVM, and its name if @w has none */
MUST_CHECK int disposable_choose(struct qubesd *d, struct wish *w, struct refusal *why);
/** disposable_wish() - one for a single use, made by @source */
MUST_CHECK int disposable_wish(struct qubesd *d, const struct qube *dest, const struct qube *source,
			       struct wish *ret, struct refusal *why);

/**
 * disposable_halted() - @q is; it may be a disposable
 * @keep_log:	it did not start, and its console says why
 */
void disposable_halted(struct qubesd *d, struct qube *q, bool keep_log);

/** disposable_used() - @q, which waited for its use, runs: who holds it hears so */
void disposable_used(struct qube *q);

/** disposables_recover() - at start, after power_recover() */
MUST_CHECK int disposables_recover(struct qubesd *d);
/** disposables_detach() - qubesd ends: those that are held go on */
void disposables_detach(struct qubesd *d);
