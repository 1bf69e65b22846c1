/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "proto/open.h"

// clang-format off
static const struct {
	const char *bytes; /* filled up with zeros */
	int outcome;
	const char *name;
	bool view_only;
} headers[] = {
	{"report.pdf", 0, "report.pdf", false},
	{"view-only-report.pdf", 0, "report.pdf", true},
	{"Größe 報告.txt", 0, "Größe 報告.txt", false},
	{"...", 0, "...", false},
	{"-rf", 0, "-rf", false},
	{"", OPEN_E_NAME, NULL, false},
	{".", OPEN_E_NAME, NULL, false},
	{"..", OPEN_E_NAME, NULL, false},
	{"view-only-", OPEN_E_NAME, NULL, false},
	{"view-only-..", OPEN_E_NAME, NULL, false},
	{"a/b", OPEN_E_NAME, NULL, false},
	{"/etc/passwd", OPEN_E_NAME, NULL, false},
	{"a\nb", OPEN_E_NAME, NULL, false},
	{"a\x1b[2J", OPEN_E_NAME, NULL, false},
	{"\xff", OPEN_E_NAME, NULL, false},
};

static const struct {
	const char *file, *name;
	bool view_only;
} names[] = {
	{"report.pdf", "report.pdf", false},
	{"a b\x1b[2Jc", "a b_[2Jc", false},
	{"\xff\xfeГ.txt", "__Г.txt", false},
	{"e\xcc\x81.txt", "e__.txt", false},
	{"", "_", false},
	{".", "_", false},
	{"..", "_.", false},
	{"view-only-x", "_iew-only-x", false},
	{"view-only-x", "view-only-x", true},
};
// clang-format on

static void headers_decode_or_not(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
		uint8_t bytes[OPEN_HEADER_LEN + 1] = {0}, again[OPEN_HEADER_LEN];
		struct open_header h;
		int r;

		memcpy(bytes, headers[i].bytes, strlen(headers[i].bytes));
		r = open_header_decode(bytes, OPEN_HEADER_LEN, &h);
		if (r != headers[i].outcome)
			fail_msg("row %zu: %d", i, r);
		if (r != 0)
			continue;
		assert_string_equal(h.name, headers[i].name);
		assert_int_equal(h.view_only, headers[i].view_only);
		assert_int_equal(open_header_encode(&h, again), 0);
		assert_memory_equal(again, bytes, sizeof(again));
		assert_int_equal(open_header_decode(bytes, OPEN_HEADER_LEN - 1, &h), OPEN_E_FORMAT);
		assert_int_equal(open_header_decode(bytes, OPEN_HEADER_LEN + 1, &h), OPEN_E_FORMAT);
		bytes[200] = 'x'; /* behind the name's end */
		assert_int_equal(open_header_decode(bytes, OPEN_HEADER_LEN, &h), OPEN_E_FORMAT);
		memset(bytes, 'x', OPEN_HEADER_LEN); /* without an end */
		assert_int_equal(open_header_decode(bytes, OPEN_HEADER_LEN, &h), OPEN_E_FORMAT);
	}
}

static void any_file_has_a_name_to_be_sent_by(void **state)
{
	char longest[600];
	uint8_t bytes[OPEN_HEADER_LEN];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct open_header h = {.view_only = names[i].view_only};

		open_header_name(&h, names[i].file);
		assert_string_equal(h.name, names[i].name);
		assert_int_equal(open_header_encode(&h, bytes), 0);
	}
	/* two bytes a character, so that one of the two cuts goes through one */
	for (size_t i = 0; i < 594; i++)
		longest[i] = i % 2 ? '\xb6' : '\xd0';
	(void)stpcpy(longest + 594, ".txt");
	for (unsigned view_only = 0; view_only < 2; view_only++) {
		struct open_header h = {.view_only = view_only == 1};

		open_header_name(&h, longest);
		assert_int_equal(open_header_encode(&h, bytes), 0);
		assert_string_equal(h.name + strlen(h.name) - 4, ".txt");
		assert_int_equal(strlen(h.name), view_only ? 245 : 255);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_decode_or_not),
		cmocka_unit_test(any_file_has_a_name_to_be_sent_by),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
