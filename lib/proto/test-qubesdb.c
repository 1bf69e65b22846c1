/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "proto/qubesdb.h"

#define P63 "/23456789012345678901234567890123456789012345678901234567890123"

static void raw(uint8_t to[QDB_HEADER], uint8_t type, const char *path, size_t path_len,
		uint32_t len)
{
	memset(to, 0, QDB_HEADER);
	to[0] = type;
	memcpy(to + 1, path, path_len);
	for (unsigned i = 0; i < 4; i++)
		to[68 + i] = (uint8_t)(len >> (8 * i));
}

static void which_headers_are_messages(void **state)
{
	static const struct {
		uint8_t type;
		const char *path;
		uint32_t len;
		int r;
	} rows[] = {
		{QDB_READ, "/name", 0, 0},
		{QDB_READ, P63, 0, 0},
		{QDB_READ, "name", 0, 0},
		{QDB_READ, "/a_Z.9:@-", 0, 0},
		{QDB_READ, "", 0, QDB_E_PATH},
		{QDB_READ, "/name/", 0, QDB_E_PATH},
		{QDB_READ, "-name", 0, QDB_E_PATH},
		{QDB_READ, "/na me", 0, QDB_E_PATH},
		{QDB_READ, "/na\nme", 0, QDB_E_PATH},
		{QDB_READ, "/na\xc3\xa4", 0, QDB_E_PATH},
		{QDB_READ, "/a,b", 0, QDB_E_PATH},
		{QDB_READ, P63 "4", 0, QDB_E_FORMAT}, /* no room for the NUL */
		{QDB_READ, "/name", 1, QDB_E_FORMAT}, /* a value where none belongs */
		{QDB_WRITE, "/name", 0, 0},
		{QDB_WRITE, "/name", QDB_VALUE_MAX, 0},
		{QDB_WRITE, "/name", QDB_VALUE_MAX + 1, QDB_E_FORMAT},
		{QDB_WRITE, "/name", UINT32_MAX, QDB_E_FORMAT},
		{QDB_WRITE, "/name/", 3, QDB_E_PATH},
		{QDB_WRITE, "", 0, QDB_E_PATH},
		{QDB_WRITE, "", 3, QDB_E_FORMAT},
		{QDB_MULTIREAD, "", 0, 0},
		{QDB_MULTIREAD, "/a", 0, 0},
		{QDB_MULTIREAD, "/a/", 0, 0},
		{QDB_MULTIREAD, "", 1, QDB_E_FORMAT},
		{QDB_LIST, "", 0, 0},
		{QDB_LIST, "/a/", 0, 0},
		{QDB_LIST, "*", 0, QDB_E_PATH},
		{QDB_RM, "/a", 0, 0},
		{QDB_RM, "/a/", 0, 0},
		{QDB_RM, "", 0, QDB_E_PATH},
		{QDB_WATCH, "/a/", 0, 0},
		{QDB_UNWATCH, "/a", 0, 0},
		{QDB_WATCH, "", 0, QDB_E_PATH},
		{QDB_OK, "/a", 0, 0},
		{QDB_OK, "", 0, 0},
		{QDB_OK, "/a", 1, QDB_E_FORMAT},
		{QDB_ENOENT, "/a/", 0, 0},
		{QDB_ERROR, "", 0, 0},
		{QDB_READ_IS, "/a", 9, 0},
		{QDB_MULTIREAD_IS, "/a", 9, 0},
		{QDB_MULTIREAD_IS, "/a/", 9, QDB_E_PATH},
		{QDB_MULTIREAD_IS, "", 0, 0},
		{QDB_MULTIREAD_IS, "", 1, QDB_E_FORMAT},
		{QDB_LIST_IS, "/a", 0, 0},
		{QDB_LIST_IS, "/a", 1, QDB_E_FORMAT},
		{QDB_FIRED, "/a", 0, 0},
		{14, "/a", 0, QDB_E_FORMAT},
		{255, "", 0, QDB_E_FORMAT},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const size_t n = strlen(rows[i].path);
		uint8_t bytes[QDB_HEADER], again[QDB_HEADER];
		struct qdb_head h;
		int r;

		raw(bytes, rows[i].type, rows[i].path, n, rows[i].len);
		r = qdb_head_decode(bytes, &h);
		if (r != rows[i].r)
			fail_msg("row %zu: %d, not %d", i, r, rows[i].r);
		if (r == QDB_E_FORMAT)
			continue;
		assert_int_equal(h.type, rows[i].type);
		assert_string_equal(h.path, rows[i].path);
		assert_int_equal(h.path_len, n);
		assert_int_equal(h.value_len, rows[i].len);
		r = qdb_head_encode(again, h.type, h.path, h.path_len, h.value_len);
		assert_int_equal(r, rows[i].r);
		if (r == 0)
			assert_memory_equal(bytes, again, QDB_HEADER);
	}
}

static void what_is_behind_the_nul_is_ignored(void **state)
{
	uint8_t bytes[QDB_HEADER];
	struct qdb_head h;

	(void)state;
	raw(bytes, QDB_READ, "/a\0garbage\xff", 11, 0);
	bytes[65] = bytes[66] = bytes[67] = 0xee; /* padding, which some clients do not clear */
	assert_int_equal(qdb_head_decode(bytes, &h), 0);
	assert_string_equal(h.path, "/a");
	assert_int_equal(h.path_len, 2);
}

static void values(void **state)
{
	static char big[QDB_VALUE_MAX + 1];

	(void)state;
	memset(big, 'x', sizeof(big));
	assert_true(qdb_value_ok("", 0));
	assert_true(qdb_value_ok("\n\xff", 2));
	assert_false(qdb_value_ok("a\0b", 3));
	assert_true(qdb_value_ok(big, QDB_VALUE_MAX));
	assert_false(qdb_value_ok(big, QDB_VALUE_MAX + 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(which_headers_are_messages),
		cmocka_unit_test(what_is_behind_the_nul_is_ignored),
		cmocka_unit_test(values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
