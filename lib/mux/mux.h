/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Many streams over one carrier, with credit for each: both vchands are this engine with different
 * ends (doc/protocol/vmux.md). Bytes in, bytes out, and a queue of events; no descriptors, no
 * clock, no randomness of its own.
 *
 * A turn of the program: read the carrier into mux_in_space(), mux_in_added(); take events with
 * mux_next() until there is none; write what mux_out_peek() shows. Between events it may open, send
 * and close. What a peer can make us hold is bounded by the configuration's pool.
 */
#include "base/attr.h"
#include "proto/vmux.h"

struct mux;
struct mux_stream;

/**
 * struct mux_config - who we are and what the peer may cost us
 * @dom0:	our side of the wire
 * @domid:	the qube's id, which dom0 tells; 0 in the qube
 * @pool:	bytes of unread data we hold at most, over all streams; at least 2 * @max_streams *
 *		@first_window, which is set aside for the first windows
 * @first_window, @max_window: of one stream, in bytes; windows grow while the pool has room
 * @max_streams: the peer may have open of its own
 * @max_listens: the peer may have announced; told to it here, counted by the program
 * @nonce:	64 random bits
 * @rings:	in dom0: slots of shared memory (proto/ring.h) that streams may move to; 0 = none
 * @slot_free:	in a qube: the stream that used a slot has ended on both sides; may be NULL
 */
struct mux_config {
	bool dom0;
	uint16_t domid;
	uint32_t pool, first_window, max_window;
	uint16_t max_streams, max_listens;
	uint64_t (*nonce)(void);
	uint16_t rings;
	void (*slot_free)(void *data, unsigned slot);
	void *data;
};

/** enum mux_kind - what happened */
enum mux_kind {
	MUX_NONE,      /* nothing more until bytes arrive */
	MUX_UP,        /* a session began; @domid as dom0 told it (0 in dom0) */
	MUX_DOWN,      /* it ended: every stream is gone, their pointers are invalid */
	MUX_LISTEN,    /* the peer has a server at @where */
	MUX_UNLISTEN,  /* no longer */
	MUX_OPEN,      /* the peer opened @stream to our server at @where: use it, or mux_close() */
	MUX_DATA,      /* @stream has bytes to read: mux_rx_peek() now, or later */
	MUX_WRITABLE,  /* @stream had no credit and has some */
	MUX_RING,      /* the peer's further bytes on @stream go through the rings of @slot */
	MUX_BELL,      /* look at the rings of @stream */
	MUX_CLOSED,    /* the peer sends no more on @stream: mux_close() when all is read */
	MUX_VIOLATION, /* the peer, in step, said what it may not (@why); MUX_DOWN follows */
	MUX_VERSION,   /* the peer speaks version @version; there will be no session */
};

struct mux_event {
	enum mux_kind kind;
	struct mux_stream *stream;
	struct vmux_where where;
	uint16_t domid, slot;
	uint32_t version;
	bool abort; /* MUX_CLOSED: what is not read yet need not be delivered */
	const char *why;
};

/** struct mux_stats - the peer's record, for those who decide when it is enough */
struct mux_stats {
	uint64_t n_garbage;    /* bytes skipped since the last session */
	uint32_t n_losses;     /* times it was found out of step */
	uint32_t n_violations; /* times it said what it may not */
	uint32_t n_sessions;   /* sessions that began */
	uint32_t n_streams;    /* now, both sides', with those that wait for the peer's close */
	uint32_t window_bytes; /* granted now, over all streams */
};

/** mux_new() - an engine that greets at once. Return: 0; -EINVAL: the pool is too small; -ENOMEM */
MUST_CHECK int mux_new(const struct mux_config *config, struct mux **ret);
void mux_free(struct mux *m);
/** mux_reset() - the carrier was cut: end the session and greet anew; take events before all else
 */
void mux_reset(struct mux *m);
/** mux_tick() - @now_ms: any steady clock; greets again while out of step. Returns the time of the
 * next tick, or UINT64_MAX */
uint64_t mux_tick(struct mux *m, uint64_t now_ms);
bool mux_is_up(const struct mux *m);
/** mux_violate() - the program saw the peer say what it may not: as if the engine had */
void mux_violate(struct mux *m, const char *why);
void mux_get_stats(const struct mux *m, struct mux_stats *ret);

/** mux_in_space() - room for bytes from the carrier, never 0 once mux_next() said MUX_NONE */
uint8_t *mux_in_space(struct mux *m, size_t *ret_room);
void mux_in_added(struct mux *m, size_t len);
/** mux_next() - the next event. Return: 0; -ENOMEM */
MUST_CHECK int mux_next(struct mux *m, struct mux_event *ret);
/** mux_out_peek() - bytes for the carrier, maybe none; borrowed until the next call */
const uint8_t *mux_out_peek(struct mux *m, size_t *ret_len);
void mux_out_consume(struct mux *m, size_t len);

/** mux_listen() - announce a server, or that it went. Return: 0; -EAGAIN: write the carrier first;
 * -ENOTCONN */
MUST_CHECK int mux_listen(struct mux *m, const struct vmux_where *where, bool there);
/**
 * mux_open() - a stream to the peer's server; bytes may be sent at once
 *
 * Return: 0; -EAGAIN: write the carrier first; -EMFILE: the peer allows no more now; -ENOTCONN;
 * -ENOMEM.
 */
MUST_CHECK int mux_open(struct mux *m, const struct vmux_where *where, void *user,
			struct mux_stream **ret);
/** mux_can_open() - a stream could be opened now */
bool mux_can_open(struct mux *m);
/** mux_peer_listens() - how many servers the peer lets us announce */
unsigned mux_peer_listens(const struct mux *m);
void mux_set_user(struct mux_stream *s, void *user);
void *mux_get_user(const struct mux_stream *s);

/** mux_can_send() - the carrier's backlog is short enough for another stream's data */
bool mux_can_send(const struct mux *m);
/** mux_credit() - bytes @s may send now; 0: MUX_WRITABLE will tell, or MUX_CLOSED */
size_t mux_credit(const struct mux_stream *s);
/** mux_send_space() - where to put up to @ret_room bytes for @s; only if mux_can_send() and
 * mux_credit() say so */
uint8_t *mux_send_space(struct mux_stream *s, size_t *ret_room);
/** mux_send_added() - @len of them were put there; 0 is fine */
void mux_send_added(struct mux_stream *s, size_t len);

/** mux_rx_peek() - unread bytes of @s, maybe none; borrowed until the next mux_next() */
const uint8_t *mux_rx_peek(struct mux_stream *s, size_t *ret_len);
void mux_rx_consume(struct mux_stream *s, size_t len);
/** mux_rings() - slots that dom0 offers in this session; 0 in dom0 */
unsigned mux_rings(const struct mux *m);
/**
 * mux_ring() - what we send on @s from here on goes through the rings of @slot
 *
 * A qube begins, dom0 answers a MUX_RING with the same slot; nothing more is sent in frames.
 */
void mux_ring(struct mux_stream *s, unsigned slot);
/** mux_bell() - have the peer look at the rings of @s, which both sides use */
void mux_bell(struct mux_stream *s);
/** mux_close() - we send and read no more on @s, and forget it */
void mux_close(struct mux_stream *s, bool abort);
