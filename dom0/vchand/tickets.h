/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Tickets for streams between this qube and others (doc/protocol/ticket.md). */
#include "base/attr.h"
#include "carry/carry.h"

struct tickets;

/** tickets_new() - serve the listening SEQPACKET socket @control_fd (taken on success; NO_FD: none)
 */
MUST_CHECK int tickets_new(const char *name, uint16_t domid, int *control_fd, struct tickets **ret);
/** tickets_start() - begin in @c's loop; borrowed */
MUST_CHECK int tickets_start(struct tickets *t, struct carry *c);
/** tickets_announced() - the qube has a server for another qube, or no longer */
void tickets_announced(struct tickets *t, const struct vmux_where *where, bool there);
/** tickets_take() - the qube opens a stream to another qube's server. Return: 0 with its socket;
 * -EPROTO: no ticket */
MUST_CHECK int tickets_take(struct tickets *t, const struct vmux_where *where, int *ret_fd);
/** tickets_session() - one ended: what the qube announced is forgotten, tickets are void */
void tickets_session_ended(struct tickets *t);
