/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* From what the store knows of a volume to what a storage driver wants to know. */
#include "base/attr.h"

#include "storage/storage.h"
#include "store/model.h"

struct qubesd;

/** struct volume_place - memory behind a struct storage_volume */
struct volume_place {
	char pool_dir[4096];
};

/** volume_pool_dir() - where a pool's volumes are; -ENOENT no such pool, -ENAMETOOLONG */
MUST_CHECK int volume_pool_dir(const struct qubesd *d, const char *pool, char *to, size_t size);

/**
 * volume_pool_is_near() - it is in the instance's own folder, on the file system of the store: without an answer from that
 * qubesd could do nothing anyway. Any other one is looked at by jobs only
 */
bool volume_pool_is_near(const struct qubesd *d, const char *pool);
/** volume_dir_is_within() - @dir is @other, or below it; both whole and without links */
bool volume_dir_is_within(const char *dir, const char *other);
/** volume_for_storage() - false if @q has no such volume */
bool volume_for_storage(const struct qubesd *d, const struct qube *q, enum disk disk,
			struct volume_place *place, struct storage_volume *ret);

/** volume_finish() - at start: an import, clone or resize that was cut off. The volume holds what it held
 * before, or (a clone, a resize) that is done again */
MUST_CHECK int volume_finish(struct qubesd *d, const struct operation *op);
