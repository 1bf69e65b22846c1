/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/shown.h"

// clang-format off
static const struct {
	const char *text;
	bool shown;
} rows[] = {
	{"", true},
	{"report (2) ~ final.txt", true},
	{"Größe_ł_Ångström", true},
	{"отчёт Ωμέγα", true},
	{"報告書 ひらがな カタカナ 한국어", true},
	{"“quoted” – 5 € ≤ 7", true},
	{"new\nline", false},
	{"\x1b[31m", false},
	{"\x7f", false},
	{"\xc2\x85", false},		/* a control character of two bytes */
	{"\xc2\xa0", false},		/* a space that is none */
	{"\xe2\x80\x8b", false},	/* invisible */
	{"\xd7\xa9", false},		/* right to left */
	{"e\xcc\x81", false},		/* an accent that combines */
	{"\xf0\x9f\x99\x82", false},	/* a picture */
	{"\xee\x80\x80", false},	/* private */
	{"\xed\xa0\x80", false},	/* half of a pair */
	{"\xc0\xaf", false},		/* '/' in two bytes */
	{"\xe0\x80\xaf", false},
	{"\xf0\x80\x80\xaf", false},
	{"\xf4\x90\x80\x80", false},	/* behind the last character */
	{"\xf8\x88\x80\x80\x80", false},
	{"\xff", false},
	{"\x80", false},
	{"a\xc3", false},		/* cut */
	{"a\xe5\xa0", false},
	{"a\xf0\xa0\x80", false},
};
// clang-format on

static void text_is_shown_or_not(void **state)
{
	/* a character that turns what follows around, which no source text should have */
	static const char turned[] = {'\xe2', '\x80', '\xae'};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (shown_is(rows[i].text, strlen(rows[i].text)) != rows[i].shown)
			fail_msg("row %zu: %s", i, rows[i].text);
	assert_false(shown_is("a\0b", 3));
	assert_false(shown_is(turned, sizeof(turned)));
}

static void of_the_first_128_only_ascii_without_controls(void **state)
{
	(void)state;
	for (unsigned c = 0; c < 256; c++) {
		const char byte = (char)c;

		assert_int_equal(shown_is(&byte, 1), c >= 0x20 && c < 0x7f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_is_shown_or_not),
		cmocka_unit_test(of_the_first_128_only_ascii_without_controls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
