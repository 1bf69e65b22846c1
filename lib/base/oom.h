/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Who is ended when memory is short. */

/** oom_be_plain() - we, and what we start from now on, are as dear to the kernel as anything else: a unit's OOMScoreAdjust= is for
 * its own program, not for what that runs for others. Nothing happens to one that is not spared */
void oom_be_plain(void);
