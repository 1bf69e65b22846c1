/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * A child of the receiver that has the file system written to the disk while files still come.
 *
 * The answer waits for all to be on the disk. Of many small files that is a fifth of the whole time if the
 * disk begins with it only then. The child promises nothing: what vouches for the disk is tree_sync(), which
 * finds less to do. It reads not a byte of the sender.
 */
#include "base/attr.h"

/** SYNCER_MS - so long its end is waited for: the answer is said by then, and does not depend on it */
#ifndef SYNCER_MS
#define SYNCER_MS 30000
#endif

/** struct syncer - @fd: NO_FD, or what leads to the child; @n_files, @n_bytes: come since it was told last */
struct syncer {
	int fd;
	unsigned n_files;
	uint64_t n_bytes;
};

/**
 * syncer_start() - before confine(); the child confines itself
 * @folder_fd:	in the file system; borrowed
 *
 * It holds none of our standard streams. Where there can be no child there is none, and all is slower.
 */
void syncer_start(struct syncer *s, int folder_fd);
/** syncer_add() - a file has come, @size bytes of which nothing was written to the disk yet */
void syncer_add(struct syncer *s, uint64_t size);
/**
 * syncer_done() - no more comes; waits until the child has let go of the file system
 *
 * Return: 0; -ETIMEDOUT: it has not, and will when the disk is done.
 */
MUST_CHECK int syncer_done(struct syncer *s);
