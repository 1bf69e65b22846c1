/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/fork.h"

#include "base/bytes.h"

#include <string.h>

static const uint8_t magic[16] = "bulkhead fork 1\n";

#define REST_LEN (FORK_LEN - sizeof(magic) - 8 - FORK_SEED_LEN)

int fork_decode(const void *bytes, size_t len, struct fork_identity *ret)
{
	struct rd r = rd_of(bytes, len);
	uint8_t head[sizeof(magic)], rest[REST_LEN];
	struct fork_identity id;

	rd_copy(&r, head, sizeof(head));
	id.time_ns = rd_le64(&r);
	rd_copy(&r, id.seed, sizeof(id.seed));
	rd_copy(&r, rest, sizeof(rest));
	if (!rd_done(&r) || memcmp(head, magic, sizeof(magic)) != 0)
		return FORK_E_FORMAT;
	for (size_t i = 0; i < sizeof(rest); i++)
		if (rest[i] != 0)
			return FORK_E_FORMAT;
	*ret = id;
	return 0;
}

void fork_encode(const struct fork_identity *id, uint8_t *to)
{
	struct wr w = wr_of(to, FORK_LEN);

	wr_bytes(&w, magic, sizeof(magic));
	wr_le64(&w, id->time_ns);
	wr_bytes(&w, id->seed, sizeof(id->seed));
	wr_zeros(&w, REST_LEN);
}
