/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "parent.h"

#include "base/program.h"
#include "loop/ask.h"
#include "loop/spawn.h"
#include "proto/qrexec.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

static void agent_state(void *data, bool up)
{
	struct parent *p = data;

	if (!up || p->up_fd < 0)
		return;
	if (write(p->up_fd, "", 1) < 0)
		errno = 0; /* nobody waits any more */
	close_fd(&p->up_fd);
}

/* its words go where the daemon's go */
static int broker_start(void *data, int *ret_fd)
{
	const struct parent *p = data;
	char *argv[13], domid[16], path[PATH_MAX];
	AUTO_FREE char *channels = NULL, *sockets = NULL, *socket = NULL, *program = NULL;
	AUTO_CLOSE int own = NO_FD, its = NO_FD, pidfd = NO_FD;
	const struct spawn_fd map[] = {{.from = p->log_fd, .to = STDERR_FILENO},
				       {.from = 0, .to = 3},
				       {.from = p->seats_fd, .to = 4}};
	struct spawn_fd fds[ARRAY_LEN(map)];
	int pair[2], n = 0, r = program_find("qrexec-broker", path, sizeof(path));

	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return fail_errno();
	own = pair[0];
	its = pair[1];
	memcpy(fds, map, sizeof(map));
	fds[1].from = its;
	(void)snprintf(domid, sizeof(domid), "%u", p->domid);
	if (asprintf(&channels, "--vchan-dir=%s", p->vchan_dir) < 0 ||
	    asprintf(&sockets, "--socket-dir=%s", p->qrexec_dir) < 0 ||
	    (p->policy_socket && asprintf(&socket, "--policy-socket=%s", p->policy_socket) < 0) ||
	    (p->policy_program && asprintf(&program, "--policy-program=%s", p->policy_program) < 0))
		return -ENOMEM;
	argv[n++] = (char *)"qrexec-broker";
	argv[n++] = (char *)"--daemon-fd=3";
	argv[n++] = (char *)"--seats-fd=4";
	argv[n++] = channels;
	argv[n++] = sockets;
	if (socket)
		argv[n++] = socket;
	if (program)
		argv[n++] = program;
	argv[n++] = domid;
	argv[n++] = (char *)p->name;
	argv[n] = NULL;
	r = spawn(&(struct spawn){.path = path, .argv = argv, .fds = fds, .n_fds = ARRAY_LEN(fds)},
		  NULL, &pidfd);
	if (r == 0)
		*ret_fd = take_fd(&own);
	return r;
}

static NORETURN void parent_serve(struct parent *p, int ask_fd)
{
	const struct ask_rules rules = {
		.kinds = 1u << ASK_VCHAN_CONNECT | 1u << ASK_QREXEC_BIND | 1u << ASK_QREXEC_UNLINK |
			 1u << ASK_AGENT_STATE | 1u << ASK_BROKER,
		.vchan_dir = p->vchan_dir,
		.connect_server = p->domid,
		.connect_client = 0,
		.connect_port = QREXEC_PORT_CONTROL,
		.qrexec_dir = p->qrexec_dir,
		.name = p->name,
		.uuid = p->uuid,
		.domid = p->domid,
		.agent_state = agent_state,
		.broker = broker_start,
		.data = p,
	};
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGCHLD};
	struct pollfd event = {.fd = ask_fd, .events = POLLIN};
	int r = 0, null;

	/* it ends with the daemon and after it, whoever else is told to end */
	(void)setsid();
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		(void)signal(signals[i], SIG_IGN); // NOLINT(cert-err33-c)
	if (p->log_fd < 0)
		p->log_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	p->seats_fd = memfd_create("seats", MFD_CLOEXEC);
	if (p->seats_fd < 0)
		_exit(EXIT_FAILURE);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int i = 0; null >= 0 && i <= STDERR_FILENO; i++)
		(void)dup2(null, i); /* nobody waits for the end of what it does not write to */
	while (r == 0 || r == -EAGAIN) {
		if (poll(&event, 1, -1) < 0 && errno != EINTR)
			break;
		r = ask_answer(ask_fd, &rules);
	}
	ask_clean(&rules);
	_exit(r == -ECONNRESET ? EXIT_SUCCESS : EXIT_FAILURE);
}

int parent_start(const struct parent *p, int *ret_ask_fd)
{
	struct parent own = *p;
	int fds[2], status;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return fail_errno();
	pid = fork();
	if (pid < 0)
		return fail_errno();
	if (pid == 0) {
		(void)close(fds[0]);
		pid = fork();
		if (pid == 0)
			parent_serve(&own, fds[1]);
		_exit(pid < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
	}
	(void)close(fds[1]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	*ret_ask_fd = fds[0];
	return 0;
}
