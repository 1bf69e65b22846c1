/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What goes through one call from qube to qube, each direction, against `cat | cat`.
 *
 * Agents and daemons of two qubes over vchan sockets. One program writes 64 KiB at a time, another one takes them; between
 * them the call, or two cats, in turn. Bounds: 0.4x of what the cats move; 200,000 writes of 100 bytes a second. This
 * program is the service too, by its argument.
 *
 *	bench/qrexec-data [MIB]
 */
#include "pair.h"

#include "base/io.h"
#include "base/str.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define N_ROUNDS    5
#define BLOCK       65536u
#define SMALL       100u
#define N_SMALL     2000000u
#define RATIO_BOUND 0.4
#define SMALL_BOUND 200e3

static char block[BLOCK];

static void give(int fd, size_t size, uint64_t len)
{
	for (; len > 0; len -= size) {
		if (size > len)
			size = (size_t)len;
		if (io_write_full(fd, block, size) < 0)
			pair_give_up("a stream was cut off");
	}
}

static uint64_t take(int fd)
{
	uint64_t sum = 0;
	ssize_t n;

	while ((n = read(fd, block, BLOCK)) > 0)
		sum += (uint64_t)n;
	return sum;
}

/* what the service does: takes, gives as many MiB, or gives in small pieces */
static int serve(const char *argument)
{
	uint64_t mib;

	if (str_eq(argument, "small"))
		give(STDOUT_FILENO, SMALL, (uint64_t)SMALL * N_SMALL);
	else if (str_u64(argument, 1 << 20, &mib) == 0 && mib > 0)
		give(STDOUT_FILENO, BLOCK, mib << 20);
	else
		(void)take(STDIN_FILENO);
	return 0;
}

static void pipe_make(int fds[2])
{
	if (pipe2(fds, O_CLOEXEC) < 0)
		pair_give_up("no pipe can be made");
}

/* MiB/s of @len bytes from us through what @start made of two descriptors, to us or to the service */
static double up(const struct pair *p, uint64_t len)
{
	const double began = now_ms();
	int in[2];
	pid_t pid;

	pipe_make(in);
	pid = pair_call_service(p, "test.Service+up", in[0], NO_FD);
	(void)close(in[0]);
	give(in[1], BLOCK, len);
	(void)close(in[1]);
	if (pair_wait(pid) != 0)
		pair_give_up("a call failed");
	return (double)(len >> 20) * 1e3 / (now_ms() - began);
}

static double down(const struct pair *p, const char *argument, uint64_t len)
{
	const double began = now_ms();
	char service[64];
	int out[2];
	pid_t pid;

	(void)snprintf(service, sizeof(service), "test.Service+%s", argument);
	pipe_make(out);
	pid = pair_call_service(p, service, NO_FD, out[1]);
	(void)close(out[1]);
	if (take(out[0]) != len)
		pair_give_up("a stream was cut off");
	(void)close(out[0]);
	if (pair_wait(pid) != 0)
		pair_give_up("a call failed");
	return (double)(len >> 20) * 1e3 / (now_ms() - began);
}

static double cats(uint64_t len)
{
	const double began = now_ms();
	int in[2], between[2], out[2];
	pid_t first, second, taker;

	pipe_make(in);
	pipe_make(between);
	pipe_make(out);
	first = pair_spawn("/bin/cat", in[0], between[1]);
	second = pair_spawn("/bin/cat", between[0], out[1]);
	(void)close(in[0]);
	(void)close(between[0]);
	(void)close(between[1]);
	(void)close(out[1]);
	taker = fork();
	if (taker == 0) {
		(void)close(in[1]);
		_exit(take(out[0]) == len ? 0 : 1);
	}
	(void)close(out[0]);
	give(in[1], BLOCK, len);
	(void)close(in[1]);
	if (pair_wait(first) != 0 || pair_wait(second) != 0 || pair_wait(taker) != 0)
		pair_give_up("a stream was cut off");
	return (double)(len >> 20) * 1e3 / (now_ms() - began);
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/');
	double ups[N_ROUNDS], downs[N_ROUNDS], both[N_ROUNDS], small[N_ROUNDS], u, d, c, s;
	char self[PATH_MAX] = "", number[24];
	uint64_t mib = 1024;
	static struct pair p; /* looked at at exit */

	if (name && str_eq(name + 1, "test.Service"))
		return serve(argc > 1 ? argv[1] : "");
	if (argc > 1 && str_u64(argv[1], 1 << 20, &mib) != 0)
		pair_give_up("how many MiB?");
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		pair_give_up("/proc/self/exe cannot be read");
	pair_begin(&p, self);
	(void)snprintf(number, sizeof(number), "%llu", (unsigned long long)mib);
	for (unsigned i = 0; i < N_ROUNDS; i++) {
		ups[i] = up(&p, mib << 20);
		both[i] = cats(mib << 20);
		downs[i] = down(&p, number, mib << 20);
		small[i] = down(&p, "small", (uint64_t)SMALL * N_SMALL) * (1 << 20) / SMALL;
	}
	u = median(ups, N_ROUNDS);
	d = median(downs, N_ROUNDS);
	c = median(both, N_ROUNDS);
	s = median(small, N_ROUNDS);
	(void)printf(
		"%llu MiB: up %.0f MiB/s, down %.0f MiB/s, cat | cat %.0f MiB/s: %.2fx, %.2fx\n",
		(unsigned long long)mib, u, d, c, u / c, d / c);
	(void)printf("writes of %u bytes: %.0f/s (bound: at least %.0f/s)\n", SMALL, s,
		     SMALL_BOUND);
	(void)printf("qrexec-data: %.2fx (bound: at least %.1fx)\n", (u < d ? u : d) / c,
		     RATIO_BOUND);
	return u >= RATIO_BOUND * c && d >= RATIO_BOUND * c && s >= SMALL_BOUND ? EXIT_SUCCESS
										: EXIT_FAILURE;
}
