/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "parent.h"

#include "loop/ask.h"
#include "proto/qrexec.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
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

static NORETURN void parent_serve(struct parent *p, int ask_fd)
{
	const struct ask_rules rules = {
		.kinds = 1u << ASK_VCHAN_CONNECT | 1u << ASK_QREXEC_BIND | 1u << ASK_QREXEC_UNLINK |
			 1u << ASK_AGENT_STATE,
		.vchan_dir = p->vchan_dir,
		.connect_server = p->domid,
		.connect_client = 0,
		.connect_port = QREXEC_PORT_CONTROL,
		.qrexec_dir = p->qrexec_dir,
		.name = p->name,
		.uuid = p->uuid,
		.domid = p->domid,
		.agent_state = agent_state,
		.data = p,
	};
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE};
	struct pollfd event = {.fd = ask_fd, .events = POLLIN};
	int r = 0, null;

	/* it ends with the daemon and after it, whoever else is told to end */
	(void)setsid();
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		(void)signal(signals[i], SIG_IGN); // NOLINT(cert-err33-c)
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
