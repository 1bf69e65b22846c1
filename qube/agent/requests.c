/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Programs of this qube that ask for services: each connects, says one TRIGGER_SERVICE and waits. It is answered eight
 * bytes, where to be a vchan server (u32 domid, u32 port), or the end of the connection: refused. Then it keeps the
 * connection as long as its call lasts.
 *
 * What a program calls its request is its own affair: dom0 knows it by an ident of ours, that no other one has.
 */
#include "agent.h"

#include "base/bytes.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "qrexec/peer.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum state {
	READING, /* its message is to come */
	READY,   /* it is complete, and to be sent to dom0 */
	SENT,    /* dom0 decides */
	GONE,    /* to be freed */
};

struct request {
	struct request *next;
	enum state state;
	int fd;
	uint64_t until_ms; /* READING, READY */
	uint8_t head[QREXEC_HEADER_LEN];
	uint8_t *payload; /* NULL: the header is to come */
	size_t n;         /* bytes of the header, then of the payload */
	struct qrexec_header header;
	struct qrexec_msg m; /* READY: borrows from payload */
	char ident[32];
};

static void sweep(struct agent *a)
{
	struct request **at = &a->requests;

	while (*at) {
		struct request *q = *at;

		if (q->state != GONE) {
			at = &q->next;
			continue;
		}
		*at = q->next;
		close_fd(&q->fd);
		free(q->payload);
		free(q);
		a->n_requests--;
	}
}

/* 0 once @to holds @want bytes; -EAGAIN; -ENODATA */
static int fill(struct request *q, uint8_t *to, size_t want)
{
	while (q->n < want) {
		ssize_t n = read(q->fd, to + q->n, want - q->n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0 ? -ENODATA : fail_errno();
		q->n += (size_t)n;
	}
	return 0;
}

/* 0: the request is complete; -EAGAIN; QREXEC_E_*; -errno */
static int request_read(struct request *q)
{
	int r = 0;

	if (!q->payload) {
		r = fill(q, q->head, sizeof(q->head));
		if (r == 0)
			r = qrexec_header_decode(QREXEC_LOCAL_TO_AGENT, QREXEC_VERSION, q->head,
						 &q->header);
		if (r != 0)
			return r;
		q->payload = malloc(q->header.len);
		if (!q->payload)
			return -ENOMEM;
		q->n = 0;
	}
	r = fill(q, q->payload, q->header.len);
	return r != 0 ? r
		      : qrexec_payload_decode(QREXEC_LOCAL_TO_AGENT, QREXEC_VERSION, &q->header,
					      q->payload, &q->m);
}

static void request_take(struct agent *a, struct request *q)
{
	int r = request_read(q);

	if (r == -EAGAIN)
		return;
	if (r != 0) {
		if (r > 0)
			log_warn(NULL, "a program's request is refused (%s)",
				 qrexec_outcome_str(r));
		q->state = GONE;
		return;
	}
	(void)snprintf(q->ident, sizeof(q->ident), "SOCKET%u", ++a->last_ident);
	memcpy(q->m.ident, q->ident, sizeof(q->ident));
	q->until_ms = io_now_ms() + DAEMON_MS;
	q->state = READY;
}

void requests_accept(struct agent *a)
{
	while (a->n_requests < REQUESTS_MAX) {
		AUTO_CLOSE int fd = accept4(a->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		struct request *q, **at = &a->requests;

		if (fd < 0)
			return;
		q = calloc(1, sizeof(*q));
		if (!q)
			return;
		q->fd = take_fd(&fd);
		q->until_ms = io_now_ms() + REQUEST_MS;
		while (*at)
			at = &(*at)->next;
		*at = q;
		a->n_requests++;
		request_take(a, q); /* most have said all when they are accepted */
	}
}

unsigned requests_poll(struct agent *a, struct pollfd *p)
{
	unsigned n = 0;

	/* who has said all is only watched for leaving */
	for (struct request *q = a->requests; q; q = q->next)
		p[n++] = (struct pollfd){.fd = q->fd, .events = POLLIN};
	return n;
}

void requests_turn(struct agent *a, const struct pollfd *p, unsigned n)
{
	const uint64_t now = io_now_ms();
	unsigned i = 0;

	for (struct request *q = a->requests; q; q = q->next, i++) {
		const bool news = i < n && p[i].revents != 0;

		/* more than one message, or the end: either way it is not waited for */
		if (news && q->state != READING)
			q->state = GONE;
		else if (news)
			request_take(a, q);
		if ((q->state == READING || q->state == READY) && now >= q->until_ms)
			q->state = GONE;
	}
	sweep(a);
}

int requests_timeout_ms(const struct agent *a)
{
	const uint64_t now = io_now_ms();
	int least = -1;

	for (const struct request *q = a->requests; q; q = q->next) {
		int left;

		if (q->state != READING && q->state != READY)
			continue;
		left = q->until_ms <= now ? 0 : (int)(q->until_ms - now);
		if (least < 0 || left < least)
			least = left;
	}
	return least;
}

/* in the words of dom0's version; false: it has none */
static bool translate(struct qrexec_msg *m, uint32_t version)
{
	if (version >= 4)
		return true;
	if (m->source[0] != '\0')
		return false;
	m->type = version >= 3 ? QREXEC_TRIGGER_SERVICE3 : QREXEC_TRIGGER_SERVICE;
	return version >= 3 || (m->service_len < 64 && strlen(m->target) < 32);
}

int requests_send(struct agent *a)
{
	int r = 0;

	for (struct request *q = a->requests; q && r == 0; q = q->next) {
		if (q->state != READY)
			continue;
		if (!a->daemon || qrexec_peer_version(a->daemon) == 0 ||
		    !qrexec_peer_idle(a->daemon))
			break;
		q->state = SENT;
		if (translate(&q->m, qrexec_peer_version(a->daemon)))
			r = qrexec_peer_send(a->daemon, &q->m);
		else
			q->state = GONE;
		free(q->payload);
		q->payload = NULL;
	}
	sweep(a);
	return r;
}

static struct request *sent_get(struct agent *a, const char *ident)
{
	for (struct request *q = a->requests; q; q = q->next)
		if (q->state == SENT && str_eq(q->ident, ident))
			return q;
	return NULL;
}

int request_connect(struct agent *a, const struct qrexec_msg *m)
{
	struct request *q = sent_get(a, m->ident);
	uint8_t bytes[8];
	struct wr w = wr_of(bytes, sizeof(bytes));
	int r;

	if (!q) {
		log_warn(NULL, "nobody waits for the connection %s", m->ident);
		(void)call_break(a, m->ident);
		return call_refuse(a, m->domid, m->port);
	}
	wr_le32(&w, m->domid);
	wr_le32(&w, m->port);
	/* it has read nothing yet: there is room. One that left is noticed as the end of its call */
	if (send(q->fd, bytes, sizeof(bytes), MSG_NOSIGNAL) < 0)
		r = call_refuse(a, m->domid, m->port);
	else
		r = call_watch(a, m->domid, m->port, q->ident, &q->fd);
	q->state = GONE;
	sweep(a);
	return r;
}

void request_refuse(struct agent *a, const char *ident)
{
	struct request *q = sent_get(a, ident);

	if (q)
		q->state = GONE;
	sweep(a);
}

void requests_drop_sent(struct agent *a)
{
	for (struct request *q = a->requests; q; q = q->next)
		if (q->state == SENT)
			q->state = GONE;
	sweep(a);
}
