/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/client.h"

#include "api/call.h"
#include "base/io.h"
#include "base/log.h"
#include "proto/admin.h"
#include "qubesd.h"
#include "store/model.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

struct listener {
	struct listener *next;
	struct qubesd *d;
	sd_event_source *source;
	enum door door;
	int fd;
};

struct client {
	struct client *next, *previous;
	struct qubesd *d;
	sd_event_source *source;
	struct call *call; /* owned while it is answered at once, else by who will answer it */
	struct text in, out;
	enum door door;
	int fd, sent_fd;
	bool reading, ending, subscribed;
	enum topic topic;
	unsigned qid; /* what it hears about; 0 = all */
	char uuid[UUID_LEN + 1];
	size_t n_counted; /* of @out, in the sum of all */
	size_t n_allowed; /* beyond CLIENT_MAX_QUEUE */
};

enum door client_door(const struct client *c)
{
	return c->door;
}

static void client_free(struct client *c)
{
	struct qubesd *d = c->d;

	if (c->previous)
		c->previous->next = c->next;
	else
		d->clients = c->next;
	if (c->next)
		c->next->previous = c->previous;
	else
		d->clients_last = c->previous;
	d->n_clients--;
	if (c->subscribed)
		d->n_streams[c->topic]--;
	d->n_queued -= c->n_counted;
	if (c->call)
		call_abandon(c->call);
	sd_event_source_disable_unref(c->source);
	text_done(&c->in);
	text_done(&c->out);
	close_fd(&c->fd);
	close_fd(&c->sent_fd);
	free(c);
}

static void watch(struct client *c)
{
	uint32_t events = (c->reading ? EPOLLIN : 0) | (c->out.len > 0 ? EPOLLOUT : 0);

	/* with neither, a socket closed on the other side is still told: EPOLLHUP */
	(void)sd_event_source_set_io_events(c->source, events);
	c->d->n_queued += c->out.len - c->n_counted;
	c->n_counted = c->out.len;
}

/* true while the client is there */
static bool flush(struct client *c)
{
	while (c->out.len > 0) {
		ssize_t n = send(c->fd, c->out.at, c->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			client_free(c);
			return false;
		}
		text_drop(&c->out, (size_t)n);
	}
	if (c->out.len == 0 && c->ending) {
		client_free(c);
		return false;
	}
	watch(c);
	return true;
}

bool client_send(struct client *c, const void *bytes, size_t len)
{
	text_bytes(&c->out, bytes, len);
	if (c->out.failed) {
		client_free(c);
		return false;
	}
	return flush(c);
}

void client_end(struct client *c)
{
	c->call = NULL;
	c->ending = true;
	(void)flush(c);
}

void client_release(struct client *c)
{
	c->call = NULL;
}

void client_subscribe(struct client *c, enum topic topic, const struct qube *q)
{
	if (!c->subscribed)
		c->d->n_streams[topic]++;
	c->subscribed = true;
	c->topic = topic;
	c->qid = q->qid;
	memcpy(c->uuid, q->uuid, sizeof(c->uuid));
}

void client_allow(struct client *c)
{
	c->n_allowed = c->out.len;
}

static bool hears(const struct client *c, enum topic topic, const struct qube *q)
{
	if (!c->subscribed || c->topic != topic)
		return false;
	return c->qid == 0 || (q && q->qid == c->qid && strcmp(q->uuid, c->uuid) == 0);
}

void clients_publish(struct qubesd *d, enum topic topic, const struct qube *q, const void *bytes,
		     size_t len)
{
	struct client *next;

	if (d->n_streams[topic] == 0)
		return;
	for (struct client *c = d->clients; c; c = next) {
		next = c->next;
		if (!hears(c, topic, q))
			continue;
		if (c->out.len + len > CLIENT_MAX_QUEUE + c->n_allowed ||
		    (c->out.len > 0 && d->n_queued + len > CLIENTS_MAX_QUEUE))
			client_free(c); /* it does not read: its stream ends, others go on */
		else
			(void)client_send(c, bytes, len);
	}
}

/* the request is whole */
static void request(struct client *c)
{
	struct admin_request q;
	int r = admin_request_decode(c->in.at, c->in.len, &q);

	c->reading = false;
	watch(c);
	if (r == ADMIN_E_FORMAT) {
		client_free(c);
		return;
	}
	if (r > 0) {
		char buf[256];
		size_t len = admin_exception_encode("ProtocolError",
						    "a field of the request's header is too long",
						    buf, sizeof(buf));

		if (client_send(c, buf, len))
			client_end(c);
		return;
	}
	r = call_new(c->d, c, &q, &c->sent_fd, &c->call);
	if (r < 0) {
		client_free(c);
		return;
	}
	call_run(c->call);
}

static void receive(struct client *c)
{
	/* at most this much per turn, so that a busy client leaves the others their turns */
	static uint8_t buf[16384];
	int fds[IO_MAX_FDS];
	size_t len, n_fds = 0;
	int r = io_recv_msg(c->fd, buf, sizeof(buf), &len, fds, IO_MAX_FDS, &n_fds);

	if (r == -EAGAIN)
		return;
	if (r < 0) {
		client_free(c);
		return;
	}
	for (size_t i = 0; i < n_fds; i++) {
		if (c->sent_fd < 0)
			c->sent_fd = take_fd(&fds[i]);
		close_fd(&fds[i]);
	}
	if (len == 0) {
		request(c);
		return;
	}
	text_bytes(&c->in, buf, len);
	if (c->in.failed || c->in.len > ADMIN_MAX_REQUEST)
		client_free(c);
}

static int on_client(sd_event_source *s, int fd, uint32_t events, void *data)
{
	struct client *c = data;

	(void)s, (void)fd;
	if (events & EPOLLIN && c->reading) {
		receive(c);
		return 0;
	}
	if (events & (EPOLLHUP | EPOLLERR)) {
		client_free(c);
		return 0;
	}
	if (events & EPOLLOUT)
		(void)flush(c);
	return 0;
}

/* a place for one more: the oldest that still owes its request goes */
static bool make_room(struct qubesd *d)
{
	for (struct client *c = d->clients; c; c = c->next)
		if (c->reading) {
			client_free(c);
			return true;
		}
	return false;
}

static int client_new(struct qubesd *d, int *fd, enum door door)
{
	struct client *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->d = d;
	c->fd = NO_FD;
	c->sent_fd = NO_FD;
	c->door = door;
	c->reading = true;
	r = sd_event_add_io(d->event, &c->source, *fd, EPOLLIN, on_client, c);
	if (r < 0) {
		free(c);
		return r;
	}
	c->fd = take_fd(fd);
	c->previous = d->clients_last;
	if (c->previous)
		c->previous->next = c;
	else
		d->clients = c;
	d->clients_last = c;
	d->n_clients++;
	return 0;
}

static int on_listener(sd_event_source *s, int fd, uint32_t events, void *data)
{
	struct listener *l = data;

	(void)s, (void)events;
	/* some per turn: a flood of connections must not starve those that are there */
	for (unsigned i = 0; i < 32; i++) {
		AUTO_CLOSE int new = NO_FD;

		bool full = l->d->n_clients >= l->d->max_clients && !make_room(l->d);

		new = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (new < 0) {
			if ((errno == EMFILE || errno == ENFILE) && make_room(l->d))
				continue;
			return 0;
		}
		if (full)
			continue; /* closed at once: left in the queue, it would wake us for ever */
		if (client_new(l->d, &new, l->door) < 0)
			log_warn(NULL, "a client was turned away: out of memory");
	}
	return 0;
}

int clients_listen(struct qubesd *d, int *fd, enum door door)
{
	struct listener *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	l->d = d;
	l->door = door;
	r = sd_event_add_io(d->event, &l->source, *fd, EPOLLIN, on_listener, l);
	if (r < 0) {
		free(l);
		return r;
	}
	l->fd = take_fd(fd);
	l->next = d->listeners;
	d->listeners = l;
	return 0;
}

void clients_done(struct qubesd *d)
{
	while (d->listeners) {
		struct listener *l = d->listeners;

		d->listeners = l->next;
		sd_event_source_disable_unref(l->source);
		close_fd(&l->fd);
		free(l);
	}
	while (d->clients)
		client_free(d->clients);
}
