/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qubes.GetDate of dom0: the time in UTC, as 2026-01-31T23:59:59+00:00. qubes.GetRandomizedTime: in seconds since 1970,
 * up to three minutes before or after, and with a fraction of nine digits that means nothing.
 *
 * runs as	whoever runs the instance, below qrexec-broker
 * holds	its standard streams; the first, on which the qube may say anything, is not read
 * needs	nothing but to write
 */
#include "base/attr.h"
#include "base/io.h"
#include "base/str.h"
#include "sandbox/sandbox.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/** OFF_S - how far a time may be off that is to tell nobody apart */
#define OFF_S 180

static size_t exact(time_t now, char *to, size_t size)
{
	struct tm tm;

	return gmtime_r(&now, &tm) ? strftime(to, size, "%Y-%m-%dT%H:%M:%S+00:00\n", &tm) : 0;
}

/* 2^32 is so much more than the choices that no one of them is likelier to matter */
static size_t randomized(time_t now, const uint32_t *random, char *to, size_t size)
{
	const int64_t off = (int64_t)(random[0] % (2 * OFF_S + 1)) - OFF_S;
	int n = snprintf(to, size, "%" PRId64 ".%09" PRIu32 "\n", (int64_t)now + off,
			 random[1] % 1000000000);

	return n > 0 && (size_t)n < size ? (size_t)n : 0;
}

int main(int argc, char **argv)
{
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
	const bool off = slash && str_eq(slash + 1, "qubes.GetRandomizedTime");
	char text[64];
	uint32_t random[2];
	size_t len;

	tzset(); /* gmtime_r() would, and that reads files */
	if ((off && getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random)) ||
	    sandbox_calls_only(NULL, 0) < 0)
		return EXIT_FAILURE;
	len = off ? randomized(time(NULL), random, text, sizeof(text))
		  : exact(time(NULL), text, sizeof(text));
	return len > 0 && io_write_full(STDOUT_FILENO, text, len) == 0 ? EXIT_SUCCESS
								       : EXIT_FAILURE;
}
