/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Who tells of the machine's sleep: sleep-watch, our child, which hears it of logind and calls internal.SuspendPre and -Post as any
 * other would. Without it, or without logind, nobody does.
 */
#include "base/attr.h"

struct qubesd;

/** sleep_begin() - @dir: where the sockets are */
void sleep_begin(struct qubesd *d, const char *dir);
void sleep_end(struct qubesd *d);
