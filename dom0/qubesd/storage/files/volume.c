/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * storage.h on folders of files. Each function reads as: lock and list the folder, make the new file
 * beside the others, sync, rename, sync the folder. The rename is the change; what is before it
 * has no effect after a crash, what is behind it is tidying that the next call does again.
 *
 * What a started volume writes that keeps nothing is a qcow2 overlay whatever the kind: it costs nothing to make, and a
 * machine that is forked can be put between it and what it rests on. Of an ephemeral volume that overlay holds a LUKS disk; the files
 * know nothing of what is in it.
 */
#include "files.h"

#include "../content.h"
#include "../luks.h"
#include "../qcow2/image.h"
#include "folder.h"
#include "revisions.h"

#include "base/io.h"
#include "base/str.h"
#include "proto/qcow2.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

/* --- folders --- */

/* make the parents of POOL/VID; @to_path holds POOL/VID + @suffix */
static int volume_path(const struct storage_volume *v, const char *suffix, char *to_path,
		       size_t size)
{
	return str_format(to_path, size, "%s/%s%s", v->pool_dir, v->vid, suffix);
}

static int make_parents(const char *path)
{
	char parent[PATH_MAX];
	const char *slash = strrchr(path, '/');
	int r;

	r = str_copy(parent, sizeof(parent), path, slash ? (size_t)(slash - path) : 0);
	return r < 0 ? r : io_mkdirs(parent, 0700);
}

/* make @path's entry durable, and those of the folders between it and the pool */
static int sync_parents(const struct storage_volume *v, const char *path)
{
	char parent[PATH_MAX];
	int r;

	r = str_copy(parent, sizeof(parent), path, strlen(path));
	while (r == 0 && strlen(parent) > strlen(v->pool_dir)) {
		AUTO_CLOSE int fd = NO_FD;

		*strrchr(parent, '/') = '\0';
		fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0 || fsync(fd) < 0)
			return fail_errno();
	}
	return r;
}

/* the folder VID.new, empty, for what becomes VID by volume_publish() */
static int volume_begin(const struct storage_volume *v, struct folder *ret, const struct say *to)
{
	char path[PATH_MAX], vid[PATH_MAX];
	struct stat st;
	int r;

	r = folder_open(ret, v, v->vid, FOLDER_QUICK, to);
	if (r == 0) {
		folder_done(ret);
		return say(to, STORAGE_E_EXISTS, "volume %s is there already", v->vid);
	}
	if (r != STORAGE_E_ABSENT)
		return r;
	(void)say(to, 0, "%s", ""); /* that it is not there is as it should be */
	if (stat(v->pool_dir, &st) < 0)
		return say_result(to, fail_errno(), "cannot use pool", NULL, v->pool_dir);
	r = volume_path(v, ".new", path, sizeof(path));
	if (r == 0)
		r = str_format(vid, sizeof(vid), "%s.new", v->vid);
	if (r == 0)
		r = io_remove_tree(AT_FDCWD, path);
	if (r == 0)
		r = io_mkdirs(path, 0700);
	if (r < 0)
		return say_result(to, r, "cannot make", NULL, path);
	return folder_open(ret, v, vid, FOLDER_EXCLUSIVE, to);
}

/* VID.new becomes VID; on failure it goes */
static int volume_publish(const struct storage_volume *v, int r, const struct say *to)
{
	char from[PATH_MAX], path[PATH_MAX];

	if (volume_path(v, ".new", from, sizeof(from)) < 0 ||
	    volume_path(v, "", path, sizeof(path)) < 0)
		return -ENAMETOOLONG;
	if (r == 0 && rename(from, path) < 0)
		r = say_result(to, fail_errno(), "cannot make", NULL, path);
	if (r != 0) {
		(void)!io_remove_tree(AT_FDCWD, from);
		return r;
	}
	r = sync_parents(v, path);
	return r < 0 ? say_result(to, r, "cannot write", NULL, path) : 0;
}

/* a new revision that reads as @below (NULL: as zeros) */
static int add_revision(const struct folder *f, uint64_t size, const struct file *below,
			unsigned number, const struct say *to)
{
	AUTO(storage_chain_done) struct storage_chain c = {0};
	AUTO_CLOSE int fd = NO_FD;
	char name[FILE_NAME_SIZE];
	int r = 0;

	if (below)
		r = folder_open_chain(f, below, &c, to);
	if (r != 0)
		return r;
	r = folder_tmp(f, "new.tmp", &fd);
	if (r == 0 && below) {
		const struct file_below b = {file_name(f, name, below->number, false), c.fds[0]};

		r = f->kind->create(fd, size, &b);
	} else if (r == 0) {
		r = f->kind->create(fd, size, NULL);
	}
	if (r == 0)
		r = folder_commit(f, fd, "new.tmp", number);
	if (r == 0)
		return 0;
	(void)unlinkat(f->dir, "new.tmp", 0);
	return say_result(to, r, "cannot write", f->path, file_name(f, name, number, false));
}

/* a new revision that holds @from */
static int add_content(const struct folder *f, struct content *from, uint64_t size,
		       const struct say *to)
{
	const unsigned number = folder_next(f);
	AUTO_CLOSE int out = NO_FD;
	char name[FILE_NAME_SIZE];
	int r = folder_tmp(f, "import.tmp", &out);

	if (r == 0)
		r = f->kind->fill(out, from, size, to);
	if (r == 0)
		r = folder_commit(f, out, "import.tmp", number);
	if (r == 0)
		return 0;
	(void)unlinkat(f->dir, "import.tmp", 0);
	return said(to) ? r
			: say_result(to, r, "cannot write", f->path,
				     file_name(f, name, number, false));
}

int files_create(const struct storage_volume *v, struct content *from, const struct say *to)
{
	AUTO(folder_done) struct folder f = {.dir = NO_FD};
	int r;

	r = volume_begin(v, &f, to);
	if (r != 0)
		return r;
	if (v->save_on_stop)
		r = from ? add_content(&f, from, v->size, to)
			 : add_revision(&f, v->size, NULL, 1, to);
	return volume_publish(v, r, to);
}

/* true if a qube has @name open (or another operation does) */
static bool is_in_use(const struct folder *f, const char *name)
{
	AUTO_CLOSE int fd = openat(f->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	return fd >= 0 && file_is_locked(fd);
}

/* true if @name is in another volume, too, which was cloned from this one or the other way round */
static bool is_shared(const struct folder *f, const char *name)
{
	struct stat st;

	return fstatat(f->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_nlink > 1;
}

/* true if the volume is started: its written file is open somewhere */
static bool is_started(const struct folder *f)
{
	const struct file *work = folder_work(f);
	char name[FILE_NAME_SIZE];

	return is_in_use(f, LIVE_NAME) ||
	       (work && is_in_use(f, file_name(f, name, work->number, true)));
}

static int open_halted(const struct storage_volume *v, struct folder *ret, const struct say *to)
{
	int r = folder_open(ret, v, v->vid, FOLDER_EXCLUSIVE, to);

	if (r == 0 && is_started(ret))
		return say(to, STORAGE_E_IN_USE, "volume %s is in use: shut its qube down first",
			   v->vid);
	return r;
}

/* The qube's own folder, once its last volume is gone; @path is cut there. A qube is forgotten as soon as its volumes are
 * removed: what came back after a power cut would be nobody's. */
static int remove_parent(const struct storage_volume *v, char *path)
{
	AUTO_CLOSE int fd = NO_FD;
	char *slash = strrchr(path, '/');

	if (slash && (size_t)(slash - path) > strlen(v->pool_dir)) {
		*slash = '\0';
		if (rmdir(path) == 0 || errno == ENOENT)
			slash = strrchr(path, '/');
	}
	if (slash)
		*slash = '\0';
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* no pool, no folder in it */
	if (fd < 0)
		return errno == ENOENT ? 0 : fail_errno();
	return fsync(fd) < 0 ? fail_errno() : 0;
}

int files_remove(const struct storage_volume *v, const struct say *to)
{
	AUTO(folder_done) struct folder f = {.dir = NO_FD};
	char path[PATH_MAX], old[PATH_MAX], new[PATH_MAX];
	bool found = false;
	int r;

	if (volume_path(v, "", path, sizeof(path)) < 0 ||
	    volume_path(v, ".old", old, sizeof(old)) < 0 ||
	    volume_path(v, ".new", new, sizeof(new)) < 0)
		return -ENAMETOOLONG;
	r = open_halted(v, &f, to);
	if (r != 0 && r != STORAGE_E_ABSENT)
		return r;
	found = r == 0 || access(old, F_OK) == 0; /* the latter: killed behind the rename */
	for (size_t i = 0; i < f.n; i++) {
		char name[FILE_NAME_SIZE];

		(void)file_name(&f, name, f.files[i].number, f.files[i].work);
		/* who reads one that is shared may do so by way of the other volume, and loses nothing in any case */
		if (!is_shared(&f, name) && is_in_use(&f, name))
			return say(to, STORAGE_E_IN_USE,
				   "volume %s is in use by a running qube that starts from it",
				   v->vid);
	}
	/* a creation that was cut off before it was published */
	if (io_remove_tree(AT_FDCWD, new) < 0)
		return say_result(to, -EIO, "cannot remove", NULL, new);
	if (!found) {
		r = remove_parent(v, path);
		return r < 0 ? say_result(to, r, "cannot remove", NULL, path) : STORAGE_E_ABSENT;
	}
	if (r == 0) {
		r = io_remove_tree(AT_FDCWD, old);
		if (r == 0 && rename(path, old) < 0)
			r = fail_errno();
		if (r == 0)
			r = sync_parents(v, path);
		if (r < 0)
			return say_result(to, r, "cannot remove", NULL, path);
	}
	r = io_remove_tree(AT_FDCWD, old);
	if (r < 0)
		return say_result(to, r, "cannot remove", NULL, old);
	r = remove_parent(v, path);
	return r < 0 ? say_result(to, r, "cannot remove", NULL, path) : say(to, 0, "%s", "");
}

/* --- start and stop --- */

/* put an opened, locked file on top of the chain */
static int chain_top(struct storage_chain *c, int *fd, enum storage_format format,
		     const struct folder *f, const struct say *to)
{
	if (c->n >= STORAGE_MAX_CHAIN)
		return say(to, -E2BIG,
			   "%s rests on more than %d files, and they could not be merged now",
			   f->path, STORAGE_MAX_CHAIN - 1);
	memmove(c->fds + 1, c->fds, c->n * sizeof(c->fds[0]));
	memmove(c->formats + 1, c->formats, c->n * sizeof(c->formats[0]));
	c->fds[0] = take_fd(fd);
	c->formats[0] = format;
	c->n++;
	return 0;
}

/* open the file the guest writes, exclusively */
static int open_work(const struct folder *f, const char *name, int *ret_fd, const struct say *to)
{
	AUTO_CLOSE int fd = NO_FD;
	int r;

	(void)!fchmodat(f->dir, name, 0600, 0); /* a commit may have been killed half way */
	fd = openat(f->dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return say_result(to, fail_errno(), "cannot open", f->path, name);
	r = file_lock(fd, true);
	if (r == -EWOULDBLOCK)
		return say(to, STORAGE_E_IN_USE, "%s/%s is in use by a running qube", f->path,
			   name);
	if (r < 0)
		return say_result(to, r, "cannot lock", f->path, name);
	*ret_fd = take_fd(&fd);
	return 0;
}

/*
 * A work file is as large as it was made and, in a layered kind, rests on the newest revision. What says so is
 * written by QEMU: one that was taken over could make its disk larger than the volume, so small that
 * it cannot be merged, or go back to older content unseen. A revision that is written itself (begin_direct()) has nothing to compare.
 */
static int check_work(const struct storage_volume *v, const struct folder *f,
		      const struct file *work, const struct say *to)
{
	const struct file *newest = folder_newest(f);
	const bool direct = work->backing == 0 && v->revisions_to_keep < 0;
	const char *lie = NULL;
	char name[FILE_NAME_SIZE];

	if (!newest || work->damaged || direct)
		return 0;
	if (work->size % 512 != 0 || work->size < newest->size ||
	    (work->size > v->size && work->size > newest->size))
		lie = "says that it has another size than its volume";
	else if (f->kind->layered && work->backing != newest->number)
		lie = "does not say that it rests on the newest revision";
	if (!lie)
		return 0;
	return say(to, STORAGE_E_DAMAGED,
		   "%s/%s %s: its QEMU may have been taken over; go back to the last revision with "
		   "qvm-volume revert",
		   f->path, file_name(f, name, work->number, true), lie);
}

/* go on with a work file: what a crashed run had written, or the revision itself */
static int go_on(const struct folder *f, const struct file *work, uint64_t size,
		 struct storage_chain *c, const struct say *to)
{
	uint64_t have = work->size;
	AUTO_CLOSE int fd = NO_FD;
	char name[FILE_NAME_SIZE];
	int r;

	(void)file_name(f, name, work->number, true);
	r = open_work(f, name, &fd, to);
	if (r != 0)
		return r;
	r = work->damaged ? work->damaged : f->kind->check(fd, false);
	if (r > 0)
		return say(to, STORAGE_E_DAMAGED,
			   "%s/%s %s; go back to the last revision with "
			   "qvm-volume revert",
			   f->path, name, qcow2_why(r));
	if (r == 0 && size > have) {
		r = f->kind->grow(fd, size);
		if (r == 0 && fsync(fd) < 0)
			r = fail_errno();
		have = size;
	}
	if (r < 0)
		return say_result(to, r, "cannot use", f->path, name);
	if (work->backing != 0) {
		const struct file *below = folder_revision(f, work->backing);

		if (!below)
			return say(to, STORAGE_E_DAMAGED,
				   "%s/%s is missing; other files rest on it", f->path,
				   file_name(f, name, work->backing, false));
		r = folder_open_chain(f, below, c, to);
		if (r != 0)
			return r;
	}
	c->size = have;
	return chain_top(c, &fd, f->kind->format, f, to);
}

/* a new work file that reads as @newest */
static int begin_work(struct folder *f, const struct file *newest, uint64_t size,
		      struct storage_chain *c, const struct say *to)
{
	AUTO_CLOSE int fd = NO_FD;
	char name[FILE_NAME_SIZE];
	struct file_below below;
	int r;

	r = folder_open_chain(f, newest, c, to);
	if (r != 0)
		return r;
	if (size < newest->size)
		size = newest->size;
	below = (struct file_below){file_name(f, name, newest->number, false), c->fds[0]};
	r = folder_tmp(f, "work.tmp", &fd);
	if (r == 0)
		r = f->kind->create(fd, size, &below);
	/* durable from the start: the guest's own syncs reach the file, not the folder */
	if (r == 0)
		r = file_lock(fd, true);
	if (r == 0 && (fsync(fd) < 0 || renameat(f->dir, "work.tmp", f->dir,
						 file_name(f, name, folder_next(f), true)) < 0))
		r = fail_errno();
	if (r == 0)
		r = folder_sync(f);
	if (r < 0) {
		(void)unlinkat(f->dir, "work.tmp", 0);
		return say_result(to, r, "cannot write", NULL, f->path);
	}
	if (!f->kind->layered)
		storage_chain_done(c);
	c->size = size;
	return chain_top(c, &fd, f->kind->format, f, to);
}

/* revisions_to_keep -1: the only revision itself is written, if nobody else reads it and it is nobody else's */
static int begin_direct(struct folder *f, const struct file *newest, const struct say *to)
{
	char from[FILE_NAME_SIZE], name[24];
	int r;

	(void)file_name(f, from, newest->number, false);
	if (newest->backing != 0 || is_shared(f, from) || is_in_use(f, from))
		return 0;
	if (renameat(f->dir, from, f->dir, file_name(f, name, newest->number + 1, true)) < 0)
		return say_result(to, fail_errno(), "cannot rename", f->path, from);
	r = folder_sync(f);
	if (r == 0)
		r = folder_list(f);
	return r < 0 ? say_result(to, r, "cannot use", NULL, f->path) : 0;
}

static int start_saved(const struct storage_volume *v, struct storage_chain *c,
		       const struct say *to)
{
	AUTO(folder_done) struct folder f = {.dir = NO_FD};
	const struct file *newest, *work;
	int r;

	r = folder_open(&f, v, v->vid, FOLDER_EXCLUSIVE, to);
	if (r != 0)
		return r;
	revisions_shorten(&f, v->revisions_to_keep);
	work = folder_work(&f);
	newest = folder_newest(&f);
	if (!newest && !work)
		return say(to, STORAGE_E_DAMAGED, "%s holds no revision", f.path);
	if (!v->rw) {
		if (!newest)
			return say(to, STORAGE_E_IN_USE, "volume %s is being written", v->vid);
		c->size = newest->size;
		return folder_open_chain(&f, newest, c, to);
	}
	if (!work && v->revisions_to_keep < 0) {
		r = begin_direct(&f, newest, to);
		if (r != 0)
			return r;
		work = folder_work(&f);
		if (work)
			return go_on(&f, work, v->size, c, to);
		newest = folder_newest(&f);
	}
	if (!work)
		return begin_work(&f, newest, v->size, c, to);
	c->unfinished = true;
	r = check_work(v, &f, work, to);
	return r == 0 ? go_on(&f, work, v->size, c, to) : r;
}

/* the folder of a volume that keeps nothing; made if it is missing */
static int open_live(const struct storage_volume *v, struct folder *ret, const struct say *to)
{
	char path[PATH_MAX];
	int r;

	r = folder_open(ret, v, v->vid, FOLDER_EXCLUSIVE, to);
	if (r != STORAGE_E_ABSENT)
		return r;
	r = volume_path(v, "", path, sizeof(path));
	if (r == 0)
		r = make_parents(path);
	if (r == 0 && mkdir(path, 0700) < 0 && errno != EEXIST)
		r = fail_errno();
	if (r < 0)
		return say_result(to, r, "cannot make", NULL, v->vid);
	return folder_open(ret, v, v->vid, FOLDER_EXCLUSIVE, to);
}

/* "../../SOURCE_VID/N.qcow2" as seen from VID; @name holds QCOW2_MAX_BACKING + 1 bytes */
static int live_backing(const struct storage_volume *v, const struct folder *source,
			unsigned number, char *name)
{
	const size_t size = QCOW2_MAX_BACKING + 1;
	char file[FILE_NAME_SIZE];
	size_t n = 0;

	for (const char *p = v->vid; p; p = strchr(p + 1, '/')) {
		if (n + 4 > size)
			return -ENAMETOOLONG;
		memcpy(name + n, "../", 4);
		n += 3;
	}
	return str_format(name + n, size - n, "%s/%s", v->source_vid,
			  file_name(source, file, number, false));
}

/* the chain that the volume starts from, and its size unless the volume's own is larger */
static int open_source(const struct storage_volume *v, struct storage_chain *c,
		       unsigned *ret_number, const struct say *to)
{
	AUTO(folder_done) struct folder source = {.dir = NO_FD};
	const struct file *newest;
	int r;

	if (!v->source_vid)
		return say(to, -EINVAL, "volume %s has no source to start from", v->vid);
	r = folder_open(&source, v, v->source_vid, FOLDER_SHARED, to);
	if (r == 0 && revisions_too_long(&source)) {
		folder_done(&source);
		r = folder_open(&source, v, v->source_vid, FOLDER_EXCLUSIVE, to);
		if (r == 0)
			revisions_shorten(&source, INT_MAX);
	}
	if (r != 0)
		return r;
	newest = folder_newest(&source);
	if (!newest)
		return folder_work(&source)
			       ? say(to, STORAGE_E_IN_USE,
				     "volume %s is being written in place (it keeps no "
				     "revisions); shut its qube down first",
				     v->source_vid)
			       : say(to, STORAGE_E_DAMAGED, "%s holds no revision", source.path);
	r = folder_open_chain(&source, newest, c, to);
	if (r != 0)
		return r;
	if (c->size < newest->size)
		c->size = newest->size;
	*ret_number = newest->number;
	return 0;
}

/* the secret, where only who has the descriptor finds it */
static int hand_over(const char *secret, int *ret_fd)
{
	AUTO_CLOSE int fd = memfd_create("secret", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r = fd < 0 ? fail_errno() : io_write_full(fd, secret, LUKS_SECRET_LEN);

	if (r == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		r = fail_errno();
	if (r == 0)
		*ret_fd = take_fd(&fd);
	return r;
}

static int put_luks(struct writer *w, struct storage_chain *c)
{
	AUTO_FREE uint8_t *header = malloc(LUKS_HEADER_SIZE);
	char secret[LUKS_SECRET_LEN];
	int r = header ? luks_make(header, secret) : -ENOMEM;

	for (size_t at = 0; r == 0 && at < LUKS_HEADER_SIZE; at += QCOW2_CLUSTER)
		r = writer_put(w, at / QCOW2_CLUSTER, header + at);
	if (r == 0)
		r = writer_finish(w);
	if (r == 0)
		r = hand_over(secret, &c->key_fd);
	c->encrypted = r == 0;
	explicit_bzero(secret, sizeof(secret));
	return r;
}

/* an overlay of nothing that is a LUKS disk with a new key */
static int create_encrypted(int fd, struct storage_chain *c)
{
	AUTO(writer_done) struct writer w = {.fd = NO_FD};
	int r = c->size > QCOW2_MAX_SIZE - LUKS_PAYLOAD
			? -EFBIG
			: writer_init(&w, fd, c->size + LUKS_PAYLOAD);

	return r == 0 ? put_luks(&w, c) : r;
}

static int start_live(const struct storage_volume *v, struct storage_chain *c, const struct say *to)
{
	AUTO(folder_done) struct folder f = {.dir = NO_FD};
	char backing[QCOW2_MAX_BACKING + 1] = "";
	AUTO_CLOSE int fd = NO_FD;
	int r;

	c->size = v->size;
	r = open_live(v, &f, to);
	if (r == 0 && is_in_use(&f, LIVE_NAME))
		r = say(to, STORAGE_E_IN_USE, "volume %s is in use by a running qube", v->vid);
	if (r != 0)
		return r;
	if (v->snap_on_start) {
		unsigned number = 0;

		r = open_source(v, c, &number, to);
		if (r == 0)
			r = live_backing(v, &f, number, backing);
		if (r != 0)
			return r;
	}
	if (unlinkat(f.dir, LIVE_NAME, 0) < 0 && errno != ENOENT)
		return say_result(to, fail_errno(), "cannot replace", f.path, LIVE_NAME);
	r = folder_tmp(&f, LIVE_NAME, &fd);
	if (r == 0 && v->ephemeral && !v->snap_on_start)
		r = create_encrypted(fd, c);
	else if (r == 0)
		r = image_create(fd, c->size, backing[0] ? backing : NULL,
				 f.kind->format == STORAGE_RAW);
	if (r == 0)
		r = file_lock(fd, true);
	if (r < 0) {
		(void)unlinkat(f.dir, LIVE_NAME, 0);
		return say_result(to, r, "cannot write", f.path, LIVE_NAME);
	}
	return chain_top(c, &fd, STORAGE_QCOW2, &f, to);
}

int files_open_source(const struct storage_volume *v, struct storage_chain *ret,
		      const struct say *to)
{
	unsigned number;

	return open_source(v, ret, &number, to);
}

int files_open_committed(const struct storage_volume *v, struct storage_chain *ret,
			 const struct say *to)
{
	AUTO(folder_done) struct folder f = {.dir = NO_FD};
	const struct file *newest;
	int r;

	r = folder_open(&f, v, v->vid, FOLDER_SHARED, to);
	if (r != 0)
		return r;
	newest = folder_newest(&f);
	if (!newest)
		return say(to, STORAGE_E_ABSENT, "volume %s has no committed revision", v->vid);
	ret->size = newest->size;
	return folder_open_chain(&f, newest, ret, to);
}

int files_start(const struct storage_volume *v, struct storage_chain *ret, const struct say *to)
{
	return v->save_on_stop ? start_saved(v, ret, to) : start_live(v, ret, to);
}

static int stop_live(const struct storage_volume *v, const struct say *to)
{
	AUTO(folder_done) struct folder f = {.dir = NO_FD};
	int r;

	r = open_halted(v, &f, to);
	if (r == STORAGE_E_ABSENT)
		return say(to, 0, "%s", "");
	if (r != 0)
		return r;
	if (unlinkat(f.dir, LIVE_NAME, 0) < 0 && errno != ENOENT)
		return say_result(to, fail_errno(), "cannot remove", f.path, LIVE_NAME);
	return 0;
}

/* the guest never wrote to @work, open as @fd: a start that failed before leaves nothing to go on from */
static bool is_untouched(const struct folder *f, const struct file *work, int fd)
{
	const struct file *newest = folder_newest(f);
	AUTO_CLOSE int below = NO_FD;
	char name[FILE_NAME_SIZE];
	bool untouched = false;

	if (!newest || (f->kind->layered && work->backing == 0))
		return false; /* what it is, is in it alone */
	below = openat(f->dir, file_name(f, name, newest->number, false),
		       O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return below >= 0 && f->kind->is_untouched(fd, below, &untouched) == 0 && untouched;
}

int files_stop(const struct storage_volume *v, bool clean, const struct say *to)
{
	AUTO(folder_done) struct folder f = {.dir = NO_FD};
	AUTO_CLOSE int fd = NO_FD;
	const struct file *work;
	char name[FILE_NAME_SIZE];
	int r;

	if (!v->save_on_stop)
		return stop_live(v, to);
	r = open_halted(v, &f, to);
	if (r != 0)
		return r;
	work = folder_work(&f);
	if (!work)
		return 0;
	r = open_work(&f, file_name(&f, name, work->number, true), &fd, to);
	if (r != 0)
		return r;
	if (!clean) {
		if (!is_untouched(&f, work, fd))
			return 0;
		(void)unlinkat(f.dir, name, 0);
		return folder_sync(&f);
	}
	r = work->damaged ? work->damaged : f.kind->check(fd, true);
	if (r != 0)
		return say_result(to, r, "cannot commit", f.path, name);
	r = check_work(v, &f, work, to);
	if (r != 0)
		return r;
	r = folder_commit(&f, fd, name, work->number);
	if (r < 0)
		return say_result(to, r, "cannot commit", f.path, name);
	close_fd(&fd);
	/* it is committed: what cannot be tidied now is not this stop's failure */
	(void)!revisions_tidy(&f, v->revisions_to_keep, to);
	return 0;
}

/* --- content from elsewhere --- */

int files_import(const struct storage_volume *v, struct content *from, uint64_t disk,
		 const struct say *to)
{
	AUTO(folder_done) struct folder f = {.dir = NO_FD};
	int r;

	r = open_halted(v, &f, to);
	if (r == 0)
		r = add_content(&f, from, disk, to);
	if (r != 0)
		return r;
	/* locked again, so that the work file it replaces goes */
	folder_done(&f);
	r = folder_open(&f, v, v->vid, FOLDER_EXCLUSIVE, to);
	if (r == 0)
		(void)!revisions_tidy(&f, v->revisions_to_keep, to);
	return 0;
}

/* a whole file, holes staying holes */
static int copy_file(int from, int to_fd)
{
	struct stat st;
	off_t at = 0;

	if (fstat(from, &st) < 0 || ftruncate(to_fd, st.st_size) < 0)
		return fail_errno();
	while (at < st.st_size) {
		off_t data = lseek(from, at, SEEK_DATA), end;

		if (data < 0)
			return errno == ENXIO ? 0 : fail_errno();
		end = lseek(from, data, SEEK_HOLE);
		if (end < 0)
			return fail_errno();
		at = end;
		while (data < end) {
			off_t in = data, out = data;
			ssize_t n =
				copy_file_range(from, &in, to_fd, &out, (size_t)(end - data), 0);

			if (n < 0 && errno == EINTR)
				continue;
			if (n < 0)
				return fail_errno();
			if (n == 0)
				return -EIO; /* it became shorter: a committed file never does */
			data += n;
		}
	}
	return 0;
}

/*
 * The committed file @file_fd of @from becomes one of @f by the same @name: a file that shares its blocks, where the file system
 * can do that; the same file under another name, in a layered kind, where a file that has two is never written; or a copy.
 */
static int clone_file(const struct folder *from, int file_fd, const struct folder *f,
		      const char *name)
{
	AUTO_CLOSE int fd = NO_FD;
	int r = folder_tmp(f, name, &fd);

	if (r < 0)
		return r;
	if (ioctl(fd, FICLONE, file_fd) < 0) {
		if (f->kind->layered && linkat(from->dir, name, f->dir, LINK_NAME, 0) == 0)
			return renameat(f->dir, LINK_NAME, f->dir, name) < 0 ? fail_errno() : 0;
		r = copy_file(file_fd, fd);
	}
	if (r == 0 && (fchmod(fd, 0400) < 0 || fsync(fd) < 0))
		r = fail_errno();
	return r;
}

/* file by file under the same names; what the newest rests on are no revisions of the clone */
static int clone_chain(const struct folder *from, const struct file *file, struct folder *f,
		       const struct say *to)
{
	struct storage_chain chain = {0};
	int r;

	r = folder_open_chain(from, file, &chain, to);
	for (unsigned i = 0; r == 0 && i < chain.n; i++) {
		char name[FILE_NAME_SIZE];

		r = clone_file(from, chain.fds[i], f, file_name(f, name, file->number, false));
		if (r == 0 && i > 0)
			r = folder_drop(f, file);
		if (r < 0)
			r = say_result(to, r, "cannot write", f->path, name);
		if (i + 1 < chain.n)
			file = folder_revision(from, file->backing);
	}
	storage_chain_done(&chain);
	if (r == 0)
		r = folder_sync(f);
	return r;
}

int files_clone(const struct storage_volume *v, const struct storage_volume *from,
		const struct say *to)
{
	AUTO(folder_done) struct folder f = {.dir = NO_FD}, source = {.dir = NO_FD};
	const struct file *newest = NULL;
	int r;

	if (v->save_on_stop) {
		r = folder_open(&source, from, from->vid, FOLDER_SHARED, to);
		if (r != 0)
			return r;
		newest = folder_newest(&source);
		if (!newest)
			return say(to, STORAGE_E_ABSENT, "volume %s has no committed revision",
				   from->vid);
	}
	r = volume_begin(v, &f, to);
	if (r != 0)
		return r;
	if (newest)
		r = clone_chain(&source, newest, &f, to);
	if (r == 0 && newest)
		r = revisions_tidy(&f, 0, to);
	return volume_publish(v, r, to);
}

/* --- sizes and revisions --- */

static int chain_is_empty(const struct folder *f, const struct file *file, bool *ret,
			  const struct say *to)
{
	struct storage_chain chain = {0};
	int r;

	*ret = true;
	r = folder_open_chain(f, file, &chain, to);
	for (unsigned i = 0; r == 0 && *ret && i < chain.n; i++)
		r = f->kind->is_untouched(chain.fds[i], NO_FD, ret);
	storage_chain_done(&chain);
	return r;
}

int files_resize(const struct storage_volume *v, uint64_t size, const struct say *to)
{
	AUTO(folder_done) struct folder f = {.dir = NO_FD};
	const struct file *newest, *work;
	bool empty = false;
	uint64_t have;
	int r;

	r = folder_open(&f, v, v->vid, FOLDER_EXCLUSIVE, to);
	if (r != 0)
		return r;
	newest = folder_newest(&f);
	work = folder_work(&f);
	have = work ? work->size : newest ? newest->size : 0;
	if (size >= have)
		return 0; /* the next start makes the file it writes that large */
	if (!work && newest) {
		r = chain_is_empty(&f, newest, &empty, to);
		if (r != 0)
			return r;
	}
	if (!empty)
		return say(to, STORAGE_E_SIZE,
			   "volume %s holds data: it cannot become smaller than its %llu bytes",
			   v->vid, (unsigned long long)have);
	r = add_revision(&f, size, NULL, folder_next(&f), to);
	if (r == 0)
		(void)!revisions_tidy(&f, v->revisions_to_keep, to);
	return r;
}

static void revision_id(const struct file *file, struct storage_revision *ret)
{
	time_t t = (time_t)file->time_s;
	struct tm tm;
	char when[24] = "";

	if (gmtime_r(&t, &tm))
		(void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	(void)snprintf(ret->id, sizeof(ret->id), "%u-%.20s", file->number, when);
	ret->time_s = file->time_s;
}

/* the states one can go back to: not the one that is current */
static bool is_listed(const struct folder *f, const struct file *file, bool unfinished, int keep)
{
	const struct file *newest = folder_newest(f);

	return revisions_is_kept(f, file, keep) && (file != newest || unfinished);
}

/* what a crashed run left is current, then; a running qube's newest revision is not listed */
static bool is_unfinished(const struct folder *f)
{
	return folder_work(f) && !is_started(f);
}

int files_revisions(const struct storage_volume *v, struct storage_revision *ret, unsigned *ret_n)
{
	const struct say none = {0};
	AUTO(folder_done) struct folder f = {.dir = NO_FD};
	bool unfinished;
	size_t skip = 0;
	unsigned n = 0;
	int r;

	r = folder_open(&f, v, v->vid, FOLDER_QUICK, &none);
	if (r != 0)
		return r;
	unfinished = is_unfinished(&f);
	for (size_t i = 0; i < f.n; i++)
		skip += is_listed(&f, &f.files[i], unfinished, v->revisions_to_keep);
	skip = skip > STORAGE_MAX_REVISIONS ? skip - STORAGE_MAX_REVISIONS : 0;
	for (size_t i = 0; i < f.n; i++) {
		if (!is_listed(&f, &f.files[i], unfinished, v->revisions_to_keep))
			continue;
		if (skip > 0)
			skip--;
		else
			revision_id(&f.files[i], &ret[n++]);
	}
	*ret_n = n;
	return 0;
}

/* the file that @id ("N-TIMESTAMP") or, without one, the last entry of the list means */
static const struct file *find_revision(const struct folder *f, const char *id, int keep)
{
	const bool unfinished = folder_work(f) != NULL;

	for (size_t i = f->n; i-- > 0;) {
		struct storage_revision rev;

		if (!is_listed(f, &f->files[i], unfinished, keep))
			continue;
		revision_id(&f->files[i], &rev);
		if (!id || str_eq(rev.id, id))
			return &f->files[i];
	}
	return NULL;
}

int files_revert(const struct storage_volume *v, const char *revision, const struct say *to)
{
	AUTO(folder_done) struct folder f = {.dir = NO_FD};
	const struct file *file, *work;
	char name[FILE_NAME_SIZE];
	int r;

	r = open_halted(v, &f, to);
	if (r != 0)
		return r;
	file = find_revision(&f, revision, v->revisions_to_keep);
	if (!file)
		return say(to, STORAGE_E_NO_REVISION, "volume %s has no %s%s to go back to", v->vid,
			   revision ? "revision " : "older revision", revision ? revision : "");
	work = folder_work(&f);
	if (file != folder_newest(&f)) {
		/* what was current until now stays behind as a revision */
		r = add_revision(&f, v->size > file->size ? v->size : file->size, file,
				 folder_next(&f), to);
		if (r != 0)
			return r;
	}
	if (work && unlinkat(f.dir, file_name(&f, name, work->number, true), 0) < 0)
		return say_result(to, fail_errno(), "cannot remove", f.path, name);
	r = folder_sync(&f);
	if (r < 0)
		return say_result(to, r, "cannot write", NULL, f.path);
	(void)!revisions_tidy(&f, v->revisions_to_keep, to);
	return 0;
}

int files_usage(const struct storage_volume *v, uint64_t *ret)
{
	const struct say none = {0};
	AUTO(folder_done) struct folder f = {.dir = NO_FD};
	uint64_t bytes = 0;
	struct stat st;
	char name[FILE_NAME_SIZE];
	int r;

	r = folder_open(&f, v, v->vid, FOLDER_QUICK, &none);
	if (r != 0)
		return r;
	for (size_t i = 0; i < f.n; i++)
		if (fstatat(f.dir, file_name(&f, name, f.files[i].number, f.files[i].work), &st,
			    AT_SYMLINK_NOFOLLOW) == 0)
			bytes += (uint64_t)st.st_blocks * 512;
	if (fstatat(f.dir, LIVE_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0)
		bytes += (uint64_t)st.st_blocks * 512;
	*ret = bytes;
	return 0;
}

int files_is_outdated(const struct storage_volume *v, bool *ret)
{
	const struct say none = {0};
	AUTO(folder_done) struct folder f = {.dir = NO_FD}, source = {.dir = NO_FD};
	char backing[QCOW2_MAX_BACKING + 1], want[QCOW2_MAX_BACKING + 1];
	AUTO_CLOSE int fd = NO_FD;
	const struct file *newest;
	uint64_t size;
	int r;

	r = folder_open(&f, v, v->vid, FOLDER_QUICK, &none);
	if (r == STORAGE_E_ABSENT || (r == 0 && !is_in_use(&f, LIVE_NAME)))
		return 0; /* not started */
	if (r == 0)
		r = folder_open(&source, v, v->source_vid, FOLDER_QUICK, &none);
	if (r != 0)
		return r;
	fd = openat(f.dir, LIVE_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	newest = folder_newest(&source);
	if (fd < 0 || !newest)
		return 0;
	r = image_head(fd, &size, backing);
	if (r == 0)
		r = live_backing(v, &source, newest->number, want);
	if (r != 0)
		return r < 0 ? r : STORAGE_E_DAMAGED;
	*ret = !str_eq(backing, want);
	return 0;
}

int files_pool_usage(const char *pool_dir, struct storage_room *ret)
{
	struct statvfs vfs;

	if (statvfs(pool_dir, &vfs) < 0)
		return fail_errno();
	*ret = (struct storage_room){
		.size = (uint64_t)(vfs.f_blocks - vfs.f_bfree + vfs.f_bavail) * vfs.f_frsize,
		.used = (uint64_t)(vfs.f_blocks - vfs.f_bfree) * vfs.f_frsize,
	};
	return 0;
}
