/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Namespaces with nothing in them.
 *
 * A daemon that lives from the descriptors it was given has no use for a network, for System V
 * objects or for a file system: it gets new ones that are empty. A PID namespace would not help, as
 * unshare() moves only children there, and the seccomp list lets none be made.
 *
 * The root becomes an empty, read-only tmpfs and the old tree is detached, which also keeps our
 * copy of the mount table from holding every file system of the machine busy.
 */
#include "sandbox/walls.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define EMPTY (CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)

static int enter_empty_root(void)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return fail_errno();
	if (mount("empty", "/tmp", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  "size=4k,nr_inodes=2,mode=0555") < 0)
		return fail_errno();
	/* the old root ends up stacked on the new one: one name for both, and the top one goes */
	if (chdir("/tmp") < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
	    umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return fail_errno();
	return 0;
}

/* A mount that belongs to no tree and has the working directory for its root. It has no name to be
 * reached by, and lives as long as its descriptor. */
static int tree_detach(int *tree_fd)
{
	struct mount_attr attr = {.attr_set =
					  MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC};
	AUTO_CLOSE int fd = open_tree(AT_FDCWD, ".", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (fd < 0 || mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return fail_errno();
	(void)close(*tree_fd);
	*tree_fd = take_fd(&fd);
	return 0;
}

/* in the new namespaces. Only the working directory was moved into the new mount namespace with us,
 * so the tree's folder is it */
static int enter(bool empty_root, int *tree_fd)
{
	if (tree_fd) {
		int r = tree_detach(tree_fd);

		if (r < 0)
			return r;
	}
	return empty_root ? enter_empty_root() : 0;
}

int walls_unshare_privileged(bool empty_root, int *tree_fd)
{
	if (tree_fd && fchdir(*tree_fd) < 0)
		return fail_errno();
	if (unshare(EMPTY) < 0)
		return fail_errno();
	return enter(empty_root, tree_fd);
}

/* one short write, as these files want it */
static int write_file(const char *path, const char *text)
{
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return fail_errno();
	return 0;
}

static int write_map(const char *path, unsigned id)
{
	char line[40];

	(void)snprintf(line, sizeof(line), "%u %u 1", id, id);
	return write_file(path, line);
}

int walls_unshare_user(bool empty_root, int *tree_fd)
{
	const uid_t uid = geteuid();
	const gid_t gid = getegid();
	int r;

	if (tree_fd && fchdir(*tree_fd) < 0)
		return fail_errno();
	/* a change of ids gave our /proc files to root, and we are to write three of them */
	if (prctl(PR_SET_DUMPABLE, 1) < 0 || unshare(CLONE_NEWUSER | EMPTY) < 0)
		return fail_errno();
	/* our own ids keep their names, so that SO_PEERCRED still tells our user from the others */
	r = write_file("/proc/self/setgroups", "deny");
	r = r < 0 ? r : write_map("/proc/self/uid_map", uid);
	r = r < 0 ? r : write_map("/proc/self/gid_map", gid);
	if (r < 0)
		return r;
	return enter(empty_root, tree_fd);
}

int walls_drop_capabilities(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	const struct __user_cap_data_struct none[2] = {0};

	return syscall(SYS_capset, &head, none) < 0 ? fail_errno() : 0;
}
