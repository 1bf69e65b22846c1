/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * The folder that files land in, and what is made below it.
 *
 * Each step of a name is looked up below the one before, and no link is followed on the way, those
 * that the sender made included. Nothing that exists is changed but folders' modes and times.
 */
#include "proto/filecopy.h"

#include <limits.h>

/**
 * struct tree - @fd: the folder itself; @proc_fd: /proc/self/fd, by which an unnamed file gets its
 * name where it cannot be linked itself (@by_number). Both borrowed. @sync_fd: the
 * folder, opened again for tree_sync(). @parent*: the folder that was used last, kept open.
 */
struct tree {
	int fd, proc_fd;
	bool by_number;
	int sync_fd, parent_fd;
	size_t parent_len;
	char parent[FILECOPY_NAME_MAX];
};

/** tree_init() - 0; -errno. From here on no failure to write is missed by tree_sync(), whoever else syncs */
MUST_CHECK int tree_init(struct tree *t, int fd, int proc_fd);
void tree_done(struct tree *t);

/* Names are as filecopy_name_check() passed them. All of these return 0 or -errno. */

/** tree_file_open() - a file without a name, in the folder where it will have one; -EEXIST: it is
 * large, and there is something of that name already */
MUST_CHECK int tree_file_open(struct tree *t, const char *name, const struct filecopy_entry *e,
			      int *ret_fd);
/** tree_file_link() - it is whole: give it its times and its name, in one step of the file system */
MUST_CHECK int tree_file_link(struct tree *t, const char *name, const struct filecopy_entry *e,
			      int fd);
/** tree_folder() - make it, for us alone; one that exists gets its mode and times */
MUST_CHECK int tree_folder(struct tree *t, const char *name, const struct filecopy_entry *e);
MUST_CHECK int tree_link(struct tree *t, const char *name, const struct filecopy_entry *e,
			 const char *target);
/** tree_wait() - until the file system has @size bytes to spare, however long that takes */
MUST_CHECK int tree_wait(struct tree *t, uint64_t size);
/** tree_sync() - what was made is on the disk */
MUST_CHECK int tree_sync(struct tree *t);
