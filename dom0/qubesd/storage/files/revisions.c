/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "revisions.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

bool revisions_is_kept(const struct folder *f, const struct file *file, int keep)
{
	int n_newer = 0;

	if (file->work || file->dropped)
		return false;
	for (size_t i = 0; i < f->n; i++)
		if (!f->files[i].work && !f->files[i].dropped && f->files[i].number > file->number)
			n_newer++;
	return n_newer <= (keep > 0 ? keep : 0);
}

/* the files that rest on @file: how many, and one of them */
static unsigned users_of(const struct folder *f, const struct file *file, struct file **ret)
{
	unsigned n = 0;

	for (size_t i = 0; i < f->n; i++)
		if (f->files[i].backing == file->number) {
			*ret = &f->files[i];
			n++;
		}
	return n;
}

static unsigned chain_len(const struct folder *f, const struct file *file)
{
	unsigned n = 1;

	while (file->backing != 0 && (file = folder_revision(f, file->backing)))
		n++;
	return n;
}

/* open @file to write it, unless somebody reads it or it is in another volume, too: -EWOULDBLOCK */
static int open_alone(const struct folder *f, const struct file *file, int *ret_fd)
{
	char name[FILE_NAME_SIZE];
	AUTO_CLOSE int fd = openat(f->dir, file_name(f, name, file->number, false),
				   O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	AUTO_CLOSE int fd_write = NO_FD;
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_errno();
	/* nobody new can come: the folder is locked, and to be cloned it must be */
	if (file_is_locked(fd) || st.st_nlink > 1)
		return -EWOULDBLOCK;
	/* from here on it is no revision any more, also after a crash */
	r = folder_drop(f, file);
	if (r < 0)
		return r;
	if (fchmod(fd, 0600) < 0)
		return fail_errno();
	fd_write = openat(f->dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd_write < 0)
		return fail_errno();
	r = file_lock(fd_write, true);
	if (r == 0)
		*ret_fd = take_fd(&fd_write);
	return r;
}

/* merge @top into @base, which only @top rests on; the result is called @top */
static int merge_down(struct folder *f, struct file *base, const struct file *top,
		      const struct say *to)
{
	AUTO_CLOSE int base_fd = NO_FD, top_fd = NO_FD;
	char base_name[FILE_NAME_SIZE], top_name[FILE_NAME_SIZE];
	struct timespec times[2];
	bool top_damaged = false;
	struct stat st;
	int r;

	(void)file_name(f, base_name, base->number, false);
	(void)file_name(f, top_name, top->number, false);
	r = open_alone(f, base, &base_fd);
	if (r == -EWOULDBLOCK)
		return r;
	if (r < 0)
		return say_result(to, r, "cannot open", f->path, base_name);
	top_fd = openat(f->dir, top_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (top_fd < 0 || fstat(top_fd, &st) < 0)
		return say_result(to, fail_errno(), "cannot open", f->path, top_name);
	r = f->kind->merge(base_fd, top_fd, &top_damaged);
	if (r != 0 && top_damaged)
		return say_result(to, r, "cannot read", f->path, top_name);
	if (r != 0)
		return say_result(to, r, "cannot merge into", f->path, base_name);
	times[0].tv_nsec = UTIME_OMIT;
	times[1] = st.st_mtim;
	if (futimens(base_fd, times) < 0 || fchmod(base_fd, 0400) < 0 || fsync(base_fd) < 0 ||
	    renameat(f->dir, base_name, f->dir, top_name) < 0)
		return say_result(to, fail_errno(), "cannot rename", f->path, base_name);
	r = folder_sync(f);
	if (r < 0)
		return say_result(to, r, "cannot write", NULL, f->path);
	folder_undrop(f, base->number);
	return 0;
}

/* rewrite the newest revision without a backing file */
static int flatten(struct folder *f, const struct file *file, const struct say *to)
{
	struct storage_chain chain = {0};
	AUTO_CLOSE int fd = NO_FD;
	char name[FILE_NAME_SIZE];
	struct timespec times[2];
	struct stat st;
	int r;

	(void)file_name(f, name, file->number, false);
	r = folder_open_chain(f, file, &chain, to);
	if (r == 0)
		r = fstat(chain.fds[0], &st) < 0 ? fail_errno() : 0;
	if (r == 0)
		r = folder_tmp(f, "flat.tmp", &fd);
	if (r == 0)
		r = f->kind->flatten(&chain, fd);
	if (r == 0) {
		times[0].tv_nsec = UTIME_OMIT;
		times[1] = st.st_mtim;
		if (fchmod(fd, 0400) < 0 || futimens(fd, times) < 0 || fsync(fd) < 0 ||
		    renameat(f->dir, "flat.tmp", f->dir, name) < 0)
			r = fail_errno();
	}
	if (r == 0)
		r = folder_sync(f);
	storage_chain_done(&chain);
	if (r == 0 || (to->text && to->size > 0 && to->text[0]))
		return r;
	(void)unlinkat(f->dir, "flat.tmp", 0);
	return say_result(to, r, "cannot rewrite", f->path, name);
}

/* one step; 0 and *@ret_again if there may be more to do */
static int step(struct folder *f, int keep, bool *ret_again, const struct say *to)
{
	int r;

	*ret_again = false;
	for (size_t i = f->n; i-- > 0;) {
		struct file *file = &f->files[i], *user = NULL;
		unsigned n_users;
		char name[FILE_NAME_SIZE];

		if (file->work || revisions_is_kept(f, file, keep))
			continue;
		n_users = users_of(f, file, &user);
		if (n_users == 0) {
			if (unlinkat(f->dir, file_name(f, name, file->number, false), 0) < 0)
				return say_result(to, fail_errno(), "cannot remove", f->path, name);
			folder_undrop(f, file->number);
		} else if (n_users == 1 && !user->work) {
			r = merge_down(f, file, user, to);
			if (r == -EWOULDBLOCK)
				continue;
			if (r != 0)
				return r;
		} else {
			continue;
		}
		*ret_again = true;
		return folder_list(f);
	}
	return 0;
}

bool revisions_too_long(const struct folder *f)
{
	const struct file *newest = folder_newest(f);

	return newest && chain_len(f, newest) > REVISIONS_MAX_CHAIN;
}

int revisions_tidy(struct folder *f, int keep, const struct say *to)
{
	bool again = true;
	int r = 0;

	r = folder_list(f);
	if (r < 0)
		return say_result(to, r, "cannot list", NULL, f->path);
	for (size_t i = 0; i < f->n; i++) {
		char name[FILE_NAME_SIZE];

		if (f->files[i].damaged)
			return say_result(to, f->files[i].damaged, "cannot use", f->path,
					  file_name(f, name, f->files[i].number, f->files[i].work));
	}
	while (r == 0 && again)
		r = step(f, keep, &again, to);
	if (r != 0)
		return r;
	if (revisions_too_long(f)) {
		r = flatten(f, folder_newest(f), to);
		if (r == 0)
			r = folder_list(f);
		again = r == 0;
		while (r == 0 && again)
			r = step(f, keep, &again, to);
	}
	return r;
}

void revisions_shorten(struct folder *f, int keep)
{
	const struct say to = {0};

	if (revisions_too_long(f) && revisions_tidy(f, keep, &to) != 0)
		(void)!folder_list(f);
}
