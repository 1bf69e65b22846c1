/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What qrexec holds for one qube: the proportional share (PSS) of its daemon and its agent, after calls.
 * Bound: 1.5 MiB for the two. Where other programs use the same libraries their shares are smaller.
 *
 *	bench/qrexec-memory
 */
#include "pair.h"

#include "base/attr.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

#define SERVICE   "/bin/true"
#define N_CALLS   200
#define BOUND_MIB 1.5
/** EXIT_UNABLE - this machine cannot measure it */
#define EXIT_UNABLE 77

/* MiB */
static double pss(pid_t pid)
{
	char path[64], line[128];
	unsigned long kib = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	f = fopen(path, "re");
	while (f && kib == 0 && fgets(line, sizeof(line), f))
		if (str_starts(line, "Pss:"))
			kib = strtoul(line + strlen("Pss:"), NULL, 10);
	if (f)
		(void)fclose(f);
	if (kib == 0) {
		(void)fprintf(stderr,
			      "%s cannot be read: it is a confined process's, and root's to read\n",
			      path);
		exit(EXIT_UNABLE);
	}
	return (double)kib / 1024;
}

int main(void)
{
	static struct pair p; /* looked at at exit */
	double most = 0;

	pair_begin(&p, SERVICE);
	for (unsigned i = 0; i < N_CALLS; i++)
		if (pair_wait(pair_call(&p, NO_FD, NO_FD)) != 0)
			pair_give_up("a call failed");
	for (size_t i = 0; i < 2; i++) {
		const double agent = pss(p.pids[2 * i]), daemon = pss(p.pids[2 * i + 1]);

		(void)printf("%s: agent %.2f MiB, daemon %.2f MiB\n",
			     i == 0 ? "who calls" : "who is called", agent, daemon);
		most = agent + daemon > most ? agent + daemon : most;
	}
	(void)printf("qrexec-memory: %.2f MiB (bound: at most %.1f MiB)\n", most, BOUND_MIB);
	return most <= BOUND_MIB ? EXIT_SUCCESS : EXIT_FAILURE;
}
