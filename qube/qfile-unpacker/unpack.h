/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* One transfer, from its first header to the answer. */
#include "stream.h"
#include "syncer.h"
#include "tree.h"

/**
 * struct unpack - @allow: enum filecopy_allow; @verbose: name each file on standard error; @waits:
 * before each file for its size and @spare bytes of space. The rest begins with zeros.
 */
struct unpack {
	struct stream in;
	struct tree tree;
	struct syncer syncer;
	unsigned allow;
	bool verbose, waits;
	uint64_t spare;
	size_t last_len; /* of the name, without its NUL */
	char last[FILECOPY_NAME_MAX + 1];
	char target[FILECOPY_NAME_MAX + 1];
};

/**
 * unpack_run() - receive all, and answer on @answer_fd
 *
 * Return: 0; 1: the transfer failed and the answer says why; -errno: not even the answer arrived.
 */
MUST_CHECK int unpack_run(struct unpack *u, int answer_fd);
