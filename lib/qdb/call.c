/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qdb/call.h"

#include "base/io.h"
#include "qdb/conn.h"

#include <string.h>
#include <sys/socket.h>

/* fired watches that came while an answer was awaited */
struct fired {
	struct fired *next;
	char path[QDB_PATH_MAX + 1];
};

struct qdb_call {
	int fd;
	struct fired *first, **last;
	struct qdb_conn conn;
};

int qdb_call_open(const char *socket_path, struct qdb_call **ret)
{
	struct qdb_call *q = calloc(1, sizeof(*q));
	int r;

	if (!q)
		return -ENOMEM;
	q->last = &q->first;
	qdb_conn_init(&q->conn);
	r = io_unix_connect(socket_path, SOCK_STREAM, &q->fd);
	if (r < 0) {
		free(q);
		return r;
	}
	*ret = q;
	return 0;
}

void qdb_call_free(struct qdb_call *q)
{
	if (!q)
		return;
	while (q->first) {
		struct fired *f = q->first;

		q->first = f->next;
		free(f);
	}
	(void)close(q->fd);
	qdb_conn_done(&q->conn);
	free(q);
}

static int call_send(struct qdb_call *q, enum qdb_type type, const char *path, const char *value)
{
	const size_t path_len = strlen(path), value_len = value ? strlen(value) : 0;
	int r = qdb_conn_put(&q->conn, type, path, path_len, value, value_len);

	while (r == 0 && qdb_conn_n_pending(&q->conn) > 0) {
		size_t len;
		const uint8_t *bytes = qdb_conn_pending(&q->conn, &len);
		ssize_t n = send(q->fd, bytes, len, MSG_NOSIGNAL);

		if (n > 0)
			qdb_conn_sent(&q->conn, (size_t)n);
		else if (errno == EPIPE || errno == ECONNRESET)
			return -ECONNRESET;
		else if (errno != EINTR)
			return fail_errno();
	}
	return r;
}

static int call_receive(struct qdb_call *q, struct qdb_msg *m)
{
	for (;;) {
		int r = qdb_conn_next(&q->conn, m);
		size_t size;
		uint8_t *to;
		ssize_t n;

		if (r == 0)
			return 0;
		if (r != QDB_C_MORE)
			return -EPROTO;
		to = qdb_conn_room(&q->conn, &size);
		n = recv(q->fd, to, size, 0);
		if (n > 0)
			qdb_conn_filled(&q->conn, (size_t)n);
		else if (n == 0 || errno == ECONNRESET)
			return -ECONNRESET;
		else if (errno != EINTR)
			return fail_errno();
	}
}

static int keep_fired(struct qdb_call *q, const struct qdb_head *h)
{
	struct fired *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	memcpy(f->path, h->path, h->path_len + 1);
	*q->last = f;
	q->last = &f->next;
	return 0;
}

/* the next message that answers something */
static int call_answer(struct qdb_call *q, struct qdb_msg *m)
{
	int r;

	while ((r = call_receive(q, m)) == 0 && m->head.type == QDB_FIRED) {
		r = keep_fired(q, &m->head);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	if (m->head.type == QDB_ENOENT)
		return QDB_A_ENOENT;
	return m->head.type == QDB_ERROR ? QDB_A_ERROR : 0;
}

static int call(struct qdb_call *q, enum qdb_type type, const char *path, const char *value,
		enum qdb_type wanted, struct qdb_msg *m)
{
	int r = call_send(q, type, path, value);

	if (r == 0)
		r = call_answer(q, m);
	if (r == 0 && m->head.type != wanted)
		return -EPROTO;
	return r;
}

int qdb_call_read(struct qdb_call *q, const char *path, char **ret_value)
{
	struct qdb_msg m;
	int r = call(q, QDB_READ, path, NULL, QDB_READ_IS, &m);

	if (r != 0)
		return r;
	*ret_value = strndup((const char *)m.value, m.head.value_len);
	return *ret_value ? 0 : -ENOMEM;
}

int qdb_call_write(struct qdb_call *q, const char *path, const char *value)
{
	struct qdb_msg m;

	return call(q, QDB_WRITE, path, value, QDB_OK, &m);
}

int qdb_call_remove(struct qdb_call *q, const char *path)
{
	struct qdb_msg m;

	return call(q, QDB_RM, path, NULL, QDB_OK, &m);
}

int qdb_call_watch(struct qdb_call *q, const char *path)
{
	struct qdb_msg m;

	return call(q, QDB_WATCH, path, NULL, QDB_OK, &m);
}

int qdb_call_each(struct qdb_call *q, const char *prefix, bool values,
		  void (*each)(void *data, const char *path, const char *value), void *data)
{
	const enum qdb_type wanted = values ? QDB_MULTIREAD_IS : QDB_LIST_IS;
	struct qdb_msg m;
	int r = call(q, values ? QDB_MULTIREAD : QDB_LIST, prefix, NULL, wanted, &m);

	while (r == 0 && m.head.path_len > 0) {
		char value[QDB_VALUE_MAX + 1];

		memcpy(value, m.value, m.head.value_len);
		value[m.head.value_len] = '\0';
		each(data, m.head.path, values ? value : NULL);
		r = call_answer(q, &m);
		if (r == 0 && m.head.type != wanted)
			return -EPROTO;
	}
	return r;
}

int qdb_call_wait(struct qdb_call *q, char *to)
{
	struct fired *f = q->first;
	struct qdb_msg m;
	int r;

	if (f) {
		memcpy(to, f->path, sizeof(f->path));
		q->first = f->next;
		if (!q->first)
			q->last = &q->first;
		free(f);
		return 0;
	}
	r = call_receive(q, &m);
	if (r < 0)
		return r;
	if (m.head.type != QDB_FIRED)
		return -EPROTO;
	memcpy(to, m.head.path, sizeof(m.head.path));
	return 0;
}
