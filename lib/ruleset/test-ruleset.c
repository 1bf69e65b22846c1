/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/str.h"
#include "ruleset/grant.h"
#include "ruleset/ruleset.h"

#include <fcntl.h>

static char top[] = "/tmp/test-ruleset.XXXXXX", path_buf[256];

static const char *path(const char *name)
{
	assert_int_equal(str_format(path_buf, sizeof(path_buf), "%s/%s", top, name), 0);
	return path_buf;
}

static void path_of(char *to, const char *name)
{
	assert_int_equal(str_format(to, 256, "%s/%s", top, name), 0);
}

static void put(const char *name, const char *text)
{
	char dir[256];

	assert_int_equal(str_format(dir, sizeof(dir), "%s/%s", top, name), 0);
	*strrchr(dir, '/') = '\0';
	assert_int_equal(io_mkdirs(dir, 0700), 0);
	assert_int_equal(io_write_file(AT_FDCWD, path(name), text, strlen(text), 0600), 0);
}

static int begin(void **state)
{
	(void)state;
	for (char *c = top + strlen(top) - 6; *c != '\0'; c++)
		*c = 'X';
	return mkdtemp(top) ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	return io_remove_tree(AT_FDCWD, top);
}

/* "path=text" of each file, a line each */
static void check(const char *const *folders, const char *wanted)
{
	struct ruleset s;
	char *at = NULL, got[1024] = "";

	assert_int_equal(ruleset_read(folders, NULL, &s, &at), 0);
	for (unsigned i = 0; i < s.files.n_files; i++)
		(void)snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s=%.*s\n",
			       s.files.files[i].path, (int)s.files.files[i].len,
			       s.files.files[i].text);
	assert_string_equal(got, wanted);
	ruleset_done(&s);
	free(at);
}

static void two_folders_are_as_one_and_the_former_hides(void **state)
{
	char a[256], b[256], none[256];

	(void)state;
	path_of(a, "a");
	path_of(b, "b");
	path_of(none, "none");
	put("a/30-x.policy", "ax");
	put("a/include/y", "ay");
	put("b/30-x.policy", "bx");
	put("b/10-z.policy", "bz");
	put("b/include/w", "bw");
	check((const char *const[]){a, b, NULL},
	      "10-z.policy=bz\n30-x.policy=ax\ninclude/=\ninclude/w=bw\ninclude/y=ay\n");
	check((const char *const[]){b, a, NULL},
	      "10-z.policy=bz\n30-x.policy=bx\ninclude/=\ninclude/w=bw\ninclude/y=ay\n");
	check((const char *const[]){none, a, NULL}, "30-x.policy=ax\ninclude/=\ninclude/y=ay\n");
	check((const char *const[]){a, none, NULL}, "30-x.policy=ax\ninclude/=\ninclude/y=ay\n");
}

static void without_any_folder_there_is_no_policy(void **state)
{
	struct ruleset s;
	char none[256], *at = NULL;

	(void)state;
	path_of(none, "none");
	assert_int_equal(ruleset_read((const char *const[]){none, NULL}, NULL, &s, &at), -ENOENT);
	assert_string_equal(at, none);
	ruleset_done(&s);
	free(at);
}

static void a_link_that_leads_nowhere_is_a_fault(void **state)
{
	struct ruleset s;
	char a[256], *at = NULL;

	(void)state;
	put("a/30-x.policy", "x");
	path_of(a, "a");
	assert_int_equal(symlink("/nowhere", path("a/40-x.policy")), 0);
	assert_int_equal(ruleset_read((const char *const[]){a, NULL}, NULL, &s, &at), -ENOENT);
	assert_non_null(strstr(at, "40-x.policy"));
	ruleset_done(&s);
	free(at);
}

static void a_file_is_put_in_its_place(void **state)
{
	static const char *const paths[] = {"10-a.policy", "30-x.policy", "40-z.policy"};
	struct ruleset s;
	char a[256], *at = NULL;

	(void)state;
	put("a/30-x.policy", "x");
	path_of(a, "a");
	assert_int_equal(ruleset_read((const char *const[]){a, NULL}, NULL, &s, &at), 0);
	assert_int_equal(ruleset_put(&s, "40-z.policy", "z", 1), 0);
	assert_int_equal(ruleset_put(&s, "10-a.policy", "a", 1), 0);
	assert_int_equal(ruleset_put(&s, "30-x.policy", "new", 3), 0);
	assert_int_equal(s.files.n_files, ARRAY_LEN(paths));
	for (unsigned i = 0; i < ARRAY_LEN(paths); i++)
		assert_string_equal(s.files.files[i].path, paths[i]);
	assert_string_equal(s.files.files[1].text, "new");
	ruleset_done(&s);
	free(at);
}

static void a_fault_has_file_and_line(void **state)
{
	struct ruleset s;
	struct policy_error error;
	struct policy *p = NULL;
	char a[256], *at = NULL;

	(void)state;
	put("a/30-x.policy", "* * * * deny\n");
	put("a/40-x.policy", "\n* * * *\n");
	path_of(a, "a");
	assert_int_equal(ruleset_read((const char *const[]){a, NULL}, NULL, &s, &at), 0);
	assert_int_equal(ruleset_compile(&s, &p, &error), POLICY_E_SYNTAX);
	assert_string_equal(error.file, "40-x.policy");
	assert_int_equal(error.line, 2);
	ruleset_done(&s);
	free(at);
}

#define BOOT  "01234567-89ab-cdef-0123-456789abcdef"
#define OTHER "11234567-89ab-cdef-0123-456789abcdef"

static void a_grant_holds_in_its_boot_until_its_time(void **state)
{
	static const struct grant_now now = {BOOT, 1000};
	static const struct {
		const char *text;
		enum grant_state is;
	} rows[] = {
		{"* * * * deny\n", GRANT_NONE},
		{"", GRANT_NONE},
		{"# grant " BOOT " 1001\n", GRANT_NONE},
		{"#!grant " BOOT " 1001\n* * * * allow\n", GRANT_HOLDS},
		{"#!grant " BOOT " 1000\n", GRANT_OVER},
		{"#!grant " BOOT " 0\n", GRANT_OVER},
		{"#!grant " OTHER " 1001\n", GRANT_OVER},
		/* what is not such a line must not hold for ever */
		{"#!grant " BOOT " 1001", GRANT_OVER},
		{"#!grant " BOOT " 1001 \n", GRANT_OVER},
		{"#!grant " BOOT " 1e9\n", GRANT_OVER},
		{"#!grant " BOOT "\n", GRANT_OVER},
		{"#!grant  " BOOT " 1001\n", GRANT_OVER},
		{"#!grant\n", GRANT_OVER},
		{"#!granted\n", GRANT_OVER},
		{"#!grant " BOOT " 99999999999999999999999999999999999999999999999999999\n",
		 GRANT_OVER},
	};
	char line[GRANT_LINE_MAX];
	int64_t until = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (grant_state(rows[i].text, strlen(rows[i].text), &now, &until) != rows[i].is)
			fail_msg("%s", rows[i].text);
	grant_line(&now, 30, line);
	assert_int_equal(grant_state(line, strlen(line), &now, &until), GRANT_HOLDS);
	assert_int_equal(until, 1030);
}

static void a_grant_that_is_over_says_nothing(void **state)
{
	struct grant_now now;
	struct ruleset s;
	char a[256], line[GRANT_LINE_MAX + 64], *at = NULL;

	(void)state;
	assert_int_equal(grant_now(&now), 0);
	grant_line(&now, 60, line);
	(void)snprintf(line + strlen(line), 64, "a.B * * * allow\n");
	put("a/20-grant-1.policy", line);
	grant_line(&now, 0, line);
	(void)snprintf(line + strlen(line), 64, "no rule at all\n");
	put("a/20-grant-2.policy", line);
	path_of(a, "a");
	assert_int_equal(ruleset_read((const char *const[]){a, NULL}, NULL, &s, &at), 0);
	assert_int_equal(s.files.n_files, 2);
	assert_true(s.files.files[0].len > 0);
	assert_int_equal(s.files.files[1].len, 0);
	assert_int_equal(s.until, now.seconds + 60);
	ruleset_done(&s);
	free(at);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(two_folders_are_as_one_and_the_former_hides, begin,
						end),
		cmocka_unit_test_setup_teardown(without_any_folder_there_is_no_policy, begin, end),
		cmocka_unit_test_setup_teardown(a_link_that_leads_nowhere_is_a_fault, begin, end),
		cmocka_unit_test(a_grant_holds_in_its_boot_until_its_time),
		cmocka_unit_test_setup_teardown(a_grant_that_is_over_says_nothing, begin, end),
		cmocka_unit_test_setup_teardown(a_file_is_put_in_its_place, begin, end),
		cmocka_unit_test_setup_teardown(a_fault_has_file_and_line, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
