/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Decisions in the journal, read as lines of doc/protocol/audit.md. */
#include "base/attr.h"

struct sd_journal;

/**
 * journal_open() - the decisions that the journal holds
 * @instance:	of the one with this state directory alone; NULL = of all
 * @ret:	closed by the caller
 *
 * Return: 0; -errno.
 */
MUST_CHECK int journal_open(const char *instance, struct sd_journal **ret);
void journal_close(struct sd_journal **j);
/**
 * journal_read() - what has come since the last time, one line after the other
 * @max:	at most so many bytes: of more the oldest are left out
 * @ret:	owned by the caller
 *
 * Return: 0; -ENOMEM; what sd_journal_next() says.
 */
MUST_CHECK int journal_read(struct sd_journal *j, size_t max, char **ret, size_t *ret_len);
