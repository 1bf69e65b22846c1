/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The side that is called. A qube's daemon chooses the port and tells its agent, as for any local client. For a qube that
 * does not run a child of ours asks qubesd to start it, which takes as long as that takes. A disposable is held from here: it
 * goes when its call does, or when we do. In dom0 the service runs below
 * a child of ours, the other end of the channel.
 */
#include "broker.h"

#include "base/str.h"
#include "client/client.h"
#include "client/hold.h"
#include "qrexec/call.h"
#include "qrexec/local.h"
#include "qrexec/peer.h"
#include "sandbox/sandbox.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/** START_MS - how long the start of a qube may take */
#define START_MS 600000

/* The qube that was decided about: a name may be another's by now, a UUID is its own for ever. By name only where the
 * policy knows no UUID */
static const char *callee_id(const struct call *c)
{
	return c->callee_uuid[0] != '\0' ? c->callee_uuid : c->callee_name;
}

/* in a child of ours: from fork() to exit, which closes @fd; all else but the standard streams is the broker's */
static NORETURN void start_run(const struct broker *b, const struct call *c, int fd)
{
	AUTO(client_answer_done) struct client_answer a = {0};
	const char *qube = c->callee_name;
	sigset_t none;
	int r;

	(void)sigemptyset(&none);
	if (dup2(fd, STDERR_FILENO + 1) < 0 || close_range(STDERR_FILENO + 2, ~0U, 0) < 0 ||
	    sigprocmask(SIG_SETMASK, &none, NULL) < 0)
		_exit(EXIT_FAILURE);
	r = client_call(b->qubesd_socket, "admin.vm.Start", callee_id(c), NULL, NULL, 0, NO_FD, &a);
	if (r == CLIENT_E_EXCEPTION)
		log_warn(b->name, "%s, which it calls, cannot be started: %s", qube, a.data);
	else if (r != 0)
		log_warn(b->name, "%s, which it calls, cannot be started: %s", qube,
			 r < 0 ? log_errno_str(r) : "qubesd gave no answer");
	_exit(r == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

static void start_begin(struct broker *b, struct call *c)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0) {
		call_refuse(b, c, "it cannot be started: %s", log_errno_str(errno));
		return;
	}
	c->pid = fork();
	if (c->pid == 0)
		start_run(b, c, fds[1]);
	(void)close(fds[1]);
	c->fd = fds[0];
	if (c->pid < 0) {
		c->pid = 0;
		call_refuse(b, c, "it cannot be started: %s", log_errno_str(errno));
		return;
	}
	c->started = true;
	c->state = CALL_STARTING;
	c->until_ms = io_now_ms() + START_MS;
}

void callee_started(struct broker *b, struct call *c, short revents)
{
	if (revents)
		close_fd(&c->fd);
	/* also after a failure: it may run already. Whether it does is seen by its daemon */
	if (c->fd < 0 && c->pid == 0)
		callee_start(b, c);
}

static unsigned n_disposables(const struct broker *b)
{
	unsigned n = 0;

	for (const struct call *c = b->calls; c; c = c->next)
		n += c->hold != NULL;
	return n;
}

void callee_make(struct broker *b, struct call *c)
{
	int r;

	if (n_disposables(b) >= DISPOSABLES_MAX) {
		call_refuse(b, c, "it has %u disposables already, which is the most at a time",
			    DISPOSABLES_MAX);
		return;
	}
	r = b->qubesd_socket ? hold_new(b->qubesd_socket, b->name, callee_id(c), &c->hold)
			     : -ENOTSUP;

	if (r < 0) {
		call_refuse(b, c, "no disposable of %s can be made: %s", c->callee_name,
			    log_errno_str(r));
		return;
	}
	c->started = true;
	c->state = CALL_MAKING;
	c->until_ms = io_now_ms() + START_MS;
}

void callee_hold(struct broker *b, struct call *c)
{
	const enum hold_state state = hold_turn(c->hold);
	int r = 0;

	/* later it goes with its daemon, which is seen */
	if (c->state != CALL_MAKING || state == HOLD_STARTING)
		return;
	if (state == HOLD_ENDED) {
		call_refuse(b, c, "no disposable of %s: %s", c->callee_name, hold_why(c->hold));
		return;
	}
	r = str_format(c->callee_name, sizeof(c->callee_name), "%s", hold_name(c->hold));
	if (r == 0)
		r = str_format(c->callee_uuid, sizeof(c->callee_uuid), "uuid:%s",
			       hold_uuid(c->hold));
	if (r < 0)
		call_refuse(b, c, "the name of its disposable is too long");
	else
		decide_again(b, c);
}

static int daemon_connect(const struct broker *b, struct call *c, const char *qube)
{
	AUTO_CLOSE int fd = NO_FD;
	int r = local_path(b->socket_dir, qube, c->socket, sizeof(c->socket));

	if (r == 0)
		r = io_unix_connect_now(c->socket, SOCK_STREAM, &fd);
	return r == 0 ? local_peer_new(&fd, &c->callee) : r;
}

static struct callee *callee_get(struct broker *b, const char *id)
{
	struct callee *t = b->callees;

	while (t && !str_eq(t->id, id))
		t = t->next;
	if (t)
		return t;
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	(void)snprintf(t->id, sizeof(t->id), "%s", id);
	t->next = b->callees;
	b->callees = t;
	return t;
}

static void callee_unref(struct broker *b, struct callee *t)
{
	struct callee **at = &b->callees;

	if (--t->n_calls > 0)
		return;
	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	free(t);
}

void callee_leave(struct broker *b, struct call *c)
{
	struct callee *t = take_ptr(&c->to);

	if (!t)
		return;
	if (c->state == CALL_CALLEE) {
		t->n_asking--;
		b->asked_less = true;
	}
	callee_unref(b, t);
}

/* false: it is queued, or refused */
static bool may_ask(struct broker *b, struct call *c)
{
	if (c->to && c->state == CALL_CALLEE)
		return true; /* it tries again */
	if (!c->to) {
		c->to = callee_get(b, callee_id(c));
		if (!c->to) {
			call_refuse(b, c, "no memory");
			return false;
		}
		c->to->n_calls++;
	}
	if (c->to->n_asking < ASKS_MAX) {
		c->to->n_asking++;
		c->state = CALL_CALLEE;
		return true;
	}
	if (c->state != CALL_QUEUED)
		c->until_ms = io_now_ms() + ANSWER_MS;
	c->state = CALL_QUEUED;
	return false;
}

void callees_dispatch(struct broker *b)
{
	while (b->asked_less) {
		b->asked_less = false;
		for (struct call *c = b->calls; c; c = c->next)
			if (c->state == CALL_QUEUED && c->to->n_asking < ASKS_MAX)
				callee_start(b, c);
	}
}

void callee_start(struct broker *b, struct call *c)
{
	int r;

	if (!may_ask(b, c))
		return;
	c->asked = false;
	r = daemon_connect(b, c, callee_id(c));
	if (r == -EAGAIN) {
		call_retry(c);
		return;
	}
	if ((r == -ENOENT || r == -ECONNREFUSED) && c->autostart && !c->started &&
	    b->qubesd_socket) {
		callee_leave(b, c);
		start_begin(b, c);
		return;
	}
	if (r < 0) {
		call_refuse(b, c,
			    r == -ENOENT || r == -ECONNREFUSED ? "%s does not run (%s)"
							       : "%s cannot be reached: %s",
			    c->callee_name, log_errno_str(r));
		return;
	}
	c->until_ms = io_now_ms() + ANSWER_MS;
	callee_turn(b, c);
}

/* 0: the answer is there; -EAGAIN; else it will never be */
static int answer_get(struct call *c, const struct broker *b, struct qrexec_msg *ret)
{
	const struct qrexec_msg m = {.type = QREXEC_EXEC_CMDLINE,
				     .domid = b->domid,
				     .command = c->command,
				     .command_len = strlen(c->command)};
	int r = qrexec_peer_flush(c->callee);

	if (r == 0 && !c->asked && qrexec_peer_idle(c->callee)) {
		r = qrexec_peer_send(c->callee, &m);
		c->asked = r == 0;
	}
	while (r == 0 && qrexec_peer_idle(c->callee)) {
		r = qrexec_peer_receive(c->callee, ret);
		if (r == 0 && ret->type != QREXEC_HELLO)
			return ret->type == QREXEC_EXEC_CMDLINE && !ret->command ? 0
										 : QREXEC_E_TYPE;
	}
	return r == 0 ? -EAGAIN : r;
}

void callee_turn(struct broker *b, struct call *c)
{
	struct qrexec_msg m;
	int r = answer_get(c, b, &m);

	if (r == -EAGAIN)
		return;
	if (r == 0 && (!local_is_of(c->socket, m.domid) || m.domid == 0 || m.domid == b->domid ||
		       m.port < QREXEC_PORT_DATA || m.port > UINT16_MAX))
		r = -EPROTO;
	if (r != 0) {
		call_refuse(b, c, "the daemon of %s gives no port: %s", c->callee_name,
			    r > 0 ? qrexec_outcome_str(r)
			    : r == -ENODATA
				    ? "it has let go of the question" /* after its WAIT_MS */
				    : log_errno_str(r));
		return;
	}
	c->domid = m.domid;
	c->port = m.port;
	callee_leave(b, c);
	tickets_grant(b, c);
}

int callee_serve_dom0(struct broker *b, const struct call *c)
{
	const struct call_request q = {.vchan_dir = b->vchan_dir,
				       .own = 0,
				       .domid = b->domid,
				       .port = c->port,
				       .as_we_are = true,
				       .keep_errors = true,
				       .quiet = true,
				       .confine = sandbox_relay,
				       .cancel_fd = STDERR_FILENO + 1,
				       .command = c->command};
	int r = b->errors_fd < 0 ? errors_start(b->name, b->seats_fd, &b->errors_fd, &b->errors_pid)
				 : 0;
	pid_t pid;

	if (r < 0)
		return r;
	pid = fork();
	if (pid < 0)
		return fail_errno();
	if (pid > 0)
		return 0;
	/* all but the standard streams and these two is the broker's, not the call's. The broker was started with both of
	 * their numbers in use, so neither is the other's */
	if (dup2(b->errors_fd, STDERR_FILENO) < 0 ||
	    dup3(qrexec_peer_fd(c->caller), q.cancel_fd, O_CLOEXEC) < 0 ||
	    dup3(c->seat_fd, q.cancel_fd + 1, O_CLOEXEC) < 0)
		_exit(EXIT_FAILURE);
	(void)close_range((unsigned)q.cancel_fd + 2, ~0U, 0);
	(void)setrlimit(RLIMIT_NOFILE, &b->files);
	call_main(&q);
}
