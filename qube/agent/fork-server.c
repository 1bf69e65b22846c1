/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qrexec-fork-server: starts commands inside a user's session.
 *
 * runs as	the session's user, with its environment
 * holds	the socket that the agent comes to
 * trusts	who can connect: the user, and root
 * needs	fork
 *
 * A process per order: it reads the order, becomes the process of the call, and keeps the connection until its end.
 */
#include "fork-server.h"

#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "proto/qrexec.h"
#include "qrexec/call.h"
#include "vchan/vchan.h"

#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

/** READ_S - how long an order may take to come */
#define READ_S 10

static bool is_order(const struct fork_order *o)
{
	return (o->type == QREXEC_EXEC_CMDLINE || o->type == QREXEC_JUST_EXEC) && o->domid >= 0 &&
	       (unsigned)o->domid <= VCHAN_SELF && o->port >= 0 && o->len > 1 &&
	       o->len <= QREXEC_COMMAND_MAX;
}

/* from fork() to exit */
static NORETURN void order_run(const char *user, int fd)
{
	static char command[QREXEC_COMMAND_MAX + 64];
	struct fork_order o;
	const int n = snprintf(command, 64, "%s:", user);
	struct call_request q = {.own = vchan_own_domid(),
				 .as_we_are = true,
				 .cancel_fd = NO_FD,
				 .command = command};

	(void)alarm(READ_S);
	if (n < 0 || n >= 64 || io_read_full(fd, &o, sizeof(o)) < 0 || !is_order(&o) ||
	    io_read_full(fd, command + n, o.len) < 0 ||
	    memchr(command, '\0', (size_t)n + o.len) != command + n + o.len - 1) {
		log_warn(NULL, "an order is malformed, dropped");
		_exit(EXIT_FAILURE);
	}
	(void)alarm(0);
	q.domid = (unsigned)o.domid;
	q.port = (unsigned)o.port;
	q.just_exec = o.type == QREXEC_JUST_EXEC;
	call_main(&q);
}

static void order_take(const char *user, int listen_fd, int signal_fd)
{
	AUTO_CLOSE int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 ||
	    (peer.uid != 0 && peer.uid != geteuid()))
		return;
	if (fork() != 0)
		return;
	(void)close(listen_fd);
	(void)close(signal_fd);
	order_run(user, fd);
}

/* Before there is a socket, so that no signal leaves it behind. Return: where they are to be read from; -errno */
static int signals_open(void)
{
	sigset_t set;
	int fd;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return fail_errno();
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? fail_errno() : fd;
}

static int serve(const char *user, int listen_fd, int signal_fd)
{
	struct pollfd p[2] = {{.fd = listen_fd, .events = POLLIN},
			      {.fd = signal_fd, .events = POLLIN}};

	for (;;) {
		struct signalfd_siginfo info;

		if (poll(p, ARRAY_LEN(p), -1) < 0 && errno != EINTR)
			return fail_errno();
		while (read(p[1].fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
			if (info.ssi_signo != SIGCHLD)
				return 0;
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (p[0].revents)
			order_take(user, listen_fd, p[1].fd);
	}
}

/* whoever started us goes on when the socket is there */
static void background(void)
{
	pid_t pid = fork();

	if (pid > 0)
		_exit(EXIT_SUCCESS);
	if (pid == 0)
		(void)setsid();
}

static void usage(FILE *to)
{
	(void)fputs("usage: qrexec-fork-server [SOCKET]\n"
		    "Start commands of dom0 inside this session; goes to the background.\n"
		    "SOCKET is /var/run/qubes/qrexec-server.$USER.sock unless given.\n",
		    to);
}

int main(int argc, char **argv)
{
	const struct passwd *pw = getpwuid(geteuid());
	char path[UNIX_PATH_MAX + 1];
	AUTO_FREE char *user = NULL;
	int fd = NO_FD, signals = NO_FD, r;

	log_open("qrexec-fork-server");
	if (argc == 2 && str_eq(argv[1], "--help")) {
		usage(stdout);
		return 0;
	}
	if (argc == 2 && str_eq(argv[1], "--version")) {
		(void)puts("qrexec-fork-server (Bulkhead) " BULKHEAD_VERSION);
		return 0;
	}
	if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
		usage(stderr);
		return 2;
	}
	user = pw ? strdup(pw->pw_name) : NULL;
	if (!user) {
		log_err(NULL, "we have no name here");
		return EXIT_FAILURE;
	}
	r = argc == 2 ? str_format(path, sizeof(path), "%s", argv[1])
		      : str_format(path, sizeof(path), FORK_SERVER_SOCKET, user);
	if (r == 0 && setenv("VCHAN_DOMAIN", "32752", 0) < 0)
		r = -ENOMEM;
	if (r == 0)
		r = signals = signals_open();
	if (r >= 0)
		r = io_unix_listen(path, SOCK_STREAM, 0600, &fd);
	if (r < 0) {
		log_err(NULL, "cannot listen on %s: %s", argc == 2 ? argv[1] : path,
			log_errno_str(r));
		return EXIT_FAILURE;
	}
	background();
	r = serve(user, fd, signals);
	(void)unlink(path);
	if (r < 0)
		log_err(NULL, "giving up: %s", log_errno_str(r));
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
