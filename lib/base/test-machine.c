/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static void kvm_needs_vmx_or_svm(void **state)
{
	static const struct {
		const char *text;
		bool has;
	} rows[] = {
		{"", false},
		{"flags\t\t: fpu vmx sse\n", true},
		{"flags\t\t: fpu sse svm", true},
		{"flags\t\t: vmx\n", true},
		{"flags\t\t: fpu sse\nbugs\t: vmx\n", false},
		{"vmx flags\t: ept vpid\nflags\t\t: fpu\n", false},
		{"flags\t\t: fpu avmx svmx vmxx\n", false},
		{"processor\t: 0\nflags\t\t: fpu\nprocessor\t: 1\nflags\t\t: svm\n", true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(machine_cpuinfo_has_virt(rows[i].text), rows[i].has);
}

static void the_reason_is_always_said(void **state)
{
	struct machine_accel a;

	(void)state;
	machine_accel(&a);
	assert_true(a.why[0] != '\0');
}

/* $BULKHEAD_QEMU; @program ends in XXXXXX */
static void make_qemu(char *program, const char *script)
{
	int fd = mkstemp(program);
	FILE *f;

	assert_true(fd >= 0);
	f = fdopen(fd, "w");
	assert_non_null(f);
	(void)fprintf(f, "#!/bin/sh\n%s\n", script);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(program, 0700), 0);
	assert_int_equal(setenv("BULKHEAD_QEMU", program, 1), 0);
}

static void qemu_is_found_and_tells_its_version(void **state)
{
	char program[] = "/tmp/test-machine.XXXXXX";
	struct machine_qemu q;

	(void)state;
	make_qemu(program, "echo 'QEMU emulator version 9.8.7 (Debian 1:9.8)'");
	assert_int_equal(machine_qemu(true, &q), 0);
	assert_string_equal(q.path, program);
	assert_string_equal(q.version, "9.8.7");
	assert_int_equal(setenv("BULKHEAD_QEMU", "/nonexistent", 1), 0);
	assert_int_equal(machine_qemu(true, &q), -ENOENT);
	assert_string_equal(q.path, "");
	(void)unlink(program);
}

/* it says nothing, or says it and does not end */
static void a_qemu_that_hangs_has_no_version(void **state)
{
	static const char *const scripts[] = {
		"exec sleep 1000", "echo QEMU emulator version 9.8.7; exec sleep 1000 >&-"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
		char program[] = "/tmp/test-machine.XXXXXX";
		struct machine_qemu q;

		make_qemu(program, scripts[i]);
		assert_int_equal(machine_qemu(true, &q), 0);
		assert_string_equal(q.path, program);
		assert_string_equal(q.version, "");
		(void)unlink(program);
	}
}

static void emulated_guests_of_an_old_qemu_have_one_processor(void **state)
{
	static const struct {
		const char *version;
		bool many;
	} rows[] = {
		{"", false},     {"7.2.22", false}, {"8", false},  {"8.0.5", false},
		{"8.1.0", true}, {"8.10", true},    {"9.0", true}, {"10.0.2", true},
		{"what", false}, {"8.x", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(machine_qemu_emulates_many(rows[i].version), rows[i].many);
}

static void the_counter_of_cycles_has_a_speed(void **state)
{
	struct machine_tsc since;

	(void)state;
	machine_tsc_now(&since);
	assert_true(machine_tsc_khz(&since) >= 100000);
	since.ticks = UINT64_MAX;
	assert_int_equal(machine_tsc_khz(&since), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kvm_needs_vmx_or_svm),
		cmocka_unit_test(the_reason_is_always_said),
		cmocka_unit_test(qemu_is_found_and_tells_its_version),
		cmocka_unit_test(a_qemu_that_hangs_has_no_version),
		cmocka_unit_test(emulated_guests_of_an_old_qemu_have_one_processor),
		cmocka_unit_test(the_counter_of_cycles_has_a_speed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
