/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tree.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

/* a longer name is walked in pieces: the kernel takes PATH_MAX bytes at a time */
#define PIECE_MAX (PATH_MAX - 1)
/** EXISTS_SIZE - bytes that are worth a question before they are received */
#define EXISTS_SIZE (1u << 16)

static int open_below(int at, const char *path, int flags, unsigned mode)
{
	const struct open_how how = {.flags = (uint64_t)(unsigned)flags | O_CLOEXEC,
				     .mode = mode,
				     .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
						RESOLVE_NO_MAGICLINKS};
	long fd;

	do /* a rename elsewhere in the file system, while ".." or a mount is looked at */
		fd = syscall(SYS_openat2, at, path, &how, sizeof(how));
	while (fd < 0 && (errno == EINTR || errno == EAGAIN));
	return fd < 0 ? fail_errno() : (int)fd;
}

int tree_init(struct tree *t, int fd, int proc_fd)
{
	*t = (struct tree){.fd = fd, .proc_fd = proc_fd, .sync_fd = NO_FD, .parent_fd = NO_FD};
	/* the folder's own descriptor may be one that only names it; one shared with the syncer would tell a
	 * failure to the first of the two that asks */
	t->sync_fd = open_below(fd, ".", O_RDONLY | O_DIRECTORY, 0);
	return t->sync_fd < 0 ? t->sync_fd : 0;
}

void tree_done(struct tree *t)
{
	close_fd(&t->sync_fd);
	close_fd(&t->parent_fd);
}

/* how many bytes of the path, up to a slash, are walked at once */
static size_t piece_len(const char *path, size_t len)
{
	const char *slash;

	if (len <= PIECE_MAX)
		return len;
	slash = memrchr(path, '/', PIECE_MAX);
	return slash ? (size_t)(slash - path) : len;
}

static int folder_open(int tree_fd, const char *path, size_t len, int *ret)
{
	AUTO_CLOSE int at = NO_FD;

	while (len > 0) {
		size_t n = piece_len(path, len);
		char piece[PATH_MAX];
		int fd;

		if (n > PIECE_MAX)
			return -ENAMETOOLONG;
		memcpy(piece, path, n);
		piece[n] = '\0';
		fd = open_below(at == NO_FD ? tree_fd : at, piece, O_RDONLY | O_DIRECTORY, 0);
		if (fd < 0)
			return fd;
		close_fd(&at);
		at = fd;
		n += n < len; /* the slash behind it */
		path += n;
		len -= n;
	}
	*ret = take_fd(&at);
	return 0;
}

/* the folder of a name, borrowed until the next call, and the name's last part */
static int parent_get(struct tree *t, const char *name, int *ret_fd, const char **ret_leaf)
{
	const char *slash = strrchr(name, '/');
	size_t len = slash ? (size_t)(slash - name) : 0;
	int r;

	*ret_leaf = slash ? slash + 1 : name;
	*ret_fd = t->fd;
	if (len == 0)
		return 0;
	if (t->parent_fd == NO_FD || len != t->parent_len || memcmp(t->parent, name, len) != 0) {
		close_fd(&t->parent_fd);
		r = folder_open(t->fd, name, len, &t->parent_fd);
		if (r < 0)
			return r;
		memcpy(t->parent, name, len);
		t->parent_len = len;
	}
	*ret_fd = t->parent_fd;
	return 0;
}

static const struct timespec *times_of(const struct filecopy_entry *e, struct timespec *two)
{
	two[0] = (struct timespec){.tv_sec = e->atime.s, .tv_nsec = e->atime.ns};
	two[1] = (struct timespec){.tv_sec = e->mtime.s, .tv_nsec = e->mtime.ns};
	return two;
}

int tree_file_open(struct tree *t, const char *name, const struct filecopy_entry *e, int *ret_fd)
{
	const char *leaf;
	struct stat st;
	int at, fd, r = parent_get(t, name, &at, &leaf);

	if (r < 0)
		return r;
	/* it comes out at the end; of a large file say so before its content came */
	if (e->size >= EXISTS_SIZE && fstatat(at, leaf, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return -EEXIST;
	fd = open_below(at, ".", O_WRONLY | O_TMPFILE, e->mode);
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

/* Linux lets who has opened a file link it since 6.10; before that, and where another wall says no, the way leads through
 * /proc, which costs as much as all else of a small file's name */
static int file_link(struct tree *t, int fd, int at, const char *leaf)
{
	char number[16];

	if (!t->by_number) {
		if (linkat(fd, "", at, leaf, AT_EMPTY_PATH) == 0)
			return 0;
		if (errno != ENOENT && errno != EPERM)
			return fail_errno();
		t->by_number = true;
	}
	(void)snprintf(number, sizeof(number), "%d", fd);
	return linkat(t->proc_fd, number, at, leaf, AT_SYMLINK_FOLLOW) < 0 ? fail_errno() : 0;
}

int tree_file_link(struct tree *t, const char *name, const struct filecopy_entry *e, int fd)
{
	struct timespec times[2];
	const char *leaf;
	int at, r = parent_get(t, name, &at, &leaf);

	if (r < 0)
		return r;
	return futimens(fd, times_of(e, times)) < 0 ? fail_errno() : file_link(t, fd, at, leaf);
}

int tree_folder(struct tree *t, const char *name, const struct filecopy_entry *e)
{
	AUTO_CLOSE int fd = NO_FD;
	struct timespec times[2];
	const char *leaf;
	int at, r = parent_get(t, name, &at, &leaf);

	if (r < 0)
		return r;
	if (mkdirat(at, leaf, 0700) == 0)
		return 0;
	if (errno != EEXIST)
		return fail_errno();
	fd = open_below(at, leaf, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return fd;
	if (fchmod(fd, e->mode) < 0 || futimens(fd, times_of(e, times)) < 0)
		return fail_errno();
	return 0;
}

int tree_link(struct tree *t, const char *name, const struct filecopy_entry *e, const char *target)
{
	struct timespec times[2];
	const char *leaf;
	int at, r = parent_get(t, name, &at, &leaf);

	if (r < 0)
		return r;
	if (symlinkat(target, at, leaf) < 0 ||
	    utimensat(at, leaf, times_of(e, times), AT_SYMLINK_NOFOLLOW) < 0)
		return fail_errno();
	return 0;
}

int tree_wait(struct tree *t, uint64_t size)
{
	for (;;) {
		struct statfs fs;

		if (fstatfs(t->fd, &fs) < 0)
			return fail_errno();
		if (size / (uint64_t)fs.f_bsize < (uint64_t)fs.f_bavail)
			return 0;
		(void)poll(NULL, 0, 1000);
	}
}

int tree_sync(struct tree *t)
{
	return syncfs(t->sync_fd) < 0 ? fail_errno() : 0;
}
