/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "view.h"

#include "base/str.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

/* one short write, as these files want it */
static int map_write(const char *path, const char *text)
{
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, text, strlen(text)) < 0 ? fail_errno() : 0;
}

static int own_user_namespace(void)
{
	char uid[40], gid[40];
	int r;

	(void)snprintf(uid, sizeof(uid), "%u %u 1", geteuid(), geteuid());
	(void)snprintf(gid, sizeof(gid), "%u %u 1", getegid(), getegid());
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return fail_errno();
	r = map_write("/proc/self/setgroups", "deny");
	r = r < 0 ? r : map_write("/proc/self/uid_map", uid);
	return r < 0 ? r : map_write("/proc/self/gid_map", gid);
}

int view_begin(struct view *v)
{
	int r = 0;

	*v = (struct view){0};
	if (unshare(CLONE_NEWNS) < 0)
		r = errno == EPERM ? own_user_namespace() : fail_errno();
	if (r < 0)
		return r;
	/* what is mounted outside is mounted here too, and nothing the other way */
	return mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ? fail_errno() : 0;
}

/* what something can be mounted on */
static int place_make(int to, const char *name, bool folder)
{
	AUTO_CLOSE int file = NO_FD;

	if (folder)
		return mkdirat(to, name, 0755) < 0 ? fail_errno() : 0;
	file = openat(to, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
	return file < 0 ? fail_errno() : 0;
}

/* the entry @name of the folder @from, mounted at the same name of @to with all that is mounted below it */
static int entry_bind(int from, int to, const char *name, bool folder)
{
	AUTO_CLOSE int tree =
		open_tree(from, name,
			  OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_SYMLINK_NOFOLLOW);
	int r = tree < 0 ? fail_errno() : place_make(to, name, folder);

	if (r < 0)
		return r;
	return move_mount(tree, "", to, name, MOVE_MOUNT_F_EMPTY_PATH) < 0 ? fail_errno() : 0;
}

static int entry_link(int from, int to, const char *name)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(from, name, target, sizeof(target) - 1);

	if (n < 0)
		return fail_errno();
	target[n] = '\0';
	return symlinkat(target, to, name) < 0 ? fail_errno() : 0;
}

static int entry_take(int from, int to, const char *name)
{
	struct stat st;

	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_errno();
	return S_ISLNK(st.st_mode) ? entry_link(from, to, name)
				   : entry_bind(from, to, name, S_ISDIR(st.st_mode));
}

static int entries_take(struct view *v, const char *folder, int from, int to)
{
	AUTO_CLOSE int fd = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	int r = 0;

	if (!list)
		return fail_errno();
	(void)take_fd(&fd); /* it is the list's */
	for (struct dirent *e; r == 0 && (e = readdir(list));) {
		if (str_eq(e->d_name, ".") || str_eq(e->d_name, ".."))
			continue;
		r = entry_take(from, to, e->d_name);
		if (r == -ENOENT)
			r = 0; /* gone meanwhile */
		/* a mount whose server does not answer, or that is another user's alone: of no use here either */
		if (r == -ENOTCONN || r == -EIO || r == -ESTALE || r == -EACCES)
			r = 0;
		if (r < 0)
			(void)snprintf(v->wrong, sizeof(v->wrong), "%.200s/%.255s", folder,
				       e->d_name);
	}
	(void)closedir(list);
	return r;
}

static bool is_ready(const struct view *v, const char *folder)
{
	for (unsigned i = 0; i < v->n; i++)
		if (str_eq(v->folders[i], folder))
			return true;
	return false;
}

/* the folders of a path from the top: names can be put into the last one afterwards. One that is absent is made in the one
 * above it, and for that this is done with that one first: nothing is made outside */
static int folder_ready(struct view *v, const char *folder)
{
	AUTO_CLOSE int from = NO_FD;
	AUTO_CLOSE int to = NO_FD;
	char above[sizeof(v->folders[0])];
	const char *slash = strrchr(folder, '/');
	int r;

	if (is_ready(v, folder))
		return 0;
	if (v->n == VIEW_FOLDERS_MAX || strlen(folder) >= sizeof(v->folders[0]))
		return -E2BIG;
	if (access(folder, F_OK) < 0) {
		if (slash == folder)
			return -ENOENT;
		(void)snprintf(above, sizeof(above), "%.*s", (int)(slash - folder), folder);
		r = folder_ready(v, above);
		if (r < 0)
			return r;
		if (mkdir(folder, 0755) < 0)
			return fail_errno();
	}
	from = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (from < 0 ||
	    mount("bulkhead", folder, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m") < 0)
		return fail_errno();
	(void)snprintf(v->folders[v->n++], sizeof(v->folders[0]), "%s", folder);
	to = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return to < 0 ? fail_errno() : entries_take(v, folder, from, to);
}

/* what was taken from the folder under that name makes room */
static int make_room(const char *path)
{
	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL && errno != ENOENT)
		return fail_errno();
	if (unlink(path) == 0 || errno == ENOENT)
		return 0;
	return errno == EISDIR && rmdir(path) == 0 ? 0 : fail_errno();
}

int view_put(struct view *v, const char *folder, const char *name, const char *target)
{
	char path[PATH_MAX];
	int r = str_format(path, sizeof(path), "%s/%s", folder, name);

	if (r == 0)
		(void)snprintf(v->wrong, sizeof(v->wrong), "%.511s", path);
	r = r < 0 ? r : folder_ready(v, folder);
	r = r < 0 ? r : make_room(path);
	return r == 0 && symlink(target, path) < 0 ? fail_errno() : r;
}

int view_end(struct view *v)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};

	for (unsigned i = 0; i < v->n; i++) {
		(void)snprintf(v->wrong, sizeof(v->wrong), "%s", v->folders[i]);
		if (mount_setattr(AT_FDCWD, v->folders[i], 0, &attr, sizeof(attr)) < 0)
			return fail_errno();
	}
	return 0;
}
