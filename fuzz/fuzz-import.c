/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Definitions of qubes: what decodes encodes to itself, and each field ends within the bytes. */
#include "fuzz.h"

#include "proto/import.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char again[1 << 20];
	const char *bytes = (const char *)data;
	struct import_record one;
	size_t at = 0, from = 0;
	int r;

	if (size > sizeof(again))
		return 0;
	while ((r = import_next(bytes, size, &at, &one)) == 0) {
		FUZZ_CHECK(at > from && at <= size && one.kind < IMPORT_KINDS);
		for (unsigned i = 0; i < import_n_fields(one.kind); i++)
			FUZZ_CHECK(one.fields[i] > bytes &&
				   one.fields[i] + strlen(one.fields[i]) < bytes + at);
		FUZZ_CHECK(import_encode(&one, again, sizeof(again)) == at - from);
		FUZZ_CHECK(memcmp(again, bytes + from, at - from) == 0);
		from = at;
	}
	FUZZ_CHECK(at == from && (r == IMPORT_E_END) == (at == size));
	return 0;
}
