/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between qubesd and policyd: what decodes encodes to itself, and its texts end within it. */
#include "fuzz.h"

#include "proto/picture.h"

#include <string.h>

static uint8_t again[PICTURE_MAX];

static void check_tags(const struct picture_qube *q, const uint8_t *end)
{
	const char *at = q->tags;

	for (unsigned i = 0; i < q->n_tags; i++) {
		FUZZ_CHECK((const uint8_t *)at < end && at[0] != '\0');
		at += strlen(at) + 1;
	}
	FUZZ_CHECK((const uint8_t *)at == end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct picture_msg m;
	size_t len = 0;

	if (picture_frame(data, size, &len) != 0)
		return 0;
	FUZZ_CHECK(len >= 5 && len <= size);
	if (picture_decode(data, len, &m) != 0)
		return 0;
	if (m.type == PICTURE_QUBE)
		check_tags(&m.qube, data + len);
	FUZZ_CHECK(picture_encode(&m, again, sizeof(again)) == len);
	FUZZ_CHECK(memcmp(again, data, len) == 0);
	return 0;
}
