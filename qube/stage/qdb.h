/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* The start's questions to the qube's QubesDB, one at a time on one connection. */
#include "base/attr.h"
#include "proto/qubesdb.h"

#define QDB_SOCKET "/run/qubes/qubesdb.sock"

/**
 * qdb_wait() - connect to the daemon, waiting until it has what dom0 says of this qube
 *
 * The daemon's socket appears with its first dump. Return: 0; -errno.
 */
MUST_CHECK int qdb_wait(const char *path, int *ret_fd);

/**
 * qdb_read() - one entry
 * @to:		QDB_VALUE_MAX + 1 bytes; NUL-terminated
 *
 * Return: 0; -ENOENT no such entry; -EPROTO; -errno.
 */
MUST_CHECK int qdb_read(int fd, const char *key, char *to, size_t *ret_len);

/** qdb_remove() - remove one entry; 0, -ENOENT, -EPROTO or -errno */
MUST_CHECK int qdb_remove(int fd, const char *key);
