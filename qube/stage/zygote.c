/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stage-zygote: the end of the generic stage in a guest that becomes a zygote, and the beginning of each fork of it.
 *
 * In the zygote: waits until the system has come to rest, freezes every process but itself (process 1 too, which could
 * start others), writes back what is not on the disk yet, and opens the stage port. Dom0 hears that from QEMU and stops the guest in our read of the port.
 *
 * In a fork, which goes on in that read (doc/protocol/fork.md): takes dom0's seed into the kernel's pool, sets the clock,
 * gives the boot an id of its own, looks for the memory that dom0 shares with this qube alone, waits until the disks
 * are the qube's own, and only then lets the others go on: first the programs that make this system the qube that dom0 says
 * (stage-personal, its daemons and the agent, which all wait already), and when it is that qube all the rest, process 1 too: before the
 * user's rc.local, which may ask anybody for something.
 *
 * Runs as: root, in the qube. Trusts: dom0. Nothing is frozen by signals, which programs would see: the cgroup freezer leaves
 * no trace. A fork that cannot be made a machine of its own powers itself off: dom0 then boots the qube instead.
 */
#include "base/await.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "base/vport.h"
#include "identity.h"
#include "proto/fork.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/reboot.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <time.h>

#define CGROUPS     "/sys/fs/cgroup"
#define OWN_GROUP   CGROUPS "/bulkhead-zygote"
#define FIRST_GROUP CGROUPS "/bulkhead-frozen"
#define INIT_GROUP  CGROUPS "/bulkhead-init"
#define SCOPE       CGROUPS "/init.scope"
#define BOOT_ID     "/proc/sys/kernel/random/boot_id"
#define RUN         "/run/bulkhead"
#define BOOT_ID_RUN RUN "/boot-id"
#define NAMED       "/run/qubes/personal.named"
#define RC_LOCAL    "/rw/config/rc.local"
#define ANSWERED    "/run/qubes/qrexec.answered"
/* what systemd would credit at the next boot; every fork would have the same */
#define SYSTEMD_SEED "/var/lib/systemd/random-seed"
#define MAX_GROUPS   256
/* at rest: so many looks in a row, LOOK_MS apart, at which nobody but us runs */
#define LOOKS   5
#define LOOK_MS 50
/* a system that never rests is no zygote */
#define REST_TIMEOUT_MS 600000
/* how long the disks of a fork may take to appear with their size */
#define DISK_TIMEOUT_MS     10000
#define PERSONAL_TIMEOUT_MS 120000
/* So long the rest of the system waits for the agent's first answer, since waking up takes it much of the processor: some times as long
 * as we took to become this qube, which says how busy the machine is */
#define ANSWERED_TIMES  4
#define ANSWERED_MIN_MS 500
#define ANSWERED_MAX_MS 5000
/* a first answer within that is of a machine with little else to do */
#define QUICK_MS        500
#define GIVE_WAY_MAX_MS 3000

enum turn { FIRST, LATER }; /* in which groups are thawed */

struct group {
	char *path;
	enum turn turn;
};

static struct group groups[MAX_GROUPS];
static unsigned n_groups;

NORETURN static void give_up(const char *what, int r)
{
	log_err(NULL, "%s: %s; powering off", what, log_errno_str(r));
	sync();
	(void)reboot(RB_POWER_OFF);
	_exit(1);
}

static void pause_ms(unsigned ms)
{
	const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	(void)nanosleep(&t, NULL);
}

static int write_text(const char *path, const char *text)
{
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return fail_errno();
	return write(fd, text, strlen(text)) < 0 ? fail_errno() : 0;
}

/* ---- at rest ---- */

/* of /proc/PID/stat: the name, the state and whether it is a kernel's thread; false: it is gone */
static bool stat_read(const char *pid, char *name, size_t size, char *ret_state, bool *ret_kernel)
{
	AUTO_FREE char *text = NULL;
	char path[64];
	char *open_, *close_, *at, *words[7];

	(void)snprintf(path, sizeof(path), "/proc/%.16s/stat", pid);
	if (io_read_file(AT_FDCWD, path, 4096, &text, NULL) < 0)
		return false;
	open_ = strchr(text, '(');
	close_ = strrchr(text, ')');
	if (!open_ || !close_ || close_ < open_)
		return false;
	*close_ = '\0';
	at = close_ + 1;
	(void)snprintf(name, size, "%s", open_ + 1);
	/* a word each: state ppid pgrp session tty tpgid flags */
	(void)strsep(&at, " ");
	for (unsigned i = 0; i < 7; i++) {
		words[i] = strsep(&at, " ");
		if (!words[i])
			return false;
	}
	*ret_state = words[0][0];
	*ret_kernel = strtoul(words[6], NULL, 10) & 0x00200000; /* PF_KTHREAD */
	return true;
}

/* nobody but us wants the processor, and those whom a fork begins with are there */
static bool rests(void)
{
	static const char *const wanted[] = {"vchand", "qubesdb-daemon", "stage-personal",
					     "qrexec-agent"};
	unsigned seen = 0;
	struct dirent *e;
	DIR *dir = opendir("/proc");
	bool quiet = dir;

	while (quiet && (e = readdir(dir))) {
		char name[32], state;
		bool kernel;

		if (!isdigit((unsigned char)e->d_name[0]) ||
		    strtol(e->d_name, NULL, 10) == getpid() ||
		    !stat_read(e->d_name, name, sizeof(name), &state, &kernel) || kernel)
			continue;
		quiet = state == 'S' || state == 'Z' || state == 'T';
		for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
			if (str_eq(name, wanted[i]))
				seen |= 1u << i;
	}
	if (dir)
		(void)closedir(dir);
	return quiet && seen == (1u << ARRAY_LEN(wanted)) - 1;
}

static void rest_wait(void)
{
	const uint64_t end_ms = io_now_ms() + REST_TIMEOUT_MS;

	for (unsigned looks = 0; looks < LOOKS; pause_ms(LOOK_MS)) {
		looks = rests() ? looks + 1 : 0;
		if (io_now_ms() > end_ms)
			give_up("the generic stage does not come to rest", -ETIMEDOUT);
	}
}

/* ---- freezing ---- */

static bool group_known(const char *path)
{
	for (unsigned i = 0; i < n_groups; i++)
		if (str_eq(groups[i].path, path))
			return true;
	return false;
}

/* a group without anybody may go at any time, before we open its file or after */
static bool is_gone(int r)
{
	return r == -ENOENT || r == -ENODEV;
}

/* an operation on the group's file @name */
static int group_write(const char *group, const char *name, const char *text)
{
	char path[PATH_MAX];
	int r = str_format(path, sizeof(path), "%s/%s", group, name);

	return r < 0 ? r : write_text(path, text);
}

static int group_read(const char *group, const char *name, char **ret)
{
	char path[PATH_MAX];
	int r = str_format(path, sizeof(path), "%s/%s", group, name);

	return r < 0 ? r : io_read_file(AT_FDCWD, path, (size_t)1 << 20, ret, NULL);
}

static void group_set(const char *group, bool frozen)
{
	int r = group_write(group, "cgroup.freeze", frozen ? "1" : "0");

	if (r < 0 && !is_gone(r))
		give_up(group, r);
	for (unsigned i = 0; frozen && i < 200; i++) {
		AUTO_FREE char *events = NULL;

		r = group_read(group, "cgroup.events", &events);
		if (is_gone(r) || (r == 0 && strstr(events, "frozen 1")))
			return;
		if (r < 0)
			give_up(group, r);
		pause_ms(10);
	}
	if (frozen)
		give_up(group, -EBUSY);
}

static void group_freeze(const char *path, enum turn turn)
{
	struct group *g = &groups[n_groups];

	if (n_groups == MAX_GROUPS)
		give_up("more control groups than can be frozen", -E2BIG);
	*g = (struct group){.path = strdup(path), .turn = turn};
	if (!g->path)
		give_up(path, -ENOMEM);
	n_groups++;
	group_set(path, true);
}

/* threads that are groups of their own are frozen with the group of their process */
static bool has_processes(const char *group)
{
	AUTO_FREE char *text = NULL;
	int r = group_read(group, "cgroup.procs", &text);

	if (r < 0 && !is_gone(r) && r != -EOPNOTSUPP)
		give_up(group, r);
	return r == 0 && text[0] != '\0';
}

/* Groups with processes below @path are frozen, but ours and those that are already, however deep they are: who cannot be looked at
 * might run. Return: there were any */
static bool groups_freeze(const char *path)
{
	struct dirent *e;
	DIR *dir = opendir(path);
	bool any = false;

	if (!dir && errno != ENOENT)
		give_up(path, fail_errno());
	while (dir && (e = readdir(dir))) {
		char below[PATH_MAX];

		if (e->d_type != DT_DIR || str_eq(e->d_name, ".") || str_eq(e->d_name, ".."))
			continue;
		if (str_format(below, sizeof(below), "%s/%s", path, e->d_name) < 0)
			give_up(path, -ENAMETOOLONG);
		if (str_eq(below, OWN_GROUP))
			continue;
		if (!group_known(below) && has_processes(below)) {
			group_freeze(below, str_starts(e->d_name, "bulkhead-") ? FIRST : LATER);
			any = true;
		}
		any = groups_freeze(below) || any;
	}
	if (dir)
		(void)closedir(dir);
	return any;
}

/* Without systemd all are in the root group, which cannot be frozen. The kernel's threads stay: a group with one of them never
 * is. Return: there were any */
static bool root_group_empty(void)
{
	AUTO_FREE char *text = NULL;
	char *at, name[32], state;
	bool kernel, any = false;
	int r = group_read(CGROUPS, "cgroup.procs", &text);

	if (r < 0)
		give_up(CGROUPS, r);
	at = text;
	for (char *pid; (pid = strsep(&at, "\n"));) {
		if (pid[0] == '\0' || strtol(pid, NULL, 10) == getpid() ||
		    !stat_read(pid, name, sizeof(name), &state, &kernel) || kernel || state == 'Z')
			continue;
		r = group_write(FIRST_GROUP, "cgroup.procs", pid);
		if (r < 0 && r != -ESRCH)
			give_up(name, r);
		any = any || r == 0;
	}
	return any;
}

static void group_make(const char *path)
{
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		give_up(path, fail_errno());
}

static void enter(const char *group, const char *pid)
{
	int r = group_write(group, "cgroup.procs", pid);

	if (r < 0)
		give_up(group, r);
}

/*
 * Process 1 first: then no other service begins. It has a group of its own under systemd, and is given one elsewhere. The others
 * may fork until their own group is frozen, so it takes as many looks as find somebody.
 */
static void freeze(void)
{
	char pid[16];

	group_make(OWN_GROUP);
	group_make(FIRST_GROUP);
	(void)snprintf(pid, sizeof(pid), "%d", getpid());
	enter(OWN_GROUP, pid);
	if (has_processes(SCOPE)) {
		group_freeze(SCOPE, LATER);
	} else {
		group_make(INIT_GROUP);
		enter(INIT_GROUP, "1");
		group_freeze(INIT_GROUP, LATER);
	}
	while (root_group_empty() || groups_freeze(CGROUPS))
		;
}

static void thaw(enum turn turn)
{
	for (unsigned i = 0; i < n_groups; i++)
		if (groups[i].turn == turn)
			group_set(groups[i].path, false);
}

/* Process 1 goes back to where it was, if that was no group of its own. What is empty goes; the others are who they are now. */
static void groups_leave(void)
{
	if (group_known(INIT_GROUP))
		(void)!write_text(CGROUPS "/cgroup.procs", "1");
	(void)rmdir(INIT_GROUP);
	(void)rmdir(FIRST_GROUP);
}

/* ---- the fork ---- */

static void identity_wait(int port, struct fork_identity *ret)
{
	uint8_t bytes[FORK_LEN];
	int r = io_set_nonblock(port, false);

	r = r < 0 ? r : io_read_full(port, bytes, sizeof(bytes));
	if (r == 0 && fork_decode(bytes, sizeof(bytes), ret) != 0)
		r = -EPROTO;
	if (r != 0)
		give_up("no identity from dom0", r < 0 ? r : -EPROTO);
	explicit_bzero(bytes, sizeof(bytes));
}

static void clock_set(uint64_t ns)
{
	const struct timespec now = {.tv_sec = (time_t)(ns / 1000000000),
				     .tv_nsec = (long)(ns % 1000000000)};

	if (clock_settime(CLOCK_REALTIME, &now) < 0)
		log_warn(NULL, "the clock: %s", log_errno_str(errno));
}

/* the kernel's is the zygote's, so one of our own lies over it */
static int boot_id_make(void)
{
	uint8_t b[16];
	char text[40];

	if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
		return fail_errno();
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	(void)snprintf(text, sizeof(text),
		       "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x\n",
		       b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11],
		       b[12], b[13], b[14], b[15]);
	(void)mkdir(RUN, 0755);
	AUTO_CLOSE int fd =
		open(BOOT_ID_RUN, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0444);
	if (fd < 0)
		return fail_errno();
	int r = io_write_full(fd, text, strlen(text));
	if (r < 0)
		return r;
	return mount(BOOT_ID_RUN, BOOT_ID, NULL, MS_BIND, NULL) < 0 ? fail_errno() : 0;
}

/* QEMU has put the qube's own volume behind the device; its size tells that the kernel knows */
static void disk_wait(const char *device)
{
	const uint64_t end_ms = io_now_ms() + DISK_TIMEOUT_MS;

	for (;;) {
		AUTO_CLOSE int fd = open(device, O_RDONLY | O_CLOEXEC);
		uint64_t size = 0;

		if (fd < 0 || ioctl(fd, BLKGETSIZE64, &size) < 0)
			give_up(device, fail_errno());
		if (size != FORK_PLACEHOLDER) {
			(void)ioctl(fd, BLKFLSBUF, 0);
			return;
		}
		if (io_now_ms() > end_ms)
			give_up(device, -ETIMEDOUT);
		pause_ms(5);
	}
}

/* @ret_ms: when we became it */
static void become_fork(int port, uint64_t *ret_ms)
{
	struct fork_identity id;
	int r;

	identity_wait(port, &id);
	*ret_ms = io_now_ms();
	r = identity_seed(id.seed, sizeof(id.seed));
	explicit_bzero(id.seed, sizeof(id.seed));
	if (r < 0)
		give_up("the random seed", r);
	clock_set(id.time_ns);
	(void)unlink(SYSTEMD_SEED);
	r = boot_id_make();
	if (r < 0)
		give_up("the boot's id", r);
	r = write_text("/sys/bus/pci/rescan", "1");
	if (r < 0)
		log_warn(NULL, "looking for new devices: %s", log_errno_str(r));
	disk_wait("/dev/vdb");
	disk_wait("/dev/vdc");
}

/* Others who began with us may still be waited for: on a machine where the first answer took long the rest does not wake up in their midst */
static void give_way(uint64_t since_ms)
{
	const uint64_t ms = io_now_ms() - since_ms;

	if (ms > QUICK_MS)
		pause_ms(ms - QUICK_MS < GIVE_WAY_MAX_MS ? (unsigned)(ms - QUICK_MS)
							 : GIVE_WAY_MAX_MS);
}

static int answered_timeout_ms(uint64_t since_ms)
{
	const uint64_t ms = (io_now_ms() - since_ms) * ANSWERED_TIMES;

	return ms < ANSWERED_MIN_MS   ? ANSWERED_MIN_MS
	       : ms > ANSWERED_MAX_MS ? ANSWERED_MAX_MS
				      : (int)ms;
}

int main(int argc, char **argv)
{
	AUTO_CLOSE int port = NO_FD;
	uint64_t began_ms;
	int r;

	if (argc > 1) {
		bool help = str_eq(argv[1], "--help");

		(void)fputs("usage: stage-zygote\n"
			    "Come to rest, and begin anew in each fork of this machine.\n",
			    help ? stdout : stderr);
		return help ? 0 : 2;
	}
	log_open("stage-zygote");
	(void)umask(0022);
	rest_wait();
	freeze();
	sync();
	r = vport_open(FORK_PORT, &port);
	if (r < 0)
		give_up("the port " FORK_PORT, r);
	become_fork(port, &began_ms);
	thaw(FIRST);
	r = path_await(NAMED, PERSONAL_TIMEOUT_MS);
	if (r < 0)
		log_warn(NULL, "stage-personal: %s; all others go on", log_errno_str(r));
	/* whom the user's rc.local may ask is to be there; else the first to be answered is who waits for this start */
	if (r == 0 && access(RC_LOCAL, X_OK) < 0 &&
	    path_await(ANSWERED, answered_timeout_ms(began_ms)) == 0)
		give_way(began_ms);
	/* for dom0: from here on this qube is one of many */
	close_fd(&port);
	thaw(LATER);
	groups_leave();
	return 0;
}
