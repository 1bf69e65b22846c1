/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What calls of the Admin API cost, one client, a connection each. Bounds: 8,000 property reads a second (median of
 * rounds) with 100 and with 1,000 qubes; admin.vm.List at 1,000 in 3 ms (median); a property.Set, which is durable when
 * it is answered, at most twice one fsync'ed append of 4 KiB (medians, in turns, on the same file system).
 *
 *	bench/api            an instance of its own
 *	bench/api --reads S  reads of dom0's label from the instance of BULKHEAD_HOME, one every 10 ms for at most S seconds
 *	                     or until the standard input ends; prints how many and their p50, p99 and longest in ms
 */
#include "instance.h"

#include "base/io.h"
#include "base/paths.h"
#include "base/slice.h"
#include "base/str.h"
#include "client/client.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_ROUNDS    21
#define N_READS     1000 /* of each round */
#define N_LISTS     101
#define N_SETS      201
#define READS_BOUND 8000.0 /* a second */
#define LIST_BOUND  3.0    /* ms */
#define SET_BOUND   2.0    /* times an append */
#define PACE_MS     10

static void read_once(const char *socket, const char *dest)
{
	struct client_answer AUTO(client_answer_done) a = {0};

	if (client_call(socket, "admin.vm.property.Get", dest, "label", NULL, 0, NO_FD, &a) != 0)
		give_up("a property cannot be read");
}

static double reads_per_second(unsigned n_qubes)
{
	double rates[N_ROUNDS];

	for (unsigned i = 0; i < N_ROUNDS; i++) {
		const double began = now_ms();
		char name[32];

		for (unsigned k = 0; k < N_READS; k++) {
			(void)snprintf(name, sizeof(name), "qube-%u",
				       2 + (i * N_READS + k) % (n_qubes - 1));
			read_once(instance_socket(), name);
		}
		rates[i] = N_READS * 1e3 / (now_ms() - began);
	}
	return median(rates, N_ROUNDS);
}

static double list_ms(void)
{
	double t[N_LISTS];

	for (unsigned i = 0; i < N_LISTS; i++) {
		t[i] = now_ms();
		free(call("admin.vm.List", "dom0", NULL, NULL));
		t[i] = now_ms() - t[i];
	}
	return median(t, N_LISTS);
}

static void append(int fd)
{
	static const char block[4096];

	if (io_write_full(fd, block, sizeof(block)) < 0 || fsync(fd) < 0)
		give_up("the folder cannot be written to");
}

/* times an append */
static double set_ratio(void)
{
	double set[N_SETS], plain[N_SETS];
	char path[PATH_MAX];
	AUTO_CLOSE int fd = NO_FD;

	(void)snprintf(path, sizeof(path), "%s/state/append", getenv("BULKHEAD_HOME"));
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		give_up(path);
	for (unsigned i = 0; i < N_SETS; i++) {
		char value[16], name[32];

		plain[i] = now_ms();
		append(fd);
		plain[i] = now_ms() - plain[i];
		(void)snprintf(name, sizeof(name), "qube-%u", 2 + i);
		(void)snprintf(value, sizeof(value), "%u", 400 + i);
		set[i] = now_ms();
		free(call("admin.vm.property.Set", name, "memory", value));
		set[i] = now_ms() - set[i];
	}
	(void)printf(
		"property.Set: %.3f ms (p90 %.3f); a 4 KiB append with fsync: %.3f ms (p90 %.3f)\n",
		median(set, N_SETS), percentile(set, N_SETS, 90), median(plain, N_SETS),
		percentile(plain, N_SETS, 90));
	return median(set, N_SETS) / median(plain, N_SETS);
}

static int measure(void)
{
	double few, many, list, set;

	instance_begin();
	instance_grow(100);
	few = reads_per_second(100);
	(void)printf("property reads, 100 qubes: %.0f/s (bound: at least %.0f)\n", few,
		     READS_BOUND);
	instance_grow(1000);
	many = reads_per_second(1000);
	(void)printf("property reads, 1000 qubes: %.0f/s (bound: at least %.0f)\n", many,
		     READS_BOUND);
	list = list_ms();
	(void)printf("admin.vm.List, 1000 qubes: %.2f ms (bound %.0f)\n", list, LIST_BOUND);
	set = set_ratio();
	(void)printf("property.Set, durable: %.2fx one fsync'ed append (bound %.0f)\n", set,
		     SET_BOUND);
	instance_end();
	return few >= READS_BOUND && many >= READS_BOUND && list < LIST_BOUND && set <= SET_BOUND
		       ? EXIT_SUCCESS
		       : EXIT_FAILURE;
}

/* a person's clicks rather than a flood: each read begins when nothing else of ours runs */
static int reads(uint64_t seconds)
{
	const size_t max = (size_t)seconds * 1000 / PACE_MS;
	AUTO_FREE double *t = calloc(max, sizeof(*t));
	const double end = now_ms() + (double)seconds * 1e3;
	struct pollfd in = {.fd = STDIN_FILENO};
	char path[UNIX_PATH_MAX + 1];
	struct paths paths;
	size_t n = 0;

	if (!t || paths_init(&paths, false) < 0 ||
	    str_format(path, sizeof(path), "%s/qubesd.sock", paths.run) < 0)
		give_up("BULKHEAD_HOME is too long");
	paths_done(&paths);
	slice_be_short(100); /* as the tools do */
	while (n < max && now_ms() < end && poll(&in, 1, PACE_MS) == 0) {
		t[n] = now_ms();
		read_once(path, "dom0");
		t[n] = now_ms() - t[n];
		n++;
	}
	if (n == 0)
		give_up("nothing was read");
	(void)median(t, n); /* sorts it */
	(void)printf("%zu %.3f %.3f %.3f\n", n, t[n / 2], t[n * 99 / 100], t[n - 1]);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	uint64_t seconds;

	if (argc == 1)
		return measure();
	if (argc == 3 && str_eq(argv[1], "--reads") && str_u64(argv[2], 3600, &seconds) == 0 &&
	    seconds > 0)
		return reads(seconds);
	(void)fprintf(stderr, "usage: %s [--reads SECONDS]\n", argv[0]);
	return 2;
}
