/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * What the database starts with, and what it would start with again.
 *
 * The file (doc/protocol/qubesdb.md, "Initial entries") is filled by whoever starts us and kept up
 * to date by us, if it is one that can be: a memfd survives our death in our parent's hands.
 */
#include "base/attr.h"
#include "qdb/tree.h"

#include <sys/types.h>

struct journal {
	int fd; /* NO_FD: nothing is kept */
	off_t len;
	off_t compact_at; /* when it is this long, it is written anew */
};

/**
 * journal_load() - fill @t from the descriptor, and keep it for journal_note() if it can be written
 * @fd:		taken; NO_FD = begin empty and keep nothing
 *
 * A last record that was cut by our death is ignored. Return: 0; -EPROTO for anything else that is
 * no record; -EFBIG; -errno.
 */
MUST_CHECK int journal_load(struct journal *j, int *fd, struct qdb_tree *t);
void journal_done(struct journal *j);

/** journal_note() - an entry is now as @e says, or gone; failing to note is not worth dying for */
void journal_note(struct journal *j, const struct qdb_tree *t, const struct qdb_entry *e,
		  bool gone);
