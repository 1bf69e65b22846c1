/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * The entries of qubes in the menus of the user's desktop follow what is here: a little after something changed that they
 * show, `qvm-appmenus --update --all` is started, one at a time; as a client it asks for all it needs. One that is
 * ended in the middle is made good by the next, as each makes all of it agree. Nothing waits for it.
 */
#include "base/attr.h"

struct qubesd;

/** menus_begin() - once; what changed while there was no qubesd is caught up with. Without a loop's timer: never */
void menus_begin(struct qubesd *d);
/** menus_end() - qubesd ends */
void menus_end(struct qubesd *d);
/** menus_event() - an event of this name has happened: do menus show of what it tells? */
void menus_event(struct qubesd *d, const char *name);
