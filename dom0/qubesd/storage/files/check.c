/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A whole volume looked at: each file's tables, what each rests on, the size. Files that a running qube writes are left
 * out, for their tables change under the look; what they rest on never changes and is looked at.
 */
#include "files.h"
#include "folder.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define N_ASIDE 1000 /* names tried for one that is put aside */

struct checking {
	struct folder *f;
	bool mend;
	storage_check_fn fn;
	void *data;
};

static void tell(const struct checking *c, enum storage_finding what, const char *format, ...)
	PRINTF_LIKE(3, 4);
static void tell(const struct checking *c, enum storage_finding what, const char *format, ...)
{
	char text[PATH_MAX + 256];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	c->fn(c->data, what, text);
}

/* 0 sound, or being written; an outcome of proto/qcow2.h; -errno */
static int look(const struct folder *f, const struct file *file)
{
	AUTO_CLOSE int fd = NO_FD;
	char name[FILE_NAME_SIZE];

	if (file->damaged)
		return file->damaged;
	fd = openat(f->dir, file_name(f, name, file->number, file->work),
		    O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return fail_errno();
	return file->work && file_is_locked(fd) ? 0 : f->kind->check(fd, true);
}

/* What a crashed qube had written, and cannot be read: out of the way under another name, so that the next start goes on
 * from the last revision. N.damaged, or N.2.damaged...: one rename. */
static bool set_aside(const struct folder *f, const struct file *work)
{
	char name[FILE_NAME_SIZE], aside[40];
	int r = -EEXIST;

	(void)file_name(f, name, work->number, true);
	(void)snprintf(aside, sizeof(aside), "%u.damaged", work->number);
	for (unsigned i = 2; r == -EEXIST && i < N_ASIDE; i++) {
		r = renameat2(f->dir, name, f->dir, aside, RENAME_NOREPLACE) < 0 ? fail_errno() : 0;
		(void)snprintf(aside, sizeof(aside), "%u.%u.damaged", work->number, i);
	}
	return r == 0 && folder_sync(f) == 0;
}

static int check_file(const struct checking *c, const struct file *file)
{
	const struct folder *f = c->f;
	char name[FILE_NAME_SIZE];
	int r = look(f, file);

	if (r < 0 && r != -EIO)
		return r;
	(void)file_name(f, name, file->number, file->work);
	if (r == 0 && file->backing != 0 && !folder_revision(f, file->backing)) {
		tell(c, STORAGE_BROKEN, "%s/%s rests on %u%s, which is missing", f->path, name,
		     file->backing, f->kind->suffix);
		return 0;
	}
	if (r == 0)
		return 0;
	if (!file->work || file != folder_work(f) || !folder_newest(f)) {
		if (r < 0)
			tell(c, STORAGE_BROKEN, "%s/%s cannot be read from the disk", f->path,
			     name);
		else
			tell(c, STORAGE_BROKEN, "%s/%s is not a sound %s", f->path, name,
			     f->kind->what);
		return 0;
	}
	tell(c,
	     !c->mend             ? STORAGE_UNFINISHED
	     : set_aside(f, file) ? STORAGE_ASIDE
				  : STORAGE_NOT_ASIDE,
	     "%s/%s, what a crashed qube had written, is not a sound %s", f->path, name,
	     f->kind->what);
	return 0;
}

int files_check(const struct storage_volume *v, bool mend, storage_check_fn fn, void *data,
		uint64_t *ret_size, const struct say *to)
{
	AUTO(folder_done) struct folder f = {.dir = NO_FD};
	struct checking c = {&f, mend, fn, data};
	const struct file *top;
	int r = folder_open(&f, v, v->vid, mend ? FOLDER_EXCLUSIVE : FOLDER_SHARED, to);

	if (r != 0)
		return r;
	for (size_t i = 0; i < f.n; i++) {
		/* one that is behind a revision goes with the next change */
		if (f.files[i].work && &f.files[i] != folder_work(&f))
			continue;
		r = check_file(&c, &f.files[i]);
		if (r < 0)
			return say_result(to, r, "cannot look into", NULL, f.path);
	}
	if (!v->save_on_stop)
		return 0;
	top = folder_work(&f) ? folder_work(&f) : folder_newest(&f);
	if (!top)
		tell(&c, STORAGE_BROKEN, "%s holds no revision", f.path);
	else if (!top->damaged)
		*ret_size = top->size;
	return 0;
}
