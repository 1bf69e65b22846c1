/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Room in pools. A qube that wrote where no room was left stands still, and loses nothing (doc/decisions/0069): while one does,
 * the pools that it writes to are looked at now and then, and it goes on when there is room again.
 */
#include "base/attr.h"

struct qube;
struct qubesd;

/** room_wanted() - @q stands still for want of room */
void room_wanted(struct qubesd *d, const struct qube *q);
/** room_done() - qubesd ends, and has no jobs any more */
void room_done(struct qubesd *d);
