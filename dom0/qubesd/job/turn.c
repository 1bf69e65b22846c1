/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "job/turn.h"

#include "base/str.h"

#include <limits.h>

/*
 * @slots:	processes at once
 * @each:	of these, for one source other than dom0, and for one pool with a folder of its own
 * @queue:	that may wait. 0: as many as there are, for they are at most one per qube
 */
/* clang-format off */
static const struct rule {
	unsigned slots, each, queue;
} rules[N_LANES] = {
	[LANE_START]  = {64, 32,   0},
	[LANE_STOP]   = {16,  8,   0},
	[LANE_DISK]   = {16,  8,   0},
	[LANE_STREAM] = {16,  4, 256},	/* each that waits holds a descriptor */
	[LANE_LOOK]   = {16,  4, 256},	/* as many as there are clients could ask */
	[LANE_TELL]   = {32, 32,   0},
	[LANE_ZYGOTE] = { 1,  1,   0},
};
/* clang-format on */

unsigned turn_slots(enum lane lane)
{
	return rules[lane].slots;
}

/* those of @t's lane that run: all, of its source, in that of its pools with the most */
struct count {
	unsigned all, source, pool;
};

static bool works_in(const struct turn *t, const char *pool)
{
	for (unsigned i = 0; i < TURN_POOLS; i++)
		if (str_eq(t->pools[i], pool))
			return true;
	return false;
}

static struct count count(const struct turn *running, const struct turn *t)
{
	unsigned pools[TURN_POOLS] = {0};
	struct count n = {0};

	for (const struct turn *r = running; r; r = r->next) {
		if (r->lane != t->lane)
			continue;
		n.all++;
		n.source += r->source == t->source;
		for (unsigned i = 0; i < TURN_POOLS && t->pools[i][0] != '\0'; i++) {
			pools[i] += works_in(r, t->pools[i]);
			n.pool = pools[i] > n.pool ? pools[i] : n.pool;
		}
	}
	return n;
}

struct turn *turn_next(const struct turn *running, struct turn *waiting, enum lane lane)
{
	const struct rule *rule = &rules[lane];
	struct turn *best = NULL;
	unsigned fewest = UINT_MAX;

	for (struct turn *t = waiting; t; t = t->next) {
		struct count n;

		if (t->lane != lane)
			continue;
		n = count(running, t);
		if (n.all >= rule->slots)
			return NULL;
		if (n.pool >= rule->each || (t->source != 0 && n.source >= rule->each))
			continue;
		if (n.source < fewest) {
			best = t;
			fewest = n.source;
		}
	}
	return best;
}

bool turn_may_wait(const struct turn *waiting, enum lane lane)
{
	unsigned n = 0;

	for (const struct turn *t = waiting; t; t = t->next)
		n += t->lane == lane;
	return rules[lane].queue == 0 || n < rules[lane].queue;
}
