/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long `qvm-ls` and `qvm-prefs QUBE` take with 1,000 qubes in the store, as whole processes: in turn with `true`
 * (what starting any program costs here at this moment) and a bare request on a socket. Bounds, medians: qvm-ls 20 ms
 * wall, of it 5 ms of processor time in qubesd; qvm-prefs 10 ms wall.
 *
 *	bench/list [N_QUBES]
 */
#include "instance.h"

#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_ROUNDS     51
#define LIST_BOUND   20.0 /* ms */
#define PREFS_BOUND  10.0
#define QUBESD_BOUND 5.0

static uint64_t qubesd_cpu_us(void)
{
	AUTO_FREE char *status = call("bulkhead.Status", "dom0", NULL, NULL);
	const char *at = status ? strstr(status, "cpu_us=") : NULL;

	return at ? strtoull(at + strlen("cpu_us="), NULL, 10) : 0;
}

static double run_ms(const char *path, const char *name, const char *arg)
{
	char *const argv[] = {(char *)name, (char *)arg, NULL};
	const double began = now_ms();

	run_once(path, argv);
	return now_ms() - began;
}

int main(int argc, char **argv)
{
	double list[N_ROUNDS], prefs[N_ROUNDS], bare[N_ROUNDS], program[N_ROUNDS], qubesd = 0;
	double list_ms, prefs_ms, true_ms;
	uint64_t n_qubes = 1000;
	const char *qvm;
	bool held;

	if (argc > 1 && str_u64(argv[1], 9000, &n_qubes) < 0) {
		(void)fprintf(stderr, "usage: %s [N_QUBES]\n", argv[0]);
		return 2;
	}
	instance_begin();
	instance_grow((unsigned)n_qubes);
	qvm = instance_program("cli/qvm/qvm");
	for (unsigned i = 0; i < N_ROUNDS; i++) {
		uint64_t cpu = qubesd_cpu_us();

		list[i] = run_ms(qvm, "qvm-ls", NULL);
		qubesd += (double)(qubesd_cpu_us() - cpu) / 1e3;
		program[i] = run_ms("/bin/true", "true", NULL);
		prefs[i] = run_ms(qvm, "qvm-prefs", "template");
		bare[i] = now_ms();
		free(call("admin.label.Index", "dom0", "red", NULL));
		bare[i] = now_ms() - bare[i];
	}
	list_ms = median(list, N_ROUNDS);
	prefs_ms = median(prefs, N_ROUNDS);
	true_ms = median(program, N_ROUNDS);
	/* each round's figure holds one bulkhead.Status too: a little more than qvm-ls alone */
	qubesd /= N_ROUNDS;
	held = list_ms < LIST_BOUND && qubesd < QUBESD_BOUND && prefs_ms < PREFS_BOUND;
	(void)printf("one spawn of true: %.2f ms; one bare request: %.3f ms\n", true_ms,
		     median(bare, N_ROUNDS));
	(void)printf("qvm-prefs: %.2f ms (p90 %.2f; bound %.0f), %.1fx one spawn of true\n",
		     prefs_ms, percentile(prefs, N_ROUNDS, 90), PREFS_BOUND, prefs_ms / true_ms);
	(void)printf(
		"qvm-ls, %u qubes: %.2f ms (p90 %.2f; bound %.0f), %.2f ms in qubesd (bound %.0f), %.1fx one spawn of "
		"true\n",
		(unsigned)n_qubes, list_ms, percentile(list, N_ROUNDS, 90), LIST_BOUND, qubesd,
		QUBESD_BOUND, list_ms / true_ms);
	instance_end();
	return held ? EXIT_SUCCESS : EXIT_FAILURE;
}
