/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * The qube's end of the channel, seen from dom0: every byte that comes out of it is hostile.
 *
 * Only WRITE, RM, MULTIREAD and answers to what we sent are taken. Work per turn is one read; a
 * qube that sends faster than its share is read more slowly; one that is refused, or sends garbage,
 * or reconnects again and again is cut off for good.
 */
#include "base/attr.h"
#include "journal.h"
#include "qdb/serve.h"

/** LINK_CUT_OFF - outcome: the qube has had its chances; the daemon ends with exit code 3 */
#define LINK_CUT_OFF 3

struct link;

/**
 * link_new() - wait for the qube's daemon on a listening socket
 * @name:	of the qube, for log lines; borrowed
 * @listen_fd:	taken; does not block
 * @serve, @journal: borrowed; the tree is @serve's
 */
MUST_CHECK int link_new(const char *name, int *listen_fd, struct qdb_serve *serve,
			struct journal *journal, struct link **ret);
void link_free(struct link *l);

/** link_listen_source(), link_source() - what to poll for; @ret_timeout_ms is lowered if need be */
struct qdb_source link_listen_source(const struct link *l);
struct qdb_source link_source(struct link *l, int *ret_timeout_ms);

/** link_accept(), link_ready() - when those are ready. Return: 0; LINK_CUT_OFF; -errno */
MUST_CHECK int link_accept(struct link *l);
MUST_CHECK int link_ready(struct link *l, short events);

/** link_push() - dom0 made this change: tell the qube, if it has the rest */
void link_push(struct link *l, enum qdb_type type, const char *path, size_t path_len,
	       const void *value, size_t value_len);
