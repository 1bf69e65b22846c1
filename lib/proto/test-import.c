/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/import.h"

#define BYTES(s) (s), sizeof(s) - 1

// clang-format off
static const struct {
	const char *bytes;
	size_t len;
	unsigned n;  /* records before the end, or before what is none */
	int outcome;
} rows[] = {
	{BYTES(""), 0, IMPORT_E_END},
	{BYTES("qube\0AppVM\0work\0"), 1, IMPORT_E_END},
	{BYTES("label\0scarlet\0" "0xff2400\0tag\0work\0t\0"), 2, IMPORT_E_END},
	{BYTES("volume\0work\0root\0\0\0\0"), 1, IMPORT_E_END},
	{BYTES("property\0\0clockvm\0\0firewall\0a\0x\ny\n\0"), 2, IMPORT_E_END},
	{BYTES("feature\0q\0n\0v\0"), 1, IMPORT_E_END},
	{BYTES("qube\0AppVM\0work"), 0, IMPORT_E_FORMAT},
	{BYTES("qube\0AppVM\0"), 0, IMPORT_E_FORMAT},
	{BYTES("qube"), 0, IMPORT_E_FORMAT},
	{BYTES("\0"), 0, IMPORT_E_FORMAT},
	{BYTES("Qube\0AppVM\0work\0"), 0, IMPORT_E_FORMAT},
	{BYTES("tag\0work\0t\0\0"), 1, IMPORT_E_FORMAT},
	{BYTES("tag\0work\0t\0qub\0a\0b\0"), 1, IMPORT_E_FORMAT},
};
// clang-format on

static void records_are_taken_one_by_one_and_nothing_else_is(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct import_record one;
		size_t at = 0;
		unsigned n = 0;
		int r;

		while ((r = import_next(rows[i].bytes, rows[i].len, &at, &one)) == 0)
			n++;
		if (r != rows[i].outcome || n != rows[i].n)
			fail_msg("row %zu: %u records, then %d", i, n, r);
	}
}

static void fields_are_what_was_written(void **state)
{
	struct import_record one = {IMPORT_VOLUME, {"work", "root", "vm-pool", "1024", ""}}, again;
	char buf[64];
	size_t len = import_encode(&one, buf, sizeof(buf)), at = 0;

	(void)state;
	assert_true(len > 0);
	assert_int_equal(import_next(buf, len, &at, &again), 0);
	assert_int_equal(at, len);
	assert_int_equal(again.kind, IMPORT_VOLUME);
	for (unsigned i = 0; i < import_n_fields(IMPORT_VOLUME); i++)
		assert_string_equal(again.fields[i], one.fields[i]);
	assert_int_equal(import_encode(&one, buf, len - 1), 0);
}

static void a_field_has_a_bound(void **state)
{
	char *value = malloc(IMPORT_FIELD_MAX + 2), *buf = malloc(2 * (size_t)IMPORT_FIELD_MAX);
	struct import_record one = {IMPORT_FEATURE, {"q", "n", value}};
	size_t at = 0, len;

	(void)state;
	assert_non_null(value);
	assert_non_null(buf);
	memset(value, 'x', IMPORT_FIELD_MAX + 1);
	value[IMPORT_FIELD_MAX + 1] = '\0';
	assert_int_equal(import_encode(&one, buf, 2 * (size_t)IMPORT_FIELD_MAX), 0);
	value[IMPORT_FIELD_MAX] = '\0';
	len = import_encode(&one, buf, 2 * (size_t)IMPORT_FIELD_MAX);
	assert_true(len > IMPORT_FIELD_MAX);
	assert_int_equal(import_next(buf, len, &at, &one), 0);
	/* one byte more, by hand */
	buf[len - 1] = 'x';
	buf[len] = '\0';
	at = 0;
	assert_int_equal(import_next(buf, len + 1, &at, &one), IMPORT_E_FORMAT);
	free(value);
	free(buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_are_taken_one_by_one_and_nothing_else_is),
		cmocka_unit_test(fields_are_what_was_written),
		cmocka_unit_test(a_field_has_a_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
