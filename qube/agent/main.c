/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qrexec-agent: runs in a qube what dom0 asks for.
 *
 * runs as	root (commands as their users), or an ordinary user (its own commands only)
 * holds	the control channel to dom0, vchan port 512, as its server
 * trusts	dom0; whatever comes over data channels is read by a process per call
 * needs	/run/vchan; fork
 *
 * Our own id is $VCHAN_DOMAIN, 32752 if unset (doc/protocol/vchan.md).
 *
 * A call lives on its own: it outlasts the control channel, and it is reported to the daemon only
 * on the control channel it came by, since a new daemon counts its ports anew. The table of calls
 * is also the queue of reports: nothing is buffered for a daemon that does not read.
 */
#include "base/io.h"
#include "base/log.h"
#include "call.h"
#include "proto/qrexec.h"
#include "qrexec/peer.h"
#include "vchan/vchan.h"

#include <getopt.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

/** RETRY_MS - pause before another try to listen */
#define RETRY_MS 1000

struct call {
	struct call *next;
	pid_t pid;
	unsigned generation; /* of the control channel it came by */
	uint32_t domid, port;
	bool over; /* to be reported */
};

struct agent {
	int signal_fd;
	struct vchan *server; /* while nobody is connected */
	struct qrexec_peer *daemon;
	struct call *calls;
	unsigned generation;
	bool listen_failed, ending;
};

/* ---- calls --------------------------------------------------------------------------------- */

static int call_start(struct agent *a, const struct qrexec_msg *m)
{
	const struct call_request q = {.domid = m->domid,
				       .port = m->port,
				       .just_exec = m->type == QREXEC_JUST_EXEC,
				       .command = m->command};
	struct call *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->domid = m->domid;
	c->port = m->port;
	c->generation = a->generation;
	c->pid = fork();
	if (c->pid == 0) {
		/* all but the standard streams is ours, not the call's */
		(void)close_range(STDERR_FILENO + 1, ~0U, 0);
		call_main(&q);
	}
	if (c->pid < 0) {
		log_err(NULL, "port %u: cannot start a process (%s), call dropped", c->port,
			log_errno_str(errno));
		c->over = true;
	}
	c->next = a->calls;
	a->calls = c;
	return 0;
}

/* a connection that will never be: its port is free again */
static int call_refuse(struct agent *a, const struct qrexec_msg *m)
{
	struct call *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	*c = (struct call){.next = a->calls,
			   .generation = a->generation,
			   .domid = m->domid,
			   .port = m->port,
			   .over = true};
	a->calls = c;
	return 0;
}

static void calls_reap(struct agent *a)
{
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
		for (struct call *c = a->calls; c; c = c->next)
			if (c->pid == pid && !c->over)
				c->over = true;
}

/* report what is over; forget what nobody waits for */
static int calls_report(struct agent *a)
{
	struct call **at = &a->calls;

	while (*at) {
		struct call *c = *at;
		const bool ours = a->daemon && c->generation == a->generation;
		const struct qrexec_msg m = {
			.type = QREXEC_CONNECTION_TERMINATED, .domid = c->domid, .port = c->port};
		int r;

		if (!c->over || (ours && !qrexec_peer_idle(a->daemon))) {
			at = &c->next;
			continue;
		}
		r = ours ? qrexec_peer_send(a->daemon, &m) : 0;
		if (r < 0)
			return r;
		*at = c->next;
		free(c);
	}
	return 0;
}

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
		log_warn(NULL, "nobody waits for the connection %s", m->ident);
		return call_refuse(a, m);
	case QREXEC_SERVICE_REFUSED:
		log_warn(NULL, "nobody waits for the refusal of %s", m->ident);
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

static int turn(struct agent *a)
{
	struct pollfd p[2] = {{.fd = a->signal_fd, .events = POLLIN}, {.fd = NO_FD}};
	int r = calls_report(a);

	if (r < 0 && a->daemon)
		daemon_lost(a, r);
	if (!a->daemon && !a->server)
		server_open(a);
	if (a->daemon) {
		p[1].fd = qrexec_peer_fd(a->daemon);
		p[1].events = qrexec_peer_events(a->daemon);
	} else if (a->server) {
		p[1].fd = vchan_fd(a->server);
		p[1].events = POLLIN;
	}
	if (poll(p, ARRAY_LEN(p), a->daemon || a->server ? -1 : RETRY_MS) < 0 && errno != EINTR)
		return fail_errno();
	if (p[0].revents)
		signals_take(a);
	if (!p[1].revents)
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

static int acquire(struct agent *a)
{
	sigset_t set;

	*a = (struct agent){.signal_fd = NO_FD};
	if (setenv("VCHAN_DOMAIN", "32752", 0) < 0)
		return fail_errno();
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return fail_errno();
	a->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return a->signal_fd < 0 ? fail_errno() : 0;
}

static void usage(FILE *to)
{
	(void)fputs(
		"usage: qrexec-agent [OPTIONS]\n"
		"Run what dom0 asks for; dom0 is reached by vchan port 512.\n\n"
		"  --no-fork-server          do not use sessions' fork servers (there are none)\n"
		"  --agent-socket=PATH       where programs of this qube ask for services\n"
		"  --fork-server-socket=PATH socket of a session's fork server, %s = user\n"
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
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{0},
	};
	struct agent a;
	int r, o;

	log_open("qrexec-agent");
	while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (o) {
		case 'n':
		case 'a':
		case 's':
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
	r = acquire(&a);
	while (r == 0 && !a.ending)
		r = turn(&a);
	qrexec_peer_free(a.daemon);
	vchan_free(a.server);
	if (r < 0)
		log_err(NULL, "giving up: %s", log_errno_str(r));
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
