/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ruleset/grant.h"

#include "base/io.h"
#include "base/str.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define MARK    "#!grant"
#define BOOT_ID "/proc/sys/kernel/random/boot_id"

int grant_now(struct grant_now *ret)
{
	AUTO_FREE char *text = NULL;
	struct timespec t;
	size_t len;
	int r = io_read_file(AT_FDCWD, BOOT_ID, 256, &text, &len);

	if (r < 0)
		return r;
	if (len < GRANT_BOOT_LEN || clock_gettime(CLOCK_BOOTTIME, &t) < 0)
		return -EIO;
	memcpy(ret->boot_id, text, GRANT_BOOT_LEN);
	ret->boot_id[GRANT_BOOT_LEN] = '\0';
	ret->seconds = t.tv_sec;
	return 0;
}

enum grant_state grant_state(const char *text, size_t len, const struct grant_now *now,
			     int64_t *ret_until)
{
	const char *end = len > 0 ? memchr(text, '\n', len) : NULL;
	char line[GRANT_LINE_MAX], *words[2], *at = line + strlen(MARK);
	uint64_t until;

	if (len < strlen(MARK) || memcmp(text, MARK, strlen(MARK)) != 0)
		return GRANT_NONE;
	if (!end || str_copy(line, sizeof(line), text, (size_t)(end - text)) < 0 || *at++ != ' ')
		return GRANT_OVER;
	words[0] = strsep(&at, " ");
	words[1] = strsep(&at, " ");
	if (at || !words[1] || !str_eq(words[0], now->boot_id) ||
	    str_u64(words[1], INT64_MAX / 2, &until) < 0 || (int64_t)until <= now->seconds)
		return GRANT_OVER;
	*ret_until = (int64_t)until;
	return GRANT_HOLDS;
}

void grant_line(const struct grant_now *now, int64_t seconds, char *to)
{
	(void)snprintf(to, GRANT_LINE_MAX, MARK " %s %" PRId64 "\n", now->boot_id,
		       now->seconds + seconds);
}
