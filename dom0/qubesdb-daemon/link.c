/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "link.h"

#include "base/io.h"
#include "base/log.h"
#include "vchan/vchan.h"

#include <string.h>
#include <sys/socket.h>

/* clang-format off */
#define WINDOW_MS         60000
#define MAX_REFUSED       1000          /* in a window */
#define MAX_GARBAGE       20            /* connections closed for their content, in a window */
#define MAX_CONNECTIONS   200           /* in a window */
#define MESSAGES_PER_S    2000
#define MESSAGES_BURST    4000
#define MAX_UNANSWERED    1024          /* changes by dom0 */
#define MAX_UNREAD        (16u << 20)   /* bytes */
/* clang-format on */

/** struct sent - a change by dom0 that the qube has not answered yet */
struct sent {
	uint8_t len;
	char path[QDB_PATH_MAX];
};

struct link {
	const char *name;
	struct qdb_serve *serve;
	struct journal *journal;
	int listen_fd;
	struct vchan *vchan; /* NULL: nobody is connected */
	bool synced;         /* it asked for everything: from there on it is told of changes */
	struct qdb_conn conn;
	/* changes on their way, oldest first, a ring */
	struct sent sent[MAX_UNANSWERED];
	unsigned sent_at, n_sent;
	/* what it may still do */
	uint64_t tokens_ms; /* when @tokens was right */
	unsigned tokens;
	uint64_t window_ms;
	unsigned n_refused, n_garbage, n_connections;
	struct log_limit limit;
};

int link_new(const char *name, int *listen_fd, struct qdb_serve *serve, struct journal *journal,
	     struct link **ret)
{
	struct link *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->name = name;
	l->serve = serve;
	l->journal = journal;
	l->listen_fd = take_fd(listen_fd);
	l->limit = (struct log_limit){.interval_s = 60, .burst = 5};
	l->tokens = MESSAGES_BURST;
	l->tokens_ms = l->window_ms = io_now_ms();
	*ret = l;
	return 0;
}

static void disconnect(struct link *l)
{
	if (!l->vchan)
		return;
	vchan_free(l->vchan);
	l->vchan = NULL;
	qdb_conn_done(&l->conn);
	l->synced = false;
	l->sent_at = l->n_sent = 0;
}

void link_free(struct link *l)
{
	if (!l)
		return;
	disconnect(l);
	close_fd(&l->listen_fd);
	free(l);
}

/* ---- how much is too much ---------------------------------------------------------------------
 */

static int count(struct link *l, unsigned *counter, unsigned max, const char *what)
{
	const uint64_t now = io_now_ms();

	if (now - l->window_ms > WINDOW_MS) {
		l->n_refused = l->n_garbage = l->n_connections = 0;
		l->window_ms = now;
	}
	if (++*counter <= max)
		return 0;
	log_err(l->name, "more than %u %s within a minute: QubesDB is closed to this qube", max,
		what);
	return LINK_CUT_OFF;
}

static int garbage(struct link *l, const char *what)
{
	if (log_allowed(&l->limit, l->name))
		log_warn(l->name, "qubesdb: %s, closing its connection", what);
	disconnect(l);
	return count(l, &l->n_garbage, MAX_GARBAGE, "connections with garbage");
}

static void refill(struct link *l)
{
	const uint64_t now = io_now_ms();
	uint64_t more = (now - l->tokens_ms) * MESSAGES_PER_S / 1000;

	if (more == 0)
		return;
	l->tokens_ms = now;
	l->tokens = more > MESSAGES_BURST - l->tokens ? MESSAGES_BURST : l->tokens + (unsigned)more;
}

static bool link_waits(const struct link *l)
{
	return l->tokens == 0 || qdb_conn_n_pending(&l->conn) >= QDB_CONN_BUSY;
}

/* ---- to the qube ------------------------------------------------------------------------------
 */

static void put(struct link *l, enum qdb_type type, const char *path, size_t path_len,
		const void *value, size_t value_len)
{
	if (!l->vchan || qdb_conn_put(&l->conn, type, path, path_len, value, value_len) == 0)
		return;
	log_warn(l->name, "qubesdb: out of memory, closing its connection");
	disconnect(l);
}

void link_push(struct link *l, enum qdb_type type, const char *path, size_t path_len,
	       const void *value, size_t value_len)
{
	struct sent *s;

	if (!l->synced)
		return;
	if (l->n_sent == MAX_UNANSWERED || qdb_conn_n_pending(&l->conn) > MAX_UNREAD) {
		if (log_allowed(&l->limit, l->name))
			log_warn(l->name,
				 "qubesdb: the qube does not answer, closing its connection");
		disconnect(l);
		return;
	}
	s = &l->sent[(l->sent_at + l->n_sent++) % MAX_UNANSWERED];
	s->len = (uint8_t)path_len;
	memcpy(s->path, path, path_len);
	put(l, type, path, path_len, value, value_len);
}

static void flush(struct link *l)
{
	size_t len, n;
	const uint8_t *bytes;
	int r;

	if (!l->vchan)
		return;
	bytes = qdb_conn_pending(&l->conn, &len);
	if (len == 0)
		return;
	r = vchan_write(l->vchan, bytes, len, &n);
	if (r == 0)
		qdb_conn_sent(&l->conn, n);
	else if (r != -EAGAIN)
		disconnect(l);
}

/* ---- from the qube ------------------------------------------------------------------------------
 */

/* has dom0 changed this while the qube had not heard of it? */
static bool crosses(const struct link *l, const struct qdb_head *h)
{
	for (unsigned i = 0; i < l->n_sent; i++) {
		const struct sent *s = &l->sent[(l->sent_at + i) % MAX_UNANSWERED];

		if (qdb_path_matches(s->path, s->len, h->path, h->path_len) ||
		    qdb_path_matches(h->path, h->path_len, s->path, s->len))
			return true;
	}
	return false;
}

static void changed(struct link *l, const struct qdb_entry *e, bool gone)
{
	qdb_serve_fire(l->serve, e->path, e->path_len);
	journal_note(l->journal, l->serve->tree, e, gone);
}

static void on_removed(void *data, const struct qdb_entry *e)
{
	changed(data, e, true);
}

static int set(struct link *l, const struct qdb_msg *m)
{
	const struct qdb_head *h = &m->head;
	int r = qdb_tree_set(l->serve->tree, QDB_QUBE, h->path, h->path_len, m->value,
			     h->value_len);

	if (r == 0)
		changed(l, qdb_tree_get(l->serve->tree, h->path, h->path_len), false);
	return r;
}

static int on_change(struct link *l, const struct qdb_msg *m)
{
	const struct qdb_head *h = &m->head;
	enum qdb_type answer = QDB_ERROR;
	int r = QDB_T_OWNER;

	if (!crosses(l, h))
		r = h->type == QDB_WRITE ? set(l, m)
					 : qdb_tree_remove(l->serve->tree, QDB_QUBE, h->path,
							   h->path_len, on_removed, l);
	if (r == 0)
		answer = QDB_OK;
	else if (r == QDB_T_NOENT)
		answer = QDB_ENOENT;
	put(l, answer, h->path, h->path_len, NULL, 0);
	return answer == QDB_ERROR ? count(l, &l->n_refused, MAX_REFUSED, "refused changes") : 0;
}

static int on_multiread(struct link *l, const struct qdb_head *h)
{
	/* one moment's state, whole: changes that follow stand behind it */
	for (const struct qdb_entry *e = qdb_tree_first(l->serve->tree, h->path, h->path_len); e;
	     e = qdb_tree_next(e, h->path, h->path_len))
		put(l, QDB_MULTIREAD_IS, e->path, e->path_len, e->value, e->value_len);
	put(l, QDB_MULTIREAD_IS, "", 0, NULL, 0);
	if (h->path_len == 0 && l->vchan)
		l->synced = true;
	return 0;
}

static int on_answer(struct link *l)
{
	if (l->n_sent == 0)
		return garbage(l, "an answer to nothing");
	l->sent_at = (l->sent_at + 1) % MAX_UNANSWERED;
	l->n_sent--;
	return 0;
}

static int on_message(struct link *l, const struct qdb_msg *m)
{
	switch (m->head.type) {
	case QDB_WRITE:
	case QDB_RM:
		return on_change(l, m);
	case QDB_MULTIREAD:
		return on_multiread(l, &m->head);
	case QDB_OK:
	case QDB_ENOENT:
	case QDB_ERROR:
		return on_answer(l);
	case QDB_READ:
	case QDB_LIST:
	case QDB_WATCH:
	case QDB_UNWATCH:
	case QDB_READ_IS:
	case QDB_MULTIREAD_IS:
	case QDB_LIST_IS:
	case QDB_FIRED:
		break;
	}
	return garbage(l, "a message that a qube does not send");
}

static int messages(struct link *l)
{
	int r = 0;

	while (r == 0 && l->vchan && !link_waits(l)) {
		struct qdb_msg m;

		r = qdb_conn_next(&l->conn, &m);
		if (r == QDB_C_MORE)
			return 0;
		if (r > 0)
			return garbage(l, "a malformed message");
		l->tokens--;
		r = on_message(l, &m);
	}
	return r;
}

static void fill(struct link *l)
{
	size_t size, n;
	uint8_t *to = qdb_conn_room(&l->conn, &size);
	int r;

	if (size == 0)
		return;
	r = vchan_read(l->vchan, to, size, &n);
	if (r == 0 && n > 0)
		qdb_conn_filled(&l->conn, n);
	else if (r != -EAGAIN)
		disconnect(l);
}

int link_ready(struct link *l, short events)
{
	int r;

	refill(l);
	if (events & POLLOUT)
		flush(l);
	if (l->vchan && (events & (POLLIN | POLLHUP | POLLERR)) && !link_waits(l))
		fill(l);
	r = messages(l);
	flush(l);
	return r;
}

int link_accept(struct link *l)
{
	AUTO_CLOSE int fd = accept4(l->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int r;

	if (fd < 0)
		return errno == EBADF || errno == EINVAL || errno == ENOTSOCK ? -errno : 0;
	r = count(l, &l->n_connections, MAX_CONNECTIONS, "connections");
	if (r != 0)
		return r;
	disconnect(l);
	r = vchan_new_from_fd(&fd, &l->vchan);
	if (r < 0)
		return r;
	qdb_conn_init(&l->conn);
	return 0;
}

struct qdb_source link_listen_source(const struct link *l)
{
	return (struct qdb_source){.fd = l->listen_fd, .events = POLLIN};
}

struct qdb_source link_source(struct link *l, int *ret_timeout_ms)
{
	struct qdb_source s = {.fd = NO_FD};

	if (!l->vchan)
		return s;
	if (qdb_conn_n_pending(&l->conn) > 0)
		s.events |= POLLOUT;
	if (!link_waits(l))
		s.events |= POLLIN;
	else if (l->tokens == 0)
		*ret_timeout_ms = 20; /* look again when some have come back */
	if (s.events)
		s.fd = vchan_fd(l->vchan);
	return s;
}
