/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * dom0's end of the channel, seen from the qube: asks for everything, follows what dom0 changes,
 * and brings the qube's own changes to dom0, which keeps their order.
 *
 * A change of a local client is held until dom0's answer comes, and is made in the tree only then.
 * When the connection breaks, it is sent again on the next one, after a new dump has replaced the
 * tree: making the same change twice is no harm.
 */
#include "base/attr.h"
#include "qdb/serve.h"

struct link;

/**
 * link_new()
 * @keeper_fd:	the socket to our parent; borrowed
 * @serve:	borrowed; its tree is replaced by each dump; paused until the first one
 */
MUST_CHECK int link_new(int keeper_fd, struct qdb_serve *serve, struct link **ret);
void link_free(struct link *l);

/** link_ask() - ask the parent for a connection */
MUST_CHECK int link_ask(struct link *l);
/** link_got() - the parent's socket is readable. Return: 0; -errno */
MUST_CHECK int link_got(struct link *l);

struct qdb_source link_source(const struct link *l);
MUST_CHECK int link_ready(struct link *l, short events);

/** link_timeout_ms() - when link_tick() wants to be called, at the latest; -1 never */
int link_timeout_ms(const struct link *l);
/** link_tick() - what time alone brings about */
MUST_CHECK int link_tick(struct link *l);

/** link_change() - a local client's WRITE or RM: as qdb_serve's @change */
MUST_CHECK int link_change(struct link *l, struct qdb_client *c, const struct qdb_msg *m);
/** link_client_gone() - as qdb_serve's @client_gone */
void link_client_gone(struct link *l, struct qdb_client *c);
