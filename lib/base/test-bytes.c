/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"

static void reads_every_width(void **state)
{
	const uint8_t b[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
	struct rd r = rd_of(b, sizeof(b));

	(void)state;
	assert_int_equal(rd_u8(&r), 1);
	assert_int_equal(rd_le16(&r), 0x0302);
	assert_int_equal(rd_le32(&r), 0x07060504);
	assert_true(rd_le64(&r) == 0x0f0e0d0c0b0a0908ull);
	assert_true(rd_done(&r));
}

static void too_short_and_too_long_are_one_answer(void **state)
{
	const uint8_t b[4] = {1, 2, 3, 4};
	struct rd r = rd_of(b, sizeof(b));

	(void)state;
	assert_int_equal(rd_le16(&r), 0x0201);
	assert_false(rd_done(&r));
	assert_int_equal(rd_le32(&r), 0);
	assert_false(rd_done(&r));
	assert_int_equal(rd_u8(&r), 0); /* failure is sticky */
	assert_null(rd_take(&r, 0));
}

static void a_length_near_the_top_does_not_wrap(void **state)
{
	const uint8_t b[4] = {0};
	struct rd r = rd_of(b, sizeof(b));
	uint8_t out[2];
	struct wr w = wr_of(out, sizeof(out));

	(void)state;
	(void)rd_u8(&r);
	assert_null(rd_take(&r, SIZE_MAX));
	wr_u8(&w, 1);
	wr_zeros(&w, SIZE_MAX);
	assert_int_equal(wr_done(&w), 0);
}

static void what_is_written_reads_back(void **state)
{
	uint8_t buf[32];
	struct wr w = wr_of(buf, sizeof(buf));
	struct rd r;
	size_t n;

	(void)state;
	wr_u8(&w, 0xfe);
	wr_le16(&w, 0xfedc);
	wr_le32(&w, 0xfedcba98);
	wr_le64(&w, 0xfedcba9876543210ull);
	wr_bytes(&w, "tail", 4);
	assert_int_equal(wr_done(&w), 19);
	r = rd_of(buf, wr_done(&w));
	assert_int_equal(rd_u8(&r), 0xfe);
	assert_int_equal(rd_le16(&r), 0xfedc);
	assert_true(rd_le32(&r) == 0xfedcba98);
	assert_true(rd_le64(&r) == 0xfedcba9876543210ull);
	assert_memory_equal(rd_rest(&r, &n), "tail", 4);
	assert_int_equal(n, 4);
	assert_true(rd_done(&r));
}

static void big_endian_is_the_same_bytes_turned_round(void **state)
{
	const uint8_t b[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
	uint8_t out[12];
	struct rd r = rd_of(b, sizeof(b));
	struct wr w = wr_of(out, sizeof(out));

	(void)state;
	assert_true(rd_be32(&r) == 0x01020304);
	assert_true(rd_be64(&r) == 0x05060708090a0b0cull);
	assert_true(rd_done(&r));
	wr_be32(&w, 0x01020304);
	wr_be64(&w, 0x05060708090a0b0cull);
	assert_int_equal(wr_done(&w), sizeof(b));
	assert_memory_equal(out, b, sizeof(b));
}

static void a_text_has_one_nul_and_it_is_the_last(void **state)
{
	static const struct {
		uint8_t bytes[6];
		size_t len;
		const char *text; /* NULL: it is none */
	} rows[] = {
		{{1, 0, 0}, 3, ""},
		{{3, 0, 'a', 'b', 0}, 5, "ab"},
		{{0, 0}, 2, NULL},
		{{2, 0, 'a', 'b'}, 4, NULL},
		{{3, 0, 'a', 0, 0}, 5, NULL},
		{{3, 0, 'a', 0}, 4, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct rd r = rd_of(rows[i].bytes, rows[i].len);
		uint8_t again[6];
		struct wr w = wr_of(again, sizeof(again));

		assert_string_equal(rd_text(&r), rows[i].text ? rows[i].text : "");
		assert_int_equal(rd_done(&r), rows[i].text != NULL);
		if (!rows[i].text)
			continue;
		wr_text(&w, rows[i].text);
		assert_int_equal(wr_done(&w), rows[i].len);
		assert_memory_equal(again, rows[i].bytes, rows[i].len);
	}
}

static void a_bool_is_zero_or_one(void **state)
{
	const uint8_t b[] = {0, 1, 2};
	struct rd r = rd_of(b, sizeof(b));

	(void)state;
	assert_false(rd_bool(&r));
	assert_true(rd_bool(&r));
	assert_false(r.failed);
	assert_false(rd_bool(&r));
	assert_true(r.failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_every_width),
		cmocka_unit_test(too_short_and_too_long_are_one_answer),
		cmocka_unit_test(a_length_near_the_top_does_not_wrap),
		cmocka_unit_test(what_is_written_reads_back),
		cmocka_unit_test(big_endian_is_the_same_bytes_turned_round),
		cmocka_unit_test(a_text_has_one_nul_and_it_is_the_last),
		cmocka_unit_test(a_bool_is_zero_or_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
