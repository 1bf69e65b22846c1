/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * A peer: a connection that carries qrexec messages and is never waited for.
 *
 * Both sides say HELLO first; ours leaves with the first flush. Of what the other side sends, one
 * message at a time is held, and no longer one than its direction allows; of what we send, one
 * message too: while it is on its way qrexec_peer_send() says -EAGAIN, and whoever wanted to send
 * keeps what is to be said. So a stalled peer holds at most two messages of memory.
 */
#include "base/attr.h"
#include "proto/qrexec.h"

struct vchan;
struct qrexec_peer;

/**
 * qrexec_peer_new() - start speaking on a connected stream
 * @v:		taken on success
 * @in:	direction of what arrives
 * @version:	what we speak
 *
 * Return: 0; -ENOMEM; -errno.
 */
MUST_CHECK int qrexec_peer_new(struct vchan **v, enum qrexec_way in, uint32_t version,
			       struct qrexec_peer **ret);
void qrexec_peer_free(struct qrexec_peer *p);

/** qrexec_peer_fd() - to poll */
int qrexec_peer_fd(const struct qrexec_peer *p);
/** qrexec_peer_events() - what to poll for: nothing is read while our message is on its way */
short qrexec_peer_events(const struct qrexec_peer *p);
/** qrexec_peer_version() - what both speak; 0 before its HELLO */
uint32_t qrexec_peer_version(const struct qrexec_peer *p);
/** qrexec_peer_idle() - nothing of ours is on its way */
bool qrexec_peer_idle(const struct qrexec_peer *p);

/**
 * qrexec_peer_receive() - the next message
 * @ret:	borrowed until the next call; the first is HELLO, later none is
 *
 * Return: 0; -EAGAIN; -ENODATA at the end of the stream; QREXEC_E_*: the peer broke the rules;
 * -ENOMEM; -errno.
 */
MUST_CHECK int qrexec_peer_receive(struct qrexec_peer *p, struct qrexec_msg *ret);

/** qrexec_peer_send() - 0: it leaves now or with later flushes; -EAGAIN: not before the last one
 * has left; -EPIPE; -ENOMEM; -errno */
MUST_CHECK int qrexec_peer_send(struct qrexec_peer *p, const struct qrexec_msg *m);
/** qrexec_peer_flush() - write what fits now; 0 also if something is left; -EPIPE; -errno */
MUST_CHECK int qrexec_peer_flush(struct qrexec_peer *p);

/**
 * qrexec_handshake() - HELLO both ways on a data channel, waiting
 * @v:		connected
 * @in:	direction of what arrives
 * @timeout_ms:	0 waits for ever
 * @ret_version: what both speak
 *
 * Return: 0; QREXEC_E_*; -ETIMEDOUT; -ENODATA; -errno.
 */
MUST_CHECK int qrexec_handshake(struct vchan *v, enum qrexec_way in, unsigned timeout_ms,
				uint32_t *ret_version);
