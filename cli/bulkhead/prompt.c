/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The session's prompt, bulkhead-prompt: started where there is a display, found by its socket. */
#include "bulkhead.h"

#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "loop/spawn.h"
#include "proto/prompt.h"
#include "ui.h"

#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/socket.h>

#define START_MS UINT64_C(10000)
#define STOP_MS  5000

static bool have_display(void)
{
	const char *x = getenv("DISPLAY"), *wayland = getenv("WAYLAND_DISPLAY");

	return (x && x[0] != '\0') || (wayland && wayland[0] != '\0');
}

/* connected to the one that listens; NO_FD: none does */
static int connect_prompt(const struct paths *paths)
{
	char path[UNIX_PATH_MAX + 1];
	int fd = NO_FD;

	if (str_format(path, sizeof(path), "%s/" PROMPT_SOCKET, paths->run) < 0 ||
	    io_unix_connect(path, SOCK_STREAM, &fd) < 0)
		return NO_FD;
	return fd;
}

bool prompt_listens(const struct paths *paths)
{
	AUTO_CLOSE int fd = connect_prompt(paths);

	return fd >= 0;
}

void prompt_start(const struct args *a, const struct paths *paths)
{
	struct daemon AUTO(daemon_done) prompt = {.pidfd = NO_FD};
	uint64_t end = io_now_ms() + START_MS;
	struct child_end how;
	int r;

	if (!have_display() || prompt_listens(paths))
		return;
	r = daemon_spawn(paths, "bulkhead-prompt", "prompt.log", NULL, &prompt);
	if (r < 0) {
		ui_note(a,
			"the prompt cannot be started (%s): what the policy asks about is denied",
			log_errno_str(r));
		return;
	}
	while (!prompt_listens(paths) && io_now_ms() < end) {
		if (spawn_reap(prompt.pidfd, &how) == 0) {
			ui_note(a,
				"the prompt ended at once, what the policy asks about is denied; "
				"its log: %s",
				prompt.log);
			return;
		}
		(void)usleep(10000);
	}
}

void prompt_stop(const struct paths *paths)
{
	AUTO_CLOSE int fd = connect_prompt(paths);
	struct ucred peer;
	socklen_t len = sizeof(peer);
	struct pollfd p = {.events = POLLIN};

	/* its pid is its own while this connection waits for it */
	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return;
	AUTO_CLOSE int pidfd = pidfd_open(peer.pid, 0);
	if (pidfd < 0)
		return;
	p.fd = pidfd;
	spawn_signal(pidfd, SIGTERM);
	(void)!poll(&p, 1, STOP_MS);
}
