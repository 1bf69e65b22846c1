/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * A volume's folder: which files stand in it and what each rests on
 * (doc/decisions/0020-qcow2-revisions.md, 0063-reflink.md).
 *
 *	N.qcow2, N.img	committed revision N; it never changes. The suffix is the driver's
 *	N.drop		an empty file that says: revision N is being merged away. It is no revision any
 *			more, though others rest on it
 *	N.work		what a started (or crashed) save_on_stop volume writes; becomes revision N.
 * Valid only while N is above every committed revision
 *	live.qcow2	what a started snap_on_start or volatile volume writes; means nothing
 * afterwards
 *	*.tmp		unfinished; removed by the next change
 *
 * Where files cannot share blocks a clone has the same revisions under names of its own: a file with more than one
 * name is never written.
 *
 * Locks: on the folder (flock), shared to open a chain, exclusive to change which files there are.
 * On the first byte of a file (OFD locks, which can be asked about without being taken; QEMU's own
 * are on bytes 100 to 299), for reading by each chain that rests on it, for writing by the one that
 * writes it. QEMU gets these very open files, so they stay locked until the last process that runs
 * the qube is gone.
 */
#include "../driver.h"
#include "kind.h"

#include "base/attr.h"

#include <limits.h>

#define LIVE_NAME "live.qcow2"
#define LINK_NAME "link.tmp"
/** FILE_NAME_SIZE - room for the name of a revision or work file */
#define FILE_NAME_SIZE 24

/** struct file - one revision or work file */
struct file {
	unsigned number;
	bool work;
	bool dropped;     /* being merged away */
	int damaged;      /* outcome of its kind's head(); then the rest is unknown */
	unsigned backing; /* number of the revision it rests on; 0 = none */
	uint64_t size;
	int64_t time_s; /* of its last change: a revision's commit */
};

struct folder {
	const struct file_kind *kind;
	char path[PATH_MAX];
	int dir;
	struct file *files; /* by number; a work file behind the revision of its number */
	size_t n;
};

/** enum folder_lock */
enum folder_lock { FOLDER_QUICK, FOLDER_SHARED, FOLDER_EXCLUSIVE };

/**
 * folder_open() - open, lock (waiting) and list it; FOLDER_EXCLUSIVE also removes *.tmp and work
 * files that are behind a revision
 * @v:		for its pool and driver
 * @vid:	the volume: @v's own, or another of that pool
 *
 * Return: 0; STORAGE_E_ABSENT; -EINVAL for a @vid that leaves the pool; -errno.
 */
MUST_CHECK int folder_open(struct folder *f, const struct storage_volume *v, const char *vid,
			   enum folder_lock lock, const struct say *to);
void folder_done(struct folder *f);
/** folder_list() - list again after changes */
MUST_CHECK int folder_list(struct folder *f);
/** folder_sync() - make what was renamed and removed durable */
MUST_CHECK int folder_sync(const struct folder *f);

/** folder_newest() - the newest committed revision, or NULL */
struct file *folder_newest(const struct folder *f);
/** folder_work() - the valid work file, or NULL */
struct file *folder_work(const struct folder *f);
/** folder_revision() - the committed revision (also one being dropped) of @number, or NULL */
struct file *folder_revision(const struct folder *f, unsigned number);
/** folder_next() - a number above all files */
unsigned folder_next(const struct folder *f);

/** file_name() - @to holds FILE_NAME_SIZE bytes; returns it */
const char *file_name(const struct folder *f, char *to, unsigned number, bool work);

/**
 * folder_open_chain() - open @file and all it rests on, for reading, top first
 *
 * Each is locked as a part of a chain, and its tables are checked. Return: 0;
 * STORAGE_E_DAMAGED; STORAGE_E_IN_USE: one is being written; -E2BIG; -errno.
 */
MUST_CHECK int folder_open_chain(const struct folder *f, const struct file *file,
				 struct storage_chain *ret, const struct say *to);

/** folder_drop() - @file is no revision any more, durably */
MUST_CHECK int folder_drop(const struct folder *f, const struct file *file);
/** folder_undrop() - the mark is of no use any more: the file of that number is gone */
void folder_undrop(const struct folder *f, unsigned number);

/** folder_tmp() - a new empty file for what is to be renamed; @name holds FILE_NAME_SIZE bytes */
MUST_CHECK int folder_tmp(const struct folder *f, const char *name, int *ret_fd);
/** folder_commit() - make the file @tmp (open as @fd, complete) revision @number, durably */
MUST_CHECK int folder_commit(const struct folder *f, int fd, const char *tmp, unsigned number);

/** file_lock() - for reading or (@fd open for writing) writing. Return: 0; -EWOULDBLOCK; -errno */
MUST_CHECK int file_lock(int fd, bool writing);
/** file_is_locked() - somebody else's open file of it has a lock */
bool file_is_locked(int fd);
