/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/report.h"

#define NAME45  "supported-rpc.abcdefghijklmnopqrstuvwxyz01234"
#define VALUE64 "0123456789012345678901234567890123456789012345678901234567890123"

// clang-format off
static const struct {
	const char *name, *value;
	int outcome;
} claims[] = {
	{"qrexec", "1", 0},
	{"os-eol", "2028-06-30", 0},
	{"os-distribution-like", "rhel fedora", 0},
	{"os_Version.2", "12", 0},
	{"empty", "", 0},
	{NAME45, "1", 0},
	{NAME45 "5", "1", REPORT_E_NAME},
	{"", "1", REPORT_E_NAME},
	{"a/b", "1", REPORT_E_NAME},
	{"a=b", "1", REPORT_E_NAME},
	{"a b", "1", REPORT_E_NAME},
	{"\xc3\xa4", "1", REPORT_E_NAME},
	{"v", VALUE64 VALUE64, 0},
	{"w", VALUE64 VALUE64 "0", REPORT_E_VALUE},
	{"v2", "a\nb", REPORT_E_VALUE},
	{"v2", "a=b", REPORT_E_VALUE},
	{"v2", "<b>", REPORT_E_VALUE},
	{"v2", "%s", REPORT_E_VALUE},
	{"v2", "\xc3\xa4", REPORT_E_VALUE},
	{"qrexec", "0", REPORT_E_TWICE},
};

static const struct {
	const char *bytes;
	int outcome;
	unsigned n;
} reports[] = {
	{"", 0, 0},
	{"a=1\n", 0, 1},
	{"a=1\nb=\nc=x y\n", 0, 3},
	{"a=1", REPORT_E_FORMAT, 0},
	{"a=1\nb=1", REPORT_E_FORMAT, 0},
	{"a\n", REPORT_E_FORMAT, 0},
	{"\n", REPORT_E_FORMAT, 0},
	{"a=1\n\n", REPORT_E_FORMAT, 0},
	{"=1\n", REPORT_E_NAME, 0},
	{"a=1=2\n", REPORT_E_VALUE, 0},
	{"a=1\na=1\n", REPORT_E_TWICE, 0},
};

static const struct {
	const char *bytes;
	size_t len; /* 0: the text's */
	int outcome;
	uint64_t n;
} counts[] = {
	{"0", 0, 0, 0},
	{"7\n", 0, 0, 7},
	{" \t12\r\n", 0, 0, 12},
	{"007", 0, 0, 7},
	{"999999999999999999", 0, 0, 999999999999999999},
	{"9999999999999999999", 0, REPORT_E_FORMAT, 0},
	{"", 0, REPORT_E_FORMAT, 0},
	{"\n", 0, REPORT_E_FORMAT, 0},
	{"-1", 0, REPORT_E_FORMAT, 0},
	{"+1", 0, REPORT_E_FORMAT, 0},
	{"1 2", 0, REPORT_E_FORMAT, 0},
	{"1\n2\n", 0, REPORT_E_FORMAT, 0},
	{"0x1", 0, REPORT_E_FORMAT, 0},
	{"1.5", 0, REPORT_E_FORMAT, 0},
	{"1\0", 2, REPORT_E_FORMAT, 0},
	{"\0001", 2, REPORT_E_FORMAT, 0},
	{"1                               ", 0, 0, 1},
	{"1                                ", 0, REPORT_E_FORMAT, 0},
};
// clang-format on

static void claims_are_taken_or_not(void **state)
{
	static struct report r, again;
	char bytes[REPORT_LEN_MAX];
	size_t len;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(claims); i++) {
		unsigned n = r.n;

		if (report_add(&r, claims[i].name, claims[i].value) != claims[i].outcome)
			fail_msg("row %zu", i);
		assert_int_equal(r.n, n + (claims[i].outcome == 0));
	}
	assert_string_equal(report_find(&r, "qrexec"), "1");
	assert_null(report_find(&r, "qrexe"));
	len = report_encode(&r, bytes);
	assert_int_equal(report_decode(bytes, len, &again), 0);
	assert_int_equal(again.n, r.n);
	for (unsigned i = 0; i < r.n; i++)
		assert_string_equal(report_find(&again, r.claims[i].name), r.claims[i].value);
}

static void a_full_report_fits_and_no_more_does(void **state)
{
	static struct report r, again;
	static char bytes[REPORT_LEN_MAX];
	char name[REPORT_NAME_MAX + 1];
	size_t len;

	(void)state;
	for (unsigned i = 0; i < REPORT_CLAIMS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "%045u", i);
		assert_int_equal(report_add(&r, name, VALUE64 VALUE64), 0);
	}
	assert_int_equal(report_add(&r, "one-more", "1"), REPORT_E_MANY);
	len = report_encode(&r, bytes);
	assert_int_equal(len, REPORT_LEN_MAX);
	assert_int_equal(report_decode(bytes, len, &again), 0);
	assert_int_equal(again.n, REPORT_CLAIMS_MAX);
}

static void reports_decode_or_not(void **state)
{
	static struct report r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(reports); i++) {
		const char *bytes = reports[i].bytes;

		if (report_decode(bytes, strlen(bytes), &r) != reports[i].outcome)
			fail_msg("row %zu", i);
		if (reports[i].outcome == 0)
			assert_int_equal(r.n, reports[i].n);
	}
	assert_int_equal(report_decode("a=\0\n", 4, &r), REPORT_E_VALUE);
}

static void numbers_of_updates_are_numbers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		const char *bytes = counts[i].bytes;
		uint64_t n = 1;
		int r = report_count_decode(bytes, counts[i].len ? counts[i].len : strlen(bytes),
					    &n);

		if (r != counts[i].outcome || (r == 0 && n != counts[i].n))
			fail_msg("row %zu", i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(claims_are_taken_or_not),
		cmocka_unit_test(a_full_report_fits_and_no_more_does),
		cmocka_unit_test(reports_decode_or_not),
		cmocka_unit_test(numbers_of_updates_are_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
