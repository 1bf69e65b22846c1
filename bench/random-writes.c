/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * random-writes FILE MIB [SECONDS]: without SECONDS makes FILE, MIB MiB that are not zeros; else writes 4 KiB at a time at random
 * places of it, one after the other and past the page cache, and says how many it did in a second. Linked statically: it runs in
 * qubes and on the plain machine (bench/writes).
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BLOCK ((size_t)4096)
#define CHUNK ((size_t)1 << 20)

static double now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int fail(const char *what)
{
	perror(what);
	return 1;
}

static int make(const char *path, uint64_t mib, uint8_t *bytes)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	memset(bytes, 0xa5, CHUNK);
	if (fd < 0)
		return fail(path);
	for (uint64_t i = 0; i < mib; i++)
		if (write(fd, bytes, CHUNK) != (ssize_t)CHUNK)
			return fail(path);
	return fsync(fd) < 0 ? fail(path) : 0;
}

static int work(const char *path, uint64_t mib, double seconds, uint8_t *bytes)
{
	int fd = open(path, O_WRONLY | O_DIRECT | O_CLOEXEC);
	uint64_t n = 0, x = UINT64_C(0x9e3779b97f4a7c15);
	double begin = now(), t;

	if (fd < 0)
		return fail(path);
	memset(bytes, 0x5a, BLOCK);
	do {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		if (pwrite(fd, bytes, BLOCK, (off_t)(x % (mib * (CHUNK / BLOCK)) * BLOCK)) !=
		    (ssize_t)BLOCK)
			return fail(path);
		n++;
		t = now() - begin;
	} while (t < seconds);
	(void)printf("writes %.0f\n", (double)n / t);
	return fsync(fd) < 0 ? fail(path) : 0;
}

int main(int argc, char **argv)
{
	uint8_t *bytes = aligned_alloc(BLOCK, CHUNK);

	if (argc < 3 || argc > 4 || !bytes)
		return 2;
	if (argc == 3)
		return make(argv[1], strtoull(argv[2], NULL, 10), bytes);
	return work(argv[1], strtoull(argv[2], NULL, 10), strtod(argv[3], NULL), bytes);
}
