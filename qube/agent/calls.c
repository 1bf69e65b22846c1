/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A call lives on its own, as a child of ours or as long as somebody holds a socket to us: it outlasts the control
 * channel, and its end is reported only on the control channel it came by, since a new daemon counts its ports anew.
 * The table is also the queue of reports: nothing is buffered for a daemon that does not read.
 */
#include "agent.h"

#include "base/log.h"
#include "base/oom.h"
#include "base/str.h"
#include "qrexec/call.h"
#include "qrexec/peer.h"
#include "vchan/vchan.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <string.h>
#include <sys/wait.h>

struct call {
	struct call *next;
	pid_t pid; /* 0: it lasts as long as fd */
	int fd;
	char ident[32];
	unsigned generation; /* of the control channel it came by */
	uint32_t domid, port;
	bool over; /* to be reported */
};

static struct call *call_new(struct agent *a, uint32_t domid, uint32_t port)
{
	struct call *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	*c = (struct call){.next = a->calls,
			   .fd = NO_FD,
			   .generation = a->generation,
			   .domid = domid,
			   .port = port};
	a->calls = c;
	return c;
}

static void call_end(struct agent *a, struct call *c)
{
	if (c->fd >= 0)
		a->n_watched--;
	close_fd(&c->fd);
	c->over = true;
}

int call_start(struct agent *a, const struct qrexec_msg *m)
{
	const struct call_request q = {.own = vchan_own_domid(),
				       .domid = m->domid,
				       .port = m->port,
				       .just_exec = m->type == QREXEC_JUST_EXEC,
				       .cancel_fd = NO_FD,
				       .command = m->command};
	AUTO_CLOSE int fd = NO_FD;
	struct call *c;

	if (fork_server_give(a, m, &fd) == 0)
		return call_watch(a, m->domid, m->port, NULL, &fd);
	c = call_new(a, m->domid, m->port);
	if (!c)
		return -ENOMEM;
	c->pid = fork();
	if (c->pid == 0) {
		/* all but the standard streams is ours, not the call's */
		(void)close_range(STDERR_FILENO + 1, ~0U, 0);
		(void)setrlimit(RLIMIT_NOFILE, &a->files);
		oom_be_plain();
		call_main(&q);
	}
	if (c->pid < 0) {
		log_err(NULL, "port %u: cannot start a process (%s), call dropped", c->port,
			log_errno_str(errno));
		c->over = true;
	}
	return 0;
}

int call_watch(struct agent *a, uint32_t domid, uint32_t port, const char *ident, int *fd)
{
	struct call *c;

	if (a->n_watched == CALLS_MAX)
		return call_refuse(a, domid, port);
	c = call_new(a, domid, port);
	if (!c)
		return -ENOMEM;
	if (ident)
		memcpy(c->ident, ident, sizeof(c->ident));
	c->fd = take_fd(fd);
	a->n_watched++;
	return 0;
}

int call_refuse(struct agent *a, uint32_t domid, uint32_t port)
{
	struct call *c = call_new(a, domid, port);

	if (!c)
		return -ENOMEM;
	c->over = true;
	return 0;
}

bool call_break(struct agent *a, const char *ident)
{
	for (struct call *c = a->calls; c; c = c->next) {
		if (c->fd < 0 || !str_eq(c->ident, ident))
			continue;
		call_end(a, c);
		return true;
	}
	return false;
}

static void tell_answered(struct agent *a)
{
	int fd = NO_FD;

	if (a->answered)
		fd = open(a->answered, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	close_fd(&fd);
	a->answered = NULL;
}

void calls_reap(struct agent *a)
{
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
		for (struct call *c = a->calls; c; c = c->next)
			if (c->pid == pid && !c->over) {
				c->over = true;
				tell_answered(a);
			}
}

int calls_report(struct agent *a)
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

unsigned calls_poll(struct agent *a, struct pollfd *p)
{
	unsigned n = 0;

	for (struct call *c = a->calls; c; c = c->next)
		if (c->fd >= 0)
			p[n++] = (struct pollfd){.fd = c->fd, .events = POLLIN};
	return n;
}

void calls_turn(struct agent *a, const struct pollfd *p, unsigned n)
{
	unsigned i = 0;

	for (struct call *c = a->calls; c && i < n; c = c->next) {
		char byte;

		if (c->fd < 0 || c->fd != p[i].fd || !p[i++].revents)
			continue;
		/* nothing is to be said any more: whatever comes is the end */
		if (read(c->fd, &byte, 1) < 0 && errno == EAGAIN)
			continue;
		call_end(a, c);
	}
}
