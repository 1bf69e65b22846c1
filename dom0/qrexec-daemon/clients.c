/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Local clients: each asks for one thing and gets one answer.
 *
 * Requests that cannot be served yet (all ports in use, the agent not reading) wait in the order
 * they came, each in the memory of its own client, but not for ever: it is the qube that says when a
 * port is free again. A client that was served stays connected until it leaves, so that the end of
 * the agent can be told to those who still wait for its call back.
 *
 * When its call is over it is told so by the end of what we say, and its port is given to another call
 * only once it has left: by then it has taken away all that bore this port's name. Were it free before,
 * the next call's service could come upon what was left for the last one's.
 */
#include "base/io.h"
#include "base/str.h"
#include "daemon.h"
#include "qrexec/peer.h"
#include "vchan/vchan.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define DEFAULT_PREFIX "DEFAULT:"

static void clients_sweep(struct daemon *d)
{
	struct client **at = &d->clients;

	while (*at) {
		struct client *c = *at;

		if (c->state != CLIENT_GONE) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		qrexec_peer_free(c->peer);
		free(c);
		d->n_clients--;
	}
}

void clients_drop_all(struct daemon *d)
{
	for (struct client *c = d->clients; c; c = c->next)
		c->state = CLIENT_GONE;
	clients_sweep(d);
}

static void client_refuse(struct daemon *d, struct client *c, const char *why)
{
	if (log_allowed(&d->refusals, d->name))
		log_warn(d->name, "client dropped: %s", why);
	c->state = CLIENT_GONE;
}

static void client_read(struct daemon *d, struct client *c)
{
	struct qrexec_msg m = {0};
	int r = qrexec_peer_flush(c->peer);

	if (r == 0)
		r = qrexec_peer_receive(c->peer, &m);
	if (r == 0 && m.type == QREXEC_HELLO)
		r = qrexec_peer_receive(c->peer, &m);
	if (r == -EAGAIN)
		return;
	if (r < 0) {
		c->state = CLIENT_GONE;
		return;
	}
	if (r > 0) {
		client_refuse(d, c, qrexec_outcome_str(r));
		return;
	}
	if (c->state != CLIENT_ASKING) {
		client_refuse(d, c, "it has had its answer");
		return;
	}
	if (m.domid > VCHAN_DOMID_MAX || m.domid == d->domid ||
	    (m.type == QREXEC_SERVICE_CONNECT && m.domid != 0 && m.port == 0)) {
		client_refuse(d, c, "no call can be between these");
		return;
	}
	c->request = m;
	c->state = CLIENT_WAITING;
	c->until_ms = io_now_ms() + WAIT_MS;
}

static int client_new(struct daemon *d, int *fd)
{
	struct client *c = calloc(1, sizeof(*c)), **at = &d->clients;
	struct vchan *v = NULL;
	int r;

	if (!c)
		return -ENOMEM;
	r = vchan_new_from_fd(fd, &v);
	if (r == 0)
		r = qrexec_peer_new(&v, QREXEC_CLIENT_TO_DAEMON, QREXEC_VERSION_LOCAL, &c->peer);
	if (r < 0) {
		vchan_free(v);
		free(c);
		return r;
	}
	c->until_ms = io_now_ms() + REQUEST_MS;
	while (*at)
		at = &(*at)->next;
	*at = c;
	d->n_clients++;
	client_read(d, c); /* most have said all when they are accepted */
	return 0;
}

int clients_accept(struct daemon *d)
{
	while (d->listen_fd >= 0 && d->n_clients < CLIENTS_MAX) {
		AUTO_CLOSE int fd = accept4(d->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		int r;

		if (fd < 0)
			return errno == EAGAIN || errno == EINTR || errno == ECONNABORTED
				       ? 0
				       : fail_errno();
		r = client_new(d, &fd);
		if (r < 0)
			return r;
	}
	return 0;
}

unsigned clients_poll(struct daemon *d, struct pollfd *p, unsigned first)
{
	unsigned n = 0;

	for (struct client *c = d->clients; c; c = c->next) {
		c->poll_at = first + n;
		p[n] = (struct pollfd){.fd = qrexec_peer_fd(c->peer)};
		/* one who waits is only watched for leaving */
		if (c->state != CLIENT_WAITING)
			p[n].events = qrexec_peer_events(c->peer);
		n++;
	}
	return n;
}

/* one whose call is over: whatever comes is the end */
static void client_left(struct daemon *d, struct client *c)
{
	(void)ports_release(&d->ports, c->call_domid, c->call_port);
	c->state = CLIENT_GONE;
}

int clients_turn(struct daemon *d, const struct pollfd *p, unsigned n)
{
	const uint64_t now = io_now_ms();

	for (struct client *c = d->clients; c; c = c->next) {
		const int revents = c->poll_at < n ? p[c->poll_at].revents : 0;

		if (c->state == CLIENT_WAITING && (revents & (POLLHUP | POLLERR)))
			c->state = CLIENT_GONE;
		else if (c->state == CLIENT_LEAVING && revents)
			client_left(d, c);
		else if (c->state != CLIENT_WAITING && revents)
			client_read(d, c);
		if (c->state == CLIENT_LEAVING && now >= c->until_ms) {
			log_info(d->name, "port %u: its call is over, its client does not leave",
				 c->call_port);
			client_left(d, c);
		}
		if (c->state == CLIENT_ASKING && now >= c->until_ms)
			client_refuse(d, c, "it did not say what it wants");
		if (c->state == CLIENT_WAITING && now >= c->until_ms)
			client_refuse(
				d, c,
				d->agent && !qrexec_peer_idle(d->agent)
					? "the agent does not read"
					: "no call of the qube ended, and all ports that its caller may have are in use");
	}
	clients_sweep(d);
	return 0;
}

/* "DEFAULT:command" is for the qube's default user; @ret: allocated if it had to be */
static int command_rewrite(const struct daemon *d, struct qrexec_msg *m, char **ret)
{
	int n;

	if (!m->command || !str_starts(m->command, DEFAULT_PREFIX))
		return 0;
	n = asprintf(ret, "%s:%s", d->default_user, m->command + strlen(DEFAULT_PREFIX));
	if (n < 0) {
		*ret = NULL;
		return -ENOMEM;
	}
	m->command = *ret;
	m->command_len = (size_t)n;
	return m->command_len < QREXEC_COMMAND_MAX ? 0 : -E2BIG;
}

/* Of a call to another qube it is that one's daemon which has chosen the port. */
static bool needs_port(const struct qrexec_msg *m)
{
	return m->type != QREXEC_SERVICE_CONNECT || m->domid == 0;
}

/* 0; 1: no port is free for it */
static int client_serve(struct daemon *d, struct client *c)
{
	struct qrexec_msg m = c->request, answer = {.type = m.type, .domid = d->domid};
	AUTO_FREE char *command = NULL;
	int r = command_rewrite(d, &m, &command);

	if (r == -E2BIG) {
		client_refuse(d, c, "its command is too long");
		return 0;
	}
	if (r < 0)
		return r;
	c->has_port = needs_port(&m);
	if (c->has_port)
		m.port = ports_take(&d->ports, d->domid, m.domid);
	if (m.port == 0)
		return 1;
	answer.port = m.port;
	r = qrexec_peer_send(c->peer, &answer);
	if (r < 0) {
		(void)ports_release(&d->ports, m.domid, m.port);
		c->state = CLIENT_GONE;
		return 0;
	}
	c->state = CLIENT_SERVED;
	c->call_domid = m.domid;
	c->call_port = m.port;
	if (m.type == QREXEC_SERVICE_CONNECT)
		request_answered(d, m.ident);
	log_debug(d->name, "port %u: %s", m.port, qrexec_type_str(m.type));
	return agent_send(d, &m);
}

int clients_dispatch(struct daemon *d)
{
	for (struct client *c = d->clients; c; c = c->next) {
		int r;

		if (!d->agent_up || !qrexec_peer_idle(d->agent))
			break;
		if (c->state != CLIENT_WAITING)
			continue;
		r = client_serve(d, c);
		if (r == -ENOMEM)
			return r;
		if (r < 0)
			return agent_lost(d, r); /* the list is empty now */
	}
	clients_sweep(d);
	return 0;
}

bool clients_end_call(struct daemon *d, uint32_t domid, uint32_t port)
{
	bool leaving = false;

	for (struct client *c = d->clients; c; c = c->next) {
		if (c->call_domid != domid || c->call_port != port)
			continue;
		leaving |= c->state == CLIENT_LEAVING;
		if (c->state != CLIENT_SERVED)
			continue;
		c->state = c->has_port ? CLIENT_LEAVING : CLIENT_GONE;
		c->until_ms = io_now_ms() + LEAVE_MS;
		if (c->has_port)
			(void)shutdown(qrexec_peer_fd(c->peer), SHUT_WR);
		return true;
	}
	/* nobody has it any more; what is being left has been ended already */
	return !leaving && ports_release(&d->ports, domid, port);
}

int clients_timeout_ms(const struct daemon *d)
{
	const uint64_t now = io_now_ms();
	int least = -1;

	for (const struct client *c = d->clients; c; c = c->next) {
		int left;

		if (c->state == CLIENT_SERVED)
			continue;
		left = c->until_ms <= now ? 0 : (int)(c->until_ms - now);
		if (least < 0 || left < least)
			least = left;
	}
	return least;
}
