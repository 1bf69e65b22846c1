/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qubes.GetDate of dom0: the time in UTC, as 2026-01-31T23:59:59+00:00.
 *
 * runs as	whoever runs the instance, below qrexec-broker
 * holds	its standard streams; the first, on which the qube may say anything, is not read
 * needs	nothing but to write
 */
#include "base/attr.h"
#include "base/io.h"
#include "sandbox/sandbox.h"

#include <stdlib.h>
#include <time.h>

int main(void)
{
	char text[64];
	time_t now;
	struct tm tm;
	size_t len;

	tzset(); /* gmtime_r() would, and that reads files */
	if (sandbox_calls_only(NULL, 0) < 0)
		return EXIT_FAILURE;
	now = time(NULL);
	if (!gmtime_r(&now, &tm))
		return EXIT_FAILURE;
	len = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S+00:00\n", &tm);
	return len > 0 && io_write_full(STDOUT_FILENO, text, len) == 0 ? EXIT_SUCCESS
								       : EXIT_FAILURE;
}
