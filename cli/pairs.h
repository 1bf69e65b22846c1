/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* "key=value" lines, the form in which qubesd tells of one thing (a volume, a pool, itself). */
#include "base/attr.h"

/** pairs_get() - the value of @key in @to, which is returned; "" if there is none or no room */
const char *pairs_get(const char *lines, const char *key, char *to, size_t size);
/** pairs_put() - print all, as aligned columns or as a JSON object */
void pairs_put(const char *lines, bool json);
