/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qrexec-agent: runs in a qube what dom0 asks for, and asks dom0 for what its programs want.
 *
 * runs as	root (commands as their users), or an ordinary user (its own commands only)
 * holds	the control channel to dom0, vchan port 512, as its server; the socket of local programs
 * trusts	dom0; whatever comes over data channels is read by a process per call
 * needs	/run/vchan; fork
 *
 * Our own id is $VCHAN_DOMAIN, 32752 if unset (doc/protocol/vchan.md).
 */
#include "agent.h"

#include "base/await.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "fork-server.h"
#include "qrexec/login.h"
#include "qrexec/peer.h"
#include "vchan/vchan.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

/** RETRY_MS - pause before another try to listen */
#define RETRY_MS 1000
/** AGENT_SOCKET - where programs of this qube come to */
#define AGENT_SOCKET "/var/run/qubes/qrexec-agent"

/* ---- the control channel ------------------------------------------------------------------- */

static int message_handle(struct agent *a, const struct qrexec_msg *m)
{
	switch (m->type) {
	case QREXEC_HELLO:
		log_info(NULL, "connected to dom0");
		return 0;
	case QREXEC_EXEC_CMDLINE:
	case QREXEC_JUST_EXEC:
		return call_start(a, m);
	case QREXEC_SERVICE_CONNECT:
		return request_connect(a, m);
	case QREXEC_SERVICE_REFUSED:
		request_refuse(a, m->ident);
		return 0;
	case QREXEC_DATA_STDIN:
	case QREXEC_DATA_STDOUT:
	case QREXEC_DATA_STDERR:
	case QREXEC_DATA_EXIT_CODE:
	case QREXEC_TRIGGER_SERVICE:
	case QREXEC_TRIGGER_SERVICE3:
	case QREXEC_TRIGGER_SERVICE4:
	case QREXEC_CONNECTION_TERMINATED:
		break;
	}
	return QREXEC_E_TYPE;
}

static void daemon_lost(struct agent *a, int why)
{
	if (why > 0)
		log_warn(NULL, "dom0 sent a message that is %s, control channel closed",
			 qrexec_outcome_str(why));
	else if (why == -ENODATA || why == -EPIPE)
		log_info(NULL, "control channel closed");
	else
		log_warn(NULL, "control channel failed: %s", log_errno_str(why));
	qrexec_peer_free(a->daemon);
	a->daemon = NULL;
	a->generation++;
	requests_drop_sent(a);
}

static int daemon_read(struct agent *a)
{
	int r = qrexec_peer_flush(a->daemon);

	while (r == 0 && qrexec_peer_idle(a->daemon)) {
		struct qrexec_msg m;

		r = qrexec_peer_receive(a->daemon, &m);
		if (r == 0)
			r = message_handle(a, &m);
		if (r == 0)
			r = calls_report(a);
		if (r == 0)
			r = requests_send(a);
	}
	return r == -EAGAIN ? 0 : r;
}

static void server_open(struct agent *a)
{
	int r = vchan_server_new(NULL, vchan_own_domid(), 0, QREXEC_PORT_CONTROL, &a->server);

	if (r < 0 && !a->listen_failed)
		log_warn(NULL, "cannot listen in %s (%s), trying again every second", vchan_dir(),
			 log_errno_str(r));
	a->listen_failed = r < 0;
}

static void server_accept(struct agent *a)
{
	int r = vchan_accept(a->server);

	if (r == -EAGAIN)
		return;
	if (r == 0)
		r = qrexec_peer_new(&a->server, QREXEC_DAEMON_TO_AGENT, QREXEC_VERSION, &a->daemon);
	if (r < 0) {
		log_warn(NULL, "cannot accept: %s", log_errno_str(r));
		vchan_free(a->server);
		a->server = NULL;
	}
}

/* ---- the loop ------------------------------------------------------------------------------ */

static void signals_take(struct agent *a)
{
	struct signalfd_siginfo info;

	while (read(a->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		if (info.ssi_signo != SIGCHLD)
			a->ending = true;
	calls_reap(a);
}

static int least(int a, int b)
{
	if (a < 0 || b < 0)
		return a < 0 ? b : a;
	return a < b ? a : b;
}

static int turn(struct agent *a)
{
	enum { P_SIGNAL, P_LISTEN, P_CONTROL, P_CALLS };
	static struct pollfd p[P_CALLS + CALLS_MAX + REQUESTS_MAX];
	unsigned n_calls, n_requests;
	int r = calls_report(a);

	if (r == 0)
		r = requests_send(a);
	if (r < 0 && a->daemon)
		daemon_lost(a, r);
	if (!a->daemon && !a->server)
		server_open(a);
	p[P_SIGNAL] = (struct pollfd){.fd = a->signal_fd, .events = POLLIN};
	p[P_LISTEN] = (struct pollfd){.fd = a->n_requests < REQUESTS_MAX ? a->listen_fd : NO_FD,
				      .events = POLLIN};
	p[P_CONTROL] = (struct pollfd){.fd = NO_FD};
	if (a->daemon) {
		p[P_CONTROL].fd = qrexec_peer_fd(a->daemon);
		p[P_CONTROL].events = qrexec_peer_events(a->daemon);
	} else if (a->server) {
		p[P_CONTROL].fd = vchan_fd(a->server);
		p[P_CONTROL].events = POLLIN;
	}
	n_calls = calls_poll(a, p + P_CALLS);
	n_requests = requests_poll(a, p + P_CALLS + n_calls);
	if (poll(p, P_CALLS + n_calls + n_requests,
		 least(a->daemon || a->server ? -1 : RETRY_MS, requests_timeout_ms(a))) < 0)
		return errno == EINTR ? 0 : fail_errno();
	calls_turn(a, p + P_CALLS, n_calls);
	requests_turn(a, p + P_CALLS + n_calls, n_requests);
	if (p[P_SIGNAL].revents)
		signals_take(a);
	if (p[P_LISTEN].revents)
		requests_accept(a);
	if (!p[P_CONTROL].revents)
		return 0;
	if (a->server) {
		server_accept(a);
		return 0;
	}
	r = daemon_read(a);
	if (r != 0)
		daemon_lost(a, r);
	return 0;
}

/* The descriptors of waiting programs are ours alone: what we start gets the limit we had. */
static int files_raise(struct agent *a)
{
	struct rlimit more;

	if (getrlimit(RLIMIT_NOFILE, &a->files) < 0)
		return fail_errno();
	more = a->files;
	more.rlim_cur = more.rlim_max < CALLS_MAX + REQUESTS_MAX + 64
				? more.rlim_max
				: CALLS_MAX + REQUESTS_MAX + 64;
	if (more.rlim_cur > a->files.rlim_cur && setrlimit(RLIMIT_NOFILE, &more) < 0)
		return fail_errno();
	return 0;
}

static int acquire(struct agent *a)
{
	sigset_t set;
	int r;

	if (setenv("VCHAN_DOMAIN", "32752", 0) < 0)
		return fail_errno();
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return fail_errno();
	a->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (a->signal_fd < 0)
		return fail_errno();
	login_prepare();
	r = files_raise(a);
	/* any user of this qube may ask: the qube is one domain of trust */
	if (r == 0)
		r = io_unix_listen(a->socket, SOCK_STREAM, 0666, &a->listen_fd);
	if (r < 0)
		log_warn(NULL, "no program can ask for services: %s: %s", a->socket,
			 log_errno_str(r));
	return 0;
}

static void usage(FILE *to)
{
	(void)fputs(
		"usage: qrexec-agent [OPTIONS]\n"
		"Run what dom0 asks for, and ask dom0 for what programs here want; dom0 is reached by\n"
		"vchan port 512.\n\n"
		"  --no-fork-server          do not use sessions' fork servers\n"
		"  --agent-socket=PATH       where programs of this qube ask for services\n"
		"                            (" AGENT_SOCKET ")\n"
		"  --fork-server-socket=PATH socket of a session's fork server, %s = user\n"
		"                            (" FORK_SERVER_SOCKET ")\n"
		"  --after=PATH              wait until that exists, and begin then\n"
		"  --answered=PATH           make that file when the first command is over\n"
		"  -h, --help                show this\n"
		"      --version             show the version\n\n"
		"Environment: VCHAN_SOCKET_DIR, VCHAN_DOMAIN (this qube's id),\n"
		"QREXEC_SERVICE_PATH, QUBES_RPC_CONFIG_PATH, BULKHEAD_DEBUG.\n",
		to);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"no-fork-server", no_argument, NULL, 'n'},
		{"agent-socket", required_argument, NULL, 'a'},
		{"fork-server-socket", required_argument, NULL, 's'},
		{"after", required_argument, NULL, 'w'},
		{"answered", required_argument, NULL, 'd'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{0},
	};
	struct agent a = {.signal_fd = NO_FD,
			  .listen_fd = NO_FD,
			  .socket = AGENT_SOCKET,
			  .fork_server = FORK_SERVER_SOCKET};
	const char *after = NULL;
	int r = 0, o;

	log_open("qrexec-agent");
	while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (o) {
		case 'n':
			a.fork_server = NULL;
			break;
		case 'a':
			a.socket = optarg;
			break;
		case 's':
			/* without a fork server there is no socket of one, whatever comes last */
			if (a.fork_server)
				a.fork_server = optarg;
			break;
		case 'w':
			after = optarg;
			break;
		case 'd':
			a.answered = optarg;
			break;
		case 'h':
			usage(stdout);
			return 0;
		case 'V':
			(void)puts("qrexec-agent (Bulkhead) " BULKHEAD_VERSION);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind < argc) {
		usage(stderr);
		return 2;
	}
	/* in a zygote it waits here: nothing is drawn, opened or looked up yet */
	if (after)
		r = path_await(after, -1);
	r = r < 0 ? r : acquire(&a);
	while (r == 0 && !a.ending)
		r = turn(&a);
	qrexec_peer_free(a.daemon);
	vchan_free(a.server);
	if (a.listen_fd >= 0)
		(void)unlink(a.socket);
	if (r < 0)
		log_err(NULL, "giving up: %s", log_errno_str(r));
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
