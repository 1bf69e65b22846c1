/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Before the machine sleeps, and after: internal.SuspendPre and internal.SuspendPost. Running qubes run what their user has
 * put there for it (qubes.SuspendPreAll, qubes.SuspendPostAll), and get the time afterwards. They are not stopped: QEMU
 * stands still with the machine. Whatever a qube does or does not answer, sleep waits for it only so long.
 */
#include "base/attr.h"

struct qubesd;

/** suspend_end() - qubesd ends: whoever waits is left alone */
void suspend_end(struct qubesd *d);
