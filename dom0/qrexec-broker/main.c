/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qrexec-broker: carries out the calls that one qube makes.
 *
 * runs as	whoever runs the instance
 * holds	the socket to the qube's qrexec-daemon; the file of seats for services; per call a connection to policyd, then to the daemons of both
 *		qubes, and to qubesd while a disposable is called
 * trusts	policyd, and who started us. Not the daemon, which reads the qube's bytes: its requests are decoded and
 *		checked as if they were the qube's own
 * needs	connect; fork, for dom0's services, which run below it, and for the start of a qube that is called
 *
 * Started by qube-monitor, or the small parent of a daemon that was started by hand, when the qube makes its first call.
 * It ends with its daemon's socket; services that run go on without it. What reads the qube's bytes for a service is a process of
 * its own, and confined.
 */
#include "broker.h"

#include "base/paths.h"
#include "base/str.h"
#include "proto/decision.h"
#include "qrexec/peer.h"
#include "qrexec/service.h"
#include "vchan/vchan.h"

#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

#define POLICY_SOCKET "/run/qubes/" DECISION_SOCKET

static void usage(FILE *to)
{
	(void)fputs(
		"usage: qrexec-broker --daemon-fd=FD --seats-fd=FD --socket-dir=DIR --vchan-dir=DIR\n"
		"                     [OPTIONS] DOMID NAME\n"
		"Carry out the calls that the qube NAME makes. Started by qube-monitor.\n\n"
		"      --daemon-fd=FD         stream socket to the qube's qrexec-daemon\n"
		"      --seats-fd=FD         file in whose locks dom0's services are counted\n"
		"      --socket-dir=DIR       where the daemons' sockets are\n"
		"      --vchan-dir=DIR        where this qube's vchan sockets are\n"
		"      --run-dir=DIR          the instance's, with vchands and qubesd; else there are none\n"
		"      --policy-socket=PATH   who decides\n"
		"      --policy-program=PATH  who does where that does not answer\n"
		"  -h, --help                 show this\n"
		"      --version              show the version\n",
		to);
}

static bool number_take(const char *text, uint64_t max, uint64_t *ret)
{
	if (str_u64(text, max, ret) == 0)
		return true;
	(void)fprintf(stderr, "qrexec-broker: \"%s\" is not a number up to %llu\n", text,
		      (unsigned long long)max);
	return false;
}

/* -1 to go on, else an exit code */
static int options_take(struct broker *b, int *ret_fd, int argc, char **argv)
{
	static const struct option options[] = {
		{"daemon-fd", required_argument, NULL, 'd'},
		{"seats-fd", required_argument, NULL, 'l'},
		{"socket-dir", required_argument, NULL, 's'},
		{"vchan-dir", required_argument, NULL, 'v'},
		{"run-dir", required_argument, NULL, 'r'},
		{"policy-socket", required_argument, NULL, 'P'},
		{"policy-program", required_argument, NULL, 'p'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{0},
	};
	uint64_t n;
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 'd':
			if (!number_take(optarg, 1 << 20, &n))
				return 2;
			*ret_fd = (int)n;
			break;
		case 'l':
			if (!number_take(optarg, 1 << 20, &n))
				return 2;
			b->seats_fd = (int)n;
			break;
		case 's':
			b->socket_dir = optarg;
			break;
		case 'v':
			b->vchan_dir = optarg;
			break;
		case 'r':
			b->run_dir = optarg;
			break;
		case 'P':
			b->policy_socket = optarg;
			break;
		case 'p':
			b->policy_program = optarg;
			break;
		case 'h':
			usage(stdout);
			return 0;
		case 'V':
			(void)puts("qrexec-broker (Bulkhead) " BULKHEAD_VERSION);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (argc - optind != 2 || *ret_fd < 0 || b->seats_fd < 0 || !b->socket_dir ||
	    !b->vchan_dir || !str_is_qube_name(argv[optind + 1], strlen(argv[optind + 1]))) {
		usage(stderr);
		return 2;
	}
	if (!number_take(argv[optind], VCHAN_DOMID_MAX, &n))
		return 2;
	b->domid = (unsigned)n;
	b->name = argv[optind + 1];
	return -1;
}

/* where policyd and qubesd are, unless we were told; @paths: keeps what is borrowed */
static int sockets_find(struct broker *b, struct paths *paths)
{
	static char policy[UNIX_PATH_MAX + 1], qubesd[UNIX_PATH_MAX + 1];
	const char *run = b->run_dir;
	int r = 0;

	if (paths_init(paths, false) == 0 && !run)
		run = paths->run;
	r = service_places_dom0(paths->config);
	if (r == 0 && !b->policy_socket) {
		r = run ? str_format(policy, sizeof(policy), "%s/%s", run, DECISION_SOCKET)
			: str_format(policy, sizeof(policy), "%s", POLICY_SOCKET);
		b->policy_socket = policy;
	}
	if (r == 0 && b->run_dir) {
		r = str_format(qubesd, sizeof(qubesd), "%s/qubesd.sock", b->run_dir);
		b->qubesd_socket = qubesd;
	}
	return r;
}

static int signals_open(int *ret_fd)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return fail_errno();
	*ret_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return *ret_fd < 0 ? fail_errno() : 0;
}

static int acquire(struct broker *b, int fd)
{
	struct rlimit files;
	struct vchan *v = NULL;
	int r = signals_open(&b->signal_fd);

	if (r < 0)
		return r;
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || getrlimit(RLIMIT_NOFILE, &files) < 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(b->seats_fd, F_SETFD, FD_CLOEXEC) < 0)
		return fail_errno();
	b->files = files;
	files.rlim_cur = files.rlim_max < CALL_FDS * CALLS_MAX + 64 ? files.rlim_max
								    : CALL_FDS * CALLS_MAX + 64;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0)
		return fail_errno();
	r = vchan_new_from_fd(&fd, &v);
	if (r == 0)
		r = qrexec_peer_new(&v, QREXEC_AGENT_TO_DAEMON, QREXEC_VERSION, &b->daemon);
	vchan_free(v);
	return r;
}

/* what the daemon asks for; 0; -errno: it is the end */
static int requests_read(struct broker *b)
{
	int r = qrexec_peer_flush(b->daemon);

	while (r == 0 && b->n_calls < CALLS_MAX) {
		struct qrexec_msg m;

		r = qrexec_peer_receive(b->daemon, &m);
		if (r == 0 && m.type == QREXEC_TRIGGER_SERVICE4)
			r = call_new(b, &m);
		else if (r == 0 && m.type != QREXEC_HELLO)
			r = -EPROTO;
	}
	if (r > 0)
		return -EPROTO;
	return r == -EAGAIN ? 0 : r;
}

/* Return: 0; 1: asked to end; -errno */
static int turn(struct broker *b)
{
	enum { P_SIGNAL, P_DAEMON, P_CALLS };
	static struct pollfd p[P_CALLS + CALL_FDS * CALLS_MAX];
	struct signalfd_siginfo info;
	bool end = false;
	unsigned n;
	int r;

	p[P_SIGNAL] = (struct pollfd){.fd = b->signal_fd, .events = POLLIN};
	p[P_DAEMON] = (struct pollfd){.fd = qrexec_peer_fd(b->daemon),
				      .events = qrexec_peer_events(b->daemon)};
	if (b->n_calls == CALLS_MAX && p[P_DAEMON].events == POLLIN)
		p[P_DAEMON].events = 0;
	n = P_CALLS + calls_poll(b, p + P_CALLS, P_CALLS);
	if (poll(p, n, calls_timeout_ms(b)) < 0)
		return errno == EINTR ? 0 : fail_errno();
	while (read(b->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		end |= info.ssi_signo != SIGCHLD;
	calls_reap(b);
	r = calls_turn(b, p, n);
	/* its end is told again and again until it is taken, also while nothing else is */
	if (r == 0 && b->n_calls == CALLS_MAX && p[P_DAEMON].revents & (POLLHUP | POLLERR))
		r = -EPIPE;
	else if (r == 0 && p[P_DAEMON].revents)
		r = requests_read(b);
	return end ? 1 : r;
}

static int serve(struct broker *b)
{
	int r = 0;

	while (r == 0)
		r = turn(b);
	calls_drop_all(b);
	if (r == -ENODATA || r == -EPIPE || r == 1)
		return 0;
	log_err(b->name, "giving up: %s", log_errno_str(r));
	return r;
}

int main(int argc, char **argv)
{
	AUTO(paths_done) struct paths paths = {0};
	static struct broker b = {.seats_fd = NO_FD,
				  .errors_fd = NO_FD,
				  .signal_fd = NO_FD,
				  .noise = {.interval_s = 60, .burst = 30}};
	int fd = NO_FD, r;

	log_open("qrexec-broker");
	r = options_take(&b, &fd, argc, argv);
	if (r >= 0)
		return r;
	r = sockets_find(&b, &paths);
	if (r == 0)
		r = acquire(&b, fd);
	if (r == 0)
		r = serve(&b);
	else
		log_err(b.name, "cannot start: %s", log_errno_str(r));
	qrexec_peer_free(b.daemon);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
