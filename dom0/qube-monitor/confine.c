/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Walls around QEMU and around this monitor.
 *
 * QEMU runs under an id of its own (as root), in namespaces without a network, without System V
 * objects, under Landlock: it may read programs, libraries, firmware and what of /proc and /sys its
 * processor emulation asks for, and the very files of the descriptors it was given; it may create
 * and write nothing. QEMU's own seccomp list comes on top (-sandbox). What does not work here: an
 * empty root and an empty PID namespace, since QEMU loads its accelerator and firmware after it
 * has started. Sockets by path and signals, which neither Landlock nor namespaces keep from our own
 * user, a short seccomp list of ours refuses.
 *
 * The monitor itself must start children, some again after a crash, so it keeps fork, exec and the
 * ids; what it gives up is what neither it nor any child of it needs. The bytes that QEMU writes it
 * never sees: they go to the reader, which keeps nothing.
 */
#include "qube-monitor.h"

#include "confine.h"
#include "sandbox/sandbox.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define EMPTY (CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)

/* clang-format off */
/* the rights of Landlock's first version; later ones only add what QEMU has no path for */
#define FS_ALL	((UINT64_C(1) << 13) - 1)
#define FS_READ	(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_EXECUTE)
#define FS_DEV	(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE)

static const struct {
	const char *path;
	uint64_t rights;
} qemu_paths[] = {
	{"/usr", FS_READ},		/* the program, its modules, firmware */
	{"/lib", FS_READ},		/* libraries */
	{"/lib64", FS_READ},		/* the loader */
	{"/etc/ld.so.cache", LANDLOCK_ACCESS_FS_READ_FILE},	/* the loader */
	{"/etc/ld.so.preload", LANDLOCK_ACCESS_FS_READ_FILE},	/* same */
	{"/proc", LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR},	/* self/fd, cpuinfo */
	{"/sys/devices/system", LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR},	/* processors, nodes */
	{"/sys/kernel/mm", LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR},	/* huge pages */
	{"/dev/kvm", FS_DEV},		/* the accelerator */
	{"/dev/null", FS_DEV},
	{"/dev/zero", FS_DEV},
	{"/dev/urandom", LANDLOCK_ACCESS_FS_READ_FILE},		/* virtio-rng */
};
/* clang-format on */

static int allow(int ruleset, int fd, uint64_t rights)
{
	const struct landlock_path_beneath_attr rule = {.allowed_access = rights, .parent_fd = fd};

	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		return fail_errno();
	return 0;
}

/* Kernel and initrd are opened again by QEMU as /proc/self/fd/N. */
static int allow_own_files(int ruleset)
{
	for (int fd = MONITOR_FD_FIRST; fd <= MONITOR_FD_MAX; fd++) {
		struct stat st;
		int r;

		if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (fcntl(fd, F_GETFD) & FD_CLOEXEC))
			continue;
		r = allow(ruleset, fd, LANDLOCK_ACCESS_FS_READ_FILE);
		if (r < 0 && r != -EINVAL && r != -EBADFD) /* a memfd needs no rule */
			return r;
	}
	return 0;
}

/* what is not there needs no right */
static int allow_path(int ruleset, const char *path, uint64_t rights)
{
	AUTO_CLOSE int fd = open(path, O_PATH | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return 0;
	if (!S_ISDIR(st.st_mode))
		rights &= ~(uint64_t)LANDLOCK_ACCESS_FS_READ_DIR;
	return allow(ruleset, fd, rights);
}

static int landlock(const char *program)
{
	const struct landlock_ruleset_attr attr = {.handled_access_fs = FS_ALL};
	AUTO_CLOSE int own = open(program, O_PATH | O_CLOEXEC);
	AUTO_CLOSE int ruleset = NO_FD;
	int r;

	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (ruleset < 0)
		return 0; /* a kernel without it: SECURITY.md says what is weaker then */
	for (size_t i = 0; i < ARRAY_LEN(qemu_paths); i++) {
		r = allow_path(ruleset, qemu_paths[i].path, qemu_paths[i].rights);
		if (r < 0)
			return r;
	}
	if (own >= 0) { /* a QEMU of one's own, outside /usr */
		r = allow(ruleset, own, LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_EXECUTE);
		if (r < 0)
			return r;
	}
	r = allow_own_files(ruleset);
	if (r < 0)
		return r;
	return syscall(SYS_landlock_restrict_self, ruleset, 0) < 0 ? fail_errno() : 0;
}

static int write_text(const char *path, const char *text)
{
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return fail_errno();
	return 0;
}

/* Without root a user namespace of its own brings the others, where the kernel lets us. */
static int namespaces(void)
{
	const uid_t uid = geteuid();
	const gid_t gid = getegid();
	char line[48];
	int r;

	if (uid == 0)
		return unshare(EMPTY) < 0 ? fail_errno() : 0;
	/* the monitor's files in /proc are root's (PR_SET_DUMPABLE), and we write three of them */
	if (prctl(PR_SET_DUMPABLE, 1) < 0)
		return fail_errno();
	if (unshare(CLONE_NEWUSER | EMPTY) < 0)
		return 0;
	r = write_text("/proc/self/setgroups", "deny");
	(void)snprintf(line, sizeof(line), "%u %u 1", uid, uid);
	r = r < 0 ? r : write_text("/proc/self/uid_map", line);
	(void)snprintf(line, sizeof(line), "%u %u 1", gid, gid);
	return r < 0 ? r : write_text("/proc/self/gid_map", line);
}

/* clang-format off */
/*
 * QEMU's own list (-sandbox) is about programs and privilege. It leaves open what reaches others
 * without a path: Landlock does not know sockets, and without root QEMU's user is ours.
 */
static const char *const qemu_refused[] = {
	"socket", "socketpair", "bind", "connect",	/* qubesd's, the session bus, the display */
	"kill", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo",	/* processes of the same user */
	"pidfd_open", "pidfd_send_signal", "ioprio_set",
	"chmod", "fchmod", "fchmodat", "fchmodat2",	/* files it may only read would become its own */
	"chown", "fchown", "lchown", "fchownat", "setxattr", "lsetxattr", "fsetxattr",
	"mount", "umount2", "pivot_root", "chroot",	/* the kernel's more intricate parts */
	"open_tree", "move_mount", "fsopen", "fspick", "fsconfig", "fsmount", "mount_setattr",
	"shmget", "msgget", "semget", "mq_open",	/* shared with the session if there are no namespaces */
};

/* the same where the second argument decides, of which the kernel looks at 32 bits */
static const struct {
	const char *name;
	uint32_t value;
} qemu_refused_if[] = {
	{"fcntl", F_SETOWN},	/* signals to who is named, as kill() sends them */
	{"fcntl", F_SETOWN_EX},
	{"fcntl", F_SETSIG},
	{"ioctl", FIOSETOWN},
	{"ioctl", SIOCSPGRP},
};
/* clang-format on */

/* @when: NULL = always */
static int refuse(scmp_filter_ctx ctx, const char *name, const struct scmp_arg_cmp *when)
{
	int nr = seccomp_syscall_resolve_name(name);

	if (nr == __NR_SCMP_ERROR)
		return 0;
	return seccomp_rule_add_array(ctx, SCMP_ACT_ERRNO(EPERM), nr, when ? 1 : 0, when);
}

static int qemu_seccomp(void)
{
	/* its own threads are its own; exec keeps the id */
	const struct scmp_arg_cmp others = {0, SCMP_CMP_NE, (uint32_t)getpid(), 0};
	const struct scmp_arg_cmp named = {0, SCMP_CMP_NE, 0, 0};
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int r = 0;

	if (!ctx)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_LEN(qemu_refused) && r == 0; i++)
		r = refuse(ctx, qemu_refused[i], NULL);
	for (size_t i = 0; i < ARRAY_LEN(qemu_refused_if) && r == 0; i++) {
		const struct scmp_arg_cmp when = {1, SCMP_CMP_MASKED_EQ, UINT32_MAX,
						  qemu_refused_if[i].value};

		r = refuse(ctx, qemu_refused_if[i].name, &when);
	}
	if (r == 0)
		r = refuse(ctx, "tgkill", &others);
	if (r == 0)
		r = refuse(ctx, "prlimit64", &named); /* limits of others */
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r;
}

int confine_qemu(void *program)
{
	const struct rlimit no_core = {0, 0};
	int r;

	/* memory of a guest belongs in no core file; and of all it is what should go first */
	if (setrlimit(RLIMIT_CORE, &no_core) < 0)
		return fail_errno();
	(void)write_text("/proc/self/oom_score_adj", "500");
	r = namespaces();
	if (r < 0)
		return r;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail_errno();
	r = landlock(program);
	return r < 0 ? r : qemu_seccomp();
}

int confine_monitor(void)
{
	if (prctl(PR_SET_DUMPABLE, 0) < 0)
		return fail_errno();
	return sandbox_give_up();
}
