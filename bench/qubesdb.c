/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a program pays for QubesDB in dom0: one read, one write, a list and a dump of 1,000 keys,
 * against the daemon as it runs in the system (confined, with its journal). The last line is the
 * ratio to the bare round trip: the same number of bytes through a Unix socket to a process that
 * only echoes.
 *
 * Holds if a read costs at most twice the bare round trip, and a listing of 1,000 keys at most 2
 * ms.
 */
#include "proto/qubesdb.h"

#include "figures.h"

#include "base/io.h"
#include "base/str.h"
#include "qdb/call.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#define N_CALLS    5000
#define N_KEYS     1000
#define N_LISTS    50
#define READ_RATIO 2.0
#define LIST_MS    2.0

static char dir[] = "/tmp/bench-qubesdb-XXXXXX";

static double now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static NORETURN void die(const char *what)
{
	(void)fprintf(stderr, "bench/qubesdb: %s\n", what);
	exit(1);
}

static double bare_us(void)
{
	static double t[N_CALLS];
	char buf[QDB_HEADER + 8] = {0};
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		die("socketpair");
	pid = fork();
	if (pid == 0) {
		(void)close(pair[0]);
		while (io_read_full(pair[1], buf, QDB_HEADER) == 0 &&
		       io_write_full(pair[1], buf, sizeof(buf)) == 0)
			;
		_exit(0);
	}
	(void)close(pair[1]);
	for (size_t i = 0; i < N_CALLS; i++) {
		const double began = now_us();

		if (io_write_full(pair[0], buf, QDB_HEADER) < 0 ||
		    io_read_full(pair[0], buf, sizeof(buf)) < 0)
			die("echo");
		t[i] = now_us() - began;
	}
	(void)close(pair[0]);
	(void)waitpid(pid, NULL, 0);
	return median(t, N_CALLS);
}

static pid_t start_daemon(const char *program)
{
	const int fd = memfd_create("initial", 0);
	char number[16];
	pid_t pid;

	if (fd < 0 || write(fd, "/name\0work", 11) != 11)
		die("memfd");
	(void)snprintf(number, sizeof(number), "%d", fd);
	(void)setenv("VCHAN_SOCKET_DIR", dir, 1);
	pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)execl(program, program, "--initial-fd", number, "--socket-dir", dir, "7",
			    "work", (char *)NULL);
		_exit(127);
	}
	(void)close(fd);
	return pid;
}

static struct qdb_call *open_daemon(void)
{
	char path[128];
	struct qdb_call *q;

	(void)snprintf(path, sizeof(path), "%s/qubesdb.work.sock", dir);
	for (unsigned i = 0; i < 500; i++) {
		if (qdb_call_open(path, &q) == 0)
			return q;
		(void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	}
	die("the daemon does not start");
}

static unsigned n_seen;

static void count(void *data, const char *path, const char *value)
{
	(void)data;
	(void)path;
	(void)value;
	n_seen++;
}

static double reads_us(struct qdb_call *q)
{
	static double t[N_CALLS];

	for (size_t i = 0; i < N_CALLS; i++) {
		const double began = now_us();
		char *value;

		if (qdb_call_read(q, "/name", &value) != 0)
			die("read");
		t[i] = now_us() - began;
		free(value);
	}
	return median(t, N_CALLS);
}

static double writes_us(struct qdb_call *q)
{
	static double t[N_CALLS];
	char path[32];

	for (size_t i = 0; i < N_CALLS; i++) {
		const double began = now_us();

		(void)snprintf(path, sizeof(path), "/k/%04zu", i % N_KEYS);
		if (qdb_call_write(q, path, "a value of some length") != 0)
			die("write");
		t[i] = now_us() - began;
	}
	return median(t, N_CALLS);
}

static double lists_us(struct qdb_call *q, bool values)
{
	static double t[N_LISTS];

	for (size_t i = 0; i < N_LISTS; i++) {
		const double began = now_us();

		n_seen = 0;
		if (qdb_call_each(q, "/k/", values, count, NULL) != 0 || n_seen != N_KEYS)
			die("list");
		t[i] = now_us() - began;
	}
	return median(t, N_LISTS);
}

int main(int argc, char **argv)
{
	char program[4096];
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
	double bare, read, write, list, dump;
	struct qdb_call *q;
	pid_t pid;

	if (str_format(program, sizeof(program), "%.*s../dom0/qubesdb-daemon/qubesdb-daemon",
		       slash ? (int)(slash + 1 - argv[0]) : 0, slash ? argv[0] : "") < 0 ||
	    !mkdtemp(dir))
		die("no room for a path");
	bare = bare_us();
	pid = start_daemon(program);
	q = open_daemon();
	read = reads_us(q);
	write = writes_us(q);
	list = lists_us(q, false);
	dump = lists_us(q, true);
	qdb_call_free(q);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	if (io_remove_tree(AT_FDCWD, dir) < 0)
		die("cannot clean up");
	(void)printf("bare round trip        %8.1f us\n", bare);
	(void)printf("read                   %8.1f us\n", read);
	(void)printf("write                  %8.1f us\n", write);
	(void)printf("list of %d keys      %8.1f us\n", N_KEYS, list);
	(void)printf("multiread of %d keys %8.1f us\n", N_KEYS, dump);
	(void)printf("read / bare round trip = %.2f (bound %.1f), list = %.2f ms (bound %.1f)\n",
		     read / bare, READ_RATIO, list / 1e3, LIST_MS);
	return read / bare <= READ_RATIO && list / 1e3 <= LIST_MS ? 0 : 1;
}
