/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How heavy QEMU is beside dom0's programs: nice 10, a tenth of their share of a busy processor, so that what a person
 * does to the system is answered while qubes boot. (doc/decisions/0046)
 *
 * spawn() makes QEMU nice. Where the kernel puts each session into a scheduling group of its own (sched_autogroup), that
 * holds within QEMU's session only, which is QEMU alone; what counts is the group's own nice value. Who is not root gets
 * to set one of those in 100 ms, of all users of the machine, and otherwise hears EAGAIN: we come again until it is done.
 * QEMU, a qube's processor, waits for none of this, and may not turn it back: it can write no file of /proc.
 *
 * One that is to take up a saved machine keeps the weight of others until it has: that is 10 ms of processor time in a hundred
 * pieces, handed between its threads, which on a busy machine would each wait for its turn. Then it is half as nice until its guest lets go
 * on what stood still in the saved machine (it closes the stage port then, doc/protocol/fork.md), so that of many that start at once those who are
 * waited for come before those that wake up after their answer. A guest that never closes it has FORKING_US.
 */
#include "qube-monitor.h"

#include "base/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define FORKING_NICENESS (QEMU_NICENESS / 2)
#define FORKING_US       UINT64_C(10000000)
#define AGAIN_US         100000

static int set_group(const struct monitor *m)
{
	char path[64], text[8];
	AUTO_CLOSE int fd = NO_FD;
	int n = snprintf(text, sizeof(text), "%d", m->qemu.niceness);

	(void)snprintf(path, sizeof(path), "/proc/%d/autogroup", (int)m->qemu.pid);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, (size_t)n) < 0)
		return fail_errno();
	return 0;
}

static int on_again(sd_event_source *s, uint64_t usec, void *data)
{
	struct monitor *m = data;
	int r = set_group(m);

	(void)usec;
	if (r == -EAGAIN) {
		r = sd_event_source_set_time_relative(s, AGAIN_US);
		if (r >= 0)
			r = sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
	}
	/* a kernel without such groups, or a QEMU that has just ended */
	if (r < 0 && r != -ENOENT && r != -ESRCH)
		log_warn(m->name, "QEMU keeps its session's weight: %s", log_errno_str(r));
	return 0;
}

static int lower(struct monitor *m, int niceness)
{
	m->qemu.niceness = niceness;
	/* of all its threads, as it leads its session; the others have it from spawn() */
	if (m->mode == MONITOR_FORK && setpriority(PRIO_PGRP, (id_t)m->qemu.pid, niceness) < 0 &&
	    errno != ESRCH)
		return fail_errno();
	m->qemu.weight = sd_event_source_disable_unref(m->qemu.weight);
	return sd_event_add_time_relative(m->event, &m->qemu.weight, CLOCK_MONOTONIC, 0, 1,
					  on_again, m);
}

static int on_patience_end(sd_event_source *s, uint64_t usec, void *data)
{
	(void)s, (void)usec;
	weight_settle(data);
	return 0;
}

int weight_lower(struct monitor *m)
{
	int r;

	if (m->mode != MONITOR_FORK)
		return lower(m, QEMU_NICENESS);
	r = sd_event_add_time_relative(m->event, &m->qemu.settle, CLOCK_MONOTONIC, FORKING_US, 0,
				       on_patience_end, m);
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
