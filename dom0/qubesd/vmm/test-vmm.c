/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The QEMU driver and qube-monitor without a guest: the command line, the errors a start can end
 * with, and a QEMU that says what it likes.
 */
#include "base/io.h"
#include "base/program.h"
#include "base/str.h"
#include "loop/child.h"
#include "qemu/qemu.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static char run_dir[32], log_path[64];
static int kernel_fd, disk_fd;

static int make_run_dir(void **state)
{
	char path[64];

	(void)state;
	(void)snprintf(run_dir, sizeof(run_dir), "/tmp/bulkhead-vmm.XXXXXX");
	if (!mkdtemp(run_dir))
		return -1;
	(void)snprintf(log_path, sizeof(log_path), "%s/guest.log", run_dir);
	(void)snprintf(path, sizeof(path), "%s/kernel", run_dir);
	kernel_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	(void)snprintf(path, sizeof(path), "%s/disk", run_dir);
	disk_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	return kernel_fd >= 0 && disk_fd >= 0 && ftruncate(disk_fd, 1 << 20) == 0 ? 0 : -1;
}

static int remove_run_dir(void **state)
{
	(void)state;
	(void)close(kernel_fd);
	(void)close(disk_fd);
	return io_remove_tree(AT_FDCWD, run_dir);
}

static struct vmm_spec spec_of(unsigned domid)
{
	return (struct vmm_spec){.name = "work",
				 .uuid = "5e9a4b1c-0000-4000-8000-000000000001",
				 .default_user = "user",
				 .domid = domid,
				 .memory_mib = 128,
				 .vcpus = 1,
				 .kernel_fd = kernel_fd,
				 .initrd_fd = kernel_fd,
				 .cmdline = "root=/dev/vda",
				 .run_dir = run_dir,
				 .log_path = log_path,
				 .uid = 0x70000000u + domid};
}

static const struct qemu_host tcg = {.program = "/usr/bin/qemu-system-x86_64", .tsc_khz = 2500000},
			      kvm = {.program = "/usr/bin/qemu-system-x86_64",
				     .kvm = true,
				     .tsc_khz = 2500000},
			      tcg_one = {.program = "/usr/bin/qemu-system-x86_64", .one_cpu = true};

static unsigned n_devices(const struct qemu_argv *a, const char *prefix)
{
	unsigned n = 0;

	for (unsigned i = 0; i + 1 < a->n_args; i++)
		n += str_eq(a->argv[i], "-device") && str_starts(a->argv[i + 1], prefix);
	return n;
}

static const char *value_of(const struct qemu_argv *a, const char *option)
{
	for (unsigned i = 0; i + 1 < a->n_args; i++)
		if (str_eq(a->argv[i], option))
			return a->argv[i + 1];
	return "";
}

static bool has(const struct qemu_argv *a, const char *option, const char *value)
{
	for (unsigned i = 0; i + 1 < a->n_args; i++)
		if (str_eq(a->argv[i], option) && str_eq(a->argv[i + 1], value))
			return true;
	return false;
}

static void the_command_line_names_no_path_of_ours(void **state)
{
	static struct qemu_argv a;
	struct vmm_spec spec = spec_of(7);
	const struct vmm_disk disk = {.name = "root",
				      .fds = {disk_fd, kernel_fd},
				      .formats = {VMM_QCOW2, VMM_RAW},
				      .n_chain = 2,
				      .writable = true};

	(void)state;
	spec.disks[spec.n_disks++] = disk;
	spec.nics[spec.n_nics++] = (struct vmm_nic){"eth0", "00:16:3e:5e:6c:00", disk_fd};
	assert_int_equal(qemu_argv_build(&spec, &tcg, &a), 0);
	assert_true(has(&a, "-kernel", "/proc/self/fd/16"));
	assert_true(has(&a, "-initrd", "/proc/self/fd/17"));
	assert_true(has(&a, "-add-fd", "fd=18,set=1"));
	assert_true(has(&a, "-add-fd", "fd=19,set=2"));
	assert_true(has(&a, "-netdev", "stream,id=net-eth0,server=off,addr.type=fd,addr.str=20"));
	assert_true(has(&a, "-accel", "tcg,thread=multi"));
	assert_non_null(strstr(value_of(&a, "-append"), " tsc_early_khz=2500000 "));
	assert_non_null(strstr(value_of(&a, "-append"), " root=/dev/vda"));
	assert_true(has(&a, "-sandbox",
			"on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"));
	assert_int_equal(a.n_fds, 5);
	assert_int_equal(a.fd_from[2], disk_fd);
	for (unsigned i = 1; i < a.n_args; i++)
		assert_null(strstr(a.argv[i], run_dir));
	assert_int_equal(qemu_argv_build(&spec, &kvm, &a), 0);
	assert_true(has(&a, "-accel", "kvm"));
	assert_null(strstr(value_of(&a, "-append"), "tsc_early_khz"));
	assert_true(has(&a, "-cpu", "host"));
}

static void a_qemu_that_emulates_one_processor_gets_one(void **state)
{
	static struct qemu_argv a;
	struct vmm_spec spec = spec_of(7);

	(void)state;
	spec.vcpus = 3;
	assert_int_equal(qemu_argv_build(&spec, &tcg, &a), 0);
	assert_true(has(&a, "-smp", "3"));
	assert_int_equal(qemu_argv_build(&spec, &tcg_one, &a), 0);
	assert_true(has(&a, "-smp", "1"));
}

static void options_do_not_hide_in_names(void **state)
{
	static struct qemu_argv a;
	struct vmm_spec spec;

	(void)state;
	spec = spec_of(7);
	spec.name = "a,process=b";
	assert_int_equal(qemu_argv_build(&spec, &tcg, &a), -EINVAL);
	spec = spec_of(7);
	spec.uuid = "x,y";
	assert_int_equal(qemu_argv_build(&spec, &tcg, &a), -EINVAL);
	spec = spec_of(7);
	spec.disks[spec.n_disks++] =
		(struct vmm_disk){.name = "a,b", .fds = {disk_fd}, .n_chain = 1};
	assert_int_equal(qemu_argv_build(&spec, &tcg, &a), -EINVAL);
	spec = spec_of(7);
	spec.nics[spec.n_nics++] = (struct vmm_nic){"a,b", "00:16:3e:5e:6c:00", disk_fd};
	assert_int_equal(qemu_argv_build(&spec, &tcg, &a), -EINVAL);
	spec = spec_of(7);
	spec.disks[spec.n_disks++] = (struct vmm_disk){.name = "a", .fds = {NO_FD}, .n_chain = 1};
	assert_int_equal(qemu_argv_build(&spec, &tcg, &a), -EBADF);
}

/* below the run directory: nothing but the folders and the files of this test */
static void check_nothing_left(void)
{
	static const char *const folders[] = {"q", "qubes"};

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		char path[64];
		DIR *dir;

		(void)snprintf(path, sizeof(path), "%s/%s", run_dir, folders[i]);
		dir = opendir(path);
		for (struct dirent *e; dir && (e = readdir(dir));)
			if (e->d_name[0] != '.')
				fail_msg("%s/%s was left", folders[i], e->d_name);
		if (dir)
			(void)closedir(dir);
	}
}

static void hostile_path(char *to, size_t size)
{
	char *slash;
	ssize_t n = readlink("/proc/self/exe", to, size - 32);

	assert_true(n > 0);
	to[n] = '\0';
	slash = strrchr(to, '/');
	assert_non_null(slash);
	assert_int_equal(str_format(slash, size - (size_t)(slash - to), "/test-hostile-qemu"), 0);
}

static void a_start_that_cannot_be_says_why(void **state)
{
	struct vmm_spec spec = spec_of(8);
	char error[400];

	(void)state;
	assert_int_equal(setenv("BULKHEAD_QEMU", "/nonexistent/qemu", 1), 0);
	assert_int_equal(vmm_start(&spec, NULL, NULL, error, sizeof(error)), -ENOENT);
	assert_non_null(strstr(error, "qemu-system-x86"));
	assert_int_equal(unsetenv("BULKHEAD_QEMU"), 0);
	spec.memory_mib = 1u << 26;
	assert_int_equal(vmm_start(&spec, NULL, NULL, error, sizeof(error)), -ENOMEM);
	assert_non_null(strstr(error, "memory"));
	check_nothing_left();
}

static void a_qemu_that_breaks_the_rules_is_cut_off(void **state)
{
	static const struct {
		const char *how;
		int r;
		const char *says;
	} rows[] = {
		{"garbage", -EPROTO, "a QMP line that is none"},
		{"not-qmp", -EPROTO, "a QMP line that is none"},
		{"long", -EPROTO, "a QMP line that is too long"},
		{"flood", -EPROTO, "a flood of QMP"},
		{"greetings", -EPROTO, "a second greeting"},
		{"answers", -EPROTO, "an answer to no command"},
		{"early", -EPROTO, "an answer to no command"},
		{"refuses", -EPROTO, "it refuses the first commands"},
		{"words", -EIO, "QEMU ended: no ?[31m way"},
		{"crash", -EIO, "QEMU ended (signal 6"},
		{"escape", -EIO, "QEMU ended: held"},
	};
	char path[512];

	(void)state;
	hostile_path(path, sizeof(path));
	assert_int_equal(setenv("BULKHEAD_QEMU", path, 1), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct vmm_spec spec = spec_of(100 + (unsigned)i);
		char error[400];

		spec.disks[spec.n_disks++] = (struct vmm_disk){.name = "root",
							       .fds = {disk_fd},
							       .formats = {VMM_RAW},
							       .n_chain = 1,
							       .writable = true,
							       .size = 1 << 20};
		assert_int_equal(setenv("BULKHEAD_HOSTILE", rows[i].how, 1), 0);
		assert_int_equal(vmm_start(&spec, NULL, NULL, error, sizeof(error)), rows[i].r);
		if (!strstr(error, rows[i].says))
			fail_msg("%s: \"%s\"", rows[i].how, error);
		check_nothing_left();
	}
	assert_int_equal(unsetenv("BULKHEAD_QEMU"), 0);
}

static void silence_ends_with_the_time(void **state)
{
	struct vmm_spec spec = spec_of(200);
	char error[400], path[512];

	(void)state;
	hostile_path(path, sizeof(path));
	assert_int_equal(setenv("BULKHEAD_QEMU", path, 1), 0);
	assert_int_equal(setenv("BULKHEAD_HOSTILE", "silent", 1), 0);
	spec.qrexec = true;
	spec.qrexec_timeout_ms = 300;
	assert_int_equal(vmm_start(&spec, NULL, NULL, error, sizeof(error)), -ETIMEDOUT);
	assert_int_equal(unsetenv("BULKHEAD_QEMU"), 0);
	check_nothing_left();
}

static void a_boot_that_comes_to_nothing_is_told_from_one_that_takes_its_time(void **state)
{
	static const struct {
		const char *how;
		unsigned silent_ms;
		int r;
		const char *says;
	} rows[] = {
		{"dies", 0, -ESHUTDOWN, "it rebooted, or its kernel crashed"},
		{"deaf", 100, -ETIME, "showed no sign of life"},
		{"deaf", 0, -ETIMEDOUT, "did not answer"},
		{"awake", 3900, -ETIMEDOUT, "did not answer"},
		/* how long QEMU took is not the guest's silence */
		{"slow", 1500, -ETIMEDOUT, "did not answer"},
	};
	char path[512];

	(void)state;
	if (program_find("vchand", path, sizeof(path)) < 0)
		skip();
	hostile_path(path, sizeof(path));
	assert_int_equal(setenv("BULKHEAD_QEMU", path, 1), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct vmm_spec spec = spec_of(300 + (unsigned)i);
		char error[400];

		assert_int_equal(setenv("BULKHEAD_HOSTILE", rows[i].how, 1), 0);
		spec.qrexec = true;
		spec.qrexec_timeout_ms = 4000;
		spec.silent_ms = rows[i].silent_ms;
		assert_int_equal(vmm_start(&spec, NULL, NULL, error, sizeof(error)), rows[i].r);
		if (!strstr(error, rows[i].says))
			fail_msg("%s: \"%s\"", rows[i].how, error);
		check_nothing_left();
	}
	assert_int_equal(unsetenv("BULKHEAD_QEMU"), 0);
}

struct heard {
	sd_event *event;
	enum vmm_state state;
	bool clean;
	int r; /* of a command */
	char why[400];
};

static void on_state(void *data, struct vmm *v, enum vmm_state state, bool clean, const char *why)
{
	struct heard *h = data;

	(void)v;
	h->state = state;
	h->clean = clean;
	(void)snprintf(h->why, sizeof(h->why), "%s", why ? why : "");
	if (state == VMM_GONE)
		(void)sd_event_exit(h->event, 0);
}

static void on_agent(void *data, struct vmm *v, bool up)
{
	(void)data;
	(void)v;
	(void)up;
}

static const struct vmm_events events = {.state = on_state, .agent = on_agent};

static int on_second(sd_event_source *s, uint64_t usec, void *data)
{
	(void)s;
	(void)usec;
	return sd_event_exit(data, 1);
}

/* Return: what sd_event_exit() was given, by on_state() or after @usec */
static int run_for(struct heard *h, uint64_t usec)
{
	sd_event_source *timer = NULL;
	int r;

	assert_true(sd_event_add_time_relative(h->event, &timer, CLOCK_MONOTONIC, usec, 0,
					       on_second, h->event) >= 0);
	r = sd_event_loop(h->event);
	sd_event_source_disable_unref(timer);
	return r;
}

static void start_hostile_of(const char *how, struct vmm_spec spec)
{
	char error[400], path[512];

	if (program_find("vchand", path, sizeof(path)) < 0)
		skip();
	hostile_path(path, sizeof(path));
	assert_int_equal(setenv("BULKHEAD_QEMU", path, 1), 0);
	assert_int_equal(setenv("BULKHEAD_HOSTILE", how, 1), 0);
	if (vmm_start(&spec, NULL, NULL, error, sizeof(error)) != 0)
		fail_msg("%s", error);
	assert_int_equal(unsetenv("BULKHEAD_QEMU"), 0);
}

static void start_hostile(const char *how, unsigned domid)
{
	start_hostile_of(how, spec_of(domid));
}

static void a_flood_after_the_start_ends_only_its_qube(void **state)
{
	struct heard h = {0};
	struct vmm *v = NULL;

	(void)state;
	assert_true(sd_event_new(&h.event) >= 0);
	start_hostile("flood-later", 300);
	if (vmm_attach(h.event, run_dir, 300, &events, &h, &v) == 0) { /* else it is over by now */
		assert_int_equal(run_for(&h, 20000000), 0);
		assert_int_equal(h.state, VMM_GONE);
		assert_false(h.clean);
	}
	vmm_free(v);
	sd_event_unref(h.event);
	check_nothing_left();
}

static void a_qube_whose_state_changes_all_the_time_is_cut_off(void **state)
{
	struct heard h = {0};
	struct vmm *v = NULL;

	(void)state;
	assert_true(sd_event_new(&h.event) >= 0);
	start_hostile("wave", 302);
	if (vmm_attach(h.event, run_dir, 302, &events, &h, &v) == 0) { /* else it is over by now */
		(void)usleep(1500000); /* busy elsewhere, then back */
		assert_int_equal(run_for(&h, 20000000), 0);
		/* on a busy machine it may look like a flood, or do its worst before the start is over */
		if (!strstr(h.why, "it stops and goes on unasked"))
			print_message("cut off for another reason: %s\n", h.why);
		assert_int_equal(h.state, VMM_GONE);
		assert_false(h.clean);
	}
	vmm_free(v);
	sd_event_unref(h.event);
	check_nothing_left();
}

static void follow(struct heard *h, struct vmm **v, unsigned domid)
{
	*h = (struct heard){0};
	*v = NULL;
	assert_true(sd_event_new(&h->event) >= 0);
	assert_int_equal(vmm_attach(h->event, run_dir, domid, &events, h, v), 0);
}

static void on_done(void *data, int r, const char *error)
{
	struct heard *h = data;

	h->r = r;
	(void)snprintf(h->why, sizeof(h->why), "%s", error);
}

/* and nothing of it is left; frees @v and @h's loop */
static void kill_it(struct heard *h, struct vmm *v)
{
	assert_int_equal(vmm_kill(v), 0);
	assert_int_equal(run_for(h, 20000000), 0);
	assert_string_equal(h->why, "it was killed");
	vmm_free(v);
	sd_event_unref(h->event);
	check_nothing_left();
}

static void wait_answer(struct heard *h, int r, const char *why)
{
	while (h->r == 1)
		assert_true(sd_event_run(h->event, 20000000) > 0);
	assert_int_equal(h->r, r);
	assert_string_equal(h->why, why);
}

static void wait_state(struct heard *h, enum vmm_state state)
{
	while (h->state != state)
		assert_true(sd_event_run(h->event, 20000000) > 0);
}

/* pause, and wait for the answer */
static void pause_answered(struct heard *h, struct vmm *v, int r, const char *why)
{
	h->r = 1;
	assert_int_equal(vmm_pause(v, on_done, h), 0);
	wait_answer(h, r, why);
}

static void a_guest_that_found_no_room_is_told_from_one_that_was_paused(void **state)
{
	struct heard h = {0};
	struct vmm *v = NULL;

	(void)state;
	assert_true(sd_event_new(&h.event) >= 0);
	start_hostile("full", 305);
	assert_int_equal(vmm_attach(h.event, run_dir, 305, &events, &h, &v), 0);
	wait_state(&h, VMM_FULL);
	pause_answered(&h, v, 0, "");
	assert_int_equal(h.state, VMM_PAUSED);
	/* it goes on, and finds no room again */
	assert_int_equal(vmm_unpause(v, NULL, NULL), 0);
	wait_state(&h, VMM_FULL);
	h.r = 1;
	assert_int_equal(vmm_unpause(v, on_done, &h), 0);
	wait_answer(&h, 0, "");
	assert_int_equal(h.state, VMM_RUNNING);
	/* what was so once is forgotten */
	pause_answered(&h, v, 0, "");
	assert_int_equal(h.state, VMM_PAUSED);
	kill_it(&h, v);
}

static void a_qemu_that_only_says_that_it_paused_is_found_out(void **state)
{
	struct heard h = {0};
	struct vmm *v = NULL;
	unsigned since_s;

	(void)state;
	assert_true(sd_event_new(&h.event) >= 0);
	start_hostile("deaf", 303);
	assert_int_equal(vmm_attach(h.event, run_dir, 303, &events, &h, &v), 0);
	pause_answered(&h, v, -EIO, "QEMU did not stop");
	assert_int_equal(h.state, VMM_RUNNING);
	assert_false(vmm_get_pressed(v, &since_s));
	assert_int_equal(vmm_shutdown(v), 0);
	/* the answer to this says that that has arrived */
	pause_answered(&h, v, -EIO, "QEMU did not stop");
	vmm_free(v);
	sd_event_unref(h.event);

	h = (struct heard){0};
	v = NULL;
	assert_true(sd_event_new(&h.event) >= 0);
	assert_int_equal(vmm_attach(h.event, run_dir, 303, &events, &h, &v), 0);
	while (h.state != VMM_RUNNING)
		assert_true(sd_event_run(h.event, 20000000) > 0);
	assert_true(vmm_get_pressed(v, &since_s)); /* who comes back learns of it */
	kill_it(&h, v);
}

static void one_that_goes_on_and_on_while_it_is_told_to_is_cut_off(void **state)
{
	struct heard h;
	struct vmm *v;

	(void)state;
	start_hostile("sways", 307);
	follow(&h, &v, 307);
	wait_state(&h, VMM_PAUSED);
	assert_int_equal(vmm_unpause(v, NULL, NULL), 0);
	assert_int_equal(run_for(&h, 20000000), 0);
	assert_non_null(strstr(h.why, "it stops and goes on unasked"));
	vmm_free(v);
	sd_event_unref(h.event);
	check_nothing_left();
}

static void the_time_that_it_was_paused_is_not_counted_since_its_button_was_pressed(void **state)
{
	struct heard h;
	struct vmm *v;
	unsigned since_s = UINT_MAX;
	uint64_t began_ms, counted_ms;

	(void)state;
	start_hostile("pauses", 308);
	follow(&h, &v, 308);
	wait_state(&h, VMM_RUNNING);
	began_ms = io_now_ms();
	assert_int_equal(vmm_shutdown(v), 0);
	pause_answered(&h, v, 0, "");
	counted_ms = io_now_ms() - began_ms;
	vmm_free(v);
	sd_event_unref(h.event);
	/* longer than all that may be counted, however slow this machine is */
	(void)usleep((useconds_t)(counted_ms + 2000) * 1000);
	for (int goes_on = 0; goes_on < 2; goes_on++) {
		follow(&h, &v, 308);
		wait_state(&h, VMM_PAUSED);
		assert_true(vmm_get_pressed(v, &since_s));
		assert_true((uint64_t)since_s * 1000 <= counted_ms);
		if (goes_on)
			break;
		began_ms = io_now_ms();
		h.r = 1;
		assert_int_equal(vmm_unpause(v, on_done, &h), 0);
		wait_answer(&h, 0, "");
		pause_answered(&h, v, 0, "");
		counted_ms += io_now_ms() - began_ms;
		vmm_free(v);
		sd_event_unref(h.event);
	}
	kill_it(&h, v);
}

static void what_it_started_with_is_told_of_one_that_cannot_be_given_more(void **state)
{
	struct vmm_memory m = {0};
	struct heard h;
	struct vmm *v;

	(void)state;
	start_hostile("deaf", 309);
	follow(&h, &v, 309);
	while (m.base == 0) {
		assert_true(sd_event_run(h.event, 20000000) > 0);
		assert_false(vmm_get_memory(v, &m));
	}
	assert_int_equal(m.base, UINT64_C(128) << 20);
	kill_it(&h, v);
}

static void a_clean_end_while_nobody_follows_is_told_once(void **state)
{
	const char *uuid = spec_of(304).uuid;
	struct heard h = {0};
	struct vmm *v = NULL;
	char path[64];

	(void)state;
	for (int followed = 0; followed < 2; followed++) {
		h = (struct heard){0};
		assert_true(sd_event_new(&h.event) >= 0);
		start_hostile("power-off", 304);
		assert_int_equal(vmm_attach(h.event, run_dir, 304, &events, &h, &v), 0);
		while (h.state != VMM_RUNNING)
			assert_true(sd_event_run(h.event, 20000000) > 0);
		assert_int_equal(vmm_shutdown(v), 0);
		if (followed) {
			assert_int_equal(run_for(&h, 20000000), 0);
			assert_true(h.clean);
		}
		vmm_free(v);
		sd_event_unref(h.event);
		(void)snprintf(path, sizeof(path), "%s/q/304", run_dir);
		for (int i = 0; i < 1000 && access(path, F_OK) == 0; i++)
			(void)usleep(20000);
		(void)snprintf(path, sizeof(path), "%s/q/304.clean", run_dir);
		for (int i = 0; i < 1000 && !followed && access(path, F_OK) < 0; i++)
			(void)usleep(20000);
		assert_int_equal(vmm_ended_clean(run_dir, 304, uuid), !followed);
		assert_false(vmm_ended_clean(run_dir, 304, uuid));
		check_nothing_left();
	}
	/* of another qube that had the same id */
	(void)snprintf(path, sizeof(path), "%s/q/304.clean", run_dir);
	assert_int_equal(io_write_file(AT_FDCWD, path, "x", 1, 0600), 0);
	assert_false(vmm_ended_clean(run_dir, 304, uuid));
	check_nothing_left();
}

static void a_console_flood_stays_within_its_file_and_the_monitor_serves(void **state)
{
	struct heard h = {0};
	struct vmm *v = NULL, *again = NULL;
	struct vmm_found *found = NULL;
	AUTO_FREE char *text = NULL;
	struct stat st;
	size_t n = 0;

	(void)state;
	assert_true(sd_event_new(&h.event) >= 0);
	start_hostile("console", 301);
	assert_int_equal(vmm_attach(h.event, run_dir, 301, &events, &h, &v), 0);
	assert_int_equal(run_for(&h, 1500000), 1);
	assert_int_equal(h.state, VMM_RUNNING);
	assert_int_equal(stat(log_path, &st), 0);
	assert_in_range(st.st_size, 1, 1 << 20);
	assert_int_equal(io_read_file(AT_FDCWD, log_path, 2 << 20, &text, NULL), 0);
	assert_non_null(strstr(text, "the _[31mquick__ brown fox\n"));
	assert_null(strpbrk(text, "\x1b\x9b"));
	/* qubesd comes back: it finds the qube and takes it */
	assert_int_equal(vmm_scan(run_dir, &found, &n), 0);
	assert_int_equal(n, 1);
	assert_string_equal(found[0].name, "work");
	assert_int_equal(found[0].domid, 301);
	free(found);
	vmm_free(v);
	sd_event_unref(h.event);
	h = (struct heard){0};
	assert_true(sd_event_new(&h.event) >= 0);
	assert_int_equal(vmm_attach(h.event, run_dir, 301, &events, &h, &again), 0);
	assert_int_equal(vmm_kill(again), 0);
	assert_int_equal(run_for(&h, 20000000), 0);
	assert_string_equal(h.why, "it was killed");
	vmm_free(again);
	sd_event_unref(h.event);
	check_nothing_left();
}

static bool heard_all(const struct vmm *v, uint64_t asked)
{
	struct vmm_memory m;

	return vmm_get_memory(v, &m) && m.available != UINT64_MAX && m.asked == asked;
}

static void what_a_qemu_says_of_memory_stays_within_what_there_is(void **state)
{
	struct vmm_spec spec = spec_of(305);
	struct heard h = {0};
	struct vmm_memory m;
	struct vmm *v = NULL;

	(void)state;
	spec.more_mib = 256;
	spec.gives_back = true;
	assert_true(sd_event_new(&h.event) >= 0);
	start_hostile_of("memory", spec);
	assert_int_equal(vmm_attach(h.event, run_dir, 305, &events, &h, &v), 0);
	while (!heard_all(v, 0))
		assert_true(sd_event_run(h.event, 20000000) > 0);
	assert_int_equal(vmm_memory(v, UINT64_C(64) << 20), 0);
	while (!heard_all(v, UINT64_C(64) << 20))
		assert_true(sd_event_run(h.event, 20000000) > 0);
	assert_true(vmm_get_memory(v, &m));
	assert_int_equal(m.base, UINT64_C(128) << 20);
	assert_int_equal(m.most, UINT64_C(256) << 20);
	assert_int_equal(m.has, UINT64_C(256) << 20);
	assert_int_equal(m.available, UINT64_C(384) << 20);
	assert_int_equal(m.swapped_out, UINT64_MAX - 1);
	assert_int_equal(vmm_memory(v, UINT64_C(257) << 20), 0);
	/* the answer to this says that that has arrived */
	pause_answered(&h, v, -EIO, "QEMU did not stop");
	assert_true(heard_all(v, UINT64_C(64) << 20));
	kill_it(&h, v);
}

static void what_a_guest_uses_is_not_what_it_has_got_since_it_spoke(void **state)
{
	struct vmm_spec spec = spec_of(306);
	struct heard h = {0};
	struct vmm_memory m;
	struct vmm *v = NULL;

	(void)state;
	spec.more_mib = 256;
	spec.gives_back = true;
	assert_true(sd_event_new(&h.event) >= 0);
	start_hostile_of("late", spec);
	assert_int_equal(vmm_attach(h.event, run_dir, 306, &events, &h, &v), 0);
	while (!vmm_get_memory(v, &m) || m.has == 0)
		assert_true(sd_event_run(h.event, 20000000) > 0);
	/* of 128 MiB it did not count 28, and used 40 */
	assert_int_equal(m.available, UINT64_C(188) << 20);
	assert_int_equal(vmm_memory(v, UINT64_C(64) << 20), 0);
	while (!heard_all(v, UINT64_C(64) << 20))
		assert_true(sd_event_run(h.event, 20000000) > 0);
	assert_true(vmm_get_memory(v, &m));
	assert_int_equal(m.available, UINT64_C(188) << 20);
	assert_int_equal(vmm_kill(v), 0);
	assert_int_equal(run_for(&h, 20000000), 0);
	vmm_free(v);
	sd_event_unref(h.event);
	check_nothing_left();
}

static void memory_that_can_be_added_is_a_device_of_its_own(void **state)
{
	static struct qemu_argv a;
	struct vmm_spec spec = spec_of(7);

	(void)state;
	assert_int_equal(qemu_argv_build(&spec, &tcg, &a), 0);
	assert_string_equal(value_of(&a, "-m"), "128M");
	assert_null(strstr(value_of(&a, "-append"), "memhp_default_state"));
	assert_int_equal(n_devices(&a, "virtio-balloon-pci,"), 0);
	assert_int_equal(n_devices(&a, "virtio-mem-pci,"), 0);
	spec.gives_back = true;
	assert_int_equal(qemu_argv_build(&spec, &tcg, &a), 0);
	assert_int_equal(n_devices(&a, "virtio-balloon-pci,"), 1);
	assert_int_equal(n_devices(&a, "virtio-mem-pci,"), 0);
	spec.more_mib = 256;
	assert_int_equal(qemu_argv_build(&spec, &tcg, &a), 0);
	assert_string_equal(value_of(&a, "-m"), "128M,maxmem=384M");
	assert_non_null(strstr(value_of(&a, "-append"), "memhp_default_state=online"));
	assert_int_equal(n_devices(&a, "virtio-mem-pci,"), 1);
	spec.more_mib = 100;
	assert_int_equal(qemu_argv_build(&spec, &tcg, &a), -EINVAL);
	spec.more_mib = UINT32_MAX - 127;
	assert_int_equal(qemu_argv_build(&spec, &tcg, &a), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_command_line_names_no_path_of_ours),
		cmocka_unit_test(a_qemu_that_emulates_one_processor_gets_one),
		cmocka_unit_test(options_do_not_hide_in_names),
		cmocka_unit_test(a_start_that_cannot_be_says_why),
		cmocka_unit_test(a_qemu_that_breaks_the_rules_is_cut_off),
		cmocka_unit_test(silence_ends_with_the_time),
		cmocka_unit_test(a_boot_that_comes_to_nothing_is_told_from_one_that_takes_its_time),
		cmocka_unit_test(a_flood_after_the_start_ends_only_its_qube),
		cmocka_unit_test(a_qube_whose_state_changes_all_the_time_is_cut_off),
		cmocka_unit_test(a_qemu_that_only_says_that_it_paused_is_found_out),
		cmocka_unit_test(a_guest_that_found_no_room_is_told_from_one_that_was_paused),
		cmocka_unit_test(one_that_goes_on_and_on_while_it_is_told_to_is_cut_off),
		cmocka_unit_test(
			the_time_that_it_was_paused_is_not_counted_since_its_button_was_pressed),
		cmocka_unit_test(what_it_started_with_is_told_of_one_that_cannot_be_given_more),
		cmocka_unit_test(a_clean_end_while_nobody_follows_is_told_once),
		cmocka_unit_test(memory_that_can_be_added_is_a_device_of_its_own),
		cmocka_unit_test(what_a_qemu_says_of_memory_stays_within_what_there_is),
		cmocka_unit_test(what_a_guest_uses_is_not_what_it_has_got_since_it_spoke),
		cmocka_unit_test(a_console_flood_stays_within_its_file_and_the_monitor_serves),
	};

	return cmocka_run_group_tests(tests, make_run_dir, remove_run_dir);
}
