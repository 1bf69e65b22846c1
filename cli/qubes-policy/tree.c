/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Policy files on their way to the library, which wants them all at once and in order. */
#include "qubes-policy.h"

#include "base/io.h"

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

static int take_object(json_t *object, struct policy_file **ret, unsigned *ret_n)
{
	size_t n = json_object_size(object);
	AUTO_FREE struct policy_file *files = calloc(n + 1, sizeof(*files));
	const char *path;
	json_t *text;

	if (!files)
		return -ENOMEM;
	n = 0;
	json_object_foreach(object, path, text)
	{
		if (!json_is_string(text))
			return -EINVAL;
		files[n++] = (struct policy_file){path, json_string_value(text),
						  json_string_length(text)};
	}
	qsort(files, n, sizeof(*files), compare);
	*ret_n = (unsigned)n;
	*ret = take_ptr(&files);
	return 0;
}

int tree_from_json(json_t *files, json_t *legacy, struct tree *ret)
{
	int r;

	*ret = (struct tree){0};
	if (!json_is_object(files) || (legacy && !json_is_object(legacy)))
		return -EINVAL;
	r = take_object(files, &ret->own, &ret->files.n_files);
	if (r == 0 && legacy)
		r = take_object(legacy, &ret->legacy, &ret->files.n_legacy);
	ret->files.files = ret->own;
	ret->files.legacy = ret->legacy;
	return r;
}

/* one of the two lists of a tree while it is read */
struct reading {
	struct tree *t;
	struct policy_file *files;
	unsigned n;
	char *path; /* of what went wrong */
};

/* *@path and *@text become the tree's; *@text may be NULL, for a folder */
static int add(struct reading *r, char **path, char **text, size_t len)
{
	struct tree *t = r->t;
	struct policy_file *files;
	char **owned;

	if (r->n == MAX_FILES)
		return -E2BIG;
	owned = realloc(t->owned, (t->n_owned + 2) * sizeof(*owned));
	if (!owned)
		return -ENOMEM;
	t->owned = owned;
	files = realloc(r->files, (r->n + 1) * sizeof(*files));
	if (!files)
		return -ENOMEM;
	r->files = files;
	r->files[r->n++] = (struct policy_file){*path, *text ? *text : "", len};
	t->owned[t->n_owned++] = take_ptr(path);
	t->owned[t->n_owned++] = take_ptr(text);
	return 0;
}

static int read_folder(struct reading *r, const char *on_disk, const char *prefix, unsigned depth);

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

/* the files below @folder, in order; the list is the tree's in any case */
static int take_folder(struct tree *t, const char *folder, struct policy_file **ret,
		       unsigned *ret_n, char **ret_path)
{
	struct reading r = {.t = t};
	int result = read_folder(&r, folder, "", 0);

	if (r.n > 0)
		qsort(r.files, r.n, sizeof(*r.files), compare);
	*ret = r.files;
	*ret_n = r.n;
	*ret_path = r.path;
	return result;
}

int tree_from_folders(const char *folder, const char *legacy, struct tree *ret, char **ret_path)
{
	static const struct policy_file none;
	int r;

	*ret = (struct tree){0};
	*ret_path = NULL;
	r = take_folder(ret, folder, &ret->own, &ret->files.n_files, ret_path);
	ret->files.files = ret->own;
	if (r < 0 || !legacy || access(legacy, F_OK) < 0)
		return r;
	r = take_folder(ret, legacy, &ret->legacy, &ret->files.n_legacy, ret_path);
	ret->files.legacy = ret->legacy ? ret->legacy : &none;
	return r;
}

void tree_done(struct tree *t)
{
	for (size_t i = 0; i < t->n_owned; i++)
		free(t->owned[i]);
	free(t->owned);
	free(t->own);
	free(t->legacy);
	*t = (struct tree){0};
}

int tree_compile(const struct tree *t, struct policy **ret, struct policy_error *error)
{
	AUTO_FREE void *room = NULL;
	const struct policy *p;
	size_t size;
	int r;

	r = policy_measure(&t->files, &size, error);
	if (r != 0)
		return r;
	room = malloc(size);
	if (!room)
		return -ENOMEM;
	r = policy_compile(&t->files, room, size, &p, error);
	if (r == 0)
		*ret = take_ptr(&room);
	return r;
}
