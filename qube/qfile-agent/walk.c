/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>

static int walk_entry(struct walk *w, int at, const char *leaf, unsigned char type);

/* the name of something in the folder that @w->name is, or at the top; @w->name_len before is kept by
 * the caller */
static int name_push(struct walk *w, const char *leaf)
{
	const size_t len = strlen(leaf), slash = w->name_len > 0;

	if (len > FILECOPY_NAME_MAX - 1 || w->name_len + slash > FILECOPY_NAME_MAX - 1 - len)
		return -ENAMETOOLONG;
	if (slash)
		w->name[w->name_len++] = '/';
	memcpy(w->name + w->name_len, leaf, len + 1);
	w->name_len += len;
	return 0;
}

static void name_cut(struct walk *w, size_t len)
{
	w->name_len = len;
	w->name[len] = '\0';
}

static void dir_close(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir);
}

static bool is_dots(const char *leaf)
{
	return strcmp(leaf, ".") == 0 || strcmp(leaf, "..") == 0;
}

static int walk_folder(struct walk *w, int at, const char *leaf)
{
	AUTO_CLOSE int fd = openat(at, leaf, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *AUTO(dir_close) dir = NULL;
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_errno();
	r = w->visitor->folder(w, &st);
	if (r != 0)
		return r;
	dir = fdopendir(fd);
	if (!dir)
		return fail_errno();
	(void)take_fd(&fd);
	for (;;) {
		const struct dirent *e;

		errno = 0;
		e = readdir(dir);
		if (!e && errno != 0)
			return fail_errno();
		if (!e)
			return w->visitor->folder(w, &st);
		r = is_dots(e->d_name) ? 0 : walk_entry(w, dirfd(dir), e->d_name, e->d_type);
		if (r != 0)
			return r;
	}
}

static int walk_entry(struct walk *w, int at, const char *leaf, unsigned char type)
{
	const size_t len = w->name_len;
	int r = name_push(w, leaf);

	if (r < 0)
		return r;
	if (type == DT_UNKNOWN) {
		struct stat st;

		if (fstatat(at, leaf, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return fail_errno();
		type = IFTODT(st.st_mode);
	}
	if (type == DT_REG)
		r = w->visitor->file(w, at, leaf);
	else if (type == DT_DIR)
		r = walk_folder(w, at, leaf);
	else if (type != DT_LNK)
		w->n_passed_over++;
	else if (!w->ignore_links)
		r = w->visitor->link(w, at, leaf);
	if (r == 0)
		name_cut(w, len);
	return r;
}

int walk_path(struct walk *w, const char *path)
{
	AUTO_FREE char *whole = strdup(path);
	AUTO_CLOSE int at = NO_FD;
	char *leaf;

	name_cut(w, 0);
	if (!whole)
		return -ENOMEM;
	for (size_t len = strlen(whole); len > 1 && whole[len - 1] == '/'; len--)
		whole[len - 1] = '\0';
	leaf = strrchr(whole, '/');
	if (is_dots(leaf ? leaf + 1 : whole)) {
		char *real = realpath(path, NULL);

		if (!real)
			return fail_errno();
		free(whole);
		whole = real;
		leaf = strrchr(whole, '/');
	}
	if (leaf) {
		*leaf++ = '\0';
		at = open(whole[0] == '\0' ? "/" : whole, O_PATH | O_DIRECTORY | O_CLOEXEC);
	} else {
		leaf = whole;
		at = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
	if (at < 0)
		return fail_errno();
	return *leaf == '\0' ? -EINVAL : walk_entry(w, at, leaf, DT_UNKNOWN);
}
