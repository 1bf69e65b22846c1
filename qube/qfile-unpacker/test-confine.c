/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Behind its walls qfile-unpacker ends at a step aside, and what it may open is below its folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/io.h"
#include "confine.h"
#include "sandbox/aside.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static char folder[] = "/tmp/test-confine.XXXXXX";

static int folder_open(void)
{
	return open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int confined(void)
{
	int fd = folder_open();

	return fd < 0 ? -errno : confine(&fd);
}

/* without any of the checks by which the program itself keeps below */
static bool opens(int at, const char *path, int flags)
{
	const struct open_how how = {.flags = (uint64_t)(unsigned)flags};

	return syscall(SYS_openat2, at, path, &how, sizeof(how)) >= 0;
}

static void nothing_leads_out_of_the_folder(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0) {
		int fd = folder_open();

		if (fd < 0 || confine(&fd) < 0)
			_exit(99);
		if (!opens(fd, ".", O_WRONLY | O_TMPFILE))
			_exit(1);
		if (opens(AT_FDCWD, "/etc/passwd", O_RDONLY))
			_exit(2);
		if (opens(fd, "../../etc/passwd", O_RDONLY))
			_exit(3);
		if (opens(fd, "../../tmp", O_WRONLY | O_TMPFILE))
			_exit(4);
		/* up from there is there: the parent looks for it */
		(void)mkdirat(fd, "../test-confine-made", 0700);
		if (symlinkat("x", fd, "/tmp/test-confine-made") == 0)
			_exit(5);
		/* what it may do, it still can */
		_exit(mkdirat(fd, "made", 0700) == 0 && symlinkat("made", fd, "link") == 0 ? 0 : 6);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(access("/tmp/test-confine-made", F_OK), -1);
}

static void every_step_aside_ends_it(void **state)
{
	static const char *const may[] = {"openat2",         "newfstatat", "mkdirat", "symlinkat",
					  "linkat",          "utimensat",  "fchmod",  "fstatfs",
					  "sync_file_range", "syncfs",     NULL};

	(void)state;
	aside_assert(confined, may);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_step_aside_ends_it),
		cmocka_unit_test(nothing_leads_out_of_the_folder),
	};
	int r;

	if (!mkdtemp(folder))
		return 1;
	r = cmocka_run_group_tests(tests, NULL, NULL);
	(void)!io_remove_tree(AT_FDCWD, folder);
	return r;
}
