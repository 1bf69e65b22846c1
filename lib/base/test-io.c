/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/paths.h"
#include "base/str.h"

static char dir[] = "/tmp/bulkhead-test-XXXXXX";

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	(void)state;
	return io_remove_tree(AT_FDCWD, dir);
}

static void a_file_is_replaced_whole(void **state)
{
	char path[128];
	AUTO_FREE char *text = NULL;
	size_t len;

	(void)state;
	assert_int_equal(str_format(path, sizeof(path), "%s/f", dir), 0);
	assert_int_equal(io_write_file(AT_FDCWD, path, "one", 3, 0600), 0);
	assert_int_equal(io_write_file(AT_FDCWD, path, "two2", 4, 0600), 0);
	assert_int_equal(io_read_file(AT_FDCWD, path, 10, &text, &len), 0);
	assert_int_equal(len, 4);
	assert_string_equal(text, "two2");
	free(take_ptr(&text));
	assert_int_equal(io_read_file(AT_FDCWD, path, 3, &text, &len), -EFBIG);
}

static void trees_come_and_go(void **state)
{
	char path[128], outside[128], link[128];
	struct stat st;

	(void)state;
	assert_int_equal(str_format(path, sizeof(path), "%s/a/b/c", dir), 0);
	assert_int_equal(str_format(outside, sizeof(outside), "%s/kept", dir), 0);
	assert_int_equal(str_format(link, sizeof(link), "%s/a/b/link", dir), 0);
	assert_int_equal(io_mkdirs(path, 0700), 0);
	assert_int_equal(io_mkdirs(path, 0700), 0);
	assert_int_equal(io_mkdirs(outside, 0700), 0);
	assert_int_equal(symlink(outside, link), 0);
	assert_int_equal(str_format(path, sizeof(path), "%s/a", dir), 0);
	assert_int_equal(io_remove_tree(AT_FDCWD, path), 0);
	assert_int_equal(io_remove_tree(AT_FDCWD, path), 0);
	assert_int_equal(stat(path, &st), -1);
	assert_int_equal(stat(outside, &st), 0); /* links are not followed */
}

static void descriptors_travel(void **state)
{
	int pair[2], fds[4] = {NO_FD, NO_FD, NO_FD, NO_FD};
	char buf[8];
	size_t len, n;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	assert_int_equal(io_send_msg(pair[0], "hello", 5, pair, 2), 0);
	assert_int_equal(io_recv_msg(pair[1], buf, sizeof(buf), &len, fds, 4, &n), 0);
	assert_int_equal(len, 5);
	assert_int_equal(n, 2);
	assert_int_equal(fcntl(fds[0], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	close_fd(&fds[0]);
	close_fd(&fds[1]);
	/* more than the receiver takes: refused, none is kept */
	assert_int_equal(io_send_msg(pair[0], "hello", 5, pair, 2), 0);
	assert_int_equal(io_recv_msg(pair[1], buf, sizeof(buf), &len, fds, 1, &n), -EMSGSIZE);
	assert_int_equal(fds[0], NO_FD);
	/* a message longer than the buffer is an error, not a cut */
	assert_int_equal(io_send_msg(pair[0], "hello, world", 12, NULL, 0), 0);
	assert_int_equal(io_recv_msg(pair[1], buf, sizeof(buf), &len, NULL, 0, NULL), -EMSGSIZE);
	assert_int_equal(io_recv_msg(pair[1], buf, sizeof(buf), &len, NULL, 0, NULL), -EAGAIN);
	(void)close(pair[0]);
	assert_int_equal(io_recv_msg(pair[1], buf, sizeof(buf), &len, NULL, 0, NULL), 0);
	assert_int_equal(len, 0);
	(void)close(pair[1]);
}

static void sockets_have_the_asked_mode(void **state)
{
	char path[128];
	struct stat st;
	AUTO_CLOSE int l = NO_FD;
	AUTO_CLOSE int c = NO_FD;

	(void)state;
	assert_int_equal(str_format(path, sizeof(path), "%s/s", dir), 0);
	assert_int_equal(io_unix_connect(path, SOCK_STREAM, &c), -ENOENT);
	assert_int_equal(io_unix_listen(path, SOCK_STREAM, 0600, &l), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(io_unix_connect(path, SOCK_STREAM, &c), 0);
}

static void an_instance_lives_below_its_home(void **state)
{
	char home[300];
	struct paths p;

	(void)state;
	assert_int_equal(str_format(home, sizeof(home), "%s/%0150d/a home", dir, 0), 0);
	assert_int_equal(setenv("BULKHEAD_HOME", home, 1), 0);
	assert_int_equal(paths_init(&p, false), -ENOENT);
	assert_int_equal(paths_init(&p, true), 0);
	assert_true(strlen(p.run) <= PATHS_RUN_MAX);
	assert_true(str_starts(p.state, dir));
	assert_int_equal(access(p.run, W_OK), 0);
	paths_done(&p);
	assert_int_equal(paths_init(&p, false), 0);
	assert_int_equal(io_remove_tree(AT_FDCWD, p.run), 0);
	paths_done(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_is_replaced_whole),
		cmocka_unit_test(trees_come_and_go),
		cmocka_unit_test(descriptors_travel),
		cmocka_unit_test(sockets_have_the_asked_mode),
		cmocka_unit_test(an_instance_lives_below_its_home),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
