/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The driver "reflink": each revision is a raw file of its own that shares its blocks with the one that it was
 * made from. The file system (Btrfs, XFS, others with FICLONE) does the copying on write, so there is nothing to merge
 * and a revision that is not kept is only removed. doc/decisions/0063-reflink.md.
 */
#include "../content.h"
#include "../files/files.h"
#include "../files/kind.h"

#include "base/log.h"
#include "proto/qcow2.h"

#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static int head(int fd, uint64_t *ret_size, char *backing)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return fail_errno();
	if (!S_ISREG(st.st_mode))
		return QCOW2_E_FORMAT;
	backing[0] = '\0';
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

/* every content is a sound disk: what keeps it so is the file system */
static int check(int fd, bool whole)
{
	(void)fd, (void)whole;
	return 0;
}

static int grow(int fd, uint64_t size)
{
	return ftruncate(fd, (off_t)size) < 0 ? fail_errno() : 0;
}

static int create(int fd, uint64_t size, const struct file_below *below)
{
	if (below && ioctl(fd, FICLONE, below->fd) < 0)
		return fail_errno();
	return grow(fd, size);
}

/* --- which blocks of a file are another's too --- */

#define N_EXTENTS 256

struct extents {
	int fd;
	uint64_t at; /* bytes of the file that were looked at */
	bool last;
	unsigned n, next;
	struct fiemap *map; /* with room for N_EXTENTS */
};

static void extents_done(struct extents *e)
{
	free(e->map);
}

static int extents_init(struct extents *e, int fd)
{
	e->fd = fd;
	e->map = malloc(sizeof(*e->map) + N_EXTENTS * sizeof(struct fiemap_extent));
	return e->map ? 0 : -ENOMEM;
}

static int more_extents(struct extents *e)
{
	*e->map = (struct fiemap){.fm_start = e->at,
				  .fm_length = FIEMAP_MAX_OFFSET - e->at,
				  .fm_flags = FIEMAP_FLAG_SYNC,
				  .fm_extent_count = N_EXTENTS};
	if (ioctl(e->fd, FS_IOC_FIEMAP, e->map) < 0)
		return fail_errno();
	e->n = e->map->fm_mapped_extents;
	e->next = 0;
	e->last = e->n == 0;
	return 0;
}

/* the next extent with data; of length 0 behind the last one */
static int next_extent(struct extents *e, struct fiemap_extent *ret)
{
	*ret = (struct fiemap_extent){0};
	for (;;) {
		const struct fiemap_extent *found;
		int r = e->next == e->n && !e->last ? more_extents(e) : 0;

		if (r < 0 || e->next == e->n)
			return r;
		found = &e->map->fm_extents[e->next++];
		e->at = found->fe_logical + found->fe_length;
		e->last = e->last || (found->fe_flags & FIEMAP_EXTENT_LAST) != 0;
		/* room that was set aside reads as zeros, as a hole does */
		if (found->fe_flags & FIEMAP_EXTENT_UNWRITTEN)
			continue;
		*ret = *found;
		return 0;
	}
}

/* where there is no place of its own to compare, it may be another */
static bool is_same_place(const struct fiemap_extent *a, const struct fiemap_extent *b)
{
	const uint32_t nowhere = FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC |
				 FIEMAP_EXTENT_DATA_INLINE | FIEMAP_EXTENT_NOT_ALIGNED;

	return a->fe_logical == b->fe_logical && a->fe_physical == b->fe_physical &&
	       ((a->fe_flags | b->fe_flags) & nowhere) == 0;
}

static void cut(struct fiemap_extent *e, uint64_t len)
{
	e->fe_logical += len;
	e->fe_physical += len;
	e->fe_length -= len;
}

/* the same blocks at the same places, however many extents each file has for them */
static int is_shared(struct extents *mine, struct extents *below, bool *ret)
{
	struct fiemap_extent a = {0}, b = {0};
	int r = 0;

	*ret = false;
	for (;;) {
		uint64_t len;

		if (a.fe_length == 0)
			r = next_extent(mine, &a);
		if (r == 0 && b.fe_length == 0)
			r = next_extent(below, &b);
		if (r < 0)
			return r;
		if (a.fe_length == 0 || b.fe_length == 0) {
			*ret = a.fe_length == b.fe_length;
			return 0;
		}
		if (!is_same_place(&a, &b))
			return 0;
		len = a.fe_length < b.fe_length ? a.fe_length : b.fe_length;
		cut(&a, len);
		cut(&b, len);
	}
}

static int is_untouched(int fd, int below_fd, bool *ret)
{
	AUTO(extents_done) struct extents mine = {0}, below = {0};
	int r;

	if (below_fd < 0) {
		*ret = lseek(fd, 0, SEEK_DATA) < 0;
		return *ret && errno != ENXIO ? fail_errno() : 0;
	}
	r = extents_init(&mine, fd);
	if (r == 0)
		r = extents_init(&below, below_fd);
	return r == 0 ? is_shared(&mine, &below, ret) : r;
}

/* --- content from elsewhere --- */

/* share the blocks of a file of the same file system; false: they have to be copied */
static bool share(int fd, const struct content *from)
{
	struct stat st;

	return from->plain_fd >= 0 && ioctl(fd, FICLONE, from->plain_fd) == 0 &&
	       fstat(fd, &st) == 0 && (uint64_t)st.st_size >= from->size &&
	       ftruncate(fd, (off_t)from->size) == 0;
}

static int fill(int fd, struct content *from, uint64_t size, const struct say *to)
{
	const bool shared = share(fd, from);
	int r;

	if (!shared && ftruncate(fd, 0) < 0)
		return fail_errno();
	/* before it is written: what is written behind the end has more room set aside for it */
	r = grow(fd, size);
	if (r == 0)
		r = shared ? content_end(from, to) : content_copy(from, content_put_fd, &fd, to);
	return r == 0 && fsync(fd) < 0 ? fail_errno() : r;
}

static int read_chain(const struct storage_chain *c, struct content *ret)
{
	const struct say none = {0};

	if (c->size == 0)
		*ret = (struct content){.plain_fd = NO_FD, .fd = NO_FD};
	return c->size == 0 ? 0 : content_of_fd(ret, c->fds[0], c->size, false, &none);
}

static const struct file_kind kind = {
	.suffix = ".img",
	.what = "raw image",
	.format = STORAGE_RAW,
	.head = head,
	.check = check,
	.create = create,
	.grow = grow,
	.is_untouched = is_untouched,
	.fill = fill,
};

/* a block is shared between two files without names: nothing is left, whatever happens */
static int probe(const char *pool_dir, const struct say *to)
{
	AUTO_CLOSE int a = open(pool_dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	AUTO_CLOSE int b = open(pool_dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	static const uint8_t block[CONTENT_BLOCK] = {1};
	int r = 0;

	if (a >= 0 && b >= 0)
		r = content_put_fd(&a, 0, block, sizeof(block));
	if (r == 0 && (a < 0 || b < 0 || ioctl(b, FICLONE, a) < 0))
		r = fail_errno();
	if (r == -EOPNOTSUPP || r == -ENOTTY || r == -EISDIR || r == -EINVAL || r == -EXDEV)
		return say(to, STORAGE_E_UNFIT,
			   "the file system of %s cannot share blocks between files: that takes "
			   "Btrfs, or XFS made with reflink=1; the driver qcow2 does without",
			   pool_dir);
	return r < 0 ? say_result(to, r, "cannot use", NULL, pool_dir) : 0;
}

const struct storage_driver storage_reflink = {
	FILES_DRIVER,
	.name = "reflink",
	.options = "dir_path revisions_to_keep ephemeral_volatile",
	.kind = &kind,
	.read = read_chain,
	.probe = probe,
};
