/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Following a qube when its monitor is not what it was: one that speaks in another way, or is no more. */
#include "base/io.h"
#include "base/str.h"
#include "proto/monitor.h"
#include "qemu/qemu.h"

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
#define UUID    "5e9a4b1c-0000-4000-8000-000000000001"
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

/* what a monitor in order says to who comes */
static size_t put_status(uint8_t *buf, size_t size)
{
	return monitor_encode(&(struct monitor_msg){.type = MONITOR_STATUS,
						    .status = {.state = MONITOR_RUNNING,
							       .stage = MONITOR_READY,
							       .domid = DOMID,
							       .pressed_s = MONITOR_NEVER,
							       .name = "work",
							       .uuid = UUID,
							       .why = ""}},
			      buf, size);
}

/* says @len bytes to the first who comes, tells when that one has left, and lives until it is told to end. @sound: to all others it
 * says what a monitor says */
static void be_monitor(int listen_fd, int tell_fd, int end_fd, size_t len, bool sound)
{
	static const uint8_t words[4096];
	struct pollfd p[] = {{.fd = listen_fd, .events = POLLIN}, {.fd = end_fd, .events = POLLIN}};
	uint8_t byte, status[512];
	const size_t status_len = put_status(status, sizeof(status));
	int conn;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* the creator's id is what who connects is told */
	if (listen(listen_fd, 8) < 0)
		_exit(1);
	(void)poll(p, 1, -1);
	conn = accept(listen_fd, NULL, NULL);
	if (send(conn, words, len, MSG_NOSIGNAL) != (ssize_t)len)
		_exit(1);
	while (read(conn, &byte, 1) > 0)
		;
	if (write(tell_fd, "x", 1) != 1)
		_exit(1);
	while (poll(p, ARRAY_LEN(p), -1) > 0 && p[1].revents == 0) {
		conn = accept(listen_fd, NULL, NULL);
		if (sound && conn >= 0)
			(void)!send(conn, status, status_len, MSG_NOSIGNAL);
	}
	_exit(0);
}

/* no descriptor is to be had, as in a qubesd with too many clients */
static void set_descriptors(bool short_of_them)
{
	static struct rlimit had;
	struct rlimit now;

	if (had.rlim_max == 0)
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

/* a monitor of the test's, and the loop that follows it */
struct world {
	char path[64];
	sd_event *event;
	struct vmm *v;
	int tell_fd, end_fd;
	pid_t pid;
};

static void world_begin(struct world *w, size_t len, bool sound)
{
	int tell[2], end[2], fd;

	(void)snprintf(dir, sizeof(dir), "%s/q/%u", run_dir, DOMID);
	(void)snprintf(w->path, sizeof(w->path), "%s/monitor.sock", dir);
	assert_int_equal(io_mkdirs(dir, 0700), 0);
	assert_int_equal(io_unix_listen(w->path, SOCK_SEQPACKET, 0600, &fd), 0);
	assert_int_equal(pipe2(tell, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(pipe2(end, O_CLOEXEC), 0);
	w->pid = fork();
	assert_true(w->pid >= 0);
	if (w->pid == 0) {
		(void)close(end[1]);
		be_monitor(fd, tell[1], end[0], len, sound);
	}
	(void)close(fd);
	(void)close(end[0]);
	(void)close(tell[1]);
	w->tell_fd = tell[0];
	w->end_fd = end[1];
	heard = VMM_STARTING;
	assert_true(sd_event_new(&w->event) >= 0);
}

static void turn(struct world *w)
{
	assert_true(sd_event_run(w->event, TURN_US) >= 0);
}

static void wait_parted(struct world *w)
{
	uint8_t byte = 0;

	for (unsigned n = 0; n < TURNS && read(w->tell_fd, &byte, 1) != 1; n++)
		turn(w);
	assert_int_equal(byte, 'x');
}

static void wait_heard(struct world *w, enum vmm_state state)
{
	for (unsigned n = 0; n < TURNS && heard != state; n++)
		turn(w);
	assert_int_equal(heard, state);
}

/* it ends by itself, with @w->end_fd closed, or was killed by now */
static void world_end(struct world *w, int ends_with)
{
	int status;

	wait_heard(w, VMM_GONE);
	assert_int_equal(access(dir, F_OK), -1);
	assert_int_equal(waitpid(w->pid, &status, 0), w->pid);
	assert_int_equal(status, ends_with);
	vmm_free(w->v);
	sd_event_unref(w->event);
	(void)close(w->tell_fd);
	if (w->end_fd >= 0)
		(void)close(w->end_fd);
}

static void a_monitor_that_says_what_nobody_understands_is_left_alive_until_it_ends_or_is_killed(
	void **state)
{
	static const struct {
		size_t len; /* no message, or one that is longer than any */
		bool killed;
		bool short_of_all; /* while it cannot be found out whether it lives */
	} rows[] = {{3, false, false}, {4096, true, false}, {3, false, true}, {3, true, true}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct world w;

		world_begin(&w, rows[i].len, false);
		assert_int_equal(vmm_attach(w.event, run_dir, DOMID, &events, NULL, &w.v), 0);
		if (rows[i].short_of_all)
			set_descriptors(true);
		wait_parted(&w);
		/* what cannot be done now is done when it can be */
		if (rows[i].killed)
			assert_int_equal(vmm_kill(w.v), 0);
		if (rows[i].short_of_all)
			set_descriptors(false);
		assert_int_not_equal(heard, VMM_GONE);
		assert_int_equal(access(w.path, F_OK), 0);
		if (!rows[i].killed)
			close_fd(&w.end_fd);
		world_end(&w, rows[i].killed ? SIGTERM : 0);
	}
}

static void who_was_parted_from_or_could_not_be_reached_is_attached_to_again(void **state)
{
	(void)state;
	for (int reached = 0; reached < 2; reached++) {
		struct world w;

		world_begin(&w, 3, true);
		/* a loop has timers already, and needs no descriptor for one more */
		assert_true(sd_event_add_time_relative(w.event, NULL, CLOCK_MONOTONIC, 1, 1,
						       on_nothing, NULL) >= 0);
		set_descriptors(!reached);
		assert_int_equal(vmm_attach(w.event, run_dir, DOMID, &events, NULL, &w.v), 0);
		set_descriptors(false);
		wait_parted(&w);
		wait_heard(&w, VMM_RUNNING);
		/* it takes commands again */
		assert_int_equal(vmm_shutdown(w.v), 0);
		close_fd(&w.end_fd);
		world_end(&w, 0);
	}
}

static void without_even_a_timer_nothing_is_followed_and_it_is_not_said_to_have_ended(void **state)
{
	struct world w;
	int r;

	(void)state;
	world_begin(&w, 3, true);
	set_descriptors(true);
	r = vmm_attach(w.event, run_dir, DOMID, &events, NULL, &w.v);
	set_descriptors(false);
	assert_int_equal(r, -EMFILE);
	assert_int_equal(access(w.path, F_OK), 0);
	assert_int_equal(vmm_attach(w.event, run_dir, DOMID, &events, NULL, &w.v), 0);
	wait_parted(&w);
	close_fd(&w.end_fd);
	world_end(&w, 0);
}

static void a_monitor_that_does_not_answer_is_found_and_nothing_of_it_is_touched(void **state)
{
	struct vmm_found *found = NULL;
	size_t n = 0;
	char path[64];
	int fd;

	(void)state;
	(void)snprintf(dir, sizeof(dir), "%s/q/%u", run_dir, DOMID);
	(void)snprintf(path, sizeof(path), "%s/monitor.sock", dir);
	assert_int_equal(io_mkdirs(dir, 0700), 0);
	assert_int_equal(io_unix_listen(path, SOCK_SEQPACKET, 0600, &fd), 0);
	assert_int_equal(vmm_scan(run_dir, &found, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(found[0].domid, DOMID);
	assert_string_equal(found[0].uuid, "");
	assert_int_equal(access(path, F_OK), 0);
	free(found);
	/* nor is it when we cannot ask */
	set_descriptors(true);
	assert_int_not_equal(vmm_scan(run_dir, &found, &n), 0);
	set_descriptors(false);
	assert_int_equal(access(path, F_OK), 0);
	(void)close(fd);
	assert_int_equal(vmm_scan(run_dir, &found, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(access(dir, F_OK), -1);
}

static void a_number_that_was_told_is_a_process_only_below_its_monitor(void **state)
{
	const struct {
		pid_t pid, parent;
		int r;
	} rows[] = {
		{0, getpid(), 0}, /* the child */
		{0, getppid(), -ESRCH},
		{getppid(), getpid(), -ESRCH},
	};
	int fd, status;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0)
		(void)pause();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		fd = NO_FD;
		assert_int_equal(
			qemu_open(rows[i].pid > 0 ? rows[i].pid : pid, rows[i].parent, &fd),
			rows[i].r);
		assert_int_equal(fd >= 0, rows[i].r == 0);
		if (fd >= 0)
			(void)close(fd);
	}
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitid(P_PID, (id_t)pid, &(siginfo_t){0}, WEXITED | WNOWAIT), 0);
	/* one that has ended is nobody to be waited for, though its number is still its own */
	assert_int_equal(qemu_open(pid, getpid(), &fd), -ESRCH);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(qemu_open(pid, getpid(), &fd), -ESRCH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_monitor_that_says_what_nobody_understands_is_left_alive_until_it_ends_or_is_killed),
		cmocka_unit_test(who_was_parted_from_or_could_not_be_reached_is_attached_to_again),
		cmocka_unit_test(
			without_even_a_timer_nothing_is_followed_and_it_is_not_said_to_have_ended),
		cmocka_unit_test(
			a_monitor_that_does_not_answer_is_found_and_nothing_of_it_is_touched),
		cmocka_unit_test(a_number_that_was_told_is_a_process_only_below_its_monitor),
	};

	return cmocka_run_group_tests(tests, make_run_dir, remove_run_dir);
}
