/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qdb/serve.h"

#include "base/io.h"

#include <string.h>
#include <sys/socket.h>

#define ACCEPTS_PER_TURN 8
#define ACCEPT_PAUSE_MS  500 /* after the kernel had no descriptor or memory for us */

struct watch {
	uint8_t len;
	char path[QDB_PATH_MAX];
};

struct qdb_client {
	struct qdb_client *next;
	int fd;
	bool read_only;
	bool held;    /* a change of this client waits for its answer */
	bool eof;     /* it will send no more */
	bool ended;   /* to be freed at the end of the turn */
	size_t fired; /* bytes of fired watches since its buffer was last empty */
	struct watch *watches;
	size_t n_watches;
	struct qdb_conn conn;
};

void qdb_serve_init(struct qdb_serve *s, struct qdb_tree *tree, void *data)
{
	*s = (struct qdb_serve){.tree = tree, .data = data};
}

static void client_free(struct qdb_serve *s, struct qdb_client *c)
{
	if (c->held && s->client_gone)
		s->client_gone(s->data, c);
	(void)close(c->fd);
	s->n_clients--;
	s->n_ro_clients -= c->read_only;
	qdb_conn_done(&c->conn);
	free(c->watches);
	free(c);
}

void qdb_serve_listen(struct qdb_serve *s, int *fd, bool read_only)
{
	if (s->n_listeners == QDB_MAX_LISTENERS)
		abort();
	s->listeners[s->n_listeners].fd = take_fd(fd);
	s->listeners[s->n_listeners].read_only = read_only;
	s->n_listeners++;
}

/* a client that cannot be answered is let go: the others, and the tree, are fine */
static void client_put(struct qdb_client *c, enum qdb_type type, const char *path, size_t path_len,
		       const struct qdb_entry *e)
{
	if (qdb_conn_put(&c->conn, type, path, path_len, e ? e->value : NULL,
			 e ? e->value_len : 0) < 0)
		c->ended = true;
}

void qdb_serve_fire(struct qdb_serve *s, const char *path, size_t path_len)
{
	for (struct qdb_client *c = s->clients; c; c = c->next) {
		for (size_t i = 0; i < c->n_watches && !c->ended; i++) {
			const struct watch *w = &c->watches[i];

			if (!qdb_path_matches(w->path, w->len, path, path_len))
				continue;
			client_put(c, QDB_FIRED, path, path_len, NULL);
			c->fired += QDB_HEADER;
			if (c->fired > QDB_FIRED_MAX)
				c->ended = true;
		}
	}
}

void qdb_serve_answer(struct qdb_serve *s, struct qdb_client *c, enum qdb_type type,
		      const char *path, size_t path_len)
{
	c->held = false;
	s->again = true; /* it may have sent more meanwhile */
	client_put(c, type, path, path_len, NULL);
}

/* ---- requests ------------------------------------------------------------------------------- */

static void series(struct qdb_serve *s, struct qdb_client *c, const struct qdb_head *h)
{
	const bool values = h->type == QDB_MULTIREAD;
	const enum qdb_type type = values ? QDB_MULTIREAD_IS : QDB_LIST_IS;

	for (const struct qdb_entry *e = qdb_tree_first(s->tree, h->path, h->path_len);
	     e && !c->ended; e = qdb_tree_next(e, h->path, h->path_len))
		client_put(c, type, e->path, e->path_len, values ? e : NULL);
	client_put(c, type, "", 0, NULL);
}

static enum qdb_type add_watch(struct qdb_client *c, const struct qdb_head *h)
{
	struct watch *more;

	if (c->n_watches == QDB_MAX_WATCHES)
		return QDB_ERROR;
	more = reallocarray(c->watches, c->n_watches + 1, sizeof(*more));
	if (!more)
		return QDB_ERROR;
	c->watches = more;
	more[c->n_watches].len = (uint8_t)h->path_len;
	memcpy(more[c->n_watches].path, h->path, h->path_len);
	c->n_watches++;
	return QDB_OK;
}

static enum qdb_type drop_watch(struct qdb_client *c, const struct qdb_head *h)
{
	for (size_t i = 0; i < c->n_watches; i++) {
		struct watch *w = &c->watches[i];

		if (w->len != h->path_len || memcmp(w->path, h->path, h->path_len) != 0)
			continue;
		*w = c->watches[--c->n_watches];
		return QDB_OK;
	}
	return QDB_ENOENT;
}

static int change(struct qdb_serve *s, struct qdb_client *c, const struct qdb_msg *m)
{
	int r = QDB_ERROR;

	if (!c->read_only)
		r = s->change(s->data, c, m);
	if (r < 0)
		return r;
	if (r == QDB_HELD)
		c->held = true;
	else
		client_put(c, (enum qdb_type)r, m->head.path, m->head.path_len, NULL);
	return 0;
}

static int request(struct qdb_serve *s, struct qdb_client *c, const struct qdb_msg *m)
{
	const struct qdb_head *h = &m->head;
	const struct qdb_entry *e;

	switch (h->type) {
	case QDB_READ:
		e = qdb_tree_get(s->tree, h->path, h->path_len);
		client_put(c, e ? QDB_READ_IS : QDB_ENOENT, h->path, h->path_len, e);
		return 0;
	case QDB_WRITE:
	case QDB_RM:
		return change(s, c, m);
	case QDB_MULTIREAD:
	case QDB_LIST:
		series(s, c, h);
		return 0;
	case QDB_WATCH:
		client_put(c, add_watch(c, h), h->path, h->path_len, NULL);
		return 0;
	case QDB_UNWATCH:
		client_put(c, drop_watch(c, h), h->path, h->path_len, NULL);
		return 0;
	case QDB_OK:
	case QDB_ENOENT:
	case QDB_ERROR:
	case QDB_READ_IS:
	case QDB_MULTIREAD_IS:
	case QDB_LIST_IS:
	case QDB_FIRED:
		break;
	}
	c->ended = true; /* an answer to nothing */
	return 0;
}

static bool client_waits(const struct qdb_client *c)
{
	return c->held || qdb_conn_n_pending(&c->conn) >= QDB_CONN_BUSY;
}

static int client_requests(struct qdb_serve *s, struct qdb_client *c)
{
	while (!c->ended && !client_waits(c)) {
		struct qdb_msg m;
		int r = qdb_conn_next(&c->conn, &m);

		if (r == QDB_C_MORE) {
			if (c->eof && qdb_conn_n_pending(&c->conn) == 0)
				c->ended = true;
			return 0;
		}
		if (r > 0 && (r == QDB_E_FORMAT || m.head.type > QDB_UNWATCH)) {
			c->ended = true; /* lost, or no request at all */
		} else if (r > 0) {
			/* the path is not repeated: it may be what is wrong */
			client_put(c, QDB_ERROR, "", 0, NULL);
		} else {
			r = request(s, c, &m);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* ---- bytes ---------------------------------------------------------------------------------- */

static void client_flush(struct qdb_client *c)
{
	size_t len;
	const uint8_t *bytes = qdb_conn_pending(&c->conn, &len);
	ssize_t n;

	if (len == 0 || c->ended)
		return;
	n = send(c->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n > 0) {
		qdb_conn_sent(&c->conn, (size_t)n);
		if ((size_t)n == len)
			c->fired = 0;
	} else if (n < 0 && errno != EAGAIN && errno != EINTR) {
		c->ended = true;
	}
}

static void client_fill(struct qdb_client *c)
{
	size_t size;
	uint8_t *to = qdb_conn_room(&c->conn, &size);
	ssize_t n;

	if (size == 0)
		return;
	n = recv(c->fd, to, size, MSG_DONTWAIT);
	if (n > 0)
		qdb_conn_filled(&c->conn, (size_t)n);
	else if (n == 0)
		c->eof = true;
	else if (errno != EAGAIN && errno != EINTR)
		c->ended = true;
}

static int client_turn(struct qdb_serve *s, struct qdb_client *c, short events)
{
	int r;

	if (events & POLLOUT)
		client_flush(c);
	if ((events & (POLLIN | POLLHUP)) && !c->eof && !client_waits(c))
		client_fill(c);
	else if (events & (POLLERR | POLLNVAL))
		c->ended = true;
	r = client_requests(s, c);
	if (r < 0)
		return r;
	client_flush(c); /* mostly all of it goes out at once */
	if (!c->ended && c->eof && !c->held && qdb_conn_n_pending(&c->conn) == 0)
		s->again = true;
	return 0;
}

static int client_add(struct qdb_serve *s, int fd, bool read_only)
{
	struct qdb_client *c = malloc(sizeof(*c)); /* not cleared: see qdb_conn_init() */

	if (!c) {
		(void)close(fd);
		return -ENOMEM;
	}
	c->next = s->clients;
	c->fd = fd;
	c->read_only = read_only;
	c->held = c->eof = c->ended = false;
	c->fired = 0;
	c->watches = NULL;
	c->n_watches = 0;
	qdb_conn_init(&c->conn);
	s->clients = c;
	s->n_clients++;
	s->n_ro_clients += read_only;
	return 0;
}

static bool listener_open(const struct qdb_serve *s, size_t i)
{
	return !s->paused && s->n_clients < QDB_MAX_CLIENTS &&
	       (!s->listeners[i].read_only || s->n_ro_clients < QDB_MAX_RO_CLIENTS);
}

static void listener_turn(struct qdb_serve *s, size_t i)
{
	for (unsigned n = 0; n < ACCEPTS_PER_TURN && listener_open(s, i); n++) {
		int fd = accept4(s->listeners[i].fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0 && errno == EAGAIN)
			return;
		if (fd < 0 || client_add(s, fd, s->listeners[i].read_only) < 0) {
			s->accept_after_ms = io_now_ms() + ACCEPT_PAUSE_MS;
			return;
		}
	}
}

/* ---- the loop ------------------------------------------------------------------------------- */

struct poll_set {
	struct pollfd at[QDB_MAX_SOURCES + QDB_MAX_LISTENERS + QDB_MAX_CLIENTS];
	size_t n;
};

static void poll_add(struct poll_set *set, int fd, short events)
{
	set->at[set->n++] = (struct pollfd){.fd = fd, .events = events};
}

static void poll_fill(struct qdb_serve *s, struct poll_set *set, const struct qdb_source *sources,
		      size_t n_sources, bool accepting)
{
	for (size_t i = 0; i < n_sources; i++)
		poll_add(set, sources[i].fd, sources[i].events);
	for (size_t i = 0; i < s->n_listeners; i++)
		poll_add(set, accepting && listener_open(s, i) ? s->listeners[i].fd : NO_FD,
			 POLLIN);
	for (struct qdb_client *c = s->clients; c; c = c->next) {
		short events = 0;

		if (qdb_conn_n_pending(&c->conn) > 0)
			events |= POLLOUT;
		if (!client_waits(c) && !c->eof)
			events |= POLLIN;
		/* nothing wanted: do not even hear that it hung up, again and again */
		poll_add(set, events ? c->fd : NO_FD, events);
	}
}

static void sweep(struct qdb_serve *s)
{
	for (struct qdb_client **at = &s->clients; *at;) {
		struct qdb_client *c = *at;

		if (!c->ended) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		client_free(s, c);
	}
}

int qdb_serve_turn(struct qdb_serve *s, const struct qdb_source *sources, size_t n_sources,
		   int timeout_ms)
{
	const bool accepting = s->accept_after_ms == 0 || io_now_ms() >= s->accept_after_ms;
	const struct pollfd *p;
	struct poll_set set;
	size_t n_clients = s->n_clients;
	int r;

	set.n = 0;
	if (accepting)
		s->accept_after_ms = 0;
	else if (timeout_ms < 0 || timeout_ms > ACCEPT_PAUSE_MS)
		timeout_ms = ACCEPT_PAUSE_MS;
	poll_fill(s, &set, sources, n_sources, accepting);
	r = poll(set.at, set.n, s->again ? 0 : timeout_ms);
	if (r < 0 && errno != EINTR)
		return fail_errno();
	if (r < 0) /* a stop and a continue */
		return 0;
	s->again = false;
	p = set.at;
	for (size_t i = 0; i < n_sources; i++, p++)
		if (p->revents) {
			r = sources[i].ready(s->data, p->revents);
			if (r != 0)
				return r;
		}
	p += s->n_listeners;
	/* clients that come in this turn stand before these, and wait for the next */
	for (struct qdb_client *c = s->clients; c && n_clients > 0; c = c->next, n_clients--, p++) {
		r = client_turn(s, c, p->revents);
		if (r < 0)
			return r;
	}
	p = set.at + n_sources;
	for (size_t i = 0; i < s->n_listeners; i++, p++)
		if (p->revents)
			listener_turn(s, i);
	sweep(s);
	return 0;
}
