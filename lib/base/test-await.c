/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/await.h"
#include "base/io.h"
#include "base/str.h"

static char dir[] = "/tmp/bulkhead-test-XXXXXX";

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	(void)state;
	return io_remove_tree(AT_FDCWD, dir);
}

static void in_dir(char *to, size_t size, const char *name)
{
	assert_int_equal(str_format(to, size, "%s/%s", dir, name), 0);
}

static void what_is_there_is_not_waited_for(void **state)
{
	(void)state;
	assert_int_equal(path_await(dir, 0), 0);
	assert_int_equal(path_await(dir, -1), 0);
}

static void what_is_there_needs_no_descriptor(void **state)
{
	struct rlimit was, none;
	int r;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = was;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	r = path_await(dir, 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	assert_int_equal(r, 0);
}

static void what_does_not_come_is_waited_for_so_long(void **state)
{
	char path[64];

	(void)state;
	in_dir(path, sizeof(path), "never");
	assert_int_equal(path_await(path, 0), -ETIMEDOUT);
	assert_int_equal(path_await(path, 20), -ETIMEDOUT);
}

/* others appear meanwhile, and the folder is not there yet */
static void what_comes_is_seen(void **state)
{
	char folder[64], path[64], other[64];
	struct stat st;
	int status;
	pid_t pid;

	(void)state;
	in_dir(folder, sizeof(folder), "made");
	in_dir(path, sizeof(path), "made/file");
	in_dir(other, sizeof(other), "made/other");
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(path_await(path, 60000) == 0 ? 0 : 1);
	while (stat(folder, &st) < 0)
		usleep(1000);
	assert_int_equal(mkdir(other, 0700), 0);
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void a_path_without_a_folder_is_refused(void **state)
{
	(void)state;
	assert_int_equal(path_await("file", 0), -EINVAL);
	assert_int_equal(path_await("", 0), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_there_is_not_waited_for),
		cmocka_unit_test(what_is_there_needs_no_descriptor),
		cmocka_unit_test(what_does_not_come_is_waited_for_so_long),
		cmocka_unit_test(what_comes_is_seen),
		cmocka_unit_test(a_path_without_a_folder_is_refused),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
