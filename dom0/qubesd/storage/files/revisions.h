/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Which revisions a volume keeps, and how the others go away.
 *
 * The newest revision and the `keep` numbers below it stay. A file that is not kept is removed
 * once nothing rests on it; while exactly one other revision does, that one is merged down into it
 * and the result takes that one's name. A file that a running qube has open is never written, nor one that is a clone's, too: it
 * stays until a later call. If chains grow too long meanwhile, the newest revision is rewritten
 * without a backing file (who has the old one open goes on with it).
 */
#include "folder.h"

/** REVISIONS_MAX_CHAIN - files that a committed revision may consist of: a work file or a
 * snap_on_start volume's on top, and room for a merge that has to wait */
#define REVISIONS_MAX_CHAIN (STORAGE_MAX_CHAIN - 2)

/**
 * revisions_tidy() - bring @f, locked exclusively, down to @keep old revisions where possible
 *
 * What cannot be done now (in use, disk full, damaged files) is left as it is. Safe to kill at any
 * point. Return: 0, also if something was left; STORAGE_E_FULL, STORAGE_E_DAMAGED; -errno.
 */
MUST_CHECK int revisions_tidy(struct folder *f, int keep, const struct say *to);

/**
 * revisions_shorten() - tidy @f, locked exclusively, if its newest revision consists of too many
 * files (stops were cut off again and again before they tidied up)
 *
 * What fails is left: whether the chain can be used after all shows when it is opened.
 */
void revisions_shorten(struct folder *f, int keep);
/** revisions_too_long() - there is something for revisions_shorten() to do */
bool revisions_too_long(const struct folder *f);

/** revisions_is_kept() - @file is listed as an old state of the volume */
bool revisions_is_kept(const struct folder *f, const struct file *file, int keep);
