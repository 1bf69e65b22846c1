/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * The volatile volume, empty at each start and dropped after: swap. Scratch space is /tmp, a tmpfs,
 * which moves there what memory does not hold; so nothing has to be formatted at a start.
 */
#include "base/attr.h"

#define VOLATILE_DEVICE "/dev/vdc"

/** volatile_use() - swap on it; 0; -ENOENT there is no such disk; -errno */
MUST_CHECK int volatile_use(const char *device);
