/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Notes about a qube: what is kept, what is replaced, what is refused. */
#include "proto/notes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void text_is_kept_and_what_deceives_replaced(void **state)
{
	/* clang-format off */
	static const struct {
		const char *in;
		const char *out; /* NULL: refused */
	} rows[] = {
		{"", ""}, {"two\n\tlines 100%", "two\n\tlines 100%"}, {"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80", "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80"},
		{"a\rb\x1b[31mc\x7f", "a_b_[31mc_"}, {"\xc2\x9b" "31m", "_31m"},
		{"a\xe2\x80\x8b" "b", "a_b"}, {"\xe2\x80\xa8", "_"}, {"\xef\xbb\xbfx", "_x"},
		{"\xee\x80\x80", "_"}, {"\xef\xbf\xbe", "_"}, {"\xf3\xa0\x80\x81", "_"}, {"\xf4\x8f\xbf\xbf", "_"},
		{"\xd7\x90", "\xd7\x90"}, /* a letter that is read from the right */
		{"\xff"}, {"\x80"}, {"\xc3"}, {"\xc0\xaf"}, {"\xe0\x80\xaf"}, {"\xed\xa0\x80"}, {"\xf4\x90\x80\x80"}, {"\xf8\x88\x80\x80\x80"}, {"\xe2\x82"},
		{"\xe2\x28\xa1"},
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char out[64] = "";
		size_t len = 0;
		int r = notes_decode(rows[i].in, strlen(rows[i].in), out, &len);

		print_message("row %zu\n", i);
		assert_int_equal(r, rows[i].out ? 0 : NOTES_E_FORMAT);
		if (!rows[i].out)
			continue;
		assert_int_equal(len, strlen(rows[i].out));
		assert_memory_equal(out, rows[i].out, len);
	}
	{
		/* what turns the direction of those that follow */
		static const uint8_t override[] = {'a', 0xe2, 0x80, 0xae, 'b'};
		char out[8];
		size_t len;

		assert_int_equal(notes_decode(override, sizeof(override), out, &len), 0);
		assert_int_equal(len, 3);
		assert_memory_equal(out, "a_b", 3);

		assert_int_equal(notes_decode("a\0b", 3, out, &len), 0);
		assert_memory_equal(out, "a_b", 3);
	}
}

static void too_long_a_text_is_refused(void **state)
{
	static char in[NOTES_MAX + 1], out[NOTES_MAX + 1];
	size_t len = 0;

	(void)state;
	memset(in, 'x', sizeof(in));
	assert_int_equal(notes_decode(in, NOTES_MAX, out, &len), 0);
	assert_int_equal(len, NOTES_MAX);
	assert_int_equal(notes_decode(in, NOTES_MAX + 1, out, &len), NOTES_E_LONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_is_kept_and_what_deceives_replaced),
		cmocka_unit_test(too_long_a_text_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
