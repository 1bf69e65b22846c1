/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An sd-event loop behind the walls: timers, signals and descriptors still work, and nothing opens.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "loop/warm.h"
#include "sandbox/sandbox.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <time.h>

static unsigned n_ticks, n_bytes;

static int on_time(sd_event_source *s, uint64_t usec, void *data)
{
	(void)usec;
	n_ticks++;
	if (write(*(int *)data, "x", 1) != 1)
		return -EIO;
	return sd_event_source_set_time_relative(s, 1000) < 0 ||
			       sd_event_source_set_enabled(s, SD_EVENT_ONESHOT) < 0
		       ? -EIO
		       : 0;
}

static int on_byte(sd_event_source *s, int fd, uint32_t events, void *data)
{
	char byte;

	(void)events;
	(void)data;
	if (read(fd, &byte, 1) != 1)
		return -EIO;
	return ++n_bytes == 3 ? sd_event_exit(sd_event_source_get_event(s), 7) : 0;
}

static int confined_loop(void)
{
	const struct sandbox s = {.max_fds = 64};
	sigset_t term;
	sd_event *e = NULL;
	unsigned missing;
	int pair[2];

	(void)sigemptyset(&term);
	(void)sigaddset(&term, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &term, NULL) < 0 || sd_event_new(&e) < 0 ||
	    sd_event_add_signal(e, NULL, SIGTERM, NULL, NULL) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0 || loop_warm(e) < 0 ||
	    sandbox_enter(&s, &missing) < 0)
		return 90;
	/* sources that come after the walls */
	if (sd_event_add_io(e, NULL, pair[1], EPOLLIN, on_byte, NULL) < 0 ||
	    sd_event_add_time_relative(e, NULL, CLOCK_MONOTONIC, 1000, 100, on_time, &pair[0]) < 0)
		return 91;
	return sd_event_loop(e);
}

static void a_confined_loop_runs(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(confined_loop());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_confined_loop_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
