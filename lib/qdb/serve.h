/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Serving local clients: what both daemons of a qube have in common, and the poll loop that carries
 * them.
 *
 * Reading, listing and watching are answered from the tree. A change is the program's business
 * (@change): dom0's daemon makes it and tells the qube, the qube's daemon asks dom0 first and
 * answers later. Each turn does at most one read and a buffer's worth of requests per client; a
 * client that does not read its answers is not read from; one that lets fired watches pile up is
 * let go.
 *
 * The loop is poll() on a few dozen descriptors: that keeps libsystemd and all it links out of a
 * process of which there are two per qube.
 */
#include "base/attr.h"
#include "qdb/conn.h"
#include "qdb/tree.h"

#include <poll.h>

#define QDB_MAX_CLIENTS    256
#define QDB_MAX_RO_CLIENTS 192 /* of these; the rest is kept for the socket that may write */
#define QDB_MAX_WATCHES    256 /* of one client */
#define QDB_MAX_LISTENERS  2
#define QDB_MAX_SOURCES    6
#define QDB_FIRED_MAX      (1u << 20) /* bytes of fired watches that may wait for a client */

struct qdb_client;

/** QDB_HELD - @change answers later, by qdb_serve_answer() */
#define QDB_HELD 100

/**
 * struct qdb_serve - borrowed by nobody, embedded in the program
 * @tree:	may be replaced between turns
 * @change:	a client's WRITE or RM; returns QDB_OK, QDB_ENOENT, QDB_ERROR or QDB_HELD; < 0 is a
 *		fault that ends the program
 * @client_gone: a held client will not be there to be answered; may be NULL
 * @paused:	accept nobody for now
 */
struct qdb_serve {
	struct qdb_tree *tree;
	int (*change)(void *data, struct qdb_client *c, const struct qdb_msg *m);
	void (*client_gone)(void *data, struct qdb_client *c);
	void *data;
	bool paused;
	/* private */
	struct {
		int fd;
		bool read_only;
	} listeners[QDB_MAX_LISTENERS];
	size_t n_listeners;
	struct qdb_client *clients;
	size_t n_clients, n_ro_clients;
	uint64_t accept_after_ms;
	bool again;
};

/** struct qdb_source - a descriptor of the program's own; @fd may be NO_FD */
struct qdb_source {
	int fd;
	short events;
	int (*ready)(void *data, short events);
};

void qdb_serve_init(struct qdb_serve *s, struct qdb_tree *tree, void *data);

/** qdb_serve_listen() - serve who connects to @fd, which is taken; @read_only: WRITE and RM are
 * ERROR */
void qdb_serve_listen(struct qdb_serve *s, int *fd, bool read_only);

/** qdb_serve_fire() - tell all whose watches match that the entry @path changed */
void qdb_serve_fire(struct qdb_serve *s, const char *path, size_t path_len);

/** qdb_serve_answer() - the answer to a held client's change */
void qdb_serve_answer(struct qdb_serve *s, struct qdb_client *c, enum qdb_type type,
		      const char *path, size_t path_len);

/**
 * qdb_serve_turn() - wait, then do what is to be done, once
 * @sources:	the program's descriptors; its callbacks run before any client
 * @timeout_ms:	-1 waits for ever
 *
 * Return: 0; what a callback returned if that was not 0; -errno.
 */
MUST_CHECK int qdb_serve_turn(struct qdb_serve *s, const struct qdb_source *sources,
			      size_t n_sources, int timeout_ms);
