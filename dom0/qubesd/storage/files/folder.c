/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "folder.h"

#include "base/str.h"
#include "proto/qcow2.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

const char *file_name(const struct folder *f, char *to, unsigned number, bool work)
{
	(void)snprintf(to, FILE_NAME_SIZE, "%u%s", number, work ? ".work" : f->kind->suffix);
	return to;
}

enum kind { REVISION, WORK, DROP, OTHER };

/* a revision, "N.work" or "N.drop" */
static enum kind name_parse(const struct folder *f, const char *name, unsigned *ret_number)
{
	const char *const ends[] = {
		[REVISION] = f->kind->suffix, [WORK] = ".work", [DROP] = ".drop"};
	const char *dot = strchr(name, '.');
	char digits[12];
	uint64_t n;

	if (!dot || str_copy(digits, sizeof(digits), name, (size_t)(dot - name)) < 0 ||
	    str_u64(digits, UINT_MAX / 2, &n) < 0 || n == 0)
		return OTHER;
	*ret_number = (unsigned)n;
	for (enum kind k = REVISION; k < OTHER; k++)
		if (str_eq(dot, ends[k]))
			return k;
	return OTHER;
}

/* what the header says; an unsound one is noted in @file, not an error */
static int file_look(const struct folder *f, const char *name, struct file *file)
{
	AUTO_CLOSE int fd = openat(f->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	char backing[QCOW2_MAX_BACKING + 1];
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_errno();
	file->time_s = st.st_mtim.tv_sec;
	r = f->kind->head(fd, &file->size, backing);
	if (r < 0)
		return r;
	if (r == 0 && backing[0] &&
	    (name_parse(f, backing, &file->backing) != REVISION || file->backing >= file->number))
		r = QCOW2_E_FORMAT;
	file->damaged = r;
	return 0;
}

static int by_number(const void *a, const void *b)
{
	const struct file *x = a, *y = b;

	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	return (int)x->work - (int)y->work;
}

int folder_list(struct folder *f)
{
	unsigned drops[256];
	size_t room = 0, n_drops = 0;
	DIR *d;
	int fd, r = 0;

	free(f->files);
	f->files = NULL;
	f->n = 0;
	fd = openat(f->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return fail_errno();
	d = fdopendir(fd);
	if (!d) {
		r = fail_errno();
		(void)close(fd);
		return r;
	}
	for (struct dirent *e; r == 0 && (e = readdir(d));) {
		struct file file = {0};

		enum kind kind = name_parse(f, e->d_name, &file.number);

		if (kind == OTHER)
			continue;
		if (kind == DROP) {
			if (n_drops < ARRAY_LEN(drops))
				drops[n_drops++] = file.number;
			continue;
		}
		file.work = kind == WORK;
		r = file_look(f, e->d_name, &file);
		if (r == -ENOENT) { /* renamed meanwhile: only without a lock */
			r = 0;
			continue;
		}
		if (r == 0 && f->n == room) {
			struct file *more = realloc(f->files, (room + 16) * sizeof(*more));

			if (!more) {
				r = -ENOMEM;
				break;
			}
			f->files = more;
			room += 16;
		}
		if (r == 0)
			f->files[f->n++] = file;
	}
	(void)closedir(d);
	if (f->n > 0)
		qsort(f->files, f->n, sizeof(*f->files), by_number);
	for (size_t i = 0; i < n_drops; i++) {
		struct file *file = folder_revision(f, drops[i]);

		if (file)
			file->dropped = true;
	}
	return r;
}

static bool vid_is_inside(const char *vid)
{
	if (vid[0] == '\0' || vid[0] == '/')
		return false;
	for (const char *p = vid; *p; p = strchrnul(p, '/')) {
		while (*p == '/')
			p++;
		if (p[0] == '.')
			return false;
	}
	return true;
}

/* "N.drop" */
static void drop_name(char *to, unsigned number)
{
	(void)snprintf(to, FILE_NAME_SIZE, "%u.drop", number);
}

int folder_drop(const struct folder *f, const struct file *file)
{
	AUTO_CLOSE int fd = NO_FD;
	char name[FILE_NAME_SIZE];

	drop_name(name, file->number);
	fd = openat(f->dir, name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? fail_errno() : folder_sync(f);
}

void folder_undrop(const struct folder *f, unsigned number)
{
	char name[FILE_NAME_SIZE];

	drop_name(name, number);
	(void)unlinkat(f->dir, name, 0);
}

static void remove_unfinished(const struct folder *f)
{
	AUTO_CLOSE int fd = openat(f->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

	if (!d)
		return;
	(void)take_fd(&fd);
	for (struct dirent *e; (e = readdir(d));) {
		const char *dot = strrchr(e->d_name, '.');
		unsigned number;

		if (dot && str_eq(dot, ".tmp"))
			(void)unlinkat(f->dir, e->d_name, 0);
		else if (name_parse(f, e->d_name, &number) == DROP && !folder_revision(f, number))
			folder_undrop(f, number);
	}
	(void)closedir(d);
}

int folder_open(struct folder *f, const struct storage_volume *v, const char *vid,
		enum folder_lock lock, const struct say *to)
{
	AUTO(folder_done) struct folder x = {.kind = storage_driver(v->driver)->kind, .dir = NO_FD};
	int r;

	if (!vid_is_inside(vid))
		return say(to, -EINVAL, "\"%s\" is no name of a volume", vid);
	r = str_format(x.path, sizeof(x.path), "%s/%s", v->pool_dir, vid);
	if (r < 0)
		return r;
	x.dir = open(x.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (x.dir < 0 && errno == ENOENT)
		return say(to, STORAGE_E_ABSENT, "there is no volume %s in pool %s", vid,
			   v->pool_dir);
	if (x.dir < 0)
		return say_result(to, fail_errno(), "cannot open", NULL, x.path);
	if (lock != FOLDER_QUICK) {
		do
			r = flock(x.dir, lock == FOLDER_SHARED ? LOCK_SH : LOCK_EX);
		while (r < 0 && errno == EINTR);
		if (r < 0)
			return say_result(to, fail_errno(), "cannot lock", NULL, x.path);
	}
	r = folder_list(&x);
	if (r < 0)
		return say_result(to, r, "cannot list", NULL, x.path);
	if (lock == FOLDER_EXCLUSIVE)
		remove_unfinished(&x);
	for (size_t i = 0; lock == FOLDER_EXCLUSIVE && i < x.n;) {
		struct file *newest = folder_newest(&x);
		char name[FILE_NAME_SIZE];

		if (!x.files[i].work || !newest || x.files[i].number > newest->number) {
			i++;
			continue;
		}
		(void)unlinkat(x.dir, file_name(&x, name, x.files[i].number, true), 0);
		memmove(&x.files[i], &x.files[i + 1], (x.n - i - 1) * sizeof(x.files[0]));
		x.n--;
	}
	*f = x;
	x.dir = NO_FD;
	x.files = NULL;
	return 0;
}

void folder_done(struct folder *f)
{
	close_fd(&f->dir);
	free(f->files);
	f->files = NULL;
	f->n = 0;
}

int folder_sync(const struct folder *f)
{
	return fsync(f->dir) < 0 ? fail_errno() : 0;
}

struct file *folder_newest(const struct folder *f)
{
	for (size_t i = f->n; i-- > 0;)
		if (!f->files[i].work && !f->files[i].dropped)
			return &f->files[i];
	return NULL;
}

struct file *folder_work(const struct folder *f)
{
	const struct file *newest = folder_newest(f);

	for (size_t i = f->n; i-- > 0;)
		if (f->files[i].work)
			return !newest || f->files[i].number > newest->number ? &f->files[i] : NULL;
	return NULL;
}

struct file *folder_revision(const struct folder *f, unsigned number)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->files[i].number == number && !f->files[i].work)
			return &f->files[i];
	return NULL;
}

unsigned folder_next(const struct folder *f)
{
	return f->n > 0 ? f->files[f->n - 1].number + 1 : 1;
}

static struct flock first_byte(bool writing)
{
	return (struct flock){.l_type = writing ? F_WRLCK : F_RDLCK,
			      .l_whence = SEEK_SET,
			      .l_start = 0,
			      .l_len = 1};
}

int file_lock(int fd, bool writing)
{
	struct flock lock = first_byte(writing);

	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	return errno == EAGAIN || errno == EACCES ? -EWOULDBLOCK : fail_errno();
}

bool file_is_locked(int fd)
{
	struct flock lock = first_byte(true);

	return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static int chain_add(const struct folder *f, const struct file *file, struct storage_chain *c,
		     const struct say *to)
{
	AUTO_CLOSE int fd = NO_FD;
	char name[FILE_NAME_SIZE];
	int r;

	(void)file_name(f, name, file->number, file->work);
	if (file->damaged)
		return say_result(to, file->damaged, "cannot use", f->path, name);
	if (c->n >= STORAGE_MAX_CHAIN)
		return say(to, -E2BIG, "%s/%s rests on more than %d files", f->path, name,
			   STORAGE_MAX_CHAIN - 1);
	fd = openat(f->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return say_result(to, fail_errno(), "cannot open", f->path, name);
	r = file_lock(fd, false);
	if (r == -EWOULDBLOCK)
		return say(to, STORAGE_E_IN_USE, "%s/%s is being written", f->path, name);
	if (r < 0)
		return say_result(to, r, "cannot lock", f->path, name);
	r = f->kind->check(fd, false);
	if (r != 0)
		return say_result(to, r, "cannot read", f->path, name);
	c->formats[c->n] = f->kind->format;
	c->fds[c->n++] = take_fd(&fd);
	return 0;
}

int folder_open_chain(const struct folder *f, const struct file *file, struct storage_chain *ret,
		      const struct say *to)
{
	int r;

	for (;;) {
		const struct file *below;
		char name[FILE_NAME_SIZE];

		r = chain_add(f, file, ret, to);
		if (r != 0 || file->backing == 0)
			return r;
		below = folder_revision(f, file->backing);
		if (!below)
			return say(to, STORAGE_E_DAMAGED,
				   "%s/%s is missing; other files rest on it", f->path,
				   file_name(f, name, file->backing, false));
		file = below;
	}
}

int folder_tmp(const struct folder *f, const char *name, int *ret_fd)
{
	int fd = openat(f->dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return fail_errno();
	*ret_fd = fd;
	return 0;
}

int folder_commit(const struct folder *f, int fd, const char *tmp, unsigned number)
{
	char name[FILE_NAME_SIZE];

	if (fchmod(fd, 0400) < 0 || futimens(fd, NULL) < 0 || fsync(fd) < 0 ||
	    renameat(f->dir, tmp, f->dir, file_name(f, name, number, false)) < 0)
		return fail_errno();
	return folder_sync(f);
}
