/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "binds.h"

#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct row {
	const char *what, *text;
	const char *want[4];
	unsigned n_passed_over;
};

static void reads_lists_and_nothing_else(void **unused)
{
	/* clang-format off */
	static const struct row rows[] = {
		{"nothing", "", {0}, 0},
		{"comment", "# binds+=( '/etc/a' )\n", {0}, 0},
		{"single quotes", "binds+=( '/etc/a' )\n", {"/etc/a"}, 0},
		{"double quotes, two words", "binds+=( \"/etc/a b\" '/etc/c' )\n", {"/etc/a b", "/etc/c"}, 0},
		{"bare, tight", "binds+=(/etc/a)", {"/etc/a"}, 0},
		{"several lines, comments between", "binds+=(\n '/etc/a' # one\n # none\n '/etc/b'\n)\n", {"/etc/a", "/etc/b"}, 0},
		{"two statements", "binds+=( '/etc/a' )\nbinds+=( '/etc/b' )\n", {"/etc/a", "/etc/b"}, 0},
		{"with semicolons", "binds+=( '/etc/a' ); binds+=( '/etc/b' );\n", {"/etc/a", "/etc/b"}, 0},
		{"started anew", "binds+=( '/etc/a' )\nbinds=( '/etc/b' )\n", {"/etc/b"}, 0},
		{"emptied", "binds+=( '/etc/a' )\nbinds=( )\n", {0}, 0},
		{"the same twice", "binds+=( '/etc/a' '/etc/a' '/etc/a/' )\n", {"/etc/a"}, 0},
		{"relative", "binds+=( 'etc/a' )\n", {0}, 1},
		{"root itself", "binds+=( '/' )\n", {0}, 1},
		{"upwards", "binds+=( '/etc/../home' )\n", {0}, 1},
		{"a dot", "binds+=( '/etc/./a' )\n", {0}, 1},
		{"hidden file is fine", "binds+=( '/etc/.a' '/etc/..a' )\n", {"/etc/.a", "/etc/..a"}, 0},
		{"empty part", "binds+=( '/etc//a' )\n", {0}, 1},
		{"a variable is not expanded", "binds+=( \"$HOME/a\" '/etc/$x' )\n", {0}, 2},
		{"a command is not run", "rm -rf /rw\nbinds+=( '/etc/a' )\n", {"/etc/a"}, 1},
		{"another variable", "bindsx+=( '/etc/a' )\n", {0}, 1},
		{"unended quote", "binds+=( '/etc/a )\n", {0}, 1},
		{"unended list keeps what was there", "binds+=( '/etc/a' )\nbinds=( '/etc/b'\n", {"/etc/a"}, 1},
		{"spaces around = as a shell would not take them", "binds += ( '/etc/a' )\n", {0}, 1},
	};
	/* clang-format on */

	(void)unused;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		static struct binds got;
		unsigned n = 0;

		(void)memset(&got, 0, sizeof(got));
		binds_parse(&got, rows[i].text, strlen(rows[i].text));
		while (n < ARRAY_LEN(rows[i].want) && rows[i].want[n])
			n++;
		if (got.n != n || got.n_passed_over != rows[i].n_passed_over)
			fail_msg("%s: %u paths, %u passed over", rows[i].what, got.n,
				 got.n_passed_over);
		for (unsigned k = 0; k < n; k++)
			if (!str_eq(got.paths[k], rows[i].want[k]))
				fail_msg("%s: path %u is %s", rows[i].what, k, got.paths[k]);
	}
}

static void holds_no_more_than_its_room(void **unused)
{
	static struct binds got;
	static char text[BINDS_MAX * 2 * 16];
	size_t len = 0;

	(void)unused;
	len += (size_t)snprintf(text, sizeof(text), "binds=(");
	for (unsigned i = 0; i < BINDS_MAX + 5; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, " /etc/%u", i);
	len += (size_t)snprintf(text + len, sizeof(text) - len, ")");
	binds_parse(&got, text, len);
	assert_int_equal(got.n, BINDS_MAX);
	assert_int_equal(got.n_passed_over, 5);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_lists_and_nothing_else),
		cmocka_unit_test(holds_no_more_than_its_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
