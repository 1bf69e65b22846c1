/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What qubesd takes with 1,000 qubes in its store: from its exec to its first answer (median), and the most memory it
 * has had (VmHWM) after all of them were listed in every way. Bounds: 150 ms, 20 MB.
 */
#include "instance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_QUBES      1000
#define N_ROUNDS     21
#define START_BOUND  150.0 /* ms */
#define MEMORY_BOUND 20.0  /* MB */

static double peak_mb(pid_t pid)
{
	char path[64], line[256];
	double mb = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	if (!f)
		give_up(path);
	while (fgets(line, sizeof(line), f))
		if (strncmp(line, "VmHWM:", 6) == 0)
			mb = (double)strtoul(line + 6, NULL, 10) * 1024 / 1e6;
	(void)fclose(f);
	return mb;
}

int main(void)
{
	double start[N_ROUNDS], start_ms, memory_mb;
	char name[32];

	instance_begin();
	instance_grow(N_QUBES);
	memory_mb = peak_mb(instance_qubesd());
	(void)printf("memory of the qubesd that made %u qubes: %.1f MB\n", N_QUBES, memory_mb);
	for (unsigned i = 0; i < N_ROUNDS; i++) {
		instance_stop();
		start[i] = now_ms();
		instance_start();
		start[i] = now_ms() - start[i];
	}
	for (unsigned i = 2; i <= N_QUBES; i++) {
		(void)snprintf(name, sizeof(name), "qube-%u", i);
		free(call("admin.vm.property.GetAll", name, NULL, NULL));
	}
	free(call("admin.vm.List", "dom0", NULL, NULL));
	free(call("bulkhead.List", "dom0", NULL, NULL));
	start_ms = median(start, N_ROUNDS);
	if (peak_mb(instance_qubesd()) > memory_mb)
		memory_mb = peak_mb(instance_qubesd());
	instance_end();
	(void)printf(
		"qubesd, %u qubes: its start %.1f ms (p90 %.1f; bound %.0f), its memory %.1f MB (bound %.0f)\n",
		N_QUBES, start_ms, percentile(start, N_ROUNDS, 90), START_BOUND, memory_mb,
		MEMORY_BOUND);
	return start_ms < START_BOUND && memory_mb < MEMORY_BOUND ? EXIT_SUCCESS : EXIT_FAILURE;
}
