/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines of the log of decisions: what decodes is written as it was read, unless it has to be cut. */
#include "fuzz.h"

#include "proto/audit.h"

#include <string.h>

static char line[AUDIT_MAX], again[AUDIT_MAX];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct audit_entry e, back;
	size_t len;

	if (size > sizeof(line))
		return 0;
	memcpy(line, data, size);
	if (audit_decode(line, size, &e) != 0)
		return 0;
	len = audit_encode(&e, again, sizeof(again));
	FUZZ_CHECK(len > 0 && len <= size && again[len - 1] == '\n');
	if (len == size)
		FUZZ_CHECK(memcmp(again, data, size) == 0);
	FUZZ_CHECK(audit_decode(again, len, &back) == 0);
	FUZZ_CHECK(back.time_us == e.time_us && back.verdict == e.verdict);
	return 0;
}
