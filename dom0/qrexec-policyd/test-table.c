/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Only a table that nobody can change any more, and that is one, is decided by. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/io.h"
#include "policyd.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define ALL (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)

static _Alignas(uint64_t) uint8_t room[65536];

static size_t compile(void)
{
	const struct policy_file file = {"30-x.policy", "* * * * deny\n", strlen("* * * * deny\n")};
	const struct policy_files files = {.files = &file, .n_files = 1};
	struct policy_error error;
	const struct policy *p;
	size_t size;

	assert_int_equal(policy_measure(&files, &size, &error), 0);
	assert_true(size <= sizeof(room));
	assert_int_equal(policy_compile(&files, room, size, &p, &error), 0);
	return policy_len(p);
}

static int make_table(const void *bytes, size_t len, int seals)
{
	int fd = memfd_create("table", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(io_write_full(fd, bytes, len), 0);
	if (seals != 0)
		assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void what_is_not_sealed_or_no_table_is_a_fault(void **state)
{
	const size_t len = compile();
	const struct {
		size_t from, len;
		int seals;
		bool good;
	} rows[] = {
		{0, len, ALL, true},
		{0, len, 0, false},
		{0, len, ALL & ~F_SEAL_WRITE, false},
		{0, len, ALL & ~F_SEAL_SHRINK, false},
		{0, len, ALL & ~F_SEAL_GROW, false},
		{0, len, ALL & ~F_SEAL_SEAL, false},
		{0, 0, ALL, false},
		{0, len - 1, ALL, false},
		{8, len - 8, ALL, false},
		{0, len, ALL, true}, /* and a good one holds after bad ones */
	};
	struct table t = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int fd = make_table(room + rows[i].from, rows[i].len, rows[i].seals);

		table_set(&t, &fd, NULL);
		assert_int_equal(fd, NO_FD);
		assert_true(t.heard);
		if ((t.policy != NULL) != rows[i].good || (t.fault[0] == '\0') != rows[i].good)
			fail_msg("row %zu", i);
	}
	/* a fault takes away what held */
	int none = NO_FD;

	table_set(&t, &none, "30-x.policy:1: no rule");
	assert_null(t.policy);
	assert_string_equal(t.fault, "30-x.policy:1: no rule");
}

static void a_line_that_the_disk_has_no_room_for_is_not_there_in_half(void **state)
{
	static struct policyd d;
	struct rlimit was, small;
	char name[] = "/tmp/test-table.XXXXXX";
	int fd = mkostemp(name, O_APPEND | O_CLOEXEC);
	off_t one;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(unlink(name), 0);
	d.audit.fds[0] = d.audit.fds[1] = fd;
	assert_int_equal(audit_init(&d.audit), 0);
	audit_policy(&d, 1, "", NULL);
	one = lseek(fd, 0, SEEK_END);
	assert_true(one > 0);
	/* a disk with room for half a line */
	assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	small = (struct rlimit){(rlim_t)(one + one / 2), was.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	audit_policy(&d, 1, "", NULL);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), one);
	audit_policy(&d, 1, "", NULL);
	assert_true(lseek(fd, 0, SEEK_END) > one);
	(void)close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_that_the_disk_has_no_room_for_is_not_there_in_half),
		cmocka_unit_test(what_is_not_sealed_or_no_table_is_a_fault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
