/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * How often a qube's word about itself changes something here: each change is a commit, events and work for all who follow
 * (qubes.SyncAppMenus begins qvm-appmenus), and a qube could change its mind for ever.
 *
 * QUOTA_BURST changes at once, then one more in QUOTA_PERIOD_MS. What comes beyond is refused, but its last word of
 * each service is kept, and counts when there is room: a template that installs much in a row is not left with half of it.
 * All this is forgotten with qubesd.
 */
#include "base/attr.h"

#define QUOTA_BURST 16
#ifndef QUOTA_PERIOD_MS
#define QUOTA_PERIOD_MS 60000
#endif

struct call;
struct qube;
struct qubesd;

/**
 * quota_take() - may this report change something now?
 * @changes: false: it says what is here already; then an earlier word of this service that was kept is void
 *
 * Return: 0; REFUSED, with the reason in @c->why, and the report is kept in place of an earlier one; -ENOMEM.
 */
MUST_CHECK int quota_take(struct call *c, bool changes);
/** quota_forget() - somebody else has said by now what @qube's reports that @handler takes say: none that was kept counts */
void quota_forget(struct qubesd *d, const struct qube *qube, int (*handler)(struct call *c));
/** quota_end() - qubesd ends */
void quota_end(struct qubesd *d);
