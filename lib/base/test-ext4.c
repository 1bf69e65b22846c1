/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/ext4.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct row {
	const char *what;
	uint16_t magic, state;
	uint32_t blocks_low, blocks_high, log_block_size, incompat;
	struct ext4 want;
};

static void put(uint8_t *at, uint64_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		at[i] = (uint8_t)(v >> (8 * i));
}

static void says_state_and_size(void **unused)
{
	/* clang-format off */
	static const struct row rows[] = {
		{"all zero", 0, 0, 0, 0, 0, 0, {EXT4_NONE, 0, 0}},
		{"clean, 4 KiB blocks", 0xef53, 1, 256, 0, 2, 0, {EXT4_CLEAN, 1048576, 4096}},
		{"not unmounted", 0xef53, 0, 1024, 0, 0, 0, {EXT4_CLEAN, 1048576, 1024}},
		{"errors", 0xef53, 3, 256, 0, 2, 0, {EXT4_ERRORS, 1048576, 4096}},
		{"beyond 16 TiB", 0xef53, 1, 0, 1, 2, 0x80, {EXT4_CLEAN, 1ULL << 44, 4096}},
		{"high half unused without 64bit", 0xef53, 1, 256, 7, 2, 0, {EXT4_CLEAN, 1048576, 4096}},
		{"wrong magic", 0xef54, 1, 256, 0, 2, 0, {EXT4_NONE, 0, 0}},
		{"no blocks", 0xef53, 1, 0, 0, 2, 0, {EXT4_NONE, 0, 0}},
		{"absurd block size", 0xef53, 1, 256, 0, 7, 0, {EXT4_NONE, 0, 0}},
		{"size overflows", 0xef53, 1, 0, 0xffffffff, 6, 0x80, {EXT4_NONE, 0, 0}},
	};
	/* clang-format on */

	(void)unused;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *w = &rows[i];
		uint8_t bytes[EXT4_SIZE] = {0};
		struct ext4 got;

		put(bytes + 4, w->blocks_low, 4);
		put(bytes + 24, w->log_block_size, 4);
		put(bytes + 56, w->magic, 2);
		put(bytes + 58, w->state, 2);
		put(bytes + 96, w->incompat, 4);
		put(bytes + 336, w->blocks_high, 4);
		ext4_decode(bytes, &got);
		if (got.state != w->want.state || got.size != w->want.size ||
		    got.block_size != w->want.block_size)
			fail_msg("%s: state %d size %llu", w->what, got.state,
				 (unsigned long long)got.size);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {cmocka_unit_test(says_state_and_size)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
