/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * The wire between dom0's vchand and a qube's: many vchans over one byte stream, the carrier. The
 * bytes are in doc/protocol/vmux.md; what may be sent when is kept by lib/mux.
 */
#include "base/attr.h"

#define VMUX_VERSION 1
/** VMUX_HEAD_LEN, VMUX_TAIL_LEN - bytes before and behind every payload */
#define VMUX_HEAD_LEN 12
#define VMUX_TAIL_LEN 4
/** VMUX_FRAME_MAX - bytes of the longest frame; a virtio port moves as much in one piece */
#define VMUX_FRAME_MAX   32768
#define VMUX_PAYLOAD_MAX (VMUX_FRAME_MAX - VMUX_HEAD_LEN - VMUX_TAIL_LEN)
/** VMUX_HELLO_LEN, VMUX_HELLO_FRAME_LEN - payload and whole of a HELLO */
#define VMUX_HELLO_LEN       52
#define VMUX_HELLO_FRAME_LEN (VMUX_HEAD_LEN + VMUX_HELLO_LEN + VMUX_TAIL_LEN)
/** VMUX_WHERE_LEN - payload of LISTEN, UNLISTEN and OPEN */
#define VMUX_WHERE_LEN 8
/** VMUX_CREDIT_LEN - payload of CREDIT */
#define VMUX_CREDIT_LEN 4
/** VMUX_RING_LEN - payload of RING */
#define VMUX_RING_LEN 4
/** VMUX_DOMID_MAX - largest domain id on this wire (no alias for "self") */
#define VMUX_DOMID_MAX 32751

/** enum vmux_type - of a frame */
enum vmux_type {
	VMUX_HELLO = 1,
	VMUX_LISTEN = 2,
	VMUX_UNLISTEN = 3,
	VMUX_OPEN = 4,
	VMUX_DATA = 5,
	VMUX_CREDIT = 6,
	VMUX_CLOSE = 7,
	VMUX_RING = 8,
	VMUX_BELL = 9,
};

/** VMUX_ABORT - flag of CLOSE: what was sent before need not be delivered any more */
#define VMUX_ABORT 1

/** enum vmux_outcome */
enum vmux_outcome {
	VMUX_E_FORMAT = 1, /* not what the page describes */
};

/** struct vmux_head - the beginning of a frame */
struct vmux_head {
	uint8_t type, flags;
	uint32_t stream, len; /* len: of the payload */
};

/** struct vmux_hello - @version other than VMUX_VERSION: all else is unset */
struct vmux_hello {
	uint32_t version;
	bool synced;          /* the sender is in step: no answer needed */
	bool from_qube;       /* else from dom0 */
	uint64_t nonce, echo; /* the sender's; the last one it saw of the receiver, or 0 */
	uint32_t credit;      /* bytes the receiver may send on each new stream */
	uint16_t domid;       /* the qube's; from a qube 0 */
	uint16_t max_streams; /* that the receiver may have open of its own */
	uint16_t max_listens; /* that the receiver may have announced */
	uint16_t rings;       /* slots of shared memory the receiver may use; from a qube 0 */
};

/** struct vmux_where - which vchan */
struct vmux_where {
	uint16_t server, client, port;
};

/** vmux_head_decode() - the VMUX_HEAD_LEN bytes at @bytes. Return: 0; VMUX_E_FORMAT */
MUST_CHECK int vmux_head_decode(const uint8_t *bytes, struct vmux_head *ret);
void vmux_head_encode(const struct vmux_head *h, uint8_t *to);

/** vmux_hello_decode() - a HELLO's whole frame. Return: 0; VMUX_E_FORMAT */
MUST_CHECK int vmux_hello_decode(const uint8_t *frame, size_t len, struct vmux_hello *ret);
/** vmux_hello_encode() - write the VMUX_HELLO_FRAME_LEN bytes of a HELLO at @to */
void vmux_hello_encode(const struct vmux_hello *h, uint8_t *to);

/**
 * vmux_hello_find() - how many of the @len bytes at @bytes come before what may be a HELLO
 *
 * The rest begins with a HELLO's fixed bytes, or with as many of them as there are, or is empty.
 */
size_t vmux_hello_find(const uint8_t *bytes, size_t len);

MUST_CHECK int vmux_where_decode(const uint8_t *payload, size_t len, struct vmux_where *ret);
void vmux_where_encode(const struct vmux_where *w, uint8_t *to);
/** vmux_credit_decode() - bytes granted, at least 1. Return: 0; VMUX_E_FORMAT */
MUST_CHECK int vmux_credit_decode(const uint8_t *payload, size_t len, uint32_t *ret);

/** vmux_ring_decode() - the slot of a RING. Return: 0; VMUX_E_FORMAT */
MUST_CHECK int vmux_ring_decode(const uint8_t *payload, size_t len, uint16_t *ret);
void vmux_ring_encode(uint16_t slot, uint8_t *to);

/** vmux_tag() - the last four bytes of every frame but HELLO, from both nonces of the session */
uint32_t vmux_tag(uint64_t sender_nonce, uint64_t receiver_nonce);
