/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Following a qube when its monitor is not what it was: one that speaks in another way, or is no more. */
#include "base/io.h"
#include "base/str.h"
#include "vmm.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cmocka.h>

#define DOMID   7
#define TURN_US 20000
#define TURNS   1000

static char run_dir[32], dir[48];

static int make_run_dir(void **state)
{
	(void)state;
	(void)snprintf(run_dir, sizeof(run_dir), "/tmp/bulkhead-follow.XXXXXX");
	return mkdtemp(run_dir) ? 0 : -1;
}

static int remove_run_dir(void **state)
{
	(void)state;
	return io_remove_tree(AT_FDCWD, run_dir);
}

static enum vmm_state heard;

static void on_state(void *data, struct vmm *v, enum vmm_state state, bool clean, const char *why)
{
	(void)data, (void)v, (void)clean, (void)why;
	heard = state;
}

static void on_agent(void *data, struct vmm *v, bool up)
{
	(void)data, (void)v, (void)up;
}

static const struct vmm_events events = {.state = on_state, .agent = on_agent};

/* says @len bytes to the first who comes, tells when that one has left, and lives until it is told to end */
static void be_monitor(int listen_fd, int tell_fd, int end_fd, size_t len)
{
	static const uint8_t words[4096];
	uint8_t byte;
	int conn;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* the creator's id is what who connects is told */
	if (listen(listen_fd, 8) < 0)
		_exit(1);
	(void)poll(&(struct pollfd){.fd = listen_fd, .events = POLLIN}, 1, -1);
	conn = accept(listen_fd, NULL, NULL);
	if (send(conn, words, len, MSG_NOSIGNAL) != (ssize_t)len)
		_exit(1);
	while (read(conn, &byte, 1) > 0)
		;
	if (write(tell_fd, "x", 1) != 1)
		_exit(1);
	while (read(end_fd, &byte, 1) > 0)
		;
	_exit(0);
}

/* no descriptor is to be had, as in a qubesd with too many clients */
static void set_descriptors(bool short_of_them)
{
	static struct rlimit had;
	struct rlimit now;

	if (short_of_them)
		assert_int_equal(getrlimit(RLIMIT_NOFILE, &had), 0);
	now = had;
	if (short_of_them)
		now.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
}

static int on_nothing(sd_event_source *s, uint64_t usec, void *data)
{
	(void)s, (void)usec, (void)data;
	return 0;
}

static void a_monitor_that_says_what_nobody_understands_is_left_alive_until_it_ends_or_is_killed(
	void **state)
{
	/* no message, one that is longer than any, and one while it cannot be found out whether it lives */
	static const size_t lens[] = {3, 4096, 3};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		char path[64];
		sd_event *event = NULL;
		struct vmm *v = NULL;
		int tell[2], end[2], fd, status;
		pid_t pid;
		uint8_t byte = 0;

		(void)snprintf(dir, sizeof(dir), "%s/q/%u", run_dir, DOMID);
		(void)snprintf(path, sizeof(path), "%s/monitor.sock", dir);
		assert_int_equal(io_mkdirs(dir, 0700), 0);
		assert_int_equal(io_unix_listen(path, SOCK_SEQPACKET, 0600, &fd), 0);
		assert_int_equal(pipe2(tell, O_CLOEXEC | O_NONBLOCK), 0);
		assert_int_equal(pipe2(end, O_CLOEXEC), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			(void)close(end[1]);
			be_monitor(fd, tell[1], end[0], lens[i]);
		}
		(void)close(fd);
		(void)close(end[0]);
		heard = VMM_STARTING;
		assert_true(sd_event_new(&event) >= 0);
		/* a loop has timers already, and needs no descriptor for one more */
		assert_true(sd_event_add_time_relative(event, NULL, CLOCK_MONOTONIC, 1, 1,
						       on_nothing, NULL) >= 0);
		assert_int_equal(vmm_attach(event, run_dir, DOMID, &events, NULL, &v), 0);
		if (i == 2)
			set_descriptors(true);
		for (unsigned n = 0; n < TURNS && read(tell[0], &byte, 1) != 1; n++)
			assert_true(sd_event_run(event, TURN_US) >= 0);
		assert_int_equal(byte, 'x');
		if (i == 2) {
			assert_int_equal(vmm_kill(v), -EMFILE);
			set_descriptors(false);
		}
		assert_int_not_equal(heard, VMM_GONE);
		assert_int_equal(access(path, F_OK), 0);
		/* it ends by itself, or is told to */
		if (i != 1)
			(void)close(end[1]);
		else
			assert_int_equal(vmm_kill(v), 0);
		for (unsigned n = 0; n < TURNS && heard != VMM_GONE; n++)
			assert_true(sd_event_run(event, TURN_US) >= 0);
		assert_int_equal(heard, VMM_GONE);
		assert_int_equal(access(dir, F_OK), -1);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, i != 1 ? 0 : SIGTERM);
		if (i == 1)
			(void)close(end[1]);
		vmm_free(v);
		sd_event_unref(event);
		(void)close(tell[0]);
		(void)close(tell[1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_monitor_that_says_what_nobody_understands_is_left_alive_until_it_ends_or_is_killed),
	};

	return cmocka_run_group_tests(tests, make_run_dir, remove_run_dir);
}
