/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/ticket.h"

#include "base/bytes.h"

#include <string.h>

#define ERRNO_MAX 4095

static const uint8_t magic[4] = {'t', 'k', 't', '1'};

static bool exists(const struct ticket *t)
{
	return t->kind >= TICKET_GRANT && t->kind <= TICKET_VOID && t->server != t->client &&
	       t->server >= 1 && t->server <= TICKET_DOMID_MAX && t->client >= 1 &&
	       t->client <= TICKET_DOMID_MAX;
}

int ticket_decode(const void *bytes, size_t len, struct ticket *ret)
{
	struct rd r = rd_of(bytes, len);
	uint8_t head[sizeof(magic)], zeros[5];
	struct ticket t;

	rd_copy(&r, head, sizeof(head));
	t.kind = rd_u8(&r);
	rd_copy(&r, zeros, sizeof(zeros));
	t.server = rd_le16(&r);
	t.client = rd_le16(&r);
	t.port = rd_le16(&r);
	if (!rd_done(&r) || memcmp(head, magic, sizeof(magic)) != 0 || !exists(&t))
		return TICKET_E_FORMAT;
	for (size_t i = 0; i < sizeof(zeros); i++)
		if (zeros[i] != 0)
			return TICKET_E_FORMAT;
	*ret = t;
	return 0;
}

int ticket_encode(const struct ticket *t, uint8_t *to)
{
	struct wr w = wr_of(to, TICKET_LEN);

	if (!exists(t))
		return TICKET_E_FORMAT;
	wr_bytes(&w, magic, sizeof(magic));
	wr_u8(&w, t->kind);
	wr_zeros(&w, 5);
	wr_le16(&w, t->server);
	wr_le16(&w, t->client);
	wr_le16(&w, t->port);
	return 0;
}

int ticket_answer_decode(const void *bytes, size_t len, int *ret)
{
	struct rd r = rd_of(bytes, len);
	uint32_t error = rd_le32(&r);

	if (!rd_done(&r) || error > ERRNO_MAX)
		return TICKET_E_FORMAT;
	*ret = -(int)error;
	return 0;
}

void ticket_answer_encode(int r, uint8_t *to)
{
	struct wr w = wr_of(to, TICKET_ANSWER_LEN);

	wr_le32(&w, r <= 0 && r >= -ERRNO_MAX ? (uint32_t)-r : EIO);
}
