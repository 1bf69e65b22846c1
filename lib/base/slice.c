/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sched_setattr(2); that an ordinary process may have a slice of its own: Linux 6.12, kernel/sched/syscalls.c */
#include "base/slice.h"

#include <linux/sched.h>
#include <linux/sched/types.h>
#include <sys/syscall.h>
#include <unistd.h>

void slice_be_short(unsigned us)
{
	struct sched_attr a = {.size = sizeof(a)};

	/* with our niceness, whatever it is */
	if (syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0) < 0 || a.sched_policy != SCHED_NORMAL)
		return;
	a.sched_flags = SCHED_FLAG_RESET_ON_FORK;
	a.sched_runtime = (unsigned long long)us * 1000;
	(void)syscall(SYS_sched_setattr, 0, &a, 0);
}
