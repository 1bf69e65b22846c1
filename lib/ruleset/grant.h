/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * A file of the policy that holds for a time, and says so in its first line:
 *
 *	#!grant BOOT-ID SECONDS
 *
 * It holds in the boot with this id, until the clock that runs since then (CLOCK_BOOTTIME) shows
 * that many seconds. Afterwards it is as if it were empty, whether somebody removes it or not. The
 * clock of the day has no part in it: qubes have one in setting that.
 */
#include "base/attr.h"

#define GRANT_BOOT_LEN 36
/** GRANT_LINE_MAX - bytes of such a line with its newline and a NUL */
#define GRANT_LINE_MAX 80

/** struct grant_now - the time, as grants count it */
struct grant_now {
	char boot_id[GRANT_BOOT_LEN + 1];
	int64_t seconds;
};

/** grant_now() - 0; -errno */
MUST_CHECK int grant_now(struct grant_now *ret);

/** enum grant_state */
enum grant_state {
	GRANT_NONE,  /* a file like others, which holds without end */
	GRANT_HOLDS, /* until @until */
	GRANT_OVER,  /* no more, or its line is none */
};

/** grant_state() - of a file's @text; @ret_until: seconds of the same clock, of one that holds */
enum grant_state grant_state(const char *text, size_t len, const struct grant_now *now,
			     int64_t *ret_until);
/** grant_line() - the line of a file that holds for @seconds from @now on */
void grant_line(const struct grant_now *now, int64_t seconds, char *to);
