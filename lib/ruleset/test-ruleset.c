/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/str.h"
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(two_folders_are_as_one_and_the_former_hides, begin,
						end),
		cmocka_unit_test_setup_teardown(without_any_folder_there_is_no_policy, begin, end),
		cmocka_unit_test_setup_teardown(a_link_that_leads_nowhere_is_a_fault, begin, end),
		cmocka_unit_test_setup_teardown(a_fault_has_file_and_line, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
