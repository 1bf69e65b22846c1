/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Notes: never longer than they came, and unchanged the second time. */
#include "fuzz.h"

#include "proto/notes.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char once[NOTES_MAX], twice[NOTES_MAX];
	size_t len, len_twice;
	int r = notes_decode(data, size, once, &len);

	FUZZ_CHECK(r >= 0 && r <= NOTES_E_LONG);
	if (r > 0)
		return 0;
	FUZZ_CHECK(len <= size);
	FUZZ_CHECK(!memchr(once, 0, len) && !memchr(once, 0x1b, len));
	FUZZ_CHECK(notes_decode(once, len, twice, &len_twice) == 0);
	FUZZ_CHECK(len == len_twice && memcmp(once, twice, len) == 0);
	return 0;
}
