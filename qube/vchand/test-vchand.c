/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Both vchands as they are, joined by a socket pair instead of a virtio-serial port:
 *	test-vchand DOM0-VCHAND QUBE-VCHAND
 * The test is qube-monitor (in a child that answers what dom0's vchand asks), dom0's programs and
 * the qube's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/io.h"
#include "base/str.h"
#include "loop/ask.h"
#include "mux/mux.h"
#include "proto/ring.h"
#include "proto/ticket.h"
#include "proto/vmux.h"
#include "vchan/vchan.h"

#define DOMID   7
#define OTHER   9
#define WAIT_MS 10000

static const char *dom0_program, *qube_program;
static char home[] = "/tmp/vchand-test-XXXXXX";
static char dom0_dir[64], qube_dir[64], control[64];
static pid_t dom0_pid, qube_pid, monitor_pid;
static int control_fd = NO_FD, rings_fd = NO_FD;
static char rings_path[64], rings_link[64];
static uint8_t *rings; /* the memory both vchands share */

static void no_fd_cloexec(int fd)
{
	(void)fcntl(fd, F_SETFD, 0);
}

static pid_t start_qube(int carrier)
{
	char fd[16];
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)snprintf(fd, sizeof(fd), "%d", carrier);
	no_fd_cloexec(carrier);
	(void)execl(qube_program, "vchand", "--dir", qube_dir, "--carrier-fd", fd, "--rings",
		    rings_path, "--rings-link", rings_link, NULL);
	_exit(99);
}

static void answer_for_ever(int fd)
{
	const struct ask_rules rules = {
		.kinds = 1 << ASK_VCHAN_BIND | 1 << ASK_VCHAN_UNLINK | 1 << ASK_VCHAN_CONNECT,
		.vchan_dir = dom0_dir,
		.bind_server = DOMID,
		.bind_client = 0,
		.bind_port = ASK_ANY,
		.connect_server = 0,
		.connect_client = DOMID,
		.connect_port = ASK_ANY,
	};
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int r = 0;

	while (r == 0 || r == -EAGAIN) {
		(void)poll(&p, 1, -1);
		r = ask_answer(fd, &rules);
	}
	_exit(r == -ECONNRESET ? 0 : 1);
}

static pid_t start_dom0(int carrier)
{
	char carrier_text[32], ask_text[32], dir_text[32], control_text[32], rings_text[32];
	char domid[32];
	int pair[2], dir_fd;
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	monitor_pid = fork();
	if (monitor_pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)dup2(pair[0], 3); /* and nothing else: a carrier held here would never end */
		(void)close_range(4, ~0u, 0);
		answer_for_ever(3);
	}
	(void)close(pair[0]);
	dir_fd = open(dom0_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir_fd >= 0);
	pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		no_fd_cloexec(carrier);
		no_fd_cloexec(pair[1]);
		no_fd_cloexec(dir_fd);
		no_fd_cloexec(control_fd);
		no_fd_cloexec(rings_fd);
		(void)snprintf(carrier_text, sizeof(carrier_text), "--carrier-fd=%d", carrier);
		(void)snprintf(ask_text, sizeof(ask_text), "--ask-fd=%d", pair[1]);
		(void)snprintf(dir_text, sizeof(dir_text), "--vchan-dir-fd=%d", dir_fd);
		(void)snprintf(control_text, sizeof(control_text), "--control-fd=%d", control_fd);
		(void)snprintf(rings_text, sizeof(rings_text), "--rings-fd=%d", rings_fd);
		(void)snprintf(domid, sizeof(domid), "--domid=%d", DOMID);
		(void)execl(dom0_program, "vchand", domid, carrier_text, ask_text, dir_text,
			    control_text, rings_text, "work", NULL);
		_exit(99);
	}
	(void)close(pair[1]);
	(void)close(dir_fd);
	return pid;
}

/* An end of a fresh socket pair for each that is told to start; the other is returned if one is
 * not. */
static int start(bool dom0, bool qube)
{
	int pair[2], mine = NO_FD;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	if (dom0)
		dom0_pid = start_dom0(pair[0]);
	else
		mine = fcntl(pair[0], F_DUPFD_CLOEXEC, 0);
	if (qube)
		qube_pid = start_qube(pair[1]);
	else
		mine = fcntl(pair[1], F_DUPFD_CLOEXEC, 0);
	(void)close(pair[0]);
	(void)close(pair[1]);
	return mine;
}

static int end(pid_t *pid, int signal)
{
	int status = 0;

	if (*pid <= 0)
		return -1;
	if (signal != 0)
		(void)kill(*pid, signal);
	assert_int_equal(waitpid(*pid, &status, 0), *pid);
	*pid = 0;
	return status;
}

static int set_up(void **state)
{
	(void)state;
	memset(home + strlen(home) - 6, 'X', 6);
	if (!mkdtemp(home))
		return -1;
	(void)snprintf(dom0_dir, sizeof(dom0_dir), "%s/d", home);
	(void)snprintf(qube_dir, sizeof(qube_dir), "%s/q", home);
	(void)snprintf(control, sizeof(control), "%s/control", home);
	if (mkdir(dom0_dir, 0700) < 0 || mkdir(qube_dir, 0700) < 0)
		return -1;
	/* this process has the memory mapped once for all: lib/vchan does not expect another one */
	if (fallocate(rings_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, RING_REGION_SIZE) <
	    0)
		return -1;
	(void)snprintf(rings_link, sizeof(rings_link), "%s/rings", home);
	(void)setenv("VCHAN_RINGS", rings_link, 1);
	return io_unix_listen(control, SOCK_SEQPACKET, 0600, &control_fd);
}

static int tear_down(void **state)
{
	(void)state;
	(void)end(&dom0_pid, SIGKILL);
	(void)end(&qube_pid, SIGKILL);
	(void)end(&monitor_pid, SIGKILL);
	close_fd(&control_fd);
	return io_remove_tree(AT_FDCWD, home);
}

static unsigned n_entries(const char *path)
{
	DIR *dir = opendir(path);
	unsigned n = 0;

	assert_non_null(dir);
	for (struct dirent *e; (e = readdir(dir));)
		n += e->d_name[0] != '.';
	(void)closedir(dir);
	return n;
}

static void wait_entries(const char *path, unsigned n)
{
	for (unsigned i = 0; i < WAIT_MS / 10 && n_entries(path) != n; i++)
		(void)poll(NULL, 0, 10);
	assert_int_equal(n_entries(path), n);
}

struct ends {
	struct vchan *dom0, *qube;
};

/* A channel with its server in dom0, or in the qube. */
static struct ends channel(bool server_in_dom0, unsigned port)
{
	struct ends e;

	if (server_in_dom0) {
		assert_int_equal(vchan_server_new(dom0_dir, 0, DOMID, port, &e.dom0), 0);
		assert_int_equal(vchan_client_new(qube_dir, VCHAN_SELF, 0, port, WAIT_MS, &e.qube),
				 0);
	} else {
		assert_int_equal(vchan_server_new(qube_dir, VCHAN_SELF, 0, port, &e.qube), 0);
		assert_int_equal(vchan_client_new(dom0_dir, 0, DOMID, port, WAIT_MS, &e.dom0), 0);
	}
	return e;
}

static void check_echo(struct ends e, const char *text)
{
	char buf[64];
	size_t n = strlen(text);

	assert_int_equal(vchan_write_full(e.dom0, text, n), 0);
	assert_int_equal(vchan_read_full(e.qube, buf, n), 0);
	assert_memory_equal(buf, text, n);
	assert_int_equal(vchan_write_full(e.qube, text, n), 0);
	assert_int_equal(vchan_read_full(e.dom0, buf, n), 0);
	assert_memory_equal(buf, text, n);
}

static void ends_free(struct ends e)
{
	vchan_free(e.dom0);
	vchan_free(e.qube);
}

static void channels_work_whoever_serves(void **state)
{
	(void)state;
	(void)start(true, true);
	for (unsigned i = 0; i < 6; i++) {
		struct ends e = channel(i % 2, 513 + i);
		char c;

		check_echo(e, "hello");
		assert_int_equal(vchan_write_full(e.qube, "last", 4), 0);
		vchan_free(e.qube); /* what was written still arrives */
		for (unsigned b = 0; b < 4; b++)
			assert_int_equal(vchan_read_full(e.dom0, &c, 1), 0);
		assert_int_equal(vchan_read_full(e.dom0, &c, 1), -ENODATA);
		vchan_free(e.dom0);
	}
	wait_entries(dom0_dir, 0); /* no proxy is left when no server is */
	wait_entries(qube_dir, 0);
}

static void many_channels_at_once_each_with_its_bytes(void **state)
{
	enum { N = 300, LEN = 40000 };
	static struct ends e[N];
	static char sent[LEN], got[LEN];

	(void)state;
	(void)start(true, true);
	for (unsigned i = 0; i < N; i++)
		e[i] = channel(i % 2, 1000 + i);
	for (unsigned i = 0; i < N; i++) {
		memset(sent, (int)(i % 251), LEN);
		assert_int_equal(vchan_write_full(i % 3 ? e[i].dom0 : e[i].qube, sent, LEN), 0);
	}
	for (unsigned i = N; i-- > 0;) {
		memset(sent, (int)(i % 251), LEN);
		assert_int_equal(vchan_read_full(i % 3 ? e[i].qube : e[i].dom0, got, LEN), 0);
		assert_memory_equal(sent, got, LEN);
		ends_free(e[i]);
	}
	wait_entries(dom0_dir, 0);
	wait_entries(qube_dir, 0);
}

static void a_stalled_channel_holds_up_no_other(void **state)
{
	static char buf[65536];
	struct ends stalled, e;
	size_t n, total = 0;
	int r;

	(void)state;
	(void)start(true, true);
	stalled = channel(true, 1);
	for (unsigned quiet = 0; quiet < 20;) {
		r = vchan_write(stalled.qube, buf, sizeof(buf), &n);
		if (r == 0) {
			total += n;
			quiet = 0;
			continue;
		}
		assert_int_equal(r, -EAGAIN);
		(void)poll(NULL, 0, 10);
		quiet++;
	}
	assert_true(total < 2 << 20); /* two socket buffers and two windows */
	e = channel(true, 2);
	for (unsigned i = 0; i < 200; i++) {
		assert_int_equal(vchan_write_full(e.qube, buf, sizeof(buf)), 0);
		assert_int_equal(vchan_read_full(e.dom0, buf, sizeof(buf)), 0);
	}
	ends_free(e);
	while (total > 0) {
		n = total < sizeof(buf) ? total : sizeof(buf);
		assert_int_equal(vchan_read_full(stalled.dom0, buf, n), 0);
		total -= n;
	}
	ends_free(stalled);
}

static void who_connects_to_nothing_is_told(void **state)
{
	struct vchan *s, *a, *b;
	char c;

	(void)state;
	(void)start(true, true);
	/* two clients of a server that takes one: the second one's stream is refused */
	assert_int_equal(vchan_server_new(dom0_dir, 0, DOMID, 5, &s), 0);
	assert_int_equal(vchan_client_new(qube_dir, VCHAN_SELF, 0, 5, WAIT_MS, &a), 0);
	assert_int_equal(vchan_client_new(qube_dir, VCHAN_SELF, 0, 5, WAIT_MS, &b), 0);
	assert_int_equal(vchan_write_full(s, "x", 1), 0);
	vchan_free(s);
	assert_int_equal(vchan_read_full(a, &c, 1), 0);
	assert_int_equal(vchan_read_full(a, &c, 1), -ENODATA);
	assert_int_equal(vchan_read_full(b, &c, 1), -ENODATA);
	vchan_free(a);
	vchan_free(b);
}

static unsigned n_fds_of(pid_t pid)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	return n_entries(path);
}

static unsigned rss_kib(pid_t pid)
{
	char path[64], *text;
	unsigned pages = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	assert_int_equal(io_read_file(AT_FDCWD, path, 4096, &text, NULL), 0);
	assert_int_equal(sscanf(text, "%*u %u", &pages), 1); // NOLINT(cert-err34-c)
	free(text);
	return pages * 4;
}

static void opening_and_closing_leaks_nothing(void **state)
{
	unsigned fds[2] = {0}, rss[2] = {0};

	(void)state;
	(void)start(true, true);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 700; i++) {
			struct ends e = channel(i % 2, 513 + i % 40);

			if (i % 7 == 0)
				check_echo(e, "hello");
			ends_free(e);
		}
		wait_entries(dom0_dir, 0);
		wait_entries(qube_dir, 0);
		(void)poll(NULL, 0, 100);
		if (round == 0) {
			fds[0] = n_fds_of(qube_pid);
			rss[0] = rss_kib(qube_pid);
			rss[1] = rss_kib(dom0_pid);
		}
	}
	fds[1] = n_fds_of(qube_pid);
	assert_int_equal(fds[0], fds[1]);
	assert_true(rss_kib(qube_pid) < rss[0] + 200);
	assert_true(rss_kib(dom0_pid) < rss[1] + 200);
}

static void either_side_may_be_started_anew(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		struct ends e;
		char c;

		(void)start(true, true);
		e = channel(i % 2, 600);
		check_echo(e, "hello");
		(void)end(i % 2 ? &dom0_pid : &qube_pid, SIGKILL);
		/* the other one loses its carrier, ends, and is started again too */
		(void)end(i % 2 ? &qube_pid : &dom0_pid, 0);
		assert_int_equal(vchan_read_full(e.dom0, &c, 1), -ENODATA);
		assert_int_equal(vchan_read_full(e.qube, &c, 1), -ENODATA);
		ends_free(e);
		(void)end(&monitor_pid, 0);
	}
}

/* ---- tickets ---- */

static int send_ticket(uint8_t kind, uint16_t server, uint16_t client, uint16_t port, int *fd)
{
	const struct ticket t = {kind, server, client, port};
	uint8_t bytes[TICKET_LEN], answer[TICKET_ANSWER_LEN + 1];
	AUTO_CLOSE int sock = NO_FD;
	size_t len;
	int r;

	assert_int_equal(ticket_encode(&t, bytes), 0);
	assert_int_equal(io_unix_connect(control, SOCK_SEQPACKET, &sock), 0);
	assert_int_equal(io_send_msg(sock, bytes, sizeof(bytes), fd, fd ? 1 : 0), 0);
	assert_int_equal(io_recv_msg(sock, answer, sizeof(answer), &len, NULL, 0, NULL), 0);
	assert_int_equal(ticket_answer_decode(answer, len, &r), 0);
	return r;
}

static struct vchan *grant(uint16_t server, uint16_t client, uint16_t port)
{
	struct vchan *other;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(send_ticket(TICKET_GRANT, server, client, port, &pair[1]), 0);
	(void)close(pair[1]);
	assert_int_equal(vchan_new_from_fd(&pair[0], &other), 0);
	return other;
}

static void a_ticket_joins_two_qubes(void **state)
{
	struct ends e;
	char c;

	(void)state;
	(void)start(true, true);
	check_echo(channel(true, 1), "up"); /* in session */

	assert_int_equal(vchan_server_new(qube_dir, VCHAN_SELF, OTHER, 514, &e.qube), 0);
	(void)poll(NULL, 0, 50);
	e.dom0 = grant(DOMID, OTHER, 514); /* this qube serves; announced before */
	check_echo(e, "early");
	ends_free(e);

	e.dom0 = grant(DOMID, OTHER, 515); /* ... and after */
	assert_int_equal(vchan_server_new(qube_dir, VCHAN_SELF, OTHER, 515, &e.qube), 0);
	check_echo(e, "late");
	ends_free(e);

	e.dom0 = grant(OTHER, DOMID, 516); /* the other qube serves */
	assert_int_equal(vchan_client_new(qube_dir, VCHAN_SELF, OTHER, 516, WAIT_MS, &e.qube), 0);
	check_echo(e, "client");
	assert_int_equal(send_ticket(TICKET_REVOKE, OTHER, DOMID, 516, NULL), 0);
	assert_int_equal(vchan_read_full(e.dom0, &c, 1), -ENODATA);
	assert_int_equal(vchan_read_full(e.qube, &c, 1), -ENODATA);
	ends_free(e);
	assert_int_equal(vchan_client_new(qube_dir, VCHAN_SELF, OTHER, 516, 200, &e.qube),
			 -ETIMEDOUT);
}

/* Whoever handed a socket over may keep a copy: what then still happens on it is nobody's any more. */
static void a_socket_that_others_hold_too_is_let_go(void **state)
{
	(void)state;
	(void)start(true, true);
	check_echo(channel(true, 1), "up");
	for (unsigned port = 600; port < 620; port++) {
		struct ends e;
		int pair[2];
		char c;

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		assert_int_equal(send_ticket(TICKET_GRANT, OTHER, DOMID, port, &pair[0]), 0);
		assert_int_equal(
			vchan_client_new(qube_dir, VCHAN_SELF, OTHER, port, WAIT_MS, &e.qube), 0);
		assert_int_equal(vchan_write_full(e.qube, "x", 1), 0);
		assert_int_equal(io_read_full(pair[1], &c, 1), 0);
		vchan_free(e.qube);
		assert_int_equal(send_ticket(TICKET_REVOKE, OTHER, DOMID, port, NULL), 0);
		assert_int_equal(io_write_full(pair[1], "late", 4), 0);
		(void)close(pair[1]);
		check_echo(channel(true, port), "alive");
		(void)close(pair[0]);
	}
}

static void tickets_are_checked(void **state)
{
	struct vchan *v;
	int pair[2];
	char c;

	(void)state;
	(void)start(true, true);
	check_echo(channel(true, 1), "up");
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(send_ticket(TICKET_GRANT, OTHER, OTHER + 1, 1, &pair[0]), -EPERM);
	assert_int_equal(send_ticket(TICKET_GRANT, OTHER, DOMID, 1, NULL), -EINVAL);
	assert_int_equal(send_ticket(TICKET_GRANT, OTHER, DOMID, 1, &pair[0]), 0);
	assert_int_equal(send_ticket(TICKET_GRANT, OTHER, DOMID, 1, &pair[0]), 0);
	assert_int_equal(send_ticket(TICKET_REVOKE, OTHER, DOMID, 1, NULL), 0);
	assert_int_equal(send_ticket(TICKET_GRANT, OTHER, DOMID, 1, &pair[0]), 0);
	(void)close(pair[0]);
	assert_int_equal(vchan_new_from_fd(&pair[1], &v), 0);
	assert_int_equal(vchan_read_full(v, &c, 1),
			 -ENODATA); /* unused: void after TICKET_UNUSED_MS */
	vchan_free(v);
	wait_entries(qube_dir, 0);
	assert_int_equal(vchan_client_new(qube_dir, VCHAN_SELF, OTHER, 1, 100, &v), -ETIMEDOUT);
}

static int wait_end(pid_t *pid)
{
	int status = end(pid, 0);

	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* ---- rings ---- */

static bool is_claimed(int claims_fd, unsigned slot)
{
	struct flock lock = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)slot, .l_len = 1};

	assert_int_equal(fcntl(claims_fd, F_OFD_GETLK, &lock), 0);
	return lock.l_type != F_UNLCK;
}

static int open_claims(void)
{
	char path[96];
	int fd;

	(void)snprintf(path, sizeof(path), "%s" RINGS_CLAIMS, rings_link);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static unsigned n_claims(void)
{
	AUTO_CLOSE int fd = open_claims();
	unsigned n = 0;

	for (unsigned slot = 0; slot < RING_SLOTS; slot++)
		n += is_claimed(fd, slot);
	return n;
}

static void wait_claims(unsigned n)
{
	for (unsigned i = 0; i < WAIT_MS / 10 && n_claims() != n; i++)
		(void)poll(NULL, 0, 10);
	assert_int_equal(n_claims(), n);
}

static struct ends bulk_channel(bool server_in_dom0, unsigned port)
{
	struct ends e = channel(server_in_dom0, port);

	check_echo(e, "connected");
	vchan_allow_rings(e.qube);
	return e;
}

/* Bytes one way: what and how far. */
struct way {
	struct vchan *from, *to;
	uint8_t key;
	size_t len, sent, got;
};

static uint8_t byte_of(const struct way *w, size_t at)
{
	return (uint8_t)(w->key + at * 31 + (at >> 8) * 7 + (at >> 16));
}

static bool way_step(struct way *w)
{
	static uint8_t buf[100000];
	size_t n, want = w->len - w->sent;
	bool any = false;

	want = want < sizeof(buf) ? want : sizeof(buf);
	want = want > 1000 ? want - (w->sent * 7919) % (want / 2) : want;
	for (size_t i = 0; i < want; i++)
		buf[i] = byte_of(w, w->sent + i);
	if (want > 0 && vchan_write(w->from, buf, want, &n) == 0) {
		w->sent += n;
		any = true;
	}
	if (w->got < w->len && vchan_read(w->to, buf, 1 + (w->got * 31) % sizeof(buf), &n) == 0) {
		assert_true(n > 0 && n <= w->len - w->got);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(buf[i], byte_of(w, w->got + i));
		w->got += n;
		any = true;
	}
	return any;
}

/* Move bytes both ways on all channels, waiting as a program does: with vchan_poll(). */
static void flow(struct way *ways, unsigned n)
{
	static struct pollfd p[4 * 1024];

	for (;;) {
		bool any = false, over = true;

		for (unsigned i = 0; i < n; i++) {
			any |= way_step(&ways[i]);
			over &= ways[i].got == ways[i].len;
		}
		if (over)
			return;
		if (any)
			continue;
		for (unsigned i = 0; i < n; i++) {
			struct way *w = &ways[i];

			any |= vchan_poll(w->from, false, w->sent < w->len, &p[(size_t)4 * i]);
			any |= vchan_poll(w->to, w->got < w->len, false, &p[(size_t)4 * i + 2]);
		}
		assert_true(any || poll(p, (nfds_t)4 * n, WAIT_MS) > 0);
	}
}

static void flow_both(struct ends e, size_t len)
{
	struct way ways[2] = {{.from = e.qube, .to = e.dom0, .key = 3, .len = len},
			      {.from = e.dom0, .to = e.qube, .key = 77, .len = len}};

	flow(ways, 1);
	flow(ways + 1, 1);
	ways[0].sent = ways[0].got = ways[1].sent = ways[1].got = 0;
	flow(ways, 2);
}

static void bulk_goes_through_rings_and_arrives_whole(void **state)
{
	(void)state;
	(void)start(true, true);
	for (unsigned i = 0; i < 4; i++) {
		struct ends e = bulk_channel(i % 2, 513 + i);

		assert_int_equal(n_claims(), 0); /* small talk stays where it was */
		flow_both(e, 5 << 20);
		assert_int_equal(n_claims(), 1);
		check_echo(e, "through the ring");
		ends_free(e);
		wait_claims(0);
	}
}

static void a_program_that_did_not_ask_gets_no_rings(void **state)
{
	struct ends e;

	(void)state;
	(void)start(true, true);
	e = channel(true, 513);
	check_echo(e, "connected");
	flow_both(e, 2 << 20);
	assert_int_equal(n_claims(), 0);
	ends_free(e);
}

/* More channels than slots: large rings, small ones, none. */
static void rings_of_all_sizes_at_once(void **state)
{
	enum { N = RING_SLOTS + 20 };
	static struct ends e[N];
	static struct way ways[2 * N];

	(void)state;
	(void)start(true, true);
	for (unsigned i = 0; i < N; i++) {
		e[i] = bulk_channel(i % 2, 1000 + i);
		ways[(size_t)2 * i] = (struct way){.from = e[i].qube,
						   .to = e[i].dom0,
						   .key = (uint8_t)i,
						   .len = 150000 + i * 100};
		ways[(size_t)2 * i + 1] = (struct way){.from = e[i].dom0,
						       .to = e[i].qube,
						       .key = (uint8_t)~i,
						       .len = 200000 - i * 100};
	}
	flow(ways, 2 * N);
	assert_int_equal(n_claims(), RING_SLOTS);
	for (unsigned i = 0; i < N; i++)
		ends_free(e[i]);
	wait_claims(0);
}

/* Both sides asleep, then a byte, again and again: a bell that is lost hangs here. */
static void who_sleeps_is_woken(void **state)
{
	struct ends e;
	char c;

	(void)state;
	(void)start(true, true);
	e = bulk_channel(true, 513);
	flow_both(e, 1 << 20);
	for (unsigned i = 0; i < 12; i++) {
		(void)poll(NULL, 0, i % 3 == 0 ? 150 : (int)i);
		assert_int_equal(vchan_write_full(e.qube, "u", 1), 0);
		assert_int_equal(vchan_read_full(e.dom0, &c, 1), 0);
		assert_int_equal(c, 'u');
		(void)poll(NULL, 0, i % 3 == 1 ? 150 : (int)i);
		assert_int_equal(vchan_write_full(e.dom0, "d", 1), 0);
		assert_int_equal(vchan_read_full(e.qube, &c, 1), 0);
		assert_int_equal(c, 'd');
	}
	ends_free(e);
}

/* The last bytes stand in a ring when its writer closes. */
static void what_was_put_before_a_close_arrives(void **state)
{
	static uint8_t buf[200000], got[200000];
	char c;

	(void)state;
	(void)start(true, true);
	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)(i * 13 >> 3);
	for (unsigned i = 0; i < 4; i++) {
		struct ends e = bulk_channel(true, 513 + i);
		bool up = i % 2;

		flow_both(e, 300000);
		if (i >= 2) /* the reader has slept for long */
			(void)poll(NULL, 0, 150);
		assert_int_equal(vchan_write_full(up ? e.qube : e.dom0, buf, sizeof(buf)), 0);
		vchan_free(up ? e.qube : e.dom0);
		assert_int_equal(vchan_read_full(up ? e.dom0 : e.qube, got, sizeof(got)), 0);
		assert_memory_equal(buf, got, sizeof(got));
		assert_int_equal(vchan_read_full(up ? e.dom0 : e.qube, &c, 1), -ENODATA);
		assert_true(up || vchan_write_full(e.qube, "x", 1) == -EPIPE);
		vchan_free(up ? e.dom0 : e.qube);
		wait_claims(0);
	}
}

static void a_stalled_ring_holds_up_no_other(void **state)
{
	static char buf[65536];
	struct ends stalled, e;
	size_t n, total = 0;
	char c;

	(void)state;
	(void)start(true, true);
	stalled = bulk_channel(true, 1);
	flow_both(stalled, 300000);
	for (unsigned quiet = 0; quiet < 20;) {
		if (vchan_write(stalled.qube, buf, sizeof(buf), &n) == 0) {
			total += n;
			quiet = 0;
			continue;
		}
		(void)poll(NULL, 0, 10);
		quiet++;
	}
	assert_true(total < 2 << 20);
	e = bulk_channel(true, 2);
	flow_both(e, 3 << 20);
	assert_int_equal(n_claims(), 2);
	ends_free(e);
	while (total-- > 0)
		assert_int_equal(vchan_read_full(stalled.dom0, &c, 1), 0);
	check_echo(stalled, "goes on");
	ends_free(stalled);
}

/* Killed with bytes in the rings: the programs see the end, and the next channel gets rings again. */
static void rings_survive_either_side(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		static char buf[65536];
		struct ends e;
		char c;
		int r;

		(void)start(true, true);
		e = bulk_channel(i % 2, 600);
		flow_both(e, 1 << 20);
		assert_int_equal(n_claims(), 1);
		assert_int_equal(vchan_write_full(e.qube, buf, sizeof(buf)), 0);
		(void)end(i % 2 ? &dom0_pid : &qube_pid, SIGKILL);
		(void)end(i % 2 ? &qube_pid : &dom0_pid, 0);
		do
			r = vchan_read_full(e.dom0, &c, 1);
		while (r == 0);
		assert_int_equal(r, -ENODATA);
		assert_int_equal(vchan_read_full(e.qube, &c, 1), -ENODATA);
		do
			r = vchan_write_full(e.qube, buf, sizeof(buf));
		while (r == 0);
		assert_int_equal(r, -EPIPE);
		ends_free(e);
		(void)end(&monitor_pid, 0);
		assert_int_equal(n_claims(), 0);
	}
}

/* A program of the qube that writes bulk to @v in a process of its own, and is gone. */
static void write_and_exit(struct vchan *v, const uint8_t *bytes, size_t len)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		int r = 0;

		vchan_allow_rings(v);
		for (size_t n; r == 0 && len > 0; bytes += n, len -= n) {
			n = len < 10000 ? len : 10000; /* the socket would take all at once */
			r = vchan_write_full(v, bytes, n);
		}
		_exit(r == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* The first one's program is gone before vchand hears that it has moved. */
static void what_a_program_leaves_in_its_ring_is_not_anothers(void **state)
{
	enum { LEN = 150000 };
	static uint8_t buf[2][LEN], got[LEN];
	struct ends e[2];
	char c;

	(void)state;
	(void)start(true, true);
	for (unsigned i = 0; i < 2; i++) {
		e[i] = channel(true, 513 + i);
		check_echo(e[i], "connected");
		for (size_t at = 0; at < LEN; at++)
			buf[i][at] = (uint8_t)(at * 13 + (size_t)i * 101 + (at >> 8));
	}
	(void)kill(qube_pid, SIGSTOP);
	for (unsigned i = 0; i < 2; i++) {
		write_and_exit(e[i].qube, buf[i], LEN);
		vchan_free(e[i].qube);
	}
	assert_int_equal(n_claims(), 2);
	(void)kill(qube_pid, SIGCONT);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(vchan_read_full(e[i].dom0, got, LEN), 0);
		assert_memory_equal(buf[i], got, LEN);
		assert_int_equal(vchan_read_full(e[i].dom0, &c, 1), -ENODATA);
		vchan_free(e[i].dom0);
	}
	wait_claims(0);
}

/* Dom0 closes before vchand hears that the program has moved; the program lives on. */
static void a_slot_nobody_heard_of_comes_back(void **state)
{
	static const uint8_t buf[40000];
	struct ends e;

	(void)state;
	(void)start(true, true);
	for (unsigned i = 0; i < 5; i++) {
		e = bulk_channel(true, 513 + i);
		(void)kill(qube_pid, SIGSTOP);
		assert_int_equal(vchan_write_full(e.qube, buf, sizeof(buf)), 0);
		assert_int_equal(n_claims(), 1);
		vchan_free(e.dom0);
		(void)poll(NULL, 0, 50); /* dom0's CLOSE is on its way */
		(void)kill(qube_pid, SIGCONT);
		while (vchan_write_full(e.qube, buf, 1000) == 0)
			continue;
		vchan_free(e.qube);
		wait_claims(0);
	}
}

/* A program of the qube's user speaks of rings: its channel ends, and no descriptor of its is kept. */
static void only_roots_programs_get_rings(void **state)
{
	struct ends e = {0};
	pid_t pid;
	int status;
	char c;

	(void)state;
	if (geteuid() != 0)
		skip();
	(void)start(true, true);
	assert_int_equal(chmod(home, 0755), 0);
	assert_int_equal(chmod(qube_dir, 0755), 0);
	assert_int_equal(vchan_server_new(dom0_dir, 0, DOMID, 5, &e.dom0), 0);
	pid = fork();
	if (pid == 0) {
		int fds[2] = {dup(STDIN_FILENO), dup(STDIN_FILENO)};
		char slot = 0;

		if (setgroups(0, NULL) < 0 || setgid(65534) < 0 || setuid(65534) < 0 ||
		    vchan_client_new(qube_dir, VCHAN_SELF, 0, 5, WAIT_MS, &e.qube) != 0 ||
		    vchan_write_full(e.qube, "u", 1) != 0 ||
		    vchan_read_full(e.qube, &slot, 1) != 0 || /* else the abort may overtake it */
		    io_send_msg(vchan_fd(e.qube), &slot, 1, fds, 2) != 0)
			_exit(1);
		_exit(vchan_read_full(e.qube, &slot, 1) == -ENODATA ? 0 : 2);
	}
	assert_int_equal(vchan_read_full(e.dom0, &c, 1), 0);
	assert_int_equal(vchan_write_full(e.dom0, "", 1), 0);
	assert_int_equal(vchan_read_full(e.dom0, &c, 1), -ENODATA);
	vchan_free(e.dom0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	e = bulk_channel(true, 6);
	flow_both(e, 300000);
	assert_int_equal(n_claims(), 1);
	ends_free(e);
	wait_claims(0);
}

/* ---- at random ---- */

/* A cheap generator: the same seed is the same order of steps. */
static uint64_t chaos_state;

static unsigned chaos(unsigned below)
{
	chaos_state = chaos_state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)((chaos_state >> 33) % below);
}

/* One channel at random: what each end wrote and read so far, and whether the end was closed. */
struct wild {
	struct vchan *end[2]; /* in dom0, in the qube */
	size_t sent[2], got[2];
	uint8_t key;
};

static uint8_t wild_byte(const struct wild *w, unsigned from, size_t at)
{
	return (uint8_t)(w->key + from * 91 + at * 31 + (at >> 8) * 7 + (at >> 16));
}

/* Read at @to until there is nothing now. Returns false at the end of the stream. */
static bool wild_read(struct wild *w, unsigned to, size_t most)
{
	static uint8_t buf[70000];
	size_t n;
	int r;

	while (most > 0) {
		r = vchan_read(w->end[to], buf, most < sizeof(buf) ? most : sizeof(buf), &n);
		if (r == -EAGAIN)
			return true;
		assert_int_equal(r, 0);
		if (n == 0)
			return false;
		for (size_t i = 0; i < n; i++)
			assert_int_equal(buf[i], wild_byte(w, !to, w->got[to] + i));
		w->got[to] += n;
		assert_true(w->got[to] <= w->sent[!to]);
		most -= n;
	}
	return true;
}

static void wild_write(struct wild *w, unsigned from, size_t len)
{
	static uint8_t buf[70000];
	size_t n = 0;
	int r;

	len = len < sizeof(buf) ? len : sizeof(buf);
	for (size_t i = 0; i < len; i++)
		buf[i] = wild_byte(w, from, w->sent[from] + i);
	r = vchan_write(w->end[from], buf, len, &n);
	assert_true(r == 0 || r == -EAGAIN || r == -EPIPE);
	w->sent[from] += r == 0 ? n : 0;
}

/* Wait as a program may: for one way or both, at times for neither of those that move. */
static void wild_wait(struct wild *w, unsigned who)
{
	struct pollfd p[2];
	const unsigned what = chaos(4);

	if (!vchan_poll(w->end[who], what & 1, what & 2, p))
		(void)poll(p, 2, (int)chaos(3));
}

static void wild_begin(struct wild *w, unsigned port)
{
	struct ends e = channel(chaos(2), port);

	*w = (struct wild){.end = {e.dom0, e.qube}, .key = (uint8_t)chaos(256)};
	check_echo(e, "connected");
	if (chaos(8) != 0)
		vchan_allow_rings(e.qube);
}

/* Wait for all that was written at the other end, as a program does, with nothing else going on. */
static void wild_drain(struct wild *w, unsigned to)
{
	struct pollfd p[2];

	while (w->got[to] < w->sent[!to]) {
		const size_t before = w->got[to];

		assert_true(wild_read(w, to, 100000));
		if (w->got[to] == before && !vchan_poll(w->end[to], true, false, p))
			assert_true(poll(p, 2, WAIT_MS) > 0);
	}
}

/* One end closes: the other finds all that it wrote, then the end. */
static void wild_end(struct wild *w)
{
	const unsigned first = chaos(2);
	struct pollfd p[2];

	if (chaos(3) == 0)
		wild_drain(w, first);
	vchan_free(w->end[first]);
	while (wild_read(w, !first, 100000))
		if (!vchan_poll(w->end[!first], true, false, p))
			assert_true(poll(p, 2, WAIT_MS) > 0);
	assert_int_equal(w->got[!first], w->sent[first]);
	vchan_free(w->end[!first]);
	*w = (struct wild){0};
}

/* The qube's end goes to a process of its own, which writes until it is killed; a beginning arrives. */
static void wild_kill(struct wild *w)
{
	static uint8_t buf[1 << 20];
	struct pollfd p[2];
	pid_t pid;

	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = wild_byte(w, 1, w->sent[1] + i);
	pid = fork();
	if (pid == 0)
		_exit(vchan_write_full(w->end[1], buf, chaos(sizeof(buf))) == 0 ? 0 : 1);
	vchan_free(w->end[1]);
	w->sent[1] += sizeof(buf);
	for (unsigned i = chaos(200); i > 0; i--)
		(void)wild_read(w, 0, chaos(5000));
	(void)end(&pid, SIGKILL);
	while (wild_read(w, 0, 100000))
		if (!vchan_poll(w->end[0], true, false, p))
			assert_true(poll(p, 2, WAIT_MS) > 0);
	vchan_free(w->end[0]);
	*w = (struct wild){0};
}

static void wild_step(struct wild *w, unsigned *port)
{
	const unsigned who = chaos(2);

	if (!w->end[0]) {
		wild_begin(w, 1000 + (*port)++);
		return;
	}
	switch (chaos(64)) {
	case 0:
		wild_end(w);
		return;
	case 1:
		wild_drain(w, who);
		return;
	case 2:
		wild_kill(w);
		return;
	case 3:
		(void)poll(NULL, 0, (int)chaos(130)); /* both may fall asleep */
		return;
	default:
		break;
	}
	if (chaos(4) == 0)
		wild_wait(w, who);
	else if (chaos(2) == 0)
		wild_write(w, who, chaos(3) == 0 ? chaos(100) + 1 : chaos(70000) + 1);
	else
		assert_true(wild_read(w, who, chaos(3) == 0 ? chaos(100) + 1 : chaos(70000) + 1));
}

/* Channels that move, stall, sleep, close and are killed in any order lose nothing, mix nothing, hang nowhere. */
static void nothing_is_lost_whatever_the_order(void **state)
{
	const bool full = getenv("BULKHEAD_TEST_FULL") != NULL;
	const char *seed = getenv("BULKHEAD_TEST_SEED");
	uint64_t first = 1;

	(void)state;
	if (seed && str_u64(seed, UINT32_MAX, &first) != 0)
		fail();
	for (uint64_t s = first; s < first + (full ? 100 : 3); s++) {
		struct wild wild[6] = {0};
		unsigned port = 0;

		print_message("seed %" PRIu64 "\n", s);
		chaos_state = s;
		(void)start(true, true);
		for (unsigned i = 0; i < 1500; i++)
			wild_step(&wild[chaos(ARRAY_LEN(wild))], &port);
		for (unsigned i = 0; i < ARRAY_LEN(wild); i++)
			if (wild[i].end[0])
				wild_end(&wild[i]);
		wait_claims(0);
		assert_true(dom0_pid > 0 && waitpid(dom0_pid, NULL, WNOHANG) == 0);
		(void)end(&dom0_pid, SIGKILL);
		(void)end(&qube_pid, 0);
		(void)end(&monitor_pid, 0);
	}
}

/* ---- a hostile qube ---- */

/* The qube's counts change under dom0's hands: its session ends, and soon it is given up. */
static void counts_that_cannot_be_are_a_violation(void **state)
{
	(void)state;
	(void)start(true, true);
	for (unsigned i = 0; i < 3; i++) {
		struct ends e = bulk_channel(true, 513 + i);
		AUTO_CLOSE int claims_fd = open_claims();
		struct ring up;
		unsigned slot = 0;
		char c;

		flow_both(e, 300000);
		while (!is_claimed(claims_fd, slot))
			slot++;
		ring_open(rings, rings + ring_offset(slot), slot, RING_UP_PUT, &up);
		ring_moved(&up, up.size + 1 + i);
		assert_int_equal(vchan_read_full(e.dom0, &c, 1), -ENODATA);
		ends_free(e);
	}
	assert_int_equal(wait_end(&dom0_pid), 3);
}

static void garbage_without_end_is_given_up(void **state)
{
	static char garbage[65536];
	int fd, sent = 0;

	(void)state;
	fd = start(true, false);
	memset(garbage, 0x5a, sizeof(garbage));
	(void)signal(SIGPIPE, SIG_IGN);
	while (io_write_full(fd, garbage, sizeof(garbage)) == 0)
		assert_true(++sent < 1000);
	assert_int_equal(wait_end(&dom0_pid), 3);
	(void)close(fd);
}

/* Speak for the qube without an engine: until dom0's greeting carries our nonce back. */
static uint64_t shake_hands(int fd, uint64_t nonce)
{
	struct vmux_hello h = {.version = VMUX_VERSION,
			       .from_qube = true,
			       .nonce = nonce,
			       .credit = 4096,
			       .max_streams = 16,
			       .max_listens = 16};
	uint8_t bytes[VMUX_HELLO_FRAME_LEN];
	struct vmux_hello theirs;

	vmux_hello_encode(&h, bytes);
	assert_int_equal(io_write_full(fd, bytes, sizeof(bytes)), 0);
	do { /* zeros and greetings are all there is to read */
		uint8_t first = 0;

		while (first == 0)
			assert_int_equal(io_read_full(fd, &first, 1), 0);
		bytes[0] = first;
		assert_int_equal(io_read_full(fd, bytes + 1, sizeof(bytes) - 1), 0);
		assert_int_equal(vmux_hello_decode(bytes, sizeof(bytes), &theirs), 0);
	} while (theirs.echo != nonce);
	h.echo = theirs.nonce;
	h.synced = true;
	vmux_hello_encode(&h, bytes);
	assert_int_equal(io_write_full(fd, bytes, sizeof(bytes)), 0);
	return theirs.nonce;
}

static void another_qubes_places_are_refused(void **state)
{
	const struct {
		uint8_t type;
		uint16_t server, client;
	} cases[] = {
		{VMUX_OPEN, 0, DOMID + 1},   /* dom0's server for another qube */
		{VMUX_OPEN, OTHER, DOMID},   /* another qube, without a ticket */
		{VMUX_OPEN, DOMID, 0},       /* its own server */
		{VMUX_LISTEN, 0, DOMID},     /* to be dom0 */
		{VMUX_LISTEN, OTHER, 0},     /* to be another qube */
		{VMUX_LISTEN, DOMID, DOMID}, /* itself */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const bool opens = cases[i].type == VMUX_OPEN;
		const struct vmux_head h = {cases[i].type, 0, opens ? 1 : 0, VMUX_WHERE_LEN};
		const struct vmux_where w = {cases[i].server, cases[i].client, 9};
		int fd = start(true, false);

		for (uint64_t nonce = 1001; nonce < 1004; nonce++) { /* three times is enough */
			uint8_t out[VMUX_HEAD_LEN + VMUX_WHERE_LEN + VMUX_TAIL_LEN];
			uint32_t tag = vmux_tag(nonce, shake_hands(fd, nonce));

			vmux_head_encode(&h, out);
			vmux_where_encode(&w, out + VMUX_HEAD_LEN);
			memcpy(out + VMUX_HEAD_LEN + VMUX_WHERE_LEN, &tag, sizeof(tag));
			assert_int_equal(io_write_full(fd, out, sizeof(out)), 0);
		}
		assert_int_equal(wait_end(&dom0_pid), 3);
		assert_int_equal(n_entries(dom0_dir), 0);
		(void)close(fd);
		(void)end(&monitor_pid, 0);
	}
}

static uint64_t liar_nonce(void)
{
	return (uint64_t)chaos(UINT32_MAX) << 32 | chaos(UINT32_MAX);
}

/* A qube whose engine keeps the frames in order while all that goes through them, and the memory, is at random. */
struct liar {
	int fd;
	struct mux *m;
	struct mux_stream *s[16];
	bool ringed[16];
	struct vchan *local[8]; /* dom0's programs */
};

static void liar_begin(struct liar *l)
{
	const struct mux_config config = {.pool = 1 << 20,
					  .first_window = 4096,
					  .max_window = 65536,
					  .max_streams = 16,
					  .max_listens = 16,
					  .nonce = liar_nonce};

	*l = (struct liar){.fd = start(true, false)};
	assert_int_equal(io_set_nonblock(l->fd, true), 0);
	assert_int_equal(mux_new(&config, &l->m), 0);
}

static void liar_forget(struct liar *l, const struct mux_stream *s)
{
	for (unsigned i = 0; i < ARRAY_LEN(l->s); i++)
		if (!s || l->s[i] == s) {
			l->s[i] = NULL;
			l->ringed[i] = false;
		}
}

/* Takes the stream, or ends it. */
static void liar_keep(struct liar *l, struct mux_stream *s)
{
	unsigned i = 0;

	while (i < ARRAY_LEN(l->s) && l->s[i])
		i++;
	if (i == ARRAY_LEN(l->s))
		mux_close(s, true);
	else
		l->s[i] = s;
}

static void liar_event(struct liar *l, const struct mux_event *e)
{
	size_t n;

	if (e->kind == MUX_DOWN)
		liar_forget(l, NULL);
	else if (e->kind == MUX_OPEN)
		liar_keep(l, e->stream);
	else if (e->kind == MUX_DATA && chaos(4) != 0 && mux_rx_peek(e->stream, &n))
		mux_rx_consume(e->stream, n);
	if (e->kind == MUX_CLOSED && chaos(4) != 0) {
		liar_forget(l, e->stream);
		mux_close(e->stream, chaos(2));
	}
}

/* Read and write the carrier as far as it goes. Returns false when it is cut. */
static bool liar_carry(struct liar *l)
{
	struct mux_event e;
	size_t len;
	ssize_t n;

	(void)mux_tick(l->m, io_now_ms());
	do {
		uint8_t *at = mux_in_space(l->m, &len);

		n = recv(l->fd, at, len, MSG_DONTWAIT);
		mux_in_added(l->m, n > 0 ? (size_t)n : 0);
		do {
			assert_int_equal(mux_next(l->m, &e), 0);
			liar_event(l, &e);
		} while (e.kind != MUX_NONE);
	} while (n > 0);
	if (n == 0 || errno != EAGAIN)
		return false;
	do {
		const uint8_t *at = mux_out_peek(l->m, &len);

		n = len > 0 ? send(l->fd, at, len, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
		mux_out_consume(l->m, n > 0 ? (size_t)n : 0);
	} while (n > 0);
	return n == 0 || errno == EAGAIN;
}

/* Counts that can be, mostly; the rest that a qube may write. */
static void liar_scribble(void)
{
	const unsigned slot = chaos(6);
	uint8_t *pair = rings + ring_offset(slot), *at;
	struct ring ring;
	uint32_t len;

	if (chaos(200) == 0) { /* any word of any half, dom0's too */
		uint32_t *half = (uint32_t *)(void *)(rings + 65536 + (size_t)slot * 256 +
						      (size_t)chaos(4) * 64);

		half[chaos(2)] = chaos(2) ? chaos(UINT32_MAX) : half[0] + chaos(70000);
		return;
	}
	ring_open(rings, pair, slot, chaos(2) ? RING_UP_PUT : RING_DOWN_TAKE, &ring);
	if (chaos(2))
		(void)ring_wait(&ring);
	if (ring_span(&ring, &at, &len) == 0 && len > 0)
		ring_moved(&ring, chaos(2) ? len : chaos(len + 1));
}

static void liar_stream(struct liar *l)
{
	const unsigned i = chaos(ARRAY_LEN(l->s));
	struct mux_stream *s = l->s[i];
	const struct vmux_where dom0s = {0, DOMID, (uint16_t)(5 + chaos(4))};
	size_t room;

	if (!s) {
		if (mux_open(l->m, &dom0s, NULL, &s) == 0)
			liar_keep(l, s);
		return;
	}
	switch (chaos(8)) {
	case 0:
		if (chaos(4) == 0) {
			liar_forget(l, s);
			mux_close(s, chaos(2));
		}
		break;
	case 1:
	case 2:
		if (!l->ringed[i])
			mux_ring(s, chaos(40) == 0 ? chaos(RING_SLOTS) : i % 6);
		l->ringed[i] = true;
		break;
	case 3:
	case 4:
		for (unsigned n = chaos(50); l->ringed[i] && n > 0; n--)
			mux_bell(s);
		break;
	default:
		if (!mux_can_send(l->m) || mux_credit(s) == 0)
			break;
		memset(mux_send_space(s, &room), 'l', 1);
		mux_send_added(s, chaos(2));
		break;
	}
}

static void liar_program(struct liar *l)
{
	static char buf[70000];
	struct vchan **v = &l->local[chaos(ARRAY_LEN(l->local))];
	size_t n;

	if (!*v && chaos(2)) {
		(void)!vchan_client_new(dom0_dir, 0, DOMID, 1 + chaos(4), 0, v);
	} else if (!*v) {
		(void)!vchan_server_new(dom0_dir, 0, DOMID, 5 + chaos(4), v);
	} else if (vchan_get_state(*v) == VCHAN_WAITING && chaos(8) != 0) {
		(void)!vchan_accept(*v);
	} else if (chaos(16) == 0) {
		vchan_free(*v);
		*v = NULL;
	} else if (chaos(2)) {
		(void)!vchan_read(*v, buf, sizeof(buf), &n);
	} else {
		(void)!vchan_write(*v, buf, chaos(sizeof(buf)) + 1, &n);
	}
}

static void liar_end(struct liar *l)
{
	for (unsigned i = 0; i < ARRAY_LEN(l->local); i++)
		vchan_free(l->local[i]);
	mux_free(l->m);
	(void)close(l->fd);
}

/* Whatever a qube says and writes at random, dom0's end goes on or gives it up; nothing else. */
static void a_qube_that_lies_at_random_brings_nothing_down(void **state)
{
	const bool full = getenv("BULKHEAD_TEST_FULL") != NULL;
	struct liar l;

	(void)state;
	for (uint64_t seed = 1; seed <= (full ? 60 : 2); seed++) {
		unsigned n_given_up = 0;
		int r;

		chaos_state = seed;
		liar_begin(&l);
		for (unsigned i = 0; i < 20000; i++) {
			const struct vmux_where w = {DOMID, 0, (uint16_t)(1 + chaos(4))};

			switch (chaos(8)) {
			case 0:
				(void)!mux_listen(l.m, &w, chaos(4) != 0);
				break;
			case 1:
			case 2:
				liar_scribble();
				break;
			case 3:
				liar_program(&l);
				break;
			default:
				liar_stream(&l);
				break;
			}
			if (chaos(3000) == 0)
				mux_reset(l.m);
			if (chaos(500) == 0)
				(void)poll(NULL, 0, (int)chaos(10));
			if (liar_carry(&l))
				continue;
			assert_int_equal(wait_end(&dom0_pid), 3);
			n_given_up++;
			liar_end(&l);
			(void)end(&monitor_pid, 0);
			liar_begin(&l);
		}
		liar_end(&l);
		r = wait_end(&dom0_pid); /* its last words may have been too much */
		assert_true(r == 0 || r == 3);
		(void)end(&monitor_pid, 0);
		print_message("seed %" PRIu64 ": given up %u times\n", seed, n_given_up);
	}
}

static void a_closed_carrier_ends_both_in_peace(void **state)
{
	int fd;

	(void)state;
	fd = start(true, false);
	(void)close(fd);
	assert_int_equal(wait_end(&dom0_pid), 0);
	(void)end(&monitor_pid, 0);
	fd = start(false, true);
	(void)close(fd);
	assert_int_equal(wait_end(&qube_pid), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(channels_work_whoever_serves),
		T(many_channels_at_once_each_with_its_bytes),
		T(a_stalled_channel_holds_up_no_other),
		T(who_connects_to_nothing_is_told),
		T(opening_and_closing_leaks_nothing),
		T(either_side_may_be_started_anew),
		T(a_ticket_joins_two_qubes),
		T(a_socket_that_others_hold_too_is_let_go),
		T(tickets_are_checked),
		T(bulk_goes_through_rings_and_arrives_whole),
		T(a_program_that_did_not_ask_gets_no_rings),
		T(rings_of_all_sizes_at_once),
		T(who_sleeps_is_woken),
		T(what_was_put_before_a_close_arrives),
		T(a_stalled_ring_holds_up_no_other),
		T(rings_survive_either_side),
		T(what_a_program_leaves_in_its_ring_is_not_anothers),
		T(a_slot_nobody_heard_of_comes_back),
		T(only_roots_programs_get_rings),
		T(nothing_is_lost_whatever_the_order),
		T(counts_that_cannot_be_are_a_violation),
		T(garbage_without_end_is_given_up),
		T(another_qubes_places_are_refused),
		T(a_qube_that_lies_at_random_brings_nothing_down),
		T(a_closed_carrier_ends_both_in_peace),
	};
	const struct rlimit fds = {.rlim_cur = 4096, .rlim_max = 4096};

	if (argc != 3) {
		(void)fprintf(stderr, "usage: %s DOM0-VCHAND QUBE-VCHAND\n", argv[0]);
		return 2;
	}
	dom0_program = argv[1];
	qube_program = argv[2];
	(void)setrlimit(RLIMIT_NOFILE, &fds);
	rings_fd = memfd_create("rings", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (rings_fd < 0 || ftruncate(rings_fd, RING_REGION_SIZE) < 0 ||
	    fcntl(rings_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		return 1;
	rings = mmap(NULL, RING_REGION_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, rings_fd, 0);
	if (rings == MAP_FAILED)
		return 1;
	(void)snprintf(rings_path, sizeof(rings_path), "/proc/%d/fd/%d", (int)getpid(), rings_fd);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
