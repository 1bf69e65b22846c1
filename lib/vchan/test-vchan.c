/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/io.h"
#include "vchan/vchan.h"

static char dir[] = "/tmp/vchan-test-XXXXXX";

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int drop_dir(void **state)
{
	(void)state;
	return io_remove_tree(AT_FDCWD, dir);
}

static bool path_exists(unsigned server, unsigned client, unsigned port)
{
	char path[256];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/vchan.%u.%u.%u.sock", dir, server, client, port);
	return lstat(path, &st) == 0;
}

static unsigned n_files(void)
{
	char command[256];
	unsigned n = 0;
	FILE *f;

	(void)snprintf(command, sizeof(command), "ls -A '%s' | wc -l", dir);
	f = popen(command, "r"); // NOLINT(cert-env33-c): a test's own folder
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%u", &n), 1); // NOLINT(cert-err34-c)
	(void)pclose(f);
	return n;
}

static void pair(unsigned port, struct vchan **server, struct vchan **client)
{
	assert_int_equal(vchan_server_new(dir, 0, 7, port, server), 0);
	assert_int_equal(vchan_client_new(dir, 7, 0, port, 0, client), 0);
	assert_int_equal(vchan_accept(*server), 0);
}

static void bytes_flow_both_ways_and_end_after_the_last_one(void **state)
{
	struct vchan *s, *c;
	char buf[8];
	size_t n;

	(void)state;
	pair(1, &s, &c);
	assert_int_equal(vchan_get_state(s), VCHAN_CONNECTED);
	assert_int_equal(vchan_read(s, buf, sizeof(buf), &n), -EAGAIN);
	assert_int_equal(vchan_write_full(c, "hello", 5), 0);
	assert_int_equal(vchan_write_full(s, "world", 5), 0);
	vchan_free(c); /* "world" was not read: the server still gets "hello" */
	assert_int_equal(vchan_read_full(s, buf, 5), 0);
	assert_memory_equal(buf, "hello", 5);
	assert_int_equal(vchan_read(s, buf, sizeof(buf), &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(vchan_get_state(s), VCHAN_CLOSED);
	assert_int_equal(vchan_read_full(s, buf, 1), -ENODATA);
	assert_int_equal(vchan_write(s, "x", 1, &n), -EPIPE);
	vchan_free(s);
	assert_int_equal(n_files(), 0);
}

static void a_server_takes_one_peer_and_its_path_goes(void **state)
{
	struct vchan *s, *c, *again, *other;

	(void)state;
	assert_int_equal(vchan_server_new(dir, 0, 7, 2, &s), 0);
	assert_int_equal(vchan_get_state(s), VCHAN_WAITING);
	assert_int_equal(vchan_accept(s), -EAGAIN);
	assert_true(path_exists(0, 7, 2));
	assert_int_equal(vchan_client_new(dir, 7, 0, 2, 0, &c), 0);
	assert_int_equal(vchan_accept(s), 0);
	assert_false(path_exists(0, 7, 2));
	assert_int_equal(vchan_client_new(dir, 7, 0, 2, 0, &other), -ENOENT);
	assert_int_equal(vchan_accept(s), -EINVAL);
	assert_int_equal(vchan_server_new(dir, 0, 7, 2, &again), 0); /* the port is free at once */
	vchan_free(s);
	assert_true(path_exists(0, 7, 2));
	vchan_free(again);
	vchan_free(c);
	assert_int_equal(n_files(), 0);
}

static void a_second_server_takes_over_a_path_and_keeps_it(void **state)
{
	struct vchan *old, *new, *c;

	(void)state;
	assert_int_equal(vchan_server_new(dir, 0, 7, 3, &old), 0);
	assert_int_equal(vchan_server_new(dir, 0, 7, 3, &new), 0);
	vchan_free(old);
	assert_true(path_exists(0, 7, 3));
	assert_int_equal(vchan_client_new(dir, 7, 0, 3, 0, &c), 0);
	assert_int_equal(vchan_accept(new), 0);
	vchan_free(c);
	vchan_free(new);
}

static void a_dead_servers_socket_is_replaced(void **state)
{
	struct vchan *s, *c;
	int fd;
	char path[256];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/vchan.0.7.4.sock", dir);
	assert_int_equal(io_unix_listen(path, SOCK_STREAM, 0600, &fd), 0);
	(void)close(fd); /* the file stays, as after kill -9 */
	assert_int_equal(vchan_client_new(dir, 7, 0, 4, 0, &c), -ECONNREFUSED);
	assert_int_equal(vchan_server_new(dir, 0, 7, 4, &s), 0);
	assert_int_equal(vchan_client_new(dir, 7, 0, 4, 0, &c), 0);
	vchan_free(c);
	vchan_free(s);
}

static pid_t serve_after(unsigned delay_ms, unsigned port, bool with_dir, const char *in)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct timespec t = {.tv_nsec = (long)delay_ms * 1000000};
		struct vchan *s;

		(void)alarm(20);
		(void)nanosleep(&t, NULL);
		if (with_dir && mkdir(in, 0700) < 0)
			_exit(3);
		if (vchan_server_new(in, 0, 7, port, &s) != 0)
			_exit(1);
		_exit(vchan_write_full(s, "late", 4) == 0 ? 0 : 2);
	}
	return pid;
}

static void check_late(pid_t pid, struct vchan *c)
{
	char buf[4];
	int status;

	assert_int_equal(vchan_read_full(c, buf, 4), 0);
	assert_memory_equal(buf, "late", 4);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	vchan_free(c);
}

static void a_client_waits_for_its_server(void **state)
{
	char in[64], stale[128];
	struct vchan *c;
	pid_t pid;
	int fd;

	(void)state;
	pid = serve_after(150, 5, false, dir); /* no path yet: inotify */
	assert_int_equal(vchan_client_new(dir, 7, 0, 5, 15000, &c), 0);
	check_late(pid, c);

	(void)snprintf(in, sizeof(in), "%s/later", dir); /* not even a directory: pauses */
	pid = serve_after(150, 5, true, in);
	assert_int_equal(vchan_client_new(in, 7, 0, 5, 15000, &c), 0);
	check_late(pid, c);

	(void)snprintf(stale, sizeof(stale), "%s/vchan.0.7.6.sock", in); /* refuses at first */
	assert_int_equal(io_unix_listen(stale, SOCK_STREAM, 0600, &fd), 0);
	(void)close(fd);
	pid = serve_after(150, 6, false, in);
	assert_int_equal(vchan_client_new(in, 7, 0, 6, 15000, &c), 0);
	check_late(pid, c);
	assert_int_equal(rmdir(in), 0);
}

static uint64_t cpu_ms(void)
{
	struct rusage u;

	(void)getrusage(RUSAGE_SELF, &u);
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000 +
	       (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1000;
}

static void waiting_is_bounded_and_not_busy(void **state)
{
	uint64_t start, cpu;
	struct vchan *c;
	char path[128];
	int fd;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/vchan.0.7.8.sock", dir);
	assert_int_equal(io_unix_listen(path, SOCK_STREAM, 0600, &fd), 0);
	(void)close(fd);
	for (unsigned port = 7; port <= 8; port++) { /* absent, refusing */
		start = io_now_ms();
		cpu = cpu_ms();
		assert_int_equal(vchan_client_new(dir, 7, 0, port, 300, &c), -ETIMEDOUT);
		assert_true(io_now_ms() - start >= 300);
		assert_true(io_now_ms() - start < 5000);
		assert_true(cpu_ms() - cpu < 60);
	}
	assert_int_equal(unlink(path), 0);
}

static void ids_and_paths_out_of_range_are_refused(void **state)
{
	char lengthy[128];
	struct vchan *v;

	(void)state;
	assert_int_equal(vchan_server_new(dir, VCHAN_SELF + 1, 7, 1, &v), -EINVAL);
	assert_int_equal(vchan_client_new(dir, 7, UINT32_MAX, 1, 1000, &v), -EINVAL);
	memset(lengthy, 'x', sizeof(lengthy) - 1);
	lengthy[sizeof(lengthy) - 1] = '\0';
	assert_int_equal(vchan_server_new(lengthy, 0, 7, 1, &v), -ENAMETOOLONG);
	assert_int_equal(vchan_client_new("/nonexistent", 7, 0, 1, 0, &v), -ENOENT);
}

static void sockets_made_elsewhere_are_taken(void **state)
{
	struct vchan *a, *b, *s;
	char path[128], buf[2];
	int fd[2], listener;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	assert_int_equal(vchan_new_from_fd(&fd[0], &a), 0);
	assert_int_equal(vchan_new_from_fd(&fd[1], &b), 0);
	assert_int_equal(fd[0], NO_FD);
	assert_int_equal(vchan_write_full(a, "ab", 2), 0);
	assert_int_equal(vchan_read_full(b, buf, 2), 0);
	vchan_free(a);
	vchan_free(b);

	(void)snprintf(path, sizeof(path), "%s/vchan.0.7.9.sock", dir);
	assert_int_equal(io_unix_listen(path, SOCK_STREAM, 0600, &listener), 0);
	assert_int_equal(vchan_new_from_listener(&listener, &s), 0);
	assert_int_equal(vchan_client_new(dir, 7, 0, 9, 0, &a), 0);
	assert_int_equal(vchan_write_full(a, "ab", 2), 0);
	assert_int_equal(vchan_read_full(s, buf, 2), 0); /* accepts by itself */
	vchan_free(a);
	vchan_free(s);
	assert_true(path_exists(0, 7, 9)); /* the path is its maker's */
	assert_int_equal(unlink(path), 0);
}

static void the_environment_names_directory_and_id(void **state)
{
	(void)state;
	(void)unsetenv("VCHAN_SOCKET_DIR");
	(void)unsetenv("VCHAN_DOMAIN");
	assert_string_equal(vchan_dir(), "/var/run/vchan");
	assert_int_equal(vchan_own_domid(), 0);
	(void)setenv("VCHAN_SOCKET_DIR", "/x", 1);
	(void)setenv("VCHAN_DOMAIN", "32752", 1);
	assert_string_equal(vchan_dir(), "/x");
	assert_int_equal(vchan_own_domid(), VCHAN_SELF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_flow_both_ways_and_end_after_the_last_one),
		cmocka_unit_test(a_server_takes_one_peer_and_its_path_goes),
		cmocka_unit_test(a_second_server_takes_over_a_path_and_keeps_it),
		cmocka_unit_test(a_dead_servers_socket_is_replaced),
		cmocka_unit_test(a_client_waits_for_its_server),
		cmocka_unit_test(waiting_is_bounded_and_not_busy),
		cmocka_unit_test(ids_and_paths_out_of_range_are_refused),
		cmocka_unit_test(sockets_made_elsewhere_are_taken),
		cmocka_unit_test(the_environment_names_directory_and_id),
	};

	return cmocka_run_group_tests(tests, make_dir, drop_dir);
}
