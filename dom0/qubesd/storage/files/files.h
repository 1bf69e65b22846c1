/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* storage.h for drivers whose volumes are folders of files (kind.h); ../driver.h has the contracts. */
#include "../driver.h"

#include "base/attr.h"

/* clang-format off */
MUST_CHECK int files_create(const struct storage_volume *v, struct content *from, const struct say *to);
MUST_CHECK int files_remove(const struct storage_volume *v, const struct say *to);
MUST_CHECK int files_start(const struct storage_volume *v, struct storage_chain *ret, const struct say *to);
MUST_CHECK int files_open_source(const struct storage_volume *v, struct storage_chain *ret, const struct say *to);
MUST_CHECK int files_open_committed(const struct storage_volume *v, struct storage_chain *ret, const struct say *to);
MUST_CHECK int files_stop(const struct storage_volume *v, bool clean, const struct say *to);
MUST_CHECK int files_import(const struct storage_volume *v, struct content *from, uint64_t disk, const struct say *to);
MUST_CHECK int files_clone(const struct storage_volume *v, const struct storage_volume *from, const struct say *to);
MUST_CHECK int files_resize(const struct storage_volume *v, uint64_t size, const struct say *to);
MUST_CHECK int files_revert(const struct storage_volume *v, const char *revision, const struct say *to);
MUST_CHECK int files_revisions(const struct storage_volume *v, struct storage_revision *ret, unsigned *ret_n);
MUST_CHECK int files_usage(const struct storage_volume *v, uint64_t *ret);
MUST_CHECK int files_is_outdated(const struct storage_volume *v, bool *ret);
MUST_CHECK int files_check(const struct storage_volume *v, bool mend, storage_check_fn fn, void *data,
			   uint64_t *ret_size, const struct say *to);
MUST_CHECK int files_pool_usage(const char *pool_dir, struct storage_room *ret);

/* the part of a struct storage_driver that is the same for all of them */
#define FILES_DRIVER                                                                               \
	.create = files_create, .remove = files_remove, .start = files_start,                      \
	.open_source = files_open_source, .open_committed = files_open_committed,                  \
	.stop = files_stop, .import = files_import, .clone = files_clone, .resize = files_resize,  \
	.revert = files_revert, .revisions = files_revisions, .usage = files_usage,                \
	.is_outdated = files_is_outdated, .check = files_check, .pool_usage = files_pool_usage
/* clang-format on */
