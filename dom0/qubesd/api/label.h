/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Labels, for those that make some without having been asked to by admin.label.Create. */
#include "base/attr.h"

struct model;
struct refusal;

/**
 * label_may_create() - may there be a new label @name?
 * @color:	"0xRRGGBB"
 * @ret_i:	its index, which is free
 *
 * Return: 0; REFUSED.
 */
MUST_CHECK int label_may_create(const struct model *m, const char *name, const char *color,
				unsigned *ret_i, uint32_t *ret_color, struct refusal *why);
