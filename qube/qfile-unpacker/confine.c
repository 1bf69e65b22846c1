/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The walls of qfile-unpacker. Whoever takes it over can make files, folders and links in the folder
 * of this sender, which the sender may do anyway, and ends at anything else. Namespaces and Landlock
 * keep it in that folder; where a machine lacks both, the names' check and openat2()'s are left.
 */
#include "confine.h"

#include "sandbox/sandbox.h"

/* clang-format off */
static const struct sandbox_call calls[] = {
	{"openat2"},		/* folders, and files without a name */
	{"newfstatat"},		/* is there something of a large file's name? */
	{"mkdirat"},		/* folders */
	{"symlinkat"},		/* links */
	{"linkat"},		/* a whole file gets its name */
	{"utimensat"},		/* times of all three */
	{"fchmod"},		/* folders: at their end */
	{"fstatfs"},		/* --wait-for-space */
	{"sync_file_range"},	/* large files begin to reach the disk while they come */
	{"syncfs"},		/* before the answer */
};
/* clang-format on */

/* streams, /proc/self/fd, the folder twice, the syncer, the folder used last, the one being opened, a file */
#define MAX_FDS 16

int confine(int *folder_fd)
{
	const struct sandbox s = {.calls = calls,
				  .n_calls = ARRAY_LEN(calls),
				  .max_fds = MAX_FDS,
				  .max_file = INT64_MAX,
				  .tree_fd = folder_fd};
	unsigned missing;

	/* what is missing is nothing that the sender, who reads our standard error, should know */
	return sandbox_enter(&s, &missing);
}
