/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/io.h"
#include "base/program.h"
#include "base/str.h"
#include "loop/child.h"

#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

static int run_sh(const char *script, const struct spawn_fd *fds, unsigned n, int *ret_pidfd)
{
	char *argv[] = {(char *)"sh", (char *)"-c", (char *)script, NULL};

	return spawn(&(struct spawn){.path = "/bin/sh", .argv = argv, .fds = fds, .n_fds = n}, NULL,
		     ret_pidfd);
}

static void a_child_ends_and_says_how(void **state)
{
	static const struct {
		const char *script;
		struct child_end end;
		const char *text;
	} rows[] = {
		{"exit 0", {0, 0}, "exit code 0"},
		{"exit 3", {3, 0}, "exit code 3"},
		{"kill -9 $$", {0, 9}, "signal 9 (Killed)"},
		{"kill -13 $$", {0, 13}, "signal 13 (Broken pipe)"}, /* not ignored, as in us */
	};

	(void)state;
	(void)signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_CLOSE int pidfd = NO_FD;
		struct child_end end;
		char text[64];

		assert_int_equal(run_sh(rows[i].script, NULL, 0, &pidfd), 0);
		assert_int_equal(spawn_wait(pidfd, 10000, &end), 0);
		assert_int_equal(end.code, rows[i].end.code);
		assert_int_equal(end.signal, rows[i].end.signal);
		assert_string_equal(child_end_str(&end, text, sizeof(text)), rows[i].text);
		assert_int_equal(spawn_reap(pidfd, &end), -ECHILD);
	}
}

static void a_program_that_is_not_there_is_told_at_once(void **state)
{
	char *argv[] = {(char *)"x", NULL};
	int pidfd = NO_FD;

	(void)state;
	assert_int_equal(
		spawn(&(struct spawn){.path = "/nonexistent/x", .argv = argv}, NULL, &pidfd),
		-ENOENT);
	assert_int_equal(pidfd, NO_FD);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nothing is left */
}

static void a_program_that_is_not_there_and_not_waited_for_ends_with_127(void **state)
{
	char *const argv[] = {"none", NULL};
	const struct spawn s = {.path = "/no/such/program", .argv = argv, .at_once = true};
	struct child_end end;
	int pidfd = NO_FD;

	(void)state;
	assert_int_equal(spawn(&s, NULL, &pidfd), 0);
	assert_int_equal(spawn_wait(pidfd, -1, &end), 0);
	assert_int_equal(end.code, 127);
	assert_int_equal(end.signal, 0);
	(void)close(pidfd);
}

static void a_child_has_the_mapped_descriptors_and_no_others(void **state)
{
	int a[2], b[2];
	char text[64] = {0};
	struct spawn_fd map[3];
	struct child_end end;
	AUTO_CLOSE int pidfd = NO_FD;
	ssize_t n;

	(void)state;
	assert_int_equal(pipe(a), 0);
	assert_int_equal(pipe(b), 0);
	/* crosswise: each one's source is the other's target */
	map[0] = (struct spawn_fd){.from = a[1], .to = b[1]};
	map[1] = (struct spawn_fd){.from = b[1], .to = a[1]};
	map[2] = (struct spawn_fd){.from = a[1], .to = 1};
	(void)snprintf(text, sizeof(text), "ls /proc/self/fd | tr '\\n' ' '; echo B >&%d", a[1]);
	assert_int_equal(run_sh(text, map, 3, &pidfd), 0);
	assert_int_equal(spawn_wait(pidfd, 10000, &end), 0);
	assert_int_equal(end.code, 0);
	memset(text, 0, sizeof(text));
	n = read(b[0], text, sizeof(text) - 1);
	assert_int_equal(n, 2);
	assert_string_equal(text, "B\n");
	n = read(a[0], text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	{
		char expected[64];
		int low = a[1] < b[1] ? a[1] : b[1], high = a[1] < b[1] ? b[1] : a[1];

		/* 3 is the directory that ls reads */
		(void)snprintf(expected, sizeof(expected), "0 1 2 3 %d %d ", low, high);
		assert_string_equal(text, expected);
	}
	for (int i = 0; i < 2; i++) {
		(void)close(a[i]);
		(void)close(b[i]);
	}
}

static void a_child_dies_with_its_parent(void **state)
{
	int p[2];
	char byte;
	pid_t middle;

	(void)state;
	assert_int_equal(pipe(p), 0);
	middle = fork();
	if (middle == 0) {
		char *argv[] = {(char *)"sleep", (char *)"60", NULL};
		const struct spawn_fd map = {.from = p[1], .to = 5};
		int pidfd = NO_FD;
		int r = spawn(&(struct spawn){.path = "/bin/sleep",
					      .argv = argv,
					      .fds = &map,
					      .n_fds = 1,
					      .new_session = true,
					      .death_signal = SIGKILL},
			      NULL, &pidfd);

		_exit(r == 0 ? 0 : 1);
	}
	(void)close(p[1]);
	assert_int_equal(waitpid(middle, NULL, 0), middle);
	assert_int_equal(read(p[0], &byte, 1), 0); /* the last holder is gone */
	(void)close(p[0]);
}

static void a_group_of_its_own_is_in_our_session(void **state)
{
	char *argv[] = {(char *)"sleep", (char *)"60", NULL};
	AUTO_CLOSE int pidfd = NO_FD;
	struct child_end end;
	pid_t pid;

	(void)state;
	assert_int_equal(
		spawn(&(struct spawn){.path = "/bin/sleep", .argv = argv, .new_group = true}, &pid,
		      &pidfd),
		0);
	assert_int_equal(getpgid(pid), pid);
	assert_int_equal(getsid(pid), getsid(0));
	spawn_signal(pidfd, SIGKILL);
	assert_int_equal(spawn_wait(pidfd, -1, &end), 0);
	assert_int_equal(end.signal, SIGKILL);
}

static int refuse(void *data)
{
	(void)data;
	return -EDOM;
}

static void a_failing_preparation_stops_the_start(void **state)
{
	char *argv[] = {(char *)"true", NULL};
	int pidfd = NO_FD;

	(void)state;
	assert_int_equal(
		spawn(&(struct spawn){.path = "/bin/true", .argv = argv, .prepare = refuse}, NULL,
		      &pidfd),
		-EDOM);
}

static void waiting_has_an_end(void **state)
{
	AUTO_CLOSE int pidfd = NO_FD;
	struct child_end end;

	(void)state;
	assert_int_equal(run_sh("exec sleep 60", NULL, 0, &pidfd), 0);
	assert_int_equal(spawn_reap(pidfd, &end), -EAGAIN);
	assert_int_equal(spawn_wait(pidfd, 20, &end), -ETIMEDOUT);
	spawn_signal(pidfd, SIGTERM);
	assert_int_equal(spawn_wait(pidfd, 10000, &end), 0);
	assert_int_equal(end.signal, SIGTERM);
}

static void stop_loop(void *data, const struct child_end *end)
{
	(void)sd_event_exit(data, end->code);
}

static void the_loop_hears_of_the_end(void **state)
{
	sd_event *event = NULL;
	struct child *c = NULL;
	int pidfd = NO_FD;

	(void)state;
	assert_true(sd_event_new(&event) >= 0);
	assert_int_equal(run_sh("exit 7", NULL, 0, &pidfd), 0);
	assert_int_equal(child_new(event, pidfd, stop_loop, event, &c), 0);
	assert_int_equal(sd_event_loop(event), 7);
	child_free(c);
	sd_event_unref(event);
}

static void programs_are_found_where_told(void **state)
{
	char path[PATH_MAX];

	(void)state;
	assert_int_equal(setenv("BULKHEAD_LIBEXEC", "/bin", 1), 0);
	assert_int_equal(program_find("sh", path, sizeof(path)), 0);
	assert_string_equal(path, "/bin/sh");
	assert_int_equal(program_find("no-such-program", path, sizeof(path)), -ENOENT);
	assert_int_equal(unsetenv("BULKHEAD_LIBEXEC"), 0);
	assert_int_equal(program_find("no-such-program", path, sizeof(path)), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_child_ends_and_says_how),
		cmocka_unit_test(a_program_that_is_not_there_is_told_at_once),
		cmocka_unit_test(a_program_that_is_not_there_and_not_waited_for_ends_with_127),
		cmocka_unit_test(a_child_has_the_mapped_descriptors_and_no_others),
		cmocka_unit_test(a_child_dies_with_its_parent),
		cmocka_unit_test(a_group_of_its_own_is_in_our_session),
		cmocka_unit_test(a_failing_preparation_stops_the_start),
		cmocka_unit_test(waiting_has_an_end),
		cmocka_unit_test(the_loop_hears_of_the_end),
		cmocka_unit_test(programs_are_found_where_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
