/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc32.h"

/* the definition, a bit at a time */
static uint32_t defined(const uint8_t *p, size_t len)
{
	uint32_t rest = UINT32_MAX;

	for (; len > 0; p++, len--) {
		rest ^= *p;
		for (unsigned bit = 0; bit < 8; bit++)
			rest = rest >> 1 ^ (rest & 1 ? 0xEDB88320u : 0);
	}
	return ~rest;
}

static void known_sums(void **state)
{
	(void)state;
	assert_int_equal(crc32_add(0, "", 0), 0);
	assert_int_equal(crc32_add(0, "123456789", 9), 0xCBF43926u);
}

static void every_length_and_every_cut_agree_with_the_definition(void **state)
{
	uint8_t bytes[700];
	uint32_t seed = 1;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++) {
		seed = seed * 1664525 + 1013904223;
		bytes[i] = (uint8_t)(seed >> 24);
	}
	for (size_t len = 0; len <= sizeof(bytes); len++) {
		const uint32_t sum = defined(bytes, len);
		const size_t cut = len * 7 % 300 < len ? len * 7 % 300 : len;

		assert_int_equal(crc32_add(0, bytes, len), sum);
		assert_int_equal(crc32_add_plain(0, bytes, len), sum);
		assert_int_equal(crc32_add(crc32_add(0, bytes, cut), bytes + cut, len - cut), sum);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_sums),
		cmocka_unit_test(every_length_and_every_cut_agree_with_the_definition),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
