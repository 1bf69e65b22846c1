/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "proto/audit.h"

static char buf[AUDIT_MAX];

static void a_decision_is_one_line(void **state)
{
	static const struct audit_entry e = {
		.time_us = 1700000000000042,
		.verdict = AUDIT_ALLOW,
		.caller = "work",
		.remote = "",
		.service = "a.B+x y",
		.target = "@default",
		.to = "vault",
		.rule = "30-user.policy:7",
		.reason = "",
		.took_us = 85,
	};
	const char *wanted = "time=1700000000.000042\tverdict=allow\tcaller=work\tservice=a.B+x y\t"
			     "target=@default\tto=vault\trule=30-user.policy:7\tus=85\n";
	size_t len = audit_encode(&e, buf, sizeof(buf));
	struct audit_entry back;

	(void)state;
	assert_int_equal(len, strlen(wanted));
	assert_memory_equal(buf, wanted, len);
	assert_int_equal(audit_decode(buf, len, &back), 0);
	assert_true(back.time_us == e.time_us && back.took_us == 85 && back.n_dropped == 0);
	assert_int_equal(back.verdict, AUDIT_ALLOW);
	assert_string_equal(back.service, e.service);
	assert_string_equal(back.target, e.target);
	assert_string_equal(back.rule, e.rule);
	assert_string_equal(back.remote, "");
}

static void what_a_qube_writes_stays_in_its_field(void **state)
{
	static const struct audit_entry e = {
		.verdict = AUDIT_DENY,
		.caller = "work",
		.remote = "far",
		.service = "a\tto=vault\nverdict=allow\\x\x1b\xff",
		.target = "",
		.to = "",
		.rule = "",
		.reason = "no rule",
		.n_dropped = 7,
	};
	size_t len = audit_encode(&e, buf, sizeof(buf));
	struct audit_entry back;

	(void)state;
	assert_ptr_equal(memchr(buf, '\n', len), buf + len - 1);
	assert_int_equal(audit_decode(buf, len, &back), 0);
	assert_int_equal(back.verdict, AUDIT_DENY);
	assert_string_equal(back.service, e.service);
	assert_string_equal(back.to, "");
	assert_int_equal(back.n_dropped, 7);
}

static void the_longest_values_fit_because_they_are_cut(void **state)
{
	static char plain[70000], odd[70000];
	struct audit_entry e = {INT64_MAX / 2, AUDIT_FAULT, plain, plain,      odd,       odd,
				odd,           odd,         odd,   UINT64_MAX, UINT64_MAX};
	struct audit_entry back;
	size_t len;

	(void)state;
	memset(plain, 'x', sizeof(plain) - 1);
	memset(odd, '\x01', sizeof(odd) - 1);
	len = audit_encode(&e, buf, sizeof(buf));
	assert_true(len > 0 && len <= AUDIT_MAX);
	assert_int_equal(audit_encode(&e, buf, sizeof(buf) - 1), 0);
	assert_int_equal(audit_decode(buf, len, &back), 0);
	assert_int_equal(strlen(back.caller), AUDIT_VALUE_MAX - 3);
	assert_int_equal(strlen(back.service), AUDIT_VALUE_MAX / 4);
	assert_true(back.took_us == UINT64_MAX);
}

#define T "time=1.000000\t"
// clang-format off
static const struct {
	const char *line;
	bool ok;
} lines[] = {
	{T "verdict=deny\tus=1\n", true},
	{T "verdict=policy\treason=158 rules\tus=0\n", true},
	{T "verdict=deny\tus=1\tdropped=3\n", true},
	{"\n", false},
	{T "verdict=deny\tus=1", false},
	{T "verdict=deny\tus=1\n\n", false},
	{T "verdict=deny\n", false},
	{T "us=1\n", false},
	{"verdict=deny\tus=1\n", false},
	{"time=1\tverdict=deny\tus=1\n", false},
	{"time=1.00000\tverdict=deny\tus=1\n", false},
	{"time=1.00000x\tverdict=deny\tus=1\n", false},
	{"time=-1.000000\tverdict=deny\tus=1\n", false},
	{T "verdict=maybe\tus=1\n", false},
	{T "verdict=deny\tus=01\n", false},
	{T "verdict=deny\tus=1\tdropped=0\n", false},
	{T "verdict=deny\tus=1\tus=1\n", false},
	{T "verdict=deny\tcaller=\tus=1\n", false},
	{T "verdict=deny\tus=1\tcaller=x\n", false}, /* not in order */
	{T "verdict=deny\tother=x\tus=1\n", false},
	{T "verdict=deny\tcaller\tus=1\n", false},
	{T "verdict=deny\tcaller=\\\tus=1\n", false},
	{T "verdict=deny\tcaller=\\x4\tus=1\n", false},
	{T "verdict=deny\tcaller=\\x41\tus=1\n", false}, /* needs no escape */
	{T "verdict=deny\tcaller=\\x00\tus=1\n", false},
	{T "verdict=deny\tcaller=\\xFF\tus=1\n", false},
	{T "verdict=deny\tcaller=\x7f\tus=1\n", false},
};
// clang-format on

static void other_lines_are_none(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		size_t len = strlen(lines[i].line);
		struct audit_entry e;

		memcpy(buf, lines[i].line, len);
		if (audit_decode(buf, len, &e) != (lines[i].ok ? 0 : AUDIT_E_FORMAT))
			fail_msg("%s", lines[i].line);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_decision_is_one_line),
		cmocka_unit_test(what_a_qube_writes_stays_in_its_field),
		cmocka_unit_test(the_longest_values_fit_because_they_are_cut),
		cmocka_unit_test(other_lines_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
