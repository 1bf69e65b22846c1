/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * QubesDB's wire: 72 bytes of header, then a value. The same on local sockets and between the two
 * daemons of a qube; doc/protocol/qubesdb.md says who may send what.
 *
 * A key is a path that names one entry; a subtree is a path that ends in '/' (all entries that
 * begin with it); a prefix is any path, or nothing at all.
 */
#include "base/attr.h"

#define QDB_PORT      111  /* vchan port; dom0 is the server */
#define QDB_HEADER    72   /* bytes of a header */
#define QDB_PATH_MAX  63   /* bytes of a path without its NUL */
#define QDB_VALUE_MAX 3071 /* bytes of a value */

/** enum qdb_type - the first byte of a message */
enum qdb_type {
	QDB_READ = 0, /* requests */
	QDB_WRITE = 1,
	QDB_MULTIREAD = 2,
	QDB_LIST = 3,
	QDB_RM = 4,
	QDB_WATCH = 5,
	QDB_UNWATCH = 6,
	QDB_OK = 7, /* answers; the path is the request's */
	QDB_ENOENT = 8,
	QDB_ERROR = 9,
	QDB_READ_IS = 10,
	QDB_MULTIREAD_IS = 11, /* one entry; an empty path ends the series */
	QDB_LIST_IS = 12,      /* same */
	QDB_FIRED = 13,        /* a watched entry was written or removed */
};

/** enum qdb_outcome */
enum qdb_outcome {
	QDB_E_FORMAT = 1, /* no such message: where the next one begins is unknown */
	QDB_E_PATH,       /* a message, but its path is not what its type wants */
	QDB_E_VALUE,      /* same for its value */
};

/**
 * struct qdb_head - a header
 * @path:	NUL-terminated
 * @value_len:	bytes that follow; at most QDB_VALUE_MAX, and 0 for a type that carries no value
 */
struct qdb_head {
	enum qdb_type type;
	char path[QDB_PATH_MAX + 1];
	size_t path_len;
	size_t value_len;
};

/**
 * qdb_head_decode() - the header that the QDB_HEADER bytes at @bytes are
 * @ret:	written unless QDB_E_FORMAT: an answer to a bad path repeats it
 *
 * Return: 0; QDB_E_FORMAT, QDB_E_PATH.
 */
MUST_CHECK int qdb_head_decode(const uint8_t bytes[QDB_HEADER], struct qdb_head *ret);

/**
 * qdb_head_encode() - write a header
 *
 * Return: 0; QDB_E_PATH or QDB_E_VALUE if it could not be decoded again.
 */
MUST_CHECK int qdb_head_encode(uint8_t to[QDB_HEADER], enum qdb_type type, const char *path,
			       size_t path_len, size_t value_len);

/** qdb_path_ok() - only bytes a path may have, not too long, no '-' in front; "" is fine */
bool qdb_path_ok(const char *path, size_t len);
/** qdb_key_ok() - a path that can name one entry: not empty, no '/' at its end */
bool qdb_key_ok(const char *path, size_t len);
/** qdb_subtree_ok() - a path ending in '/' */
bool qdb_subtree_ok(const char *path, size_t len);
/** qdb_value_ok() - not too long, no NUL */
bool qdb_value_ok(const void *value, size_t len);
