/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Carrying: local vchan sockets become streams over one carrier, and the other way round. This is
 * what both vchands do; what differs (who may connect to what, how a socket is bound, where the
 * carrier comes from) are hooks.
 *
 * Servers of this side, seen in the directory of the sockets, are announced; for the other side's
 * servers a proxy listens at the same path, and each connection to it is a stream.
 *
 * It has a loop of its own around one epoll set rather than sd-event: a thousand sockets are served
 * in turn, one frame each, only while the carrier takes frames, and an idle vchand stays small.
 */
#include "base/attr.h"
#include "mux/mux.h"

#include <sys/epoll.h>

struct carry;
struct carry_source;

/** struct carry_source - a descriptor in the loop; embedded in what @fn works on */
struct carry_source {
	int fd;
	void (*fn)(struct carry_source *src, uint32_t events);
};

/** enum carry_answer - what to do with a server the peer announced */
enum carry_answer {
	CARRY_IGNORE,    /* nothing, or the hook did it */
	CARRY_PROXY,     /* a proxy at the place */
	CARRY_VIOLATION, /* no such server may be announced */
};

/**
 * struct carry_hooks - the program's part; @data is handed to each
 * @session:	a session began (with the id that dom0 told) or ended
 * @announced:	the peer has a server at @where, or no longer; called for @there only in the latter
 *		case if the answer was CARRY_IGNORE
 * @bind:	a listening, non-blocking socket for the proxy at @where
 * @unbind:	remove its path
 * @connect:	a connected, non-blocking socket to our server at @where: 0; -ENOENT: refused;
 *		-ECONNREFUSED, -EAGAIN: tried again for a moment; -EPROTO: a violation
 * @given_up:	the peer is hostile or mad, @why says how; the loop ends with CARRY_GIVEN_UP
 * @cut:	the carrier is gone; 0: it will come back by carry_set_carrier(), else the loop ends
 *		with that result
 */
struct carry_hooks {
	void *data;
	void (*session)(void *data, bool up, uint16_t domid);
	enum carry_answer (*announced)(void *data, const struct vmux_where *where, bool there);
	int (*bind)(void *data, const struct vmux_where *where, int *ret_fd);
	void (*unbind)(void *data, const struct vmux_where *where);
	int (*connect)(void *data, const struct vmux_where *where, int *ret_fd);
	void (*version)(void *data, uint32_t version);
	void (*given_up)(void *data, const char *why);
	int (*cut)(void *data);
};

/** CARRY_GIVEN_UP - outcome of carry_run(): the peer broke the protocol too often */
#define CARRY_GIVEN_UP 1

/**
 * struct carry_config
 * @mux:	as for mux_new()
 * @guarded:	the peer may be hostile: count its faults, limit its rates
 * @rings:	memory shared with the peer (proto/ring.h), which bulk bytes of streams go through, or
 *		NULL; borrowed. In dom0 all of it; in a qube its first RING_HEAD_SIZE bytes: there a stream's
 *		program fills the rings, and is told from its socket which and when (doc/protocol/ring.md)
 * @claims_fd:	in a qube with @rings: the file whose locks say who has a slot; borrowed
 */
struct carry_config {
	struct mux_config mux;
	bool guarded;
	uint8_t *rings;
	int claims_fd;
};

MUST_CHECK int carry_new(const struct carry_config *config, const struct carry_hooks *hooks,
			 struct carry **ret);
void carry_free(struct carry *c);

/** carry_add() - watch a descriptor, level-triggered; the source is the caller's and must outlive
 * it
 */
MUST_CHECK int carry_add(struct carry *c, struct carry_source *src, uint32_t events);
void carry_remove(struct carry *c, struct carry_source *src);
/** carry_timer() - call @fn once after @delay_ms (0: never mind); there is one such timer */
void carry_timer(struct carry *c, unsigned delay_ms, void (*fn)(void *data), void *data);

/** carry_set_carrier() - begin on a non-blocking carrier; borrowed until the cut hook. A new
 * session follows */
MUST_CHECK int carry_set_carrier(struct carry *c, int fd);

/** carry_server() - a server of ours exists at @where, or no longer. Return: 0; -ENOMEM */
MUST_CHECK int carry_server(struct carry *c, const struct vmux_where *where, bool there);
/** carry_servers_forget() - none is known any more; for a new session, before it is told of any */
void carry_servers_forget(struct carry *c);
/** carry_open() - make @fd (taken on success) a stream to the peer's server. Return: 0; -errno as
 * mux_open() */
MUST_CHECK int carry_open(struct carry *c, const struct vmux_where *where, int *fd);
/** carry_abort() - end every stream at @where at once */
void carry_abort(struct carry *c, const struct vmux_where *where);

/** carry_set_rings() - in a qube that had none: as in struct carry_config, before any stream moves to them */
void carry_set_rings(struct carry *c, uint8_t *rings, int claims_fd);
/** carry_has_rings() - dom0 offers rings in this session */
bool carry_has_rings(const struct carry *c);

/** carry_run() - until the carrier is gone for good. Return: what the cut hook said;
 * CARRY_GIVEN_UP; -errno */
MUST_CHECK int carry_run(struct carry *c);
