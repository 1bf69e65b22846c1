/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QEMU is asked for its version once, by all jobs together, and again when it is another file. */
#include "base/io.h"
#include "base/machine.h"
#include "base/str.h"
#include "vmm.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

static char run_dir[32], qemu[64], asked[64];

static int make(void **state)
{
	(void)state;
	(void)snprintf(run_dir, sizeof(run_dir), "/tmp/bulkhead-vmm.XXXXXX");
	if (!mkdtemp(run_dir))
		return -1;
	(void)snprintf(qemu, sizeof(qemu), "%s/qemu", run_dir);
	(void)snprintf(asked, sizeof(asked), "%s/asked", run_dir);
	return setenv("BULKHEAD_QEMU", qemu, 1);
}

static int remove_all(void **state)
{
	(void)state;
	return io_remove_tree(AT_FDCWD, run_dir);
}

static void install(const char *version)
{
	char text[200];

	(void)snprintf(text, sizeof(text),
		       "#!/bin/sh\nprintf x >>%s\n[ -z '%s' ] || echo 'QEMU emulator version %s'\n",
		       asked, version, version);
	assert_int_equal(io_write_file(AT_FDCWD, qemu, text, strlen(text), 0755), 0);
}

/* how many processors a qube with two gets, as another job finds out */
static int processors(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		const struct vmm_spec spec = {
			.name = "work", .memory_mib = 128, .vcpus = 2, .run_dir = run_dir};
		static char text[65536];

		if (vmm_shape(&spec, text, sizeof(text)) < 0)
			_exit(9);
		_exit(strstr(text, "\n-smp\n2\n") ? 2 : strstr(text, "\n-smp\n1\n") ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WEXITSTATUS(status);
}

static off_t times_asked(void)
{
	struct stat st;

	return stat(asked, &st) < 0 ? 0 : st.st_size;
}

static void qemu_is_asked_for_its_version_once(void **state)
{
	static const struct {
		const char *version; /* NULL: the same file; "": it does not say */
		int processors;
		off_t asked;
	} rows[] = {
		{"9.0.1", 2, 1}, {NULL, 2, 1}, {"7.2.22", 1, 2}, {NULL, 1, 2},
		{"", 1, 3},      {NULL, 1, 4}, {"8.1.0", 2, 5},
	};
	struct machine_accel accel;
	char path[64];

	(void)state;
	machine_accel(&accel);
	if (accel.kvm)
		skip(); /* there any QEMU runs as many as are wanted */
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (rows[i].version)
			install(rows[i].version);
		assert_int_equal(processors(), rows[i].processors);
		assert_int_equal(times_asked(), rows[i].asked);
	}
	/* what was being written when the power went is not taken for an answer */
	(void)snprintf(path, sizeof(path), "%s/qemu-version", run_dir);
	assert_int_equal(truncate(path, 20), 0);
	assert_int_equal(processors(), 2);
	assert_int_equal(times_asked(), 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(qemu_is_asked_for_its_version_once),
	};

	return cmocka_run_group_tests(tests, make, remove_all);
}
