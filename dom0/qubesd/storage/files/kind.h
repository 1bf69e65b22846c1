/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * What differs between drivers that keep a volume in a folder of files (folder.h): what stands in a file, and
 * how one is made from another. The rest, which files there are and when which name changes, is the same
 * for all of them.
 *
 * Results of the hooks: 0; an outcome of proto/qcow2.h (the file is damaged); -errno.
 */
#include "../storage.h"

#include "base/attr.h"

struct content;
struct say;

/** struct file_below - the committed revision that a new file is to read as; borrowed */
struct file_below {
	const char *name; /* below the folder */
	int fd;           /* open for reading */
};

/**
 * struct file_kind
 * @suffix:	of committed revisions, with its dot
 * @what:	a file of it, for sentences: "a sound WHAT"
 * @layered:	a file may rest on others of its volume. Else each is whole
 */
struct file_kind {
	const char *suffix, *what;
	enum storage_format format;
	bool layered;
	/* the disk's size, and the name of the file it rests on ("" = none); @backing holds QCOW2_MAX_BACKING + 1 */
	int (*head)(int fd, uint64_t *ret_size, char *backing);
	/* is it sound? @whole: however long that takes */
	int (*check)(int fd, bool whole);
	/* make the new, empty @fd a disk of @size bytes that reads as @below (NULL: as zeros); not synced */
	int (*create)(int fd, uint64_t size, const struct file_below *below);
	/* make the disk larger; not synced */
	int (*grow)(int fd, uint64_t size);
	/* whether nothing was written to it since create() with @below_fd; NO_FD: since create() without one */
	int (*is_untouched)(int fd, int below_fd, bool *ret);
	/* make the new, empty @fd a disk of @size bytes that holds @from; synced */
	int (*fill)(int fd, struct content *from, uint64_t size, const struct say *to);
	/* Of layered ones only. merge: put what @top_fd holds into @base_fd, which it rests on: image_merge(). flatten: write
	 * what the chain reads as into the new @fd; synced */
	int (*merge)(int base_fd, int top_fd, bool *ret_top_damaged);
	int (*flatten)(const struct storage_chain *c, int fd);
};
