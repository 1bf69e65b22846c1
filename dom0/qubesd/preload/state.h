/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Between the files of preload/: one of them (preload.c), and all of them (preloads.c). */
#include "base/attr.h"
#include "preload/preload.h"
#include "preload/recipe.h"

#include <systemd/sd-event.h>

struct child;

/**
 * struct preload - from its making until it is used or ends
 * @operation:	"preload"
 * @recipe:	what it was made like; "outdated"
 * @call:	of who waits until it is paused, or has taken it, and @answer to that; NULL: nobody, or who took it holds it
 * @child:	a tool that waits for its system, or sets its clock
 * @ready:	it has stood paused; since @paused_ms
 */
struct preload {
	struct qubesd *d;
	unsigned qid;
	uint64_t operation;
	char recipe[RECIPE_LEN + 1];
	struct call *call;
	void (*answer)(struct call *c, struct qube *q);
	struct child *child;
	uint64_t made_ms, paused_ms;
	bool started, settled, ready, taken, set_clock, ending;
	struct call *pausing, *unpausing;
};

/** struct preloads - @rests: somebody ended one; none is made until something happens that shows a use for it. @unused: nobody waits, and
 * no template wants any: until one says otherwise no event is of interest */
struct preloads {
	struct qubesd *d;
	sd_event_source *turn, *timer;
	uint64_t not_before_ms;
	unsigned n_failed; /* in a row */
	bool rests, begun, unused, said_no_memory;
};

/** preload_new() - for @q, which is being made or was found in the store; -ENOMEM */
MUST_CHECK int preload_new(struct qubesd *d, struct qube *q, uint64_t operation, const char *recipe,
			   struct preload **ret);
/** preload_step() - what is to be done with @p next. May free it */
void preload_step(struct preload *p);
/** preload_throw() - nobody is to have it. May free it */
void preload_throw(struct preload *p, const char *why);
/** preload_is_current() - it can be given to somebody: it is what a new one would be */
bool preload_is_current(const struct preload *p);
/** preload_detach() - forget it; the qube stays as it is */
void preload_detach(struct preload *p);

/** preloads_look_soon() - at the loop's next turn */
void preloads_look_soon(struct qubesd *d);
/** preloads_failed(), preloads_ready(), preloads_used() - @p did not get so far as to wait; it waits now; it is somebody's */
void preloads_failed(struct qubesd *d);
void preloads_ready(struct qubesd *d);
void preloads_used(struct qubesd *d, const struct qube *t);
