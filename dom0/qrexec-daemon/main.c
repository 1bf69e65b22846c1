/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qrexec-daemon: dom0's end of one qube's qrexec.
 *
 * runs as	an id of its own (--uid, when started by root)
 * holds	the channel to the qube's agent, the socket of local clients, the socket to its
 * parent trusts	its parent (qube-monitor, or the one it makes itself when started by hand); local
 *		clients to be of the same user. Not the agent
 * needs	no open, exec, socket, bind or connect: those are questions to the parent
 *
 * With --ask-fd the parent is given. By hand it forks a small one; without --direct it goes to the
 * background once the agent is there.
 */
#include "base/io.h"
#include "base/log.h"
#include "base/paths.h"
#include "base/str.h"
#include "daemon.h"
#include "loop/ask.h"
#include "parent.h"
#include "qrexec/peer.h"
#include "vchan/vchan.h"

#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>

/** STARTUP_S - how long by hand the agent is waited for, unless QREXEC_STARTUP_TIMEOUT says */
#define STARTUP_S 60
/** EXIT_TIMEOUT - by hand: the agent did not come */
#define EXIT_TIMEOUT 3

struct options {
	const char *uuid, *socket_dir, *policy_program, *policy_socket, *name, *user;
	unsigned domid;
	uid_t uid;
	int ask_fd, vchan_dir_fd;
	bool direct, quiet;
};

static void usage(FILE *to)
{
	(void)fputs(
		"usage: qrexec-daemon [OPTIONS] DOMID NAME [DEFAULT-USER]\n"
		"Carry out calls to the qube NAME: its agent is reached by vchan port 512, local\n"
		"clients come to SOCKET-DIR/qrexec.DOMID.\n\n"
		"      --uuid=UUID            also be found as qrexec.uuid:UUID\n"
		"      --socket-dir=DIR       where the clients' socket is made\n"
		"      --policy-socket=PATH   who decides about calls from the qube\n"
		"      --policy-program=PATH  who does where that does not answer\n"
		"  -D, --direct               stay in the foreground\n"
		"  -q, --quiet                say nothing while waiting for the agent\n"
		"      --ask-fd=FD            socket to the parent that opens things for us\n"
		"      --vchan-dir-fd=FD      the directory of the qube's vchan sockets\n"
		"      --uid=UID              user and group to become, when root\n"
		"  -h, --help                 show this\n"
		"      --version              show the version\n\n"
		"Environment: VCHAN_SOCKET_DIR; QREXEC_STARTUP_TIMEOUT (seconds, default 60) and\n"
		"QREXEC_STARTUP_NOWAIT, for the time by hand until the agent is there.\n",
		to);
}

static bool uuid_valid(const char *uuid)
{
	return strlen(uuid) == 36 && strspn(uuid, "0123456789abcdef-") == 36;
}

static bool number_take(const char *text, uint64_t max, uint64_t *ret)
{
	if (str_u64(text, max, ret) == 0)
		return true;
	(void)fprintf(stderr, "qrexec-daemon: \"%s\" is not a number up to %llu\n", text,
		      (unsigned long long)max);
	return false;
}

static bool arguments_take(struct options *o, int argc, char **argv)
{
	uint64_t n;

	if (argc < 2 || argc > 3) {
		usage(stderr);
		return false;
	}
	if (!number_take(argv[0], VCHAN_DOMID_MAX, &n))
		return false;
	o->domid = (unsigned)n;
	o->name = argv[1];
	o->user = argc > 2 ? argv[2] : "user";
	if (o->domid == 0 || !str_is_qube_name(o->name, strlen(o->name))) {
		(void)fprintf(stderr, "qrexec-daemon: not a qube's id and name: %s %s\n", argv[0],
			      argv[1]);
		return false;
	}
	if (o->user[0] == '\0' || strpbrk(o->user, ": /")) {
		(void)fprintf(stderr, "qrexec-daemon: not a user's name: %s\n", o->user);
		return false;
	}
	return true;
}

/* 0 to go on, else an exit code + 1 */
static int options_take(struct options *o, int argc, char **argv)
{
	static const struct option options[] = {
		{"uuid", required_argument, NULL, 'u'},
		{"socket-dir", required_argument, NULL, 's'},
		{"policy-program", required_argument, NULL, 'p'},
		{"policy-socket", required_argument, NULL, 'P'},
		{"direct", no_argument, NULL, 'D'},
		{"quiet", no_argument, NULL, 'q'},
		{"ask-fd", required_argument, NULL, 'a'},
		{"vchan-dir-fd", required_argument, NULL, 'v'},
		{"uid", required_argument, NULL, 'U'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{0},
	};
	uint64_t n;
	int c;

	*o = (struct options){.ask_fd = NO_FD, .vchan_dir_fd = NO_FD};
	while ((c = getopt_long(argc, argv, "Dqh", options, NULL)) != -1) {
		switch (c) {
		case 'u':
			o->uuid = optarg;
			if (uuid_valid(optarg))
				break;
			(void)fprintf(stderr, "qrexec-daemon: not a UUID: %s\n", optarg);
			return 1 + 2;
		case 's':
			o->socket_dir = optarg;
			break;
		case 'p':
			o->policy_program = optarg;
			break;
		case 'P':
			o->policy_socket = optarg;
			break;
		case 'D':
			o->direct = true;
			break;
		case 'q':
			o->quiet = true;
			break;
		case 'a':
			if (!number_take(optarg, 1 << 20, &n))
				return 1 + 2;
			o->ask_fd = (int)n;
			break;
		case 'v':
			if (!number_take(optarg, 1 << 20, &n))
				return 1 + 2;
			o->vchan_dir_fd = (int)n;
			break;
		case 'U':
			if (!number_take(optarg, UINT32_MAX - 1, &n))
				return 1 + 2;
			o->uid = (uid_t)n;
			break;
		case 'h':
			usage(stdout);
			return 1 + 0;
		case 'V':
			(void)puts("qrexec-daemon (Bulkhead) " BULKHEAD_VERSION);
			return 1 + 0;
		default:
			usage(stderr);
			return 1 + 2;
		}
	}
	return arguments_take(o, argc - optind, argv + optind) ? 0 : 1 + 2;
}

/* ---- by hand ------------------------------------------------------------------------------- */

static unsigned startup_s(void)
{
	const char *text = getenv("QREXEC_STARTUP_TIMEOUT");
	uint64_t n;

	return text && str_u64(text, 1000000, &n) == 0 ? (unsigned)n : STARTUP_S;
}

/* the process that was started, while the daemon it forked waits for the agent */
static NORETURN void startup_wait(const struct options *o, int up_fd, pid_t daemon)
{
	struct pollfd p = {.fd = up_fd, .events = POLLIN};
	const unsigned timeout_s = startup_s();
	const uint64_t until = io_now_ms() + (uint64_t)timeout_s * 1000;
	char byte;
	int n = 0;

	if (getenv("QREXEC_STARTUP_NOWAIT"))
		_exit(EXIT_SUCCESS);
	if (!o->quiet)
		(void)fprintf(stderr, "Waiting for the qrexec agent of %s", o->name);
	for (uint64_t now; n == 0 && (now = io_now_ms()) < until;) {
		n = poll(&p, 1, until - now < 1000 ? (int)(until - now) : 1000);
		if (n < 0 && errno == EINTR)
			n = 0;
		if (n == 0 && !o->quiet)
			(void)fputc('.', stderr);
	}
	if (!o->quiet)
		(void)fputc('\n', stderr);
	if (n > 0 && read(up_fd, &byte, 1) == 1)
		_exit(EXIT_SUCCESS);
	if (n > 0)
		_exit(EXIT_FAILURE); /* the daemon has said why */
	(void)fprintf(stderr,
		      "qrexec-daemon: %s: no agent after %u seconds, giving up "
		      "(QREXEC_STARTUP_TIMEOUT sets the time)\n",
		      o->name, timeout_s);
	(void)kill(daemon, SIGTERM);
	_exit(EXIT_TIMEOUT);
}

static int background(const struct options *o, int *ret_up_fd)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return fail_errno();
	pid = fork();
	if (pid < 0)
		return fail_errno();
	if (pid > 0) {
		(void)close(fds[1]);
		startup_wait(o, fds[0], pid);
	}
	(void)close(fds[0]);
	(void)setsid();
	*ret_up_fd = fds[1];
	return 0;
}

/* Where a daemon in the background writes to: the instance's log, if there is one. */
static int log_open_for(const char *name)
{
	AUTO(paths_done) struct paths paths = {0};
	char path[PATH_MAX];
	int fd = NO_FD;

	if (paths_init(&paths, false) == 0 &&
	    str_format(path, sizeof(path), "%s/log/qrexec.%s.log", paths.state, name) == 0)
		fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd >= 0 ? fd : open("/dev/null", O_WRONLY | O_CLOEXEC);
}

/* A daemon in the background holds no stream of who started it. */
static void streams_leave(const struct options *o)
{
	AUTO_CLOSE int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	AUTO_CLOSE int log = log_open_for(o->name);

	(void)dup2(null, STDIN_FILENO);
	(void)dup2(null, STDOUT_FILENO);
	(void)dup2(log, STDERR_FILENO);
}

static int by_hand(const struct options *o, int *ret_ask_fd, int *ret_dir_fd)
{
	char vchan[UNIX_PATH_MAX + 1], qrexec[UNIX_PATH_MAX + 1];
	AUTO(paths_done) struct paths paths = {0};
	struct parent p = {.vchan_dir = vchan_dir(),
			   .qrexec_dir = o->socket_dir,
			   .name = o->name,
			   .uuid = o->uuid,
			   .policy_program = o->policy_program,
			   .policy_socket = o->policy_socket,
			   .domid = o->domid,
			   .up_fd = NO_FD,
			   .log_fd = NO_FD};
	int r = 0;

	if (!getenv("VCHAN_SOCKET_DIR") || !o->socket_dir) {
		r = paths_init(&paths, false);
		if (r < 0) {
			log_err(o->name,
				"no running instance (%s); give VCHAN_SOCKET_DIR and --socket-dir",
				log_errno_str(r));
			return r;
		}
	}
	if (!getenv("VCHAN_SOCKET_DIR")) {
		r = paths_vchan_dir(&paths, o->domid, vchan, sizeof(vchan));
		p.vchan_dir = vchan;
	}
	if (r == 0 && !o->socket_dir) {
		r = str_format(qrexec, sizeof(qrexec), "%s/qubes", paths.run);
		p.qrexec_dir = qrexec;
	}
	/* a qube that has no channels yet is looked for instead of being told of */
	if (r == 0)
		*ret_dir_fd = open(p.vchan_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r == 0 && !o->direct)
		r = background(o, &p.up_fd);
	if (r == 0 && !o->direct)
		p.log_fd = log_open_for(o->name);
	if (r == 0)
		r = parent_start(&p, ret_ask_fd);
	close_fd(&p.up_fd);
	close_fd(&p.log_fd);
	return r;
}

/* ---- acquire, confine, serve --------------------------------------------------------------- */

static int acquire(struct daemon *d, const struct options *o)
{
	AUTO_CLOSE int dir_fd = o->vchan_dir_fd;
	sigset_t set;
	int r = 0;

	*d = (struct daemon){.name = o->name,
			     .default_user = o->user,
			     .domid = o->domid,
			     .ask_fd = o->ask_fd,
			     .listen_fd = NO_FD,
			     .signal_fd = NO_FD,
			     .watch_fd = NO_FD,
			     .down_ms = io_now_ms(),
			     .noise = {.interval_s = 60, .burst = 10},
			     .refusals = {.interval_s = 60, .burst = 10}};
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return fail_errno();
	if (d->ask_fd < 0)
		r = by_hand(o, &d->ask_fd, &dir_fd);
	else if (fcntl(d->ask_fd, F_SETFD, FD_CLOEXEC) < 0)
		r = fail_errno();
	if (r == 0 && dir_fd >= 0)
		r = agent_watch(d, dir_fd);
	if (r < 0)
		return r;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return fail_errno();
	d->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return d->signal_fd < 0 ? fail_errno() : 0;
}

static int least(int a, int b)
{
	if (a < 0 || b < 0)
		return a < 0 ? b : a;
	return a < b ? a : b;
}

/* Return: 0; 1: asked to end; -errno */
static int turn(struct daemon *d)
{
	enum { P_SIGNAL, P_ASK, P_WATCH, P_AGENT, P_BROKER, P_LISTEN, P_CLIENTS };
	static struct pollfd p[P_CLIENTS + CLIENTS_MAX];
	unsigned n;
	int r;

	p[P_SIGNAL] = (struct pollfd){.fd = d->signal_fd, .events = POLLIN};
	/* nothing comes unasked; only that the parent is gone */
	p[P_ASK] = (struct pollfd){.fd = d->ask_fd};
	/* each call makes sockets beside the agent's: none of them is worth waking up for */
	p[P_WATCH] = (struct pollfd){.fd = d->agent ? NO_FD : d->watch_fd, .events = POLLIN};
	p[P_AGENT] = (struct pollfd){.fd = NO_FD};
	if (d->agent)
		p[P_AGENT] =
			(struct pollfd){.fd = qrexec_peer_fd(d->agent), .events = agent_events(d)};
	p[P_BROKER] = (struct pollfd){.fd = NO_FD};
	if (d->broker)
		p[P_BROKER] = (struct pollfd){.fd = qrexec_peer_fd(d->broker),
					      .events = qrexec_peer_events(d->broker)};
	p[P_LISTEN] = (struct pollfd){.fd = d->n_clients < CLIENTS_MAX ? d->listen_fd : NO_FD,
				      .events = POLLIN};
	n = P_CLIENTS + clients_poll(d, p + P_CLIENTS, P_CLIENTS);
	if (poll(p, n, least(agent_timeout_ms(d), clients_timeout_ms(d))) < 0)
		return errno == EINTR ? 0 : fail_errno();
	if (p[P_SIGNAL].revents)
		return 1;
	if (p[P_ASK].revents)
		return -EPIPE;
	if (p[P_WATCH].revents)
		agent_watch_turn(d);
	requests_turn(d, p[P_BROKER].revents);
	/* clients first: the agent's end takes them along */
	r = clients_turn(d, p, n);
	if (r == 0)
		r = agent_turn(d, p[P_AGENT].revents);
	if (r == 0 && p[P_LISTEN].revents && d->listen_fd >= 0)
		r = clients_accept(d);
	if (r == 0)
		r = requests_dispatch(d);
	return r == 0 ? clients_dispatch(d) : r;
}

static int serve(struct daemon *d)
{
	const struct ask q = {.kind = ASK_QREXEC_UNLINK};
	int r = 0;

	while (r == 0)
		r = turn(d);
	if (r == 1)
		r = d->agent_up ? ask_call(d->ask_fd, &q, NULL) : 0;
	if (r == -EPIPE)
		log_err(d->name, "the parent is gone, ending");
	else if (r < 0)
		log_err(d->name, "giving up: %s", log_errno_str(r));
	return r;
}

int main(int argc, char **argv)
{
	struct options o;
	struct daemon d;
	int r;

	log_open("qrexec-daemon");
	r = options_take(&o, argc, argv);
	if (r > 0)
		return r - 1;
	r = acquire(&d, &o);
	if (r == 0 && o.ask_fd < 0 && !o.direct)
		streams_leave(&o);
	if (r == 0)
		r = confine(o.name, o.uid);
	if (r < 0) {
		log_err(o.name, "cannot start: %s", log_errno_str(r));
		return EXIT_FAILURE;
	}
	return serve(&d) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
