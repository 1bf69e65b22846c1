/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "qrexec/words.h"

static void known_services_have_words_and_others_have_none(void **state)
{
	static const struct {
		const char *service, *words;
	} rows[] = {
		{"qubes.Filecopy", "copy files to"},
		{"qubes.Filecopy+", "copy files to"},
		{"qubes.Gpg+x", "use the GnuPG keys of"},
		{"admin.vm.Start", "manage qubes (the Admin API) of"},
		{"qubes.FilecopyX", NULL},
		{"qubes.File", NULL},
		{"qubes.Filecopy.", NULL},
		{"administer", NULL},
		{"", NULL},
		{"+qubes.Filecopy", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *words = words_of_service(rows[i].service);

		if (rows[i].words)
			assert_string_equal(words, rows[i].words);
		else if (words)
			fail_msg("%s: %s", rows[i].service, words);
	}
}

static void a_callers_words_are_plain_and_bounded(void **state)
{
	static char longest[70000];
	static const struct {
		const char *text, *shown;
	} rows[] = {
		{"", ""},
		{"report.pdf", "report.pdf"},
		{"<b>a</b> & b", "<b>a</b> & b"},
		{"a\\x0a", "a\\\\x0a"},
		{"a\nb\x1b[2J\x7f", "a\\x0ab\\x1b[2J\\x7f"},
		{"\xe2\x80\xae" /* NOLINT(misc-misleading-bidirectional) */
		 "fdp.exe",
		 "\\xe2\\x80\\xaefdp.exe"},
	};
	char to[WORDS_BUF];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_string_equal(words_shown(rows[i].text, strlen(rows[i].text), to),
				    rows[i].shown);
	memset(longest, '\xff', sizeof(longest));
	(void)words_shown(longest, sizeof(longest), to);
	assert_true(strlen(to) < sizeof(to));
	assert_non_null(strstr(to, " ... and 69970 bytes more"));
	/* exactly what fits is not cut */
	memset(longest, 'a', WORDS_SHOWN_MAX);
	(void)words_shown(longest, WORDS_SHOWN_MAX - 3, to);
	assert_int_equal(strlen(to), WORDS_SHOWN_MAX - 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_services_have_words_and_others_have_none),
		cmocka_unit_test(a_callers_words_are_plain_and_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
