/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tree.h"

#include "base/io.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static char dir[] = "/tmp/test-tree.XXXXXX";

static int make_dir(void **unused)
{
	(void)unused;
	return mkdtemp(dir) && chdir(dir) == 0 ? 0 : -1;
}

static int remove_dir(void **unused)
{
	(void)unused;
	return chdir("/") == 0 ? io_remove_tree(AT_FDCWD, dir) : -1;
}

static void copies_files_folders_and_links_as_they_are(void **unused)
{
	const struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 2000}};
	char target[16] = {0};
	AUTO_FREE char *text = NULL;
	struct stat st;

	(void)unused;
	assert_int_equal(mkdir("a", 0755), 0);
	assert_int_equal(mkdir("a/b", 0750), 0);
	assert_int_equal(io_write_file(AT_FDCWD, "a/b/c", "hello", 5, 0640), 0);
	assert_int_equal(symlink("b/c", "a/l"), 0);
	assert_int_equal(mkfifo("a/fifo", 0600), 0);
	assert_int_equal(utimensat(AT_FDCWD, "a/b/c", times, 0), 0);
	assert_int_equal(utimensat(AT_FDCWD, "a/b", times, 0), 0);

	assert_int_equal(tree_copy("a", "to"), 0);
	assert_int_equal(io_read_file(AT_FDCWD, "to/b/c", 100, &text, NULL), 0);
	assert_string_equal(text, "hello");
	assert_int_equal(stat("to/b/c", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(st.st_mtime, 2000);
	assert_int_equal(stat("to/b", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0750);
	assert_int_equal(st.st_mtime, 2000);
	assert_int_equal(readlink("to/l", target, sizeof(target)), 3);
	assert_string_equal(target, "b/c");
	assert_int_equal(access("to/fifo", F_OK), -1);
}

static void does_not_write_over_what_is_there(void **unused)
{
	(void)unused;
	assert_int_equal(mkdir("x", 0755), 0);
	assert_int_equal(mkdir("y", 0755), 0);
	assert_int_equal(tree_copy("x", "y"), -EEXIST);
	assert_int_equal(tree_copy("absent", "z"), -ENOENT);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(copies_files_folders_and_links_as_they_are),
		cmocka_unit_test(does_not_write_over_what_is_there),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
