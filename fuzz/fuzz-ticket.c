/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tickets for streams between qubes: what decodes encodes to itself and joins two qubes. */
#include "fuzz.h"

#include "proto/ticket.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t again[TICKET_LEN];
	struct ticket t;
	int result;

	if (ticket_decode(data, size, &t) == 0) {
		FUZZ_CHECK(size == TICKET_LEN && t.server != t.client);
		FUZZ_CHECK(t.server > 0 && t.client > 0);
		FUZZ_CHECK(ticket_encode(&t, again) == 0);
		FUZZ_CHECK(memcmp(again, data, size) == 0);
	}
	if (ticket_answer_decode(data, size, &result) == 0) {
		FUZZ_CHECK(size == TICKET_ANSWER_LEN && result <= 0);
		ticket_answer_encode(result, again);
		FUZZ_CHECK(memcmp(again, data, size) == 0);
	}
	return 0;
}
