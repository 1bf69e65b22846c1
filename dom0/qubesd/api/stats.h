/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* What running qubes use, told every stats_interval seconds to who asks (admin.vm.Stats). Nothing is measured while
 * nobody does. */

struct qubesd;

/** stats_done() - qubesd ends */
void stats_done(struct qubesd *d);
