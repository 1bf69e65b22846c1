/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tree.h"

#include "base/io.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

/* deeper than this is no home anybody made by hand */
#define DEPTH_MAX 64

static int attributes_copy(int fd, const struct stat *st)
{
	const struct timespec times[2] = {st->st_atim, st->st_mtim};

	/* owner first: changing it clears set-user-id */
	if (fchown(fd, st->st_uid, st->st_gid) < 0 || fchmod(fd, st->st_mode & 07777) < 0 ||
	    futimens(fd, times) < 0)
		return fail_errno();
	return 0;
}

static int file_copy(int from_dir, int to_dir, const char *name, const char *to_name,
		     const struct stat *st)
{
	AUTO_CLOSE int in = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (in < 0)
		return fail_errno();
	AUTO_CLOSE int out =
		openat(to_dir, to_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (out < 0)
		return fail_errno();
	for (;;) {
		ssize_t n = sendfile(out, in, NULL, 1U << 20);

		if (n == 0)
			break;
		if (n < 0 && errno != EINTR)
			return fail_errno();
	}
	return attributes_copy(out, st);
}

static int link_copy(int from_dir, int to_dir, const char *name, const char *to_name,
		     const struct stat *st)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(from_dir, name, target, sizeof(target) - 1);

	if (n < 0)
		return fail_errno();
	target[n] = '\0';
	if (symlinkat(target, to_dir, to_name) < 0 ||
	    fchownat(to_dir, to_name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_errno();
	return 0;
}

/* @dev: of the tree; NULL at its top */
static int entry_copy(int from_dir, int to_dir, const char *name, const char *to_name,
		      const dev_t *dev, unsigned depth);

static void dir_close(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

static int folder_copy(int from_dir, int to_dir, const char *name, const char *to_name,
		       const struct stat *st, dev_t dev, unsigned depth)
{
	if (depth == DEPTH_MAX)
		return -ELOOP;
	AUTO_CLOSE int in = openat(from_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (in < 0)
		return fail_errno();
	if (mkdirat(to_dir, to_name, 0700) < 0)
		return fail_errno();
	AUTO_CLOSE int out =
		openat(to_dir, to_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (out < 0)
		return fail_errno();
	/* another file system mounted there is not part of the tree: an empty folder stands for it
	 */
	if (st->st_dev == dev) {
		int list_fd = dup(in);
		AUTO(dir_close) DIR *list = list_fd < 0 ? NULL : fdopendir(list_fd);

		if (!list)
			return fail_errno();
		for (struct dirent *e; (e = readdir(list));) {
			int r;

			if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
				continue;
			r = entry_copy(in, out, e->d_name, e->d_name, &dev, depth + 1);
			if (r < 0)
				return r;
		}
	}
	return attributes_copy(out, st);
}

static int entry_copy(int from_dir, int to_dir, const char *name, const char *to_name,
		      const dev_t *dev, unsigned depth)
{
	struct stat st;

	if (fstatat(from_dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_errno();
	if (S_ISREG(st.st_mode))
		return file_copy(from_dir, to_dir, name, to_name, &st);
	if (S_ISLNK(st.st_mode))
		return link_copy(from_dir, to_dir, name, to_name, &st);
	if (S_ISDIR(st.st_mode))
		return folder_copy(from_dir, to_dir, name, to_name, &st, dev ? *dev : st.st_dev,
				   depth);
	return 0;
}

int tree_copy(const char *from, const char *to)
{
	return entry_copy(AT_FDCWD, AT_FDCWD, from, to, NULL, 0);
}
