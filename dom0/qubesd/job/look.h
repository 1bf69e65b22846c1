/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * A look at volumes, as the job "look" takes it; or qubesd itself, where it may (looks.c).
 *
 * In its request the key LOOK_KEY comes once for each volume; they are numbered from 0 in this order.
 */
#include "base/attr.h"
#include "job/request.h"

#define LOOK_KEY "look"

/** enum look_what - for what, added up */
enum look_what {
	LOOK_USAGE = 1,     /* seen "usage": bytes on disk */
	LOOK_OUTDATED = 2,  /* seen "outdated": its source has a newer revision; else nothing */
	LOOK_REVISIONS = 4, /* seen "revision" each, @text its id; or "damaged" */
};

/** look_fn - @volume: its number. What could not be looked at is not seen */
typedef void (*look_fn)(void *data, const char *seen, const char *text, uint64_t volume,
			uint64_t value);

/** look_put() - one more volume */
void look_put(struct request *r, const struct storage_volume *v, unsigned what);
/** look_each() - 0; -EINVAL: that is no such request */
MUST_CHECK int look_each(const struct request *r, look_fn fn, void *data);
