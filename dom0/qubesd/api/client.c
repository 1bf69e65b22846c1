/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/client.h"

#include "api/call.h"
#include "base/io.h"
#include "base/log.h"
#include "proto/admin.h"
#include "qubesd.h"
#include "store/model.h"

#include <malloc.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/** PATIENCE_MS - so long a client may be busy with something else than reading */
#define PATIENCE_MS 1000

/** CLIENTS_PER_TURN - new connections, with what they have asked by then */
#define CLIENTS_PER_TURN 8

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
	size_t n_asked;       /* memory of @in, in the sum of all */
	size_t n_counted;     /* memory of @out, likewise */
	size_t n_allowed;     /* beyond CLIENT_MAX_QUEUE */
	uint64_t unread_from; /* when it read last, or all was read; ms */
};

enum door client_door(const struct client *c)
{
	return c->door;
}

/* What many had sent or not read is the system's again: malloc would keep it for as long as anything lies above it. */
static void give_back(struct qubesd *d)
{
	size_t held = d->n_asked + d->n_queued;

	if (held > d->most_held)
		d->most_held = held;
	if (held > 1u << 20 || d->most_held < 8u << 20)
		return;
	d->most_held = 0;
	(void)malloc_trim(1u << 20);
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
	d->n_asked -= c->n_asked;
	if (c->call)
		call_abandon(c->call);
	sd_event_source_disable_unref(c->source);
	text_done(&c->in);
	text_done(&c->out);
	/* a child that is not executed yet has it, too: its end must not wait for that */
	(void)shutdown(c->fd, SHUT_RDWR);
	close_fd(&c->fd);
	if (c->sent_fd >= 0)
		d->n_sent_fds--;
	close_fd(&c->sent_fd);
	free(c);
	give_back(d);
}

static void watch(struct client *c)
{
	uint32_t events = (c->reading ? EPOLLIN : 0) | (c->out.len > 0 ? EPOLLOUT : 0);

	/* with neither, a socket closed on the other side is still told: EPOLLHUP */
	(void)sd_event_source_set_io_events(c->source, events);
	if (c->out.len == 0)
		text_done(&c->out);
	c->d->n_queued += c->out.room + c->out.skipped - c->n_counted;
	c->n_counted = c->out.room + c->out.skipped;
	give_back(c->d);
}

/* Too much is unread: who has not read for longest, other than @but, loses it; one that began a moment ago only when it is
 * far too much. Its connection is shut down here and freed in a turn of its own, for whoever is being answered now may
 * be in the middle of a list of clients.
 */
static void starve(struct qubesd *d, const struct client *but)
{
	const uint64_t now = io_now_ms();

	while (d->n_queued > CLIENTS_MAX_QUEUE) {
		struct client *worst = NULL;

		for (struct client *c = d->clients; c; c = c->next)
			if (c != but && c->n_counted > 0 &&
			    (!worst || c->unread_from < worst->unread_from))
				worst = c;
		if (!worst || (now - worst->unread_from < PATIENCE_MS &&
			       d->n_queued < 2 * (size_t)CLIENTS_MAX_QUEUE))
			return;
		text_done(&worst->out);
		watch(worst);
		(void)shutdown(worst->fd, SHUT_RDWR);
	}
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
		c->unread_from = io_now_ms();
	}
	if (c->out.len == 0 && c->ending) {
		client_free(c);
		return false;
	}
	watch(c);
	starve(c->d, c);
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

bool client_answer(struct client *c, struct text *result)
{
	if (!client_send(c, "0", 2))
		return false;
	if (c->out.len > 0) {
		bool there = client_send(c, result->at, result->len);

		text_done(result);
		return there;
	}
	text_done(&c->out);
	c->out = *result;
	*result = (struct text){0};
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
	if (!c->subscribed || c->ending || c->topic != topic)
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
		if (c->out.len + len > CLIENT_MAX_QUEUE + c->n_allowed)
			client_free(c); /* it does not read: its stream ends, others go on */
		else
			(void)client_send(c, bytes, len);
	}
}

/* what it has sent is looked at, or was copied */
static void forget_request(struct client *c)
{
	text_done(&c->in);
	c->d->n_asked -= c->n_asked;
	c->n_asked = 0;
	give_back(c->d);
}

/* the request is whole */
static void request(struct client *c)
{
	struct qubesd *d = c->d;
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

		forget_request(c);
		if (client_send(c, buf, len))
			client_end(c);
		return;
	}
	if (c->sent_fd >= 0)
		d->n_sent_fds--;
	r = call_new(d, c, &q, &c->sent_fd, &c->call);
	if (r < 0) {
		d->n_sent_fds += c->sent_fd >= 0;
		client_free(c);
		return;
	}
	forget_request(c);
	call_run(c->call);
}

/* a place for one more: the oldest that still owes its request, other than @but, goes */
static bool make_room(struct qubesd *d, const struct client *but)
{
	for (struct client *c = d->clients; c; c = c->next)
		if (c->reading && c != but) {
			client_free(c);
			return true;
		}
	return false;
}

static bool is_full(const struct qubesd *d)
{
	return d->n_clients + d->n_sent_fds >= d->max_clients;
}

/* Return: there may be more to receive */
static bool receive(struct client *c)
{
	/* at most this much per turn, so that a busy client leaves the others their turns */
	static uint8_t buf[16384];
	int fds[IO_MAX_FDS];
	size_t len, n_fds = 0;
	int r = io_recv_msg(c->fd, buf, sizeof(buf), &len, fds, IO_MAX_FDS, &n_fds);

	if (r == -EAGAIN)
		return false;
	if (r < 0) {
		client_free(c);
		return false;
	}
	for (size_t i = 0; i < n_fds; i++) {
		/* one is kept, if there is a place for it */
		if (c->sent_fd < 0 && (!is_full(c->d) || make_room(c->d, c))) {
			c->sent_fd = take_fd(&fds[i]);
			c->d->n_sent_fds++;
		}
		close_fd(&fds[i]);
	}
	if (len == 0) {
		request(c);
		return false;
	}
	text_bytes(&c->in, buf, len);
	c->d->n_asked += c->in.room - c->n_asked;
	c->n_asked = c->in.room;
	give_back(c->d);
	if (c->in.failed || c->in.len > ADMIN_MAX_REQUEST) {
		client_free(c);
		return false;
	}
	while (c->d->n_asked > CLIENTS_MAX_ASKED && make_room(c->d, c))
		;
	return true;
}

/* gone, and not only done with its request: if it was killed, what it has sent may be half of what it meant */
static bool is_gone(const struct client *c)
{
	struct pollfd p = {.fd = c->fd};

	return poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR));
}

/* a request and its end mostly come together: they are not worth two turns, between which others may commit */
static void listen_to(struct client *c)
{
	for (unsigned i = 0; i < 2; i++) {
		if (is_gone(c)) {
			client_free(c);
			return;
		}
		if (!receive(c))
			return;
	}
}

static int on_client(sd_event_source *s, int fd, uint32_t events, void *data)
{
	struct client *c = data;

	(void)s, (void)fd;
	if (events & (EPOLLHUP | EPOLLERR)) {
		client_free(c);
		return 0;
	}
	if (events & EPOLLIN && c->reading) {
		listen_to(c);
		return 0;
	}
	if (events & EPOLLOUT)
		(void)flush(c);
	return 0;
}

static int client_new(struct qubesd *d, int *fd, enum door door, struct client **ret)
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
	*ret = c;
	return 0;
}

/* whoever finds no descriptor is told so even where nobody waits */
static bool is_awaited(int listen_fd)
{
	struct pollfd p = {.fd = listen_fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

static int on_listener(sd_event_source *s, int fd, uint32_t events, void *data)
{
	struct listener *l = data;

	(void)s, (void)events;
	/* some per turn: a flood of connections must not starve those that are there */
	for (unsigned i = 0; i < CLIENTS_PER_TURN; i++) {
		AUTO_CLOSE int new = NO_FD;
		struct client *c;

		new = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (new < 0) {
			if ((errno == EMFILE || errno == ENFILE) && is_awaited(fd) &&
			    make_room(l->d, NULL))
				continue;
			return 0;
		}
		/* only now: who waits here may be nobody, and then nobody has to go */
		if (is_full(l->d) && !make_room(l->d, NULL))
			continue; /* closed at once: left in the queue, it would wake us for ever */
		if (client_new(l->d, &new, l->door, &c) < 0)
			log_warn(NULL, "a client was turned away: out of memory");
		else
			listen_to(c);
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
