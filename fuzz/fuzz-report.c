/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a qube says of itself: what decodes encodes to itself, and each claim is within its bounds. */
#include "fuzz.h"

#include "proto/report.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct report r, again;
	static uint8_t bytes[REPORT_LEN_MAX];
	uint64_t n;

	if (report_count_decode(data, size, &n) == 0)
		FUZZ_CHECK(size <= REPORT_COUNT_LEN_MAX && n < UINT64_C(1000000000000000000));
	if (report_decode(data, size, &r) != 0)
		return 0;
	FUZZ_CHECK(r.n <= REPORT_CLAIMS_MAX && report_encode(&r, bytes) == size);
	FUZZ_CHECK(memcmp(bytes, data, size) == 0);
	again.n = 0;
	for (unsigned i = 0; i < r.n; i++) {
		FUZZ_CHECK(strlen(r.claims[i].name) > 0);
		FUZZ_CHECK(report_find(&r, r.claims[i].name) == r.claims[i].value);
		FUZZ_CHECK(report_add(&again, r.claims[i].name, r.claims[i].value) == 0);
	}
	return 0;
}
