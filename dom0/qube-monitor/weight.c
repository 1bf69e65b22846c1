/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How heavy QEMU is beside dom0's programs: nice 10, a tenth of their share of a busy processor, so that what a person
 * does to the system is answered while qubes boot. It stays in the session of its instance for that, as nice values hold
 * within a session only where the kernel puts each into a scheduling group of its own. (doc/decisions/0055)
 *
 * One that is to take up a saved machine keeps the weight of others until it has: that is 10 ms of processor time in a hundred
 * pieces, handed between its threads, which on a busy machine would each wait for its turn. Then it is half as nice until its guest lets go
 * on what stood still in the saved machine (it closes the stage port then, doc/protocol/fork.md), so that of many that start at once those who are
 * waited for come before those that wake up after their answer. A guest that never closes it has FORKING_US.
 */
#include "qube-monitor.h"

#include "base/log.h"

#include <sys/resource.h>

#define FORKING_NICENESS (QEMU_NICENESS / 2)
#define FORKING_US       UINT64_C(10000000)

/* of all its threads, as it leads its process group */
static int lower(const struct monitor *m, int niceness)
{
	if (setpriority(PRIO_PGRP, (id_t)m->qemu.pid, niceness) < 0 && errno != ESRCH)
		return fail_errno();
	return 0;
}

static int on_patience_end(sd_event_source *s, uint64_t usec, void *data)
{
	(void)s, (void)usec;
	weight_settle(data);
	return 0;
}

int weight_lower(struct monitor *m)
{
	int r = sd_event_add_time_relative(m->event, &m->qemu.settle, CLOCK_MONOTONIC, FORKING_US,
					   0, on_patience_end, m);

	return r < 0 ? r : lower(m, FORKING_NICENESS);
}

void weight_settle(struct monitor *m)
{
	int r;

	/* before it was lowered at all it is none that anybody waits for */
	if (!m->qemu.settle)
		return;
	m->qemu.settle = sd_event_source_disable_unref(m->qemu.settle);
	r = lower(m, QEMU_NICENESS);
	if (r < 0)
		log_warn(m->name, "QEMU stays heavier than others: %s", log_errno_str(r));
}
