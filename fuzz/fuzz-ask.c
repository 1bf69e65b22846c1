/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Questions and answers between a confined daemon and its parent: what decodes encodes to itself.
 */
#include "fuzz.h"

#include "proto/ask.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t again[ASK_QUESTION_LEN];
	struct ask q;
	int result, r = ask_decode(data, size, &q);

	FUZZ_CHECK(r == 0 || r == ASK_E_FORMAT);
	if (r == 0) {
		FUZZ_CHECK(size == ASK_QUESTION_LEN && ask_encode(&q, again) == 0);
		FUZZ_CHECK(memcmp(again, data, size) == 0);
	}
	r = ask_answer_decode(data, size, &result);
	FUZZ_CHECK(r == 0 || r == ASK_E_FORMAT);
	if (r == 0) {
		FUZZ_CHECK(size == ASK_ANSWER_LEN && result <= 0);
		ask_answer_encode(result, again);
		FUZZ_CHECK(memcmp(again, data, size) == 0);
	}
	return 0;
}
