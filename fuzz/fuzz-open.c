/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qubes.OpenInVM: what decodes encodes to itself and names a file; any text becomes such a name. */
#include "fuzz.h"

#include "proto/open.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t again[OPEN_HEADER_LEN];
	struct open_header h, made;
	char text[600];

	if (open_header_decode(data, size, &h) == 0) {
		FUZZ_CHECK(size == OPEN_HEADER_LEN && h.name[0] != '\0' && !strchr(h.name, '/'));
		FUZZ_CHECK(strcmp(h.name, ".") != 0 && strcmp(h.name, "..") != 0);
		/* but for a name that wishes twice, which no sender sends */
		if (open_header_encode(&h, again) == 0)
			FUZZ_CHECK(memcmp(again, data, size) == 0);
		else
			FUZZ_CHECK(!h.view_only);
	}
	if (size >= sizeof(text))
		size = sizeof(text) - 1;
	memcpy(text, data, size);
	text[size] = '\0';
	for (unsigned view_only = 0; view_only < 2; view_only++) {
		made = (struct open_header){.view_only = view_only == 1};
		open_header_name(&made, text);
		FUZZ_CHECK(open_header_encode(&made, again) == 0);
		FUZZ_CHECK(open_header_decode(again, sizeof(again), &h) == 0);
		FUZZ_CHECK(strcmp(h.name, made.name) == 0 && h.view_only == made.view_only);
	}
	return 0;
}
