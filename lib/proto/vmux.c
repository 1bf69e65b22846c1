/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/vmux.h"

#include "base/bytes.h"

#include <string.h>

#define MAGIC_LEN 16
#define FIXED_LEN (VMUX_HEAD_LEN + MAGIC_LEN)

/* A HELLO's head and magic: the same in every HELLO, so that one can be found in the middle of
 * anything. */
static const uint8_t hello_fixed[FIXED_LEN] = {
	VMUX_HELLO, 0,   0,   0,   0,   0,    0,    0,   VMUX_HELLO_LEN,
	0,          0,   0, /* head */
	0xb5,       'B', 'u', 'l', 'k', 'h',  'e',  'a', 'd',
	' ',        'v', 'm', 'u', 'x', 0x0d, 0x1a,
};

enum { FLAG_SYNCED = 1, FLAG_FROM_QUBE = 2 };

/* What a head of each type may say; types without a row do not exist. */
// clang-format off
static const struct {
	bool exists, has_stream;
	uint8_t flags; /* that may be set */
	uint32_t min_len, max_len;
} heads[] = {
	[VMUX_HELLO]    = {true, false, 0, VMUX_HELLO_LEN, VMUX_HELLO_LEN},
	[VMUX_LISTEN]   = {true, false, 0, VMUX_WHERE_LEN, VMUX_WHERE_LEN},
	[VMUX_UNLISTEN] = {true, false, 0, VMUX_WHERE_LEN, VMUX_WHERE_LEN},
	[VMUX_OPEN]     = {true, true, 0, VMUX_WHERE_LEN, VMUX_WHERE_LEN},
	[VMUX_DATA]     = {true, true, 0, 1, VMUX_PAYLOAD_MAX},
	[VMUX_CREDIT]   = {true, true, 0, VMUX_CREDIT_LEN, VMUX_CREDIT_LEN},
	[VMUX_CLOSE]    = {true, true, VMUX_ABORT, 0, 0},
	[VMUX_RING]     = {true, true, 0, VMUX_RING_LEN, VMUX_RING_LEN},
	[VMUX_BELL]     = {true, true, 0, 0, 0},
};
// clang-format on

int vmux_head_decode(const uint8_t *bytes, struct vmux_head *ret)
{
	struct rd r = rd_of(bytes, VMUX_HEAD_LEN);
	struct vmux_head h;
	uint16_t zero;

	h.type = rd_u8(&r);
	h.flags = rd_u8(&r);
	zero = rd_le16(&r);
	h.stream = rd_le32(&r);
	h.len = rd_le32(&r);
	if (!rd_done(&r) || zero != 0 || h.type >= ARRAY_LEN(heads) || !heads[h.type].exists)
		return VMUX_E_FORMAT;
	if ((h.flags & ~heads[h.type].flags) != 0 || (h.stream != 0) != heads[h.type].has_stream)
		return VMUX_E_FORMAT;
	if (h.len < heads[h.type].min_len || h.len > heads[h.type].max_len)
		return VMUX_E_FORMAT;
	*ret = h;
	return 0;
}

void vmux_head_encode(const struct vmux_head *h, uint8_t *to)
{
	struct wr w = wr_of(to, VMUX_HEAD_LEN);

	wr_u8(&w, h->type);
	wr_u8(&w, h->flags);
	wr_le16(&w, 0);
	wr_le32(&w, h->stream);
	wr_le32(&w, h->len);
}

int vmux_hello_decode(const uint8_t *frame, size_t len, struct vmux_hello *ret)
{
	struct rd r = rd_of(frame, len);
	const uint8_t *fixed = rd_take(&r, FIXED_LEN);
	struct vmux_hello h = {0};
	uint32_t flags, tail;

	if (!fixed || memcmp(fixed, hello_fixed, FIXED_LEN) != 0)
		return VMUX_E_FORMAT;
	h.version = rd_le32(&r);
	flags = rd_le32(&r);
	h.nonce = rd_le64(&r);
	h.echo = rd_le64(&r);
	h.credit = rd_le32(&r);
	h.domid = rd_le16(&r);
	h.max_streams = rd_le16(&r);
	h.max_listens = rd_le16(&r);
	h.rings = rd_le16(&r);
	tail = rd_le32(&r);
	if (!rd_done(&r) || tail != (uint32_t)h.nonce)
		return VMUX_E_FORMAT;
	if (h.version != VMUX_VERSION) {
		*ret = (struct vmux_hello){.version = h.version};
		return 0;
	}
	if ((flags & ~(uint32_t)(FLAG_SYNCED | FLAG_FROM_QUBE)) != 0 || h.domid > VMUX_DOMID_MAX ||
	    h.nonce == 0)
		return VMUX_E_FORMAT;
	h.synced = (flags & FLAG_SYNCED) != 0;
	h.from_qube = (flags & FLAG_FROM_QUBE) != 0;
	if (h.from_qube && (h.domid != 0 || h.rings != 0))
		return VMUX_E_FORMAT;
	*ret = h;
	return 0;
}

void vmux_hello_encode(const struct vmux_hello *h, uint8_t *to)
{
	struct wr w = wr_of(to, VMUX_HELLO_FRAME_LEN);

	wr_bytes(&w, hello_fixed, FIXED_LEN);
	wr_le32(&w, h->version);
	wr_le32(&w, (h->synced ? FLAG_SYNCED : 0u) | (h->from_qube ? FLAG_FROM_QUBE : 0u));
	wr_le64(&w, h->nonce);
	wr_le64(&w, h->echo);
	wr_le32(&w, h->credit);
	wr_le16(&w, h->domid);
	wr_le16(&w, h->max_streams);
	wr_le16(&w, h->max_listens);
	wr_le16(&w, h->rings);
	wr_le32(&w, (uint32_t)h->nonce);
}

size_t vmux_hello_find(const uint8_t *bytes, size_t len)
{
	const uint8_t *whole = len >= FIXED_LEN ? memmem(bytes, len, hello_fixed, FIXED_LEN) : NULL;

	if (whole)
		return (size_t)(whole - bytes);
	for (size_t n = len < FIXED_LEN ? len : FIXED_LEN - 1; n > 0; n--)
		if (memcmp(bytes + len - n, hello_fixed, n) == 0)
			return len - n;
	return len;
}

int vmux_where_decode(const uint8_t *payload, size_t len, struct vmux_where *ret)
{
	struct rd r = rd_of(payload, len);
	struct vmux_where w;
	uint16_t zero;

	w.server = rd_le16(&r);
	w.client = rd_le16(&r);
	w.port = rd_le16(&r);
	zero = rd_le16(&r);
	if (!rd_done(&r) || zero != 0 || w.server > VMUX_DOMID_MAX || w.client > VMUX_DOMID_MAX)
		return VMUX_E_FORMAT;
	*ret = w;
	return 0;
}

void vmux_where_encode(const struct vmux_where *where, uint8_t *to)
{
	struct wr w = wr_of(to, VMUX_WHERE_LEN);

	wr_le16(&w, where->server);
	wr_le16(&w, where->client);
	wr_le16(&w, where->port);
	wr_le16(&w, 0);
}

int vmux_credit_decode(const uint8_t *payload, size_t len, uint32_t *ret)
{
	struct rd r = rd_of(payload, len);
	uint32_t more = rd_le32(&r);

	if (!rd_done(&r) || more == 0)
		return VMUX_E_FORMAT;
	*ret = more;
	return 0;
}

uint32_t vmux_tag(uint64_t sender_nonce, uint64_t receiver_nonce)
{
	uint32_t tag = (uint32_t)sender_nonce ^ (uint32_t)(receiver_nonce >> 32);

	return tag != 0 ? tag : 1;
}

int vmux_ring_decode(const uint8_t *payload, size_t len, uint16_t *ret)
{
	struct rd r = rd_of(payload, len);
	uint16_t slot = rd_le16(&r), zero = rd_le16(&r);

	if (!rd_done(&r) || zero != 0)
		return VMUX_E_FORMAT;
	*ret = slot;
	return 0;
}

void vmux_ring_encode(uint16_t slot, uint8_t *to)
{
	struct wr w = wr_of(to, VMUX_RING_LEN);

	wr_le16(&w, slot);
	wr_le16(&w, 0);
}
