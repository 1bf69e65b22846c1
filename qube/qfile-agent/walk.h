/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Through files and folders that the user named, in the order in which they are sent. */
#include "proto/filecopy.h"

#include <sys/stat.h>

struct walk;

/**
 * struct walk_visitor - what happens to each; @w->name says which it is, 0 goes on, else the walk
 * ends with that result
 * @file:	@leaf in folder @at is a regular file
 * @link:	it is a symbolic link
 * @folder:	before what is in it, and again behind that
 */
struct walk_visitor {
	int (*file)(struct walk *w, int at, const char *leaf);
	int (*link)(struct walk *w, int at, const char *leaf);
	int (*folder)(struct walk *w, const struct stat *st);
};

/**
 * struct walk - @name: of @name_len bytes and a NUL, as the receiver shall know it; @context: the
 * visitor's; @passed_over: how many things were neither file, folder nor link
 */
struct walk {
	const struct walk_visitor *visitor;
	void *context;
	bool ignore_links;
	unsigned n_passed_over;
	size_t name_len;
	char name[FILECOPY_NAME_MAX + 1];
};

/**
 * walk_path() - all of it
 *
 * Its name is the last part of @path; of one that ends in "." or "..", the name of that folder.
 *
 * Return: 0; -EINVAL: it has no name; -ENAMETOOLONG; -errno; what the visitor returned. @w->name is
 * then what it is about.
 */
MUST_CHECK int walk_path(struct walk *w, const char *path);
