/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The disk is a pipe here: it is done with a sync when it has got a byte, and for good when nobody can write to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/io.h"
#include "syncer.h"

#include <fcntl.h>

#define MUCH (64u << 20)

int syncfs(int fd)
{
	char done;

	return read(fd, &done, 1) < 0 ? -1 : 0;
}

static void it_is_waited_for(void **state)
{
	struct syncer s;
	int disk[2];

	(void)state;
	assert_int_equal(pipe2(disk, O_CLOEXEC), 0);
	assert_int_equal(io_write_full(disk[1], "xx", 2), 0);
	syncer_start(&s, disk[0]);
	assert_true(s.fd >= 0);
	syncer_add(&s, MUCH);
	assert_int_equal(syncer_done(&s), 0);
	assert_int_equal(s.fd, NO_FD);
	assert_int_equal(syncer_done(&s), 0);
	(void)close(disk[0]);
	(void)close(disk[1]);
}

static void a_disk_that_hangs_is_not_waited_for_for_ever(void **state)
{
	struct syncer s;
	int disk[2];

	(void)state;
	assert_int_equal(pipe2(disk, O_CLOEXEC), 0);
	syncer_start(&s, disk[0]);
	assert_true(s.fd >= 0);
	syncer_add(&s, MUCH);
	assert_int_equal(syncer_done(&s), -ETIMEDOUT);
	assert_int_equal(s.fd, NO_FD);
	(void)close(disk[0]);
	(void)close(disk[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_waited_for),
		cmocka_unit_test(a_disk_that_hangs_is_not_waited_for_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
