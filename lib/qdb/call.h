/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * A client of a qubesdb-daemon's local socket: one request at a time, waiting for its answer. For
 * tools, and for dom0's programs that write a few keys; the daemon answers from memory.
 */
#include "base/attr.h"
#include "proto/qubesdb.h"

struct qdb_call;

/** QDB_GUEST_SOCKET, QDB_GUEST_RO_SOCKET - where a qube's daemon listens */
#define QDB_GUEST_SOCKET    "/var/run/qubes/qubesdb.sock"
#define QDB_GUEST_RO_SOCKET "/var/run/qubes/qubesdb.sock.ro"

/**
 * enum qdb_call_outcome - what the daemon answers instead of what was asked for
 */
enum qdb_call_outcome {
	QDB_A_ENOENT = 1,
	QDB_A_ERROR, /* refused: not ours to write, read-only, over the quota, a bad path */
};

/** qdb_call_open() - connect; 0; -errno of connect() */
MUST_CHECK int qdb_call_open(const char *socket_path, struct qdb_call **ret);
void qdb_call_free(struct qdb_call *q);

/*
 * All return 0; QDB_A_ENOENT, QDB_A_ERROR; -ECONNRESET if the daemon went away; -EPROTO if it sent
 * what it must not; -EINVAL for a path or value that no message can carry; -errno.
 */

/** qdb_call_read() - @ret_value is NUL-terminated and owned by the caller */
MUST_CHECK int qdb_call_read(struct qdb_call *q, const char *path, char **ret_value);
MUST_CHECK int qdb_call_write(struct qdb_call *q, const char *path, const char *value);
MUST_CHECK int qdb_call_remove(struct qdb_call *q, const char *path);
/**
 * qdb_call_each() - all entries whose path begins with @prefix
 * @values:	false: paths only, and @each gets no value
 * @each:	strings are borrowed for the call
 */
MUST_CHECK int qdb_call_each(struct qdb_call *q, const char *prefix, bool values,
			     void (*each)(void *data, const char *path, const char *value),
			     void *data);
MUST_CHECK int qdb_call_watch(struct qdb_call *q, const char *path);
/** qdb_call_wait() - the path of the next watch that fires, or already has; @to: QDB_PATH_MAX + 1
 * bytes */
MUST_CHECK int qdb_call_wait(struct qdb_call *q, char *to);
