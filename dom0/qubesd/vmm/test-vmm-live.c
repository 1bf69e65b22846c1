/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The QEMU driver and qube-monitor with a real guest: test-vmm-live KIT, where KIT is a folder with
 * vmlinuz, modules.img and live (made by live-initramfs). BULKHEAD_LIVE_UID=N: ids from N up for
 * QEMU and the daemons (as root).
 */
#include "base/io.h"
#include "base/str.h"
#include "vmm.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#define BOOT_S 180 /* on a machine that others work on */

static const char *kit;
static char run_dir[32], log_path[64];
static unsigned next_domid = 20;

struct qube {
	sd_event *event;
	struct vmm *v;
	unsigned domid;
	enum vmm_state state;
	bool clean, done;
	int result;
	char why[400], error[400];
};

static int kit_open(const char *name, int flags)
{
	char path[512];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", kit, name);
	fd = open(path, flags | O_CLOEXEC);
	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	return fd;
}

/* an empty file of @size bytes, without a name */
static int scratch(off_t size)
{
	char path[64];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/scratch", run_dir);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	(void)unlink(path);
	return fd;
}

static void on_state(void *data, struct vmm *v, enum vmm_state state, bool clean, const char *why)
{
	struct qube *q = data;

	(void)v;
	q->state = state;
	q->clean = clean;
	(void)snprintf(q->why, sizeof(q->why), "%s", why ? why : "");
}

static void on_agent(void *data, struct vmm *v, bool up)
{
	(void)data;
	(void)v;
	(void)up;
}

static const struct vmm_events events = {.state = on_state, .agent = on_agent};

static void on_done(void *data, int r, const char *error)
{
	struct qube *q = data;

	q->done = true;
	q->result = r;
	(void)snprintf(q->error, sizeof(q->error), "%s", error ? error : "");
}

static bool console_has(const char *text)
{
	AUTO_FREE char *log = NULL;

	return io_read_file(AT_FDCWD, log_path, 4 << 20, &log, NULL) == 0 && strstr(log, text);
}

/* Runs the loop until the condition holds. */
static void wait_state(struct qube *q, enum vmm_state state, unsigned seconds)
{
	uint64_t end = io_now_ms() + UINT64_C(1000) * seconds;

	while (q->state != state && io_now_ms() < end)
		assert_true(sd_event_run(q->event, 100000) >= 0);
	assert_int_equal(q->state, state);
}

static void wait_done(struct qube *q, int expected)
{
	uint64_t end = io_now_ms() + 60000;

	while (!q->done && io_now_ms() < end)
		assert_true(sd_event_run(q->event, 100000) >= 0);
	assert_true(q->done);
	if (q->result != expected)
		fail_msg("%d: %s", q->result, q->error);
	q->done = false;
}

static void wait_console(struct qube *q, const char *text)
{
	uint64_t end = io_now_ms() + UINT64_C(1000) * BOOT_S;

	while (!console_has(text)) {
		if (io_now_ms() > end || q->state == VMM_GONE)
			fail_msg("the console never said \"%s\" (%s)", text, q->why);
		assert_true(sd_event_run(q->event, 100000) >= 0);
	}
}

static struct vmm_spec spec_of(unsigned domid)
{
	const char *uid = getenv("BULKHEAD_LIVE_UID");

	(void)unlink(log_path);
	return (struct vmm_spec){.name = "live",
				 .uuid = "5e9a4b1c-0000-4000-8000-000000000002",
				 .default_user = "user",
				 .domid = domid,
				 .memory_mib = 256,
				 .vcpus = 1,
				 .kernel_fd = kit_open("vmlinuz", O_RDONLY),
				 .initrd_fd = kit_open("live", O_RDONLY),
				 .cmdline = "",
				 .disks = {{.name = "kernel",
					    .fds = {kit_open("modules.img", O_RDONLY)},
					    .formats = {VMM_RAW},
					    .n_chain = 1}},
				 .n_disks = 1,
				 .run_dir = run_dir,
				 .log_path = log_path,
				 .uid = uid ? (uid_t)strtoul(uid, NULL, 10) + domid : 0};
}

static void spec_done(struct vmm_spec *spec)
{
	close_fd(&spec->kernel_fd);
	close_fd(&spec->initrd_fd);
	for (unsigned i = 0; i < spec->n_disks; i++)
		for (unsigned j = 0; j < spec->disks[i].n_chain; j++)
			close_fd(&spec->disks[i].fds[j]);
}

static void qube_start(struct qube *q)
{
	struct vmm_spec spec;
	char error[400];
	uint64_t t = io_now_ms();

	*q = (struct qube){.domid = next_domid++};
	spec = spec_of(q->domid);
	assert_true(sd_event_new(&q->event) >= 0);
	if (vmm_start(&spec, NULL, NULL, error, sizeof(error)) != 0)
		fail_msg("%s", error);
	spec_done(&spec);
	print_message("QEMU was up after %llu ms\n", (unsigned long long)(io_now_ms() - t));
	assert_int_equal(vmm_attach(q->event, run_dir, q->domid, &events, q, &q->v), 0);
	wait_state(q, VMM_RUNNING, 10);
	wait_console(q, "GUEST up");
	print_message("the guest was up after %llu ms\n", (unsigned long long)(io_now_ms() - t));
}

static void qube_done(struct qube *q)
{
	vmm_free(q->v);
	sd_event_unref(q->event);
}

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

/* pids of programs called @name whose environment or arguments we cannot know: by their parent */
static pid_t find_monitor(unsigned domid)
{
	char path[96];
	int fd = NO_FD;
	struct ucred peer = {0};
	socklen_t len = sizeof(peer);

	(void)snprintf(path, sizeof(path), "%s/q/%u/monitor.sock", run_dir, domid);
	assert_int_equal(io_unix_connect(path, SOCK_SEQPACKET, &fd), 0);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len), 0);
	(void)close(fd);
	return peer.pid;
}

static void a_qube_lives_and_powers_itself_off(void **state)
{
	struct vmm_usage usage;
	struct qube q;
	struct vmm *second = NULL;
	struct qube other = {0};
	struct vmm_disk disk = {.name = "backup-1",
				.fds = {scratch(8 << 20)},
				.formats = {VMM_RAW},
				.n_chain = 1,
				.writable = true};
	int pair[2];

	(void)state;
	qube_start(&q);
	assert_int_equal(vmm_get_usage(q.v, &usage), 0);
	assert_in_range(usage.memory_kib, 40000, 2000000);
	assert_true(usage.cputime_ms > 0);

	assert_int_equal(vmm_pause(q.v, NULL, NULL), 0);
	wait_state(&q, VMM_PAUSED, 10);
	/* a second follower hears the same */
	other.event = q.event;
	assert_int_equal(vmm_attach(q.event, run_dir, q.domid, &events, &other, &second), 0);
	wait_state(&other, VMM_PAUSED, 10);
	assert_int_equal(vmm_unpause(q.v, NULL, NULL), 0);
	wait_state(&q, VMM_RUNNING, 10);

	assert_int_equal(vmm_disk_add(q.v, &disk, on_done, &q), 0);
	wait_done(&q, 0);
	wait_console(&q, "vdb:backup-1:16384:0");
	assert_int_equal(vmm_disk_add(q.v, &disk, on_done, &q), 0); /* the name is taken */
	wait_done(&q, -EIO);
	assert_int_equal(ftruncate(disk.fds[0], 16 << 20), 0);
	assert_int_equal(vmm_disk_resize(q.v, "backup-1", 16 << 20, on_done, &q), 0);
	wait_done(&q, 0);
	wait_console(&q, "vdb:backup-1:32768:0");
	assert_int_equal(vmm_disk_remove(q.v, "backup-1", on_done, &q), 0);
	wait_done(&q, 0);
	assert_int_equal(vmm_disk_add(q.v, &disk, on_done, &q), 0); /* and free again */
	wait_done(&q, 0);
	assert_int_equal(vmm_disk_remove(q.v, "no-such", on_done, &q), 0);
	wait_done(&q, -EIO);
	assert_int_equal(vmm_disk_remove(q.v, "bad,name", on_done, &q), 0);
	wait_done(&q, -EINVAL);
	close_fd(&disk.fds[0]);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(vmm_nic_add(q.v, &(struct vmm_nic){"eth1", "00:16:3e:5e:6c:07", pair[1]},
				     on_done, &q),
			 0);
	wait_done(&q, 0);
	(void)close(pair[1]);
	wait_console(&q, "net:00:16:3e:5e:6c:07");
	assert_int_equal(vmm_nic_remove(q.v, "eth1", on_done, &q), 0);
	wait_done(&q, 0);
	(void)close(pair[0]);

	assert_int_equal(vmm_qdb_write(q.v, "/test", "value"), 0);
	assert_int_equal(vmm_shutdown(q.v), 0);
	wait_state(&q, VMM_GONE, 60);
	assert_true(q.clean);
	assert_string_equal(q.why, "it powered itself off");
	wait_state(&other, VMM_GONE, 10);
	assert_true(console_has("GUEST power button"));
	check_nothing_left();
	vmm_free(second);
	qube_done(&q);
}

static void a_killed_qube_leaves_nothing(void **state)
{
	struct qube q;

	(void)state;
	qube_start(&q);
	assert_int_equal(vmm_kill(q.v), 0);
	wait_state(&q, VMM_GONE, 10);
	assert_false(q.clean);
	check_nothing_left();
	qube_done(&q);
}

static void a_killed_monitor_takes_all_with_it(void **state)
{
	struct vmm_found *found = NULL;
	struct qube q;
	size_t n = 0;

	(void)state;
	qube_start(&q);
	assert_int_equal(vmm_scan(run_dir, &found, &n), 0);
	assert_int_equal(n, 1);
	assert_string_equal(found[0].name, "live");
	free(found);
	assert_int_equal(kill(find_monitor(q.domid), SIGKILL), 0);
	wait_state(&q, VMM_GONE, 10);
	assert_false(q.clean);
	check_nothing_left();
	assert_int_equal(vmm_scan(run_dir, &found, &n), 0);
	assert_int_equal(n, 0);
	free(found);
	qube_done(&q);
}

static void a_damaged_image_is_named(void **state)
{
	struct vmm_spec spec = spec_of(next_domid++);
	char error[400];
	int fd = scratch(1 << 20);

	(void)state;
	assert_int_equal(pwrite(fd, "QFI\xfb\0\0\0\3 this is not one", 24, 0), 24);
	spec.disks[spec.n_disks++] = (struct vmm_disk){.name = "root",
						       .fds = {fd},
						       .formats = {VMM_QCOW2},
						       .n_chain = 1,
						       .writable = true};
	assert_int_equal(vmm_start(&spec, NULL, NULL, error, sizeof(error)), -EIO);
	print_message("%s\n", error);
	assert_non_null(strstr(error, "live did not start: QEMU ended: disk root: "));
	spec_done(&spec);
	check_nothing_left();
}

static void an_agent_that_never_answers_is_given_up(void **state)
{
	struct vmm_spec spec = spec_of(next_domid++);
	char error[400];

	(void)state;
	spec.qrexec = true;
	spec.qrexec_timeout_ms = 6000;
	assert_int_equal(vmm_start(&spec, NULL, NULL, error, sizeof(error)), -ETIMEDOUT);
	assert_non_null(strstr(error, "qrexec_timeout"));
	spec_done(&spec);
	check_nothing_left();
}

static int make_run_dir(void **state)
{
	(void)state;
	(void)snprintf(run_dir, sizeof(run_dir), "/tmp/bulkhead-live.XXXXXX");
	if (!mkdtemp(run_dir))
		return -1;
	(void)snprintf(log_path, sizeof(log_path), "%s/guest.log", run_dir);
	return 0;
}

/* a test that failed leaves its qube, which outlives us */
static void end_qubes(void)
{
	struct vmm_found *found = NULL;
	size_t n = 0;

	if (vmm_scan(run_dir, &found, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		(void)kill(find_monitor(found[i].domid), SIGTERM);
	free(found);
	for (int i = 0; i < 100 && n > 0; i++) {
		(void)usleep(100000);
		if (vmm_scan(run_dir, &found, &n) < 0)
			return;
		free(found);
	}
}

static int remove_run_dir(void **state)
{
	(void)state;
	end_qubes();
	return getenv("BULKHEAD_LIVE_KEEP") ? 0 : io_remove_tree(AT_FDCWD, run_dir);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_qube_lives_and_powers_itself_off),
		cmocka_unit_test(a_killed_qube_leaves_nothing),
		cmocka_unit_test(a_killed_monitor_takes_all_with_it),
		cmocka_unit_test(a_damaged_image_is_named),
		cmocka_unit_test(an_agent_that_never_answers_is_given_up),
	};

	if (argc < 2) {
		(void)fputs("usage: test-vmm-live KIT [TEST]\n", stderr);
		return 2;
	}
	kit = argv[1];
	if (argc > 2)
		cmocka_set_test_filter(argv[2]);
	return cmocka_run_group_tests(tests, make_run_dir, remove_run_dir);
}
