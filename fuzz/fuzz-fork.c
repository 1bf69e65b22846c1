/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a fork is told: what decodes encodes to itself. */
#include "fuzz.h"

#include "proto/fork.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t again[FORK_LEN];
	struct fork_identity id;

	if (fork_decode(data, size, &id) == 0) {
		FUZZ_CHECK(size == FORK_LEN);
		fork_encode(&id, again);
		FUZZ_CHECK(memcmp(again, data, size) == 0);
	}
	return 0;
}
