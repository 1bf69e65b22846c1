/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ruleset/ruleset.h"

#include "base/io.h"
#include "ruleset/grant.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_FILES    4096
#define MAX_FILE_LEN (1 << 20)
#define MAX_DEPTH    16

static int compare(const void *a, const void *b)
{
	const struct policy_file *x = a, *y = b;

	return strcmp(x->path, y->path);
}

/* one of the two lists of files while it is read */
struct reading {
	struct ruleset *s;
	struct policy_file *files;
	unsigned n;
	char *path; /* of what went wrong */
};

/* *@path and *@text become the ruleset's; *@text may be NULL, for a folder */
static int add(struct reading *r, char **path, char **text, size_t len)
{
	struct ruleset *s = r->s;
	struct policy_file *files;
	char **owned;

	if (r->n == MAX_FILES)
		return -E2BIG;
	owned = realloc(s->owned, (s->n_owned + 2) * sizeof(*owned));
	if (!owned)
		return -ENOMEM;
	s->owned = owned;
	files = realloc(r->files, (r->n + 1) * sizeof(*files));
	if (!files)
		return -ENOMEM;
	r->files = files;
	r->files[r->n++] = (struct policy_file){*path, *text ? *text : "", len};
	s->owned[s->n_owned++] = take_ptr(path);
	s->owned[s->n_owned++] = take_ptr(text);
	return 0;
}

static int read_folder(struct reading *r, const char *on_disk, const char *prefix, unsigned depth);

/*
 * A file that cannot be read may be passed over: nothing reads it by itself, and who includes it is
 * told that it is none. Editors leave such beside what they edit: links to nowhere that say who has
 * it open, copies of any length and of any mode.
 */
static bool may_be_missed(const char *name, int error)
{
	return name[0] == '.' || (error == -ENOENT && !policy_is_file_name(name));
}

/* what is called @name in the folder @on_disk */
static int read_entry(struct reading *r, const char *on_disk, const char *prefix, const char *name,
		      unsigned depth)
{
	AUTO_FREE char *from = NULL, *path = NULL, *text = NULL;
	struct stat st;
	size_t len = 0;
	int result;

	if (asprintf(&from, "%s/%s", on_disk, name) < 0) {
		from = NULL;
		return -ENOMEM;
	}
	if (stat(from, &st) < 0)
		result = -errno;
	else if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return 0;
	else if (asprintf(&path, "%s%s%s", prefix, name, S_ISDIR(st.st_mode) ? "/" : "") < 0)
		result = -ENOMEM;
	else if (S_ISDIR(st.st_mode))
		return depth == MAX_DEPTH ? -E2BIG : read_folder(r, from, path, depth + 1);
	else
		result = io_read_file(AT_FDCWD, from, MAX_FILE_LEN, &text, &len);
	if (result == 0)
		return add(r, &path, &text, len);
	/* an editor's file that was there for a moment; a link that leads nowhere is a fault */
	if (result == -ENOENT && lstat(from, &st) < 0)
		return 0;
	if (result != -ENOMEM && may_be_missed(name, result))
		return 0;
	if (!r->path)
		r->path = take_ptr(&from);
	return result;
}

static int read_folder(struct reading *r, const char *on_disk, const char *prefix, unsigned depth)
{
	AUTO_FREE char *path = NULL, *text = NULL;
	DIR *dir = opendir(on_disk);
	struct dirent *e;
	int result = 0;

	if (!dir) {
		result = -errno;
		r->path = r->path ? r->path : strdup(on_disk);
		return result;
	}
	if (prefix[0] != '\0') {
		path = strdup(prefix);
		result = path ? add(r, &path, &text, 0) : -ENOMEM;
	}
	while (result == 0 && (e = readdir(dir))) {
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			result = read_entry(r, on_disk, prefix, e->d_name, depth);
	}
	(void)closedir(dir);
	return result;
}

/* what is there more than once is the first folder's: @n were there before */
static void drop_hidden(struct reading *r, unsigned n)
{
	unsigned kept = n;

	for (unsigned i = n; i < r->n; i++)
		if (n == 0 || !bsearch(&r->files[i], r->files, n, sizeof(*r->files), compare))
			r->files[kept++] = r->files[i];
	r->n = kept;
}

/* all files below @folders, in order; the list is the ruleset's in any case */
static int take_folders(struct ruleset *s, const char *const *folders, struct policy_file **ret,
			unsigned *ret_n, char **ret_path)
{
	struct reading r = {.s = s};
	int result = -ENOENT;

	for (; *folders; folders++) {
		unsigned n = r.n;

		/* one that is not there holds nothing, as long as another one is */
		if (access(*folders, F_OK) < 0 && errno == ENOENT) {
			if (result < 0 && !r.path)
				r.path = strdup(*folders);
			continue;
		}
		free(take_ptr(&r.path));
		result = read_folder(&r, *folders, "", 0);
		if (result < 0)
			break;
		drop_hidden(&r, n);
		if (r.n > 0)
			qsort(r.files, r.n, sizeof(*r.files), compare);
	}
	*ret = r.files;
	*ret_n = r.n;
	*ret_path = r.path;
	return result;
}

/* what is over says nothing */
static int end_grants(struct ruleset *s)
{
	struct grant_now now;
	int r = grant_now(&now);

	for (unsigned i = 0; r == 0 && i < s->files.n_files; i++) {
		struct policy_file *f = &s->own[i];
		int64_t until = 0;

		switch (grant_state(f->text, f->len, &now, &until)) {
		case GRANT_NONE:
			break;
		case GRANT_HOLDS:
			if (s->until == 0 || until < s->until)
				s->until = until;
			break;
		case GRANT_OVER:
			f->text = "";
			f->len = 0;
			break;
		}
	}
	return r;
}

int ruleset_read(const char *const *folders, const char *legacy, struct ruleset *ret,
		 char **ret_path)
{
	const char *const legacy_folders[] = {legacy, NULL};
	static const struct policy_file none;
	int r;

	*ret = (struct ruleset){0};
	*ret_path = NULL;
	r = take_folders(ret, folders, &ret->own, &ret->files.n_files, ret_path);
	ret->files.files = ret->own;
	if (r == 0)
		r = end_grants(ret);
	if (r < 0 || !legacy || access(legacy, F_OK) < 0)
		return r;
	free(take_ptr(ret_path));
	r = take_folders(ret, legacy_folders, &ret->legacy, &ret->files.n_legacy, ret_path);
	ret->files.legacy = ret->legacy ? ret->legacy : &none;
	return r;
}

void ruleset_done(struct ruleset *s)
{
	for (size_t i = 0; i < s->n_owned; i++)
		free(s->owned[i]);
	free(s->owned);
	free(s->own);
	free(s->legacy);
	*s = (struct ruleset){0};
}

int ruleset_put(struct ruleset *s, const char *path, const char *text, size_t len)
{
	const struct policy_file file = {path, text, len};
	struct policy_file *files = s->own;
	unsigned n = s->files.n_files, i = 0;

	while (i < n && strcmp(files[i].path, path) < 0)
		i++;
	if (i < n && strcmp(files[i].path, path) == 0) {
		files[i] = file;
		return 0;
	}
	files = realloc(files, (n + 1) * sizeof(*files));
	if (!files)
		return -ENOMEM;
	memmove(files + i + 1, files + i, (n - i) * sizeof(*files));
	files[i] = file;
	s->own = files;
	s->files.files = files;
	s->files.n_files = n + 1;
	return 0;
}

int ruleset_compile(const struct ruleset *s, struct policy **ret, struct policy_error *error)
{
	AUTO_FREE void *room = NULL;
	const struct policy *p;
	size_t size;
	int r;

	r = policy_measure(&s->files, &size, error);
	if (r != 0)
		return r;
	room = malloc(size);
	if (!room)
		return -ENOMEM;
	r = policy_compile(&s->files, room, size, &p, error);
	if (r == 0)
		*ret = take_ptr(&room);
	return r;
}
