/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Policy files on their way to the library, which wants them all at once and in order. */
#include "qubes-policy.h"

#include <string.h>

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
	struct tree AUTO(tree_done) t = {0};
	int r;

	if (!json_is_object(files) || (legacy && !json_is_object(legacy)))
		return -EINVAL;
	r = take_object(files, &t.own, &t.files.n_files);
	if (r == 0 && legacy)
		r = take_object(legacy, &t.legacy, &t.files.n_legacy);
	if (r < 0)
		return r;
	t.files.files = t.own;
	t.files.legacy = t.legacy;
	*ret = t;
	t = (struct tree){0};
	return 0;
}

void tree_done(struct tree *t)
{
	free(t->own);
	free(t->legacy);
	free(t->text);
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
