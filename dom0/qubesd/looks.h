/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * What volumes are like on disk: how much they take, what one can go back to.
 *
 * A few volumes in the instance's own folder are looked at at once: the store is on the same file system, so it is not asked
 * more than each commit asks. Any other, and many, are looked at by a job: their file system may be one that does not
 * answer, and many would be too much for a turn of the loop.
 */
#include "base/attr.h"

#include "job/look.h"
#include "store/model.h"

struct call;
struct looks;

/** looks_fn - all is looked at, or what could not be is not: has to end @c. @l is freed afterwards */
typedef void (*looks_fn)(struct call *c, struct looks *l, void *data);

/** looks_new() - NULL: no memory; ends in looks_go() or looks_free() */
struct looks *looks_new(struct call *c, looks_fn fn, void *data);
void looks_free(struct looks *l);
/** looks_add() - for @what (enum look_what, added up) at a volume of @q; one that it does not have is not seen */
void looks_add(struct looks *l, const struct qube *q, enum disk disk, unsigned what);
/** looks_to_the_end() - something follows from it, whether who called still waits or not; else it is over when they leave */
void looks_to_the_end(struct looks *l);
/**
 * looks_go() - look, which takes @l; the call may have been ended by then
 *
 * Return: CALL_LATER; REFUSED, or -errno, and nobody is called.
 */
MUST_CHECK int looks_go(struct looks *l);

/** looks_usage() - bytes on disk of @q's volume; false: it could not be looked at. Quick if asked in the order of looks_add() */
bool looks_usage(struct looks *l, const struct qube *q, enum disk disk, uint64_t *ret);
/** looks_unanswered() - why not all was looked at, a sentence; NULL: it was */
const char *looks_unanswered(const struct looks *l);
/** looks_outdated(), looks_damaged(), looks_revisions() - of the only volume; one line each */
bool looks_outdated(const struct looks *l);
bool looks_damaged(const struct looks *l);
const struct text *looks_revisions(const struct looks *l);
