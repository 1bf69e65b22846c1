/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/ask.h"

#include "base/bytes.h"

static bool is_vchan(const struct ask *q)
{
	return q->a <= ASK_DOMID_MAX && q->b <= ASK_DOMID_MAX && q->c <= ASK_PORT_MAX;
}

static bool exists(const struct ask *q)
{
	switch (q->kind) {
	case ASK_VCHAN_BIND:
	case ASK_VCHAN_UNLINK:
	case ASK_VCHAN_CONNECT:
		return is_vchan(q);
	case ASK_QREXEC_BIND:
	case ASK_QREXEC_UNLINK:
	case ASK_BROKER:
		return q->a == 0 && q->b == 0 && q->c == 0;
	case ASK_AGENT_STATE:
		return q->a <= 1 && q->b == 0 && q->c == 0;
	default:
		return false;
	}
}

int ask_decode(const void *bytes, size_t len, struct ask *ret)
{
	struct rd r = rd_of(bytes, len);
	struct ask q;

	q.kind = rd_le32(&r);
	q.a = rd_le32(&r);
	q.b = rd_le32(&r);
	q.c = rd_le32(&r);
	if (!rd_done(&r) || !exists(&q))
		return ASK_E_FORMAT;
	*ret = q;
	return 0;
}

int ask_encode(const struct ask *q, uint8_t *to)
{
	struct wr w = wr_of(to, ASK_QUESTION_LEN);

	if (!exists(q))
		return ASK_E_FORMAT;
	wr_le32(&w, q->kind);
	wr_le32(&w, q->a);
	wr_le32(&w, q->b);
	wr_le32(&w, q->c);
	return 0;
}

int ask_answer_decode(const void *bytes, size_t len, int *ret)
{
	struct rd r = rd_of(bytes, len);
	uint32_t error = rd_le32(&r);

	if (!rd_done(&r) || error > ASK_ERRNO_MAX)
		return ASK_E_FORMAT;
	*ret = -(int)error;
	return 0;
}

void ask_answer_encode(int r, uint8_t *to)
{
	struct wr w = wr_of(to, ASK_ANSWER_LEN);

	wr_le32(&w, r >= -ASK_ERRNO_MAX && r <= 0 ? (uint32_t)-r : EIO);
}
