/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * One connection's bytes, cut into messages one way and put together the other. No I/O: the owner
 * reads into qdb_conn_room() and writes out what qdb_conn_pending() has.
 */
#include "base/attr.h"
#include "proto/qubesdb.h"

/** QDB_CONN_BUSY - with so many bytes unsent, a connection's requests should wait */
#define QDB_CONN_BUSY (64u << 10)

struct qdb_conn {
	size_t in_at, in_len;
	uint8_t *out;
	size_t out_at, out_len, out_size;
	uint8_t in[4096];
};

/**
 * struct qdb_msg - one message
 * @value:	borrowed; valid until the connection's next use; no NUL within
 */
struct qdb_msg {
	struct qdb_head head;
	const uint8_t *value;
};

/** enum qdb_conn_outcome - besides QDB_E_* of proto/qubesdb.h */
enum qdb_conn_outcome { QDB_C_MORE = 16 };

void qdb_conn_init(struct qdb_conn *c);
void qdb_conn_done(struct qdb_conn *c);

/** qdb_conn_room() - where the next bytes go, at least one if qdb_conn_next() said QDB_C_MORE */
uint8_t *qdb_conn_room(struct qdb_conn *c, size_t *ret_size);
/** qdb_conn_filled() - @len bytes were put there */
void qdb_conn_filled(struct qdb_conn *c, size_t len);

/**
 * qdb_conn_next() - take the next whole message
 *
 * Return: 0; QDB_C_MORE; QDB_E_FORMAT, after which nothing can be read any more; QDB_E_PATH or
 * QDB_E_VALUE with the message in @ret, taken like a good one.
 */
MUST_CHECK int qdb_conn_next(struct qdb_conn *c, struct qdb_msg *ret);

/** qdb_conn_put() - queue one message; 0; -ENOMEM; -EINVAL for one that nobody could decode */
MUST_CHECK int qdb_conn_put(struct qdb_conn *c, enum qdb_type type, const char *path,
			    size_t path_len, const void *value, size_t value_len);

/** qdb_conn_pending() - what waits to be written; its length in @ret_len, 0 if nothing */
const uint8_t *qdb_conn_pending(const struct qdb_conn *c, size_t *ret_len);
/** qdb_conn_sent() - the first @len of those bytes are on their way */
void qdb_conn_sent(struct qdb_conn *c, size_t len);
size_t qdb_conn_n_pending(const struct qdb_conn *c);
