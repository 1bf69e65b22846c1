/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qubes.Filecopy: what decodes encodes to itself; what is accepted as a name stays below. */
#include "fuzz.h"

#include "proto/filecopy.h"

#include <string.h>

static void one_header(const uint8_t *data)
{
	uint8_t again[FILECOPY_HEADER_LEN], kept[FILECOPY_HEADER_LEN];
	struct filecopy_entry e;

	if (filecopy_header_decode(data, FILECOPY_HEADER_LEN, &e) != 0)
		return;
	FUZZ_CHECK(e.mode <= 0777 && e.name_len <= FILECOPY_NAME_MAX && e.size <= INT64_MAX);
	FUZZ_CHECK(e.kind == FILECOPY_END || e.name_len >= 2);
	FUZZ_CHECK(e.kind != FILECOPY_LINK || e.size <= FILECOPY_NAME_MAX);
	FUZZ_CHECK(filecopy_header_encode(&e, again) == 0);
	memcpy(kept, data, sizeof(kept));
	kept[5] &= 0xf1; /* set-id and sticky bits */
	FUZZ_CHECK(memcmp(again, kept, sizeof(again)) == 0);
}

/* by another way than the codec's: does this name, taken as it stands, leave where it starts? */
static int leaves(const char *name)
{
	if (name[0] == '/' || name[0] == '\0')
		return 1;
	for (const char *at = name; at; at = strchr(at, '/')) {
		at += *at == '/';
		if (strcmp(at, "..") == 0 || strncmp(at, "../", 3) == 0)
			return 1;
	}
	return 0;
}

static void one_name(const char *name, size_t len)
{
	for (unsigned allow = 0; allow < 4; allow++) {
		unsigned depth = 0;

		if (filecopy_name_check(name, len, allow, &depth) != 0)
			continue;
		FUZZ_CHECK(len > 1 && strlen(name) == len - 1 && depth >= 1);
		FUZZ_CHECK(!leaves(name));
		/* each is allowed by whoever allows more */
		FUZZ_CHECK(filecopy_name_check(name, len, 3, &depth) == 0);
	}
}

static void one_link(unsigned depth, const char *target, size_t len)
{
	int ups = 0;

	if (filecopy_link_check(depth, target, len, FILECOPY_ALL_NAMES) != 0)
		return;
	FUZZ_CHECK(depth >= 2 && len > 0 && target[0] != '/' && !memchr(target, '\0', len));
	for (size_t i = 0; i + 1 < len; i++)
		ups += target[i] == '.' && target[i + 1] == '.' &&
		       (i == 0 || target[i - 1] == '/') && (i + 2 == len || target[i + 2] == '/');
	FUZZ_CHECK(ups <= (int)depth - 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t again[FILECOPY_ANSWER_LEN];
	struct filecopy_answer a;
	uint32_t len;

	if (size < FILECOPY_HEADER_LEN)
		return 0;
	one_header(data);
	one_name((const char *)data + FILECOPY_HEADER_LEN, size - FILECOPY_HEADER_LEN);
	one_link(data[0] % 8, (const char *)data + FILECOPY_HEADER_LEN, size - FILECOPY_HEADER_LEN);
	if (filecopy_answer_decode(data, FILECOPY_ANSWER_LEN, &a) == 0) {
		filecopy_answer_encode(&a, again);
		FUZZ_CHECK(memcmp(again, data, FILECOPY_ANSWER_LEN) == 0);
	}
	if (filecopy_last_decode(data, &len) == 0) {
		filecopy_last_encode(len, again);
		FUZZ_CHECK(memcmp(again, data, FILECOPY_LAST_LEN) == 0);
	}
	return 0;
}
