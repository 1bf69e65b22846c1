/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Room in pools, which are looked at while qubes run, and after jobs that fill them (doc/decisions/0069). It is told as one
 * becomes nearly full; and a qube that wrote where no room was left, and stands still, goes on when there is some again.
 */
#include "base/attr.h"

struct qube;
struct qubesd;

/** room_watch() - a qube runs, or a job has filled a pool: look, and go on looking while a qube runs */
void room_watch(struct qubesd *d);
/** room_removed() - there is no @pool of that name any more: the next one is another */
void room_removed(struct qubesd *d, const char *pool);
/** room_least() - the fullest pool, as of now or the last look; NULL: none was looked at. @ret_percent: of it in use */
const char *room_least(struct qubesd *d, unsigned *ret_percent);
/** room_wanted() - @q stands still for want of room */
void room_wanted(struct qubesd *d, const struct qube *q);
/** room_done() - qubesd ends, and has no jobs any more */
void room_done(struct qubesd *d);
