/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/await.h"

#include "base/io.h"
#include "base/str.h"

#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/inotify.h>

/* room for one event at least */
#define EVENTS 4096

static int left_ms(uint64_t end_ms)
{
	const uint64_t now_ms = io_now_ms();

	return now_ms >= end_ms ? 0 : (int)(end_ms - now_ms);
}

int path_await(const char *path, int timeout_ms)
{
	const char *slash = strrchr(path, '/');
	const uint64_t end_ms = io_now_ms() + (timeout_ms < 0 ? 0 : (unsigned)timeout_ms);
	char folder[PATH_MAX], events[EVENTS];
	int r;

	if (path[0] != '/' || slash == path)
		return -EINVAL;
	/* there may be no watch left to have, and no folder of ours to make */
	if (access(path, F_OK) == 0)
		return 0;
	r = str_copy(folder, sizeof(folder), path, (size_t)(slash - path));
	r = r < 0 ? r : io_mkdirs(folder, 0755);
	if (r < 0)
		return r;
	AUTO_CLOSE int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (fd < 0 || inotify_add_watch(fd, folder, IN_CREATE | IN_MOVED_TO) < 0)
		return fail_errno();
	/* it may have come before the watch */
	while (access(path, F_OK) < 0) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		const int n = poll(&p, 1, timeout_ms < 0 ? -1 : left_ms(end_ms));

		if (n == 0)
			return -ETIMEDOUT;
		if (n < 0 && errno != EINTR)
			return fail_errno();
		(void)!read(fd, events, sizeof(events));
	}
	return 0;
}
