/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Whose turn it is: how many jobs there are at once, and which of those that wait is next. Pure.
 *
 * Jobs are in lanes by what they may have to wait for, so that none waits behind what may take longer: a start never behind
 * clones, nor a clone behind an import whose sender is slow. A lane has so many slots. Nobody but dom0 gets all of them, and
 * no pool with a folder of its own, whose file system may not answer, does either: one that hangs keeps its own jobs waiting
 * and no others.
 */
#include "base/attr.h"

/** enum lane - @LANE_START: the guest; @LANE_STOP, @LANE_DISK: the disk; @LANE_STREAM: who sends; @LANE_LOOK: a file system;
 * @LANE_TELL: a qube's QubesDB; @LANE_ZYGOTE: a machine that nobody waits for */
enum lane {
	LANE_START,
	LANE_STOP,
	LANE_DISK,
	LANE_STREAM,
	LANE_LOOK,
	LANE_TELL,
	LANE_ZYGOTE,
};
#define N_LANES 7

/** TURN_POOLS - a qube's volumes are in so many pools at most */
#define TURN_POOLS 3

/**
 * struct turn - a job as its lane sees it
 * @next:	in a list, oldest first
 * @source:	qid of whose wish it is; 0: dom0's
 * @pools:	those with a folder of their own that it works in, without gaps; "" behind the last
 */
struct turn {
	struct turn *next;
	enum lane lane;
	unsigned source;
	char pools[TURN_POOLS][64];
};

/** turn_next() - which of @waiting may begin now, beside @running; NULL: none. Of those that may, one of the source that has
 * the fewest running; of these the oldest */
struct turn *turn_next(const struct turn *running, struct turn *waiting, enum lane lane);
/** turn_may_wait() - one more may be put behind @waiting: never false where there is at most one job per qube */
bool turn_may_wait(const struct turn *waiting, enum lane lane);
/** turn_slots() - of a lane */
unsigned turn_slots(enum lane lane);
