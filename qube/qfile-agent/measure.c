/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "measure.h"

#include <fcntl.h>

static int name_measure(struct walk *w, unsigned *ret_depth)
{
	struct measure *m = w->context;
	int r = filecopy_name_check(w->name, w->name_len + 1, 0, ret_depth);

	if (r == FILECOPY_E_NAME) {
		m->all_shown = false;
		r = filecopy_name_check(w->name, w->name_len + 1, FILECOPY_ALL_NAMES, ret_depth);
	}
	return r;
}

static int file_measure(struct walk *w, int at, const char *leaf)
{
	struct measure *m = w->context;
	struct stat st;
	unsigned depth;

	if (fstatat(at, leaf, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_errno();
	m->size += (uint64_t)st.st_size;
	return name_measure(w, &depth);
}

static int link_measure(struct walk *w, int at, const char *leaf)
{
	char target[FILECOPY_NAME_MAX + 1];
	struct measure *m = w->context;
	unsigned depth = 0;
	ssize_t n = readlinkat(at, leaf, target, sizeof(target));
	int r;

	if (n < 0)
		return fail_errno();
	r = name_measure(w, &depth);
	if (r != 0)
		return r;
	r = filecopy_link_check(depth, target, (size_t)n, 0);
	if (r == FILECOPY_E_NAME) {
		m->all_shown = false;
		r = filecopy_link_check(depth, target, (size_t)n, FILECOPY_ALL_NAMES);
	}
	return r;
}

static int folder_measure(struct walk *w, const struct stat *st)
{
	unsigned depth;

	(void)st;
	return name_measure(w, &depth);
}

const struct walk_visitor measure_visitor = {
	.file = file_measure,
	.link = link_measure,
	.folder = folder_measure,
};
