/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "proto/fork.h"

static void an_identity_comes_back_as_it_was(void **state)
{
	struct fork_identity id = {.time_ns = UINT64_C(0x1122334455667788)}, back;
	uint8_t bytes[FORK_LEN + 1] = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(id.seed); i++)
		id.seed[i] = (uint8_t)(i * 7 + 1);
	fork_encode(&id, bytes);
	assert_memory_equal(bytes, "bulkhead fork 1\n\x88\x77\x66", 19);
	assert_int_equal(fork_decode(bytes, FORK_LEN, &back), 0);
	assert_true(back.time_ns == id.time_ns);
	assert_memory_equal(back.seed, id.seed, sizeof(id.seed));
	assert_int_equal(fork_decode(bytes, FORK_LEN - 1, &back), FORK_E_FORMAT);
	assert_int_equal(fork_decode(bytes, FORK_LEN + 1, &back), FORK_E_FORMAT);
	assert_int_equal(fork_decode(bytes, 0, &back), FORK_E_FORMAT);
}

static void magic_and_rest_are_as_the_page_says(void **state)
{
	const struct fork_identity id = {.time_ns = 1};
	struct fork_identity back;

	(void)state;
	for (size_t i = 0; i < FORK_LEN; i++) {
		uint8_t bytes[FORK_LEN];

		fork_encode(&id, bytes);
		bytes[i] ^= 0x40;
		assert_int_equal(fork_decode(bytes, sizeof(bytes), &back),
				 i < 16 || i >= 16 + 8 + FORK_SEED_LEN ? FORK_E_FORMAT : 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_identity_comes_back_as_it_was),
		cmocka_unit_test(magic_and_rest_are_as_the_page_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
