/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QubesDB's messages: a stream of them, each decoded, and encoded back to the same bytes. */
#include "fuzz.h"

#include "proto/qubesdb.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t at = 0;

	while (size - at >= QDB_HEADER) {
		uint8_t again[QDB_HEADER];
		struct qdb_head h, back;
		int r = qdb_head_decode(data + at, &h);

		FUZZ_CHECK(r == 0 || r == QDB_E_FORMAT || r == QDB_E_PATH);
		if (r == QDB_E_FORMAT)
			return 0;
		FUZZ_CHECK(h.value_len <= QDB_VALUE_MAX && h.path_len <= QDB_PATH_MAX);
		FUZZ_CHECK(h.path_len == strlen(h.path));
		FUZZ_CHECK(qdb_head_encode(again, h.type, h.path, h.path_len, h.value_len) == r);
		if (r == 0) {
			FUZZ_CHECK(qdb_path_ok(h.path, h.path_len));
			FUZZ_CHECK(!qdb_key_ok(h.path, h.path_len) ||
				   !qdb_subtree_ok(h.path, h.path_len));
			FUZZ_CHECK(qdb_head_decode(again, &back) == 0);
			FUZZ_CHECK(back.type == h.type && strcmp(back.path, h.path) == 0);
			FUZZ_CHECK(back.value_len == h.value_len);
		}
		at += QDB_HEADER;
		if (h.value_len > size - at)
			return 0;
		(void)qdb_value_ok(data + at, h.value_len);
		at += h.value_len;
	}
	return 0;
}
