/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "link.h"

#include "base/io.h"
#include "base/log.h"
#include "keeper.h"
#include "vchan/vchan.h"

#include <string.h>
#include <sys/random.h>

#define HELD_MAX          1024  /* changes on their way to dom0 */
#define UNLINKED_ERROR_MS 10000 /* so long a change waits for a connection */
#define RETRY_MS          1000  /* after dom0 sent garbage, which it should not */

/** struct held - a change by one of our clients that dom0 has not answered */
struct held {
	struct held *next;
	struct qdb_client *client; /* NULL: it did not wait */
	bool sent;
	enum qdb_type type;
	size_t path_len, value_len;
	char path[QDB_PATH_MAX + 1];
	char value[];
};

struct link {
	int keeper_fd;
	struct qdb_serve *serve;
	struct vchan *vchan;   /* NULL: none */
	bool synced;           /* the dump has ended */
	bool was_ready;        /* a dump has ended once */
	struct qdb_tree *dump; /* being filled; NULL if none is under way */
	uint64_t ask_ms;       /* when to ask for a connection; 0 = asked already or connected */
	uint64_t give_up_ms;   /* when held changes become errors; 0 = synced */
	struct held *first, **last;
	unsigned n_held;
	struct qdb_conn conn;
};

int link_new(int keeper_fd, struct qdb_serve *serve, struct link **ret)
{
	struct link *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->keeper_fd = keeper_fd;
	l->serve = serve;
	l->last = &l->first;
	l->give_up_ms = io_now_ms() + UNLINKED_ERROR_MS;
	serve->paused = true;
	*ret = l;
	return 0;
}

int link_ask(struct link *l)
{
	l->ask_ms = 0;
	return io_send_msg(l->keeper_fd, &(char){KEEPER_CONNECT}, 1, NULL, 0);
}

static void disconnect(struct link *l)
{
	if (!l->vchan)
		return;
	vchan_free(l->vchan);
	l->vchan = NULL;
	qdb_conn_done(&l->conn);
	qdb_tree_free(l->dump);
	l->dump = NULL;
	l->synced = false;
	for (struct held *h = l->first; h; h = h->next)
		h->sent = false;
	l->give_up_ms = io_now_ms() + UNLINKED_ERROR_MS;
}

static int lost(struct link *l)
{
	log_info(NULL, "dom0's daemon is gone, connecting anew");
	disconnect(l);
	return link_ask(l);
}

static int garbage(struct link *l)
{
	log_warn(NULL, "dom0's daemon sent a message that it must not, connecting anew");
	disconnect(l);
	l->ask_ms = io_now_ms() + RETRY_MS;
	return 0;
}

static int put(struct link *l, enum qdb_type type, const char *path, size_t path_len,
	       const void *value, size_t value_len)
{
	return qdb_conn_put(&l->conn, type, path, path_len, value, value_len);
}

/* ---- our clients' changes
 * ------------------------------------------------------------------------ */

static int send_held(struct link *l)
{
	for (struct held *h = l->first; h; h = h->next) {
		int r;

		if (h->sent)
			continue;
		r = put(l, h->type, h->path, h->path_len, h->value, h->value_len);
		if (r < 0)
			return r;
		h->sent = true;
	}
	return 0;
}

static struct held *take_first(struct link *l)
{
	struct held *h = l->first;

	l->first = h->next;
	if (!l->first)
		l->last = &l->first;
	l->n_held--;
	return h;
}

static void answer_held(struct link *l, struct held *h, enum qdb_type answer)
{
	if (h->client)
		qdb_serve_answer(l->serve, h->client, answer, h->path, h->path_len);
	free(h);
}

int link_change(struct link *l, struct qdb_client *c, const struct qdb_msg *m)
{
	const struct qdb_head *head = &m->head;
	struct held *h;

	if (l->n_held == HELD_MAX || (!l->synced && io_now_ms() > l->give_up_ms))
		return QDB_ERROR;
	h = calloc(1, sizeof(*h) + head->value_len + 1);
	if (!h)
		return QDB_ERROR;
	h->client = c;
	h->type = head->type;
	h->path_len = head->path_len;
	h->value_len = head->value_len;
	memcpy(h->path, head->path, head->path_len);
	if (head->value_len > 0)
		memcpy(h->value, m->value, head->value_len);
	*l->last = h;
	l->last = &h->next;
	l->n_held++;
	if (l->synced && send_held(l) < 0)
		return -ENOMEM;
	return QDB_HELD;
}

void link_client_gone(struct link *l, struct qdb_client *c)
{
	for (struct held *h = l->first; h; h = h->next)
		if (h->client == c)
			h->client = NULL;
}

/* ---- what dom0 says
 * ------------------------------------------------------------------------------- */

static void on_removed(void *data, const struct qdb_entry *e)
{
	struct link *l = data;

	qdb_serve_fire(l->serve, e->path, e->path_len);
}

static int apply(struct link *l, enum qdb_type type, const char *path, size_t path_len,
		 const void *value, size_t value_len)
{
	int r;

	if (type == QDB_RM)
		return qdb_tree_remove(l->serve->tree, QDB_DOM0, path, path_len, on_removed, l);
	r = qdb_tree_set(l->serve->tree, QDB_DOM0, path, path_len, value, value_len);
	if (r == 0)
		qdb_serve_fire(l->serve, path, path_len);
	return r;
}

static int on_dom0_change(struct link *l, const struct qdb_msg *m)
{
	const struct qdb_head *h = &m->head;
	int r = apply(l, h->type, h->path, h->path_len, m->value, h->value_len);

	if (r < 0)
		return r;
	/* a daemon that does not wait for its dump's end: what it sends meanwhile belongs in it too
	 */
	if (l->dump && h->type == QDB_WRITE &&
	    qdb_tree_set(l->dump, QDB_DOM0, h->path, h->path_len, m->value, h->value_len) < 0)
		return -ENOMEM;
	if (l->dump && h->type == QDB_RM &&
	    qdb_tree_remove(l->dump, QDB_DOM0, h->path, h->path_len, NULL, NULL) < 0)
		return -EIO;
	return put(l, r == 0 ? QDB_OK : QDB_ENOENT, h->path, h->path_len, NULL, 0);
}

static int on_answer(struct link *l, enum qdb_type answer)
{
	struct held *h;
	int r = 0;

	if (!l->first || !l->first->sent)
		return garbage(l);
	h = take_first(l);
	if (answer == QDB_OK)
		r = apply(l, h->type, h->path, h->path_len, h->value, h->value_len);
	answer_held(l, h, answer);
	return r < 0 ? r : 0;
}

static bool same(const struct qdb_entry *a, const struct qdb_entry *b)
{
	return a->value_len == b->value_len && memcmp(a->value, b->value, a->value_len) == 0;
}

/* fires for each entry that is not in both trees with one value */
static void fire_differences(struct link *l, const struct qdb_tree *old, const struct qdb_tree *new)
{
	const struct qdb_entry *a = qdb_tree_first(old, "", 0), *b = qdb_tree_first(new, "", 0);

	while (a || b) {
		int order = !a ? 1 : !b ? -1 : strcmp(a->path, b->path);
		const struct qdb_entry *e = order <= 0 ? a : b;

		if (order != 0 || !same(a, b))
			qdb_serve_fire(l->serve, e->path, e->path_len);
		if (order <= 0)
			a = qdb_tree_next(a, "", 0);
		if (order >= 0)
			b = qdb_tree_next(b, "", 0);
	}
}

static int on_dump_end(struct link *l)
{
	struct qdb_tree *old = l->serve->tree;

	fire_differences(l, old, l->dump);
	l->serve->tree = take_ptr(&l->dump);
	qdb_tree_free(old);
	l->synced = true;
	l->give_up_ms = 0;
	l->serve->paused = false;
	log_info(NULL, "the database is complete: %zu entries", qdb_tree_n_entries(l->serve->tree));
	if (!l->was_ready) {
		int r = io_send_msg(l->keeper_fd, &(char){KEEPER_READY}, 1, NULL, 0);

		if (r < 0)
			return r;
		l->was_ready = true;
	}
	return send_held(l);
}

static int on_dump(struct link *l, const struct qdb_msg *m)
{
	const struct qdb_head *h = &m->head;

	if (!l->dump)
		return garbage(l);
	if (h->path_len == 0)
		return on_dump_end(l);
	return qdb_tree_set(l->dump, QDB_DOM0, h->path, h->path_len, m->value, h->value_len) < 0
		       ? -ENOMEM
		       : 0;
}

static int on_message(struct link *l, const struct qdb_msg *m)
{
	switch (m->head.type) {
	case QDB_WRITE:
	case QDB_RM:
		return on_dom0_change(l, m);
	case QDB_MULTIREAD_IS:
		return on_dump(l, m);
	case QDB_OK:
	case QDB_ENOENT:
	case QDB_ERROR:
		return on_answer(l, m->head.type);
	case QDB_READ:
	case QDB_MULTIREAD:
	case QDB_LIST:
	case QDB_WATCH:
	case QDB_UNWATCH:
	case QDB_READ_IS:
	case QDB_LIST_IS:
	case QDB_FIRED:
		break;
	}
	return garbage(l);
}

/* ---- bytes
 * ---------------------------------------------------------------------------------------- */

static int flush(struct link *l)
{
	size_t len, n;
	const uint8_t *bytes;
	int r;

	if (!l->vchan)
		return 0;
	bytes = qdb_conn_pending(&l->conn, &len);
	if (len == 0)
		return 0;
	r = vchan_write(l->vchan, bytes, len, &n);
	if (r == 0)
		qdb_conn_sent(&l->conn, n);
	return r == 0 || r == -EAGAIN ? 0 : lost(l);
}

static int fill(struct link *l)
{
	size_t size, n;
	uint8_t *to = qdb_conn_room(&l->conn, &size);
	int r = vchan_read(l->vchan, to, size, &n);

	if (r == -EAGAIN)
		return 0;
	if (r < 0 || n == 0)
		return lost(l);
	qdb_conn_filled(&l->conn, n);
	return 0;
}

int link_ready(struct link *l, short events)
{
	int r = 0;

	if (l->vchan && (events & (POLLIN | POLLHUP | POLLERR)))
		r = fill(l);
	while (r == 0 && l->vchan) {
		struct qdb_msg m;

		r = qdb_conn_next(&l->conn, &m);
		if (r == QDB_C_MORE)
			break;
		r = r > 0 ? garbage(l) : on_message(l, &m);
	}
	if (r < 0)
		return r;
	return flush(l);
}

int link_got(struct link *l)
{
	int fd = NO_FD, r;
	size_t len, n_fds;
	uint64_t seed;
	char byte;

	r = io_recv_msg(l->keeper_fd, &byte, 1, &len, &fd, 1, &n_fds);
	if (r == -EAGAIN)
		return 0;
	if (r < 0)
		return r;
	if (len == 0) /* our parent is gone, and so is all we were for */
		return -EPIPE;
	if (n_fds != 1)
		return -EPROTO;
	disconnect(l);
	r = vchan_new_from_fd(&fd, &l->vchan);
	close_fd(&fd);
	if (r < 0)
		return r;
	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed))
		seed = (uint64_t)(uintptr_t)
			l; /* before the pool is seeded: dom0's keys are no attack */
	r = qdb_tree_new(seed, SIZE_MAX, SIZE_MAX, &l->dump);
	if (r < 0)
		return r;
	qdb_conn_init(&l->conn);
	r = put(l, QDB_MULTIREAD, "", 0, NULL, 0);
	return r < 0 ? r : flush(l);
}

struct qdb_source link_source(const struct link *l)
{
	struct qdb_source s = {.fd = NO_FD, .events = POLLIN};

	if (!l->vchan)
		return s;
	s.fd = vchan_fd(l->vchan);
	if (qdb_conn_n_pending(&l->conn) > 0)
		s.events |= POLLOUT;
	return s;
}

int link_timeout_ms(const struct link *l)
{
	const uint64_t now = io_now_ms();
	uint64_t at = l->ask_ms;

	if (l->first && l->give_up_ms && (at == 0 || l->give_up_ms < at))
		at = l->give_up_ms;
	if (at == 0)
		return -1;
	return at > now ? (int)(at - now) + 1 : 0;
}

int link_tick(struct link *l)
{
	const uint64_t now = io_now_ms();

	while (l->first && l->give_up_ms && now > l->give_up_ms)
		answer_held(l, take_first(l), QDB_ERROR);
	return l->ask_ms && now >= l->ask_ms ? link_ask(l) : 0;
}

void link_free(struct link *l)
{
	if (!l)
		return;
	disconnect(l);
	while (l->first)
		free(take_first(l));
	free(l);
}
