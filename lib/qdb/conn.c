/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qdb/conn.h"

#include <string.h>

#define OUT_MIN  1024
#define OUT_KEEP 16384 /* a larger buffer is given back once it is empty */

void qdb_conn_init(struct qdb_conn *c)
{
	/* not the whole of it: @in is a page that an idle connection never touches */
	c->in_at = c->in_len = 0;
	c->out = NULL;
	c->out_at = c->out_len = c->out_size = 0;
}

void qdb_conn_done(struct qdb_conn *c)
{
	free(c->out);
	qdb_conn_init(c);
}

uint8_t *qdb_conn_room(struct qdb_conn *c, size_t *ret_size)
{
	if (c->in_at > 0) {
		memmove(c->in, c->in + c->in_at, c->in_len - c->in_at);
		c->in_len -= c->in_at;
		c->in_at = 0;
	}
	*ret_size = sizeof(c->in) - c->in_len;
	return c->in + c->in_len;
}

void qdb_conn_filled(struct qdb_conn *c, size_t len)
{
	c->in_len += len;
}

int qdb_conn_next(struct qdb_conn *c, struct qdb_msg *ret)
{
	const size_t have = c->in_len - c->in_at;
	struct qdb_msg m;
	int r;

	if (have < QDB_HEADER)
		return QDB_C_MORE;
	r = qdb_head_decode(c->in + c->in_at, &m.head);
	if (r == QDB_E_FORMAT)
		return r;
	if (have - QDB_HEADER < m.head.value_len)
		return QDB_C_MORE;
	m.value = c->in + c->in_at + QDB_HEADER;
	c->in_at += QDB_HEADER + m.head.value_len;
	*ret = m;
	if (r == 0 && !qdb_value_ok(m.value, m.head.value_len))
		return QDB_E_VALUE;
	return r;
}

static int out_grow(struct qdb_conn *c, size_t len)
{
	size_t size = c->out_size > 0 ? c->out_size : OUT_MIN;
	uint8_t *more;

	if (c->out_at > 0 && c->out_at >= c->out_len / 2) { /* moves no more than it frees */
		c->out_len -= c->out_at;
		memmove(c->out, c->out + c->out_at, c->out_len);
		c->out_at = 0;
	}
	if (len <= c->out_size - c->out_len)
		return 0;
	while (size - c->out_len < len)
		size *= 2;
	more = realloc(c->out, size);
	if (!more)
		return -ENOMEM;
	c->out = more;
	c->out_size = size;
	return 0;
}

int qdb_conn_put(struct qdb_conn *c, enum qdb_type type, const char *path, size_t path_len,
		 const void *value, size_t value_len)
{
	int r = out_grow(c, QDB_HEADER + value_len);

	if (r < 0)
		return r;
	if (qdb_head_encode(c->out + c->out_len, type, path, path_len, value_len) != 0)
		return -EINVAL;
	if (value_len > 0)
		memcpy(c->out + c->out_len + QDB_HEADER, value, value_len);
	c->out_len += QDB_HEADER + value_len;
	return 0;
}

const uint8_t *qdb_conn_pending(const struct qdb_conn *c, size_t *ret_len)
{
	*ret_len = c->out_len - c->out_at;
	return c->out ? c->out + c->out_at : NULL;
}

size_t qdb_conn_n_pending(const struct qdb_conn *c)
{
	return c->out_len - c->out_at;
}

void qdb_conn_sent(struct qdb_conn *c, size_t len)
{
	c->out_at += len;
	if (c->out_at < c->out_len)
		return;
	c->out_at = c->out_len = 0;
	if (c->out_size > OUT_KEEP) {
		free(c->out);
		c->out = NULL;
		c->out_size = 0;
	}
}
