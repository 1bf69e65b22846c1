/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2: what the header's decoder accepts lies inside the file and survives a round trip; so do
 * table entries. The input is a file whose bytes behind the first cluster do not matter.
 */
#include "fuzz.h"

#include "base/bytes.h"
#include "proto/qcow2.h"

#include <string.h>

enum { FILE_SIZE = 64 << 16 };

static void entries(uint64_t raw)
{
	struct qcow2_cluster c;
	uint64_t at;

	if (qcow2_l1_decode(raw, FILE_SIZE, &at) == 0) {
		FUZZ_CHECK(at % QCOW2_CLUSTER == 0 && at <= FILE_SIZE - QCOW2_CLUSTER);
		FUZZ_CHECK((qcow2_l1_encode(at) & ~(UINT64_C(1) << 63)) ==
			   (raw & ~(UINT64_C(1) << 63)));
	}
	if (qcow2_l2_decode(raw, FILE_SIZE, &c) == 0) {
		struct qcow2_cluster again;

		FUZZ_CHECK(c.at % QCOW2_CLUSTER == 0 && c.at < FILE_SIZE);
		FUZZ_CHECK(c.kind != QCOW2_DATA || c.at != 0);
		FUZZ_CHECK(c.kind != QCOW2_ABSENT || c.at == 0);
		FUZZ_CHECK(qcow2_l2_decode(qcow2_l2_encode(&c), FILE_SIZE, &again) == 0);
		FUZZ_CHECK(again.kind == c.kind && again.at == c.at);
	}
	if (qcow2_refs_decode(raw, FILE_SIZE, &at) == 0)
		FUZZ_CHECK(at % QCOW2_CLUSTER == 0 && at <= FILE_SIZE - QCOW2_CLUSTER);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t buf[2048];
	struct qcow2_header h, again;
	struct rd r = rd_of(data, size);
	size_t n;

	while (r.len >= 8)
		entries(rd_be64(&r));
	if (size > QCOW2_CLUSTER || qcow2_header_decode(data, size, FILE_SIZE, &h) != 0)
		return 0;
	FUZZ_CHECK(h.l1_at + (uint64_t)h.n_l1 * 8 <= FILE_SIZE);
	FUZZ_CHECK((uint64_t)h.n_l1 * QCOW2_L2_SPAN >= h.size);
	FUZZ_CHECK(h.refs_at + h.n_refs_clusters * QCOW2_CLUSTER <= FILE_SIZE);
	memset(buf, 0, sizeof(buf));
	n = qcow2_header_encode(&h, buf, sizeof(buf));
	FUZZ_CHECK(n > 0);
	FUZZ_CHECK(qcow2_header_decode(buf, n, FILE_SIZE, &again) == 0);
	FUZZ_CHECK(again.size == h.size && again.l1_at == h.l1_at && again.n_l1 == h.n_l1);
	FUZZ_CHECK(again.refs_at == h.refs_at && again.n_refs_clusters == h.n_refs_clusters);
	FUZZ_CHECK(again.backing_len == h.backing_len && again.backing_is_raw == h.backing_is_raw);
	FUZZ_CHECK(h.backing_len == 0 || memcmp(again.backing, h.backing, h.backing_len) == 0);
	return 0;
}
