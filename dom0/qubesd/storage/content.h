/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Bytes that a volume is filled with, in order: those of a file, of a pipe, or of another volume. Zeros are
 * left out where they stand in whole blocks.
 */
#include "base/attr.h"

struct say;

#define CONTENT_BLOCK ((size_t)64 << 10)

/**
 * struct content - content_done()
 * @at:		how far it was read
 * @plain_fd:	a regular file whose first @size bytes are these, for file systems that share them; else NO_FD. Borrowed
 * @skip:	move @at over what is zeros for certain, to a whole number of blocks or the end; may be NULL
 * @read:	the block at @at, @len bytes of it
 * @finish:	called behind the last byte; may be NULL
 */
struct content {
	uint64_t size, at;
	int plain_fd;
	int (*skip)(struct content *c);
	int (*read)(struct content *c, void *to, size_t len);
	int (*finish)(struct content *c, const struct say *to);
	void (*done)(struct content *c);
	void (*progress)(void *, uint64_t);
	void *progress_data;
	/* of the reader */
	int fd;
	uint64_t start;
	void *own;
	uint64_t told;
	bool seeks, whole;
};

/**
 * content_of_fd() - what comes from @fd (borrowed) from where it stands
 * @size:	bytes; 0 = all there are, which a pipe cannot say
 * @whole:	there must be no more: STORAGE_E_SIZE
 */
MUST_CHECK int content_of_fd(struct content *c, int fd, uint64_t size, bool whole,
			     const struct say *to);
void content_done(struct content *c);

/**
 * content_copy() - hand each block that is not zeros to @put, in ascending order
 * @put:	the block at @at, padded with zeros to CONTENT_BLOCK bytes, of which the first @len count. 0 or -errno
 *
 * Return: 0; what @put returned; STORAGE_E_SIZE; -errno, with a sentence if it is about the source.
 */
MUST_CHECK int content_copy(struct content *c,
			    int (*put)(void *data, uint64_t at, const void *block, size_t len),
			    void *data, const struct say *to);
/** content_end() - after another way of copying: progress and what has to be at the end */
MUST_CHECK int content_end(struct content *c, const struct say *to);

/** content_put_fd() - a @put that writes to the descriptor *@data where it belongs */
MUST_CHECK int content_put_fd(void *data, uint64_t at, const void *block, size_t len);
