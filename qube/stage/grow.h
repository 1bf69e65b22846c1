/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* A file system that is smaller than its disk: dom0 has made the volume larger while the qube did not run. */
#include "base/attr.h"

/**
 * grow_mounted() - the ext4 of @device, mounted at @place, becomes as large as the disk
 *
 * The kernel does it, while it is used. One that records errors is left alone, as it is by the kernel.
 * Return: 0, also if there is nothing to grow; -EUCLEAN: it records errors; -ENODATA: no ext4 is there; -errno.
 */
MUST_CHECK int grow_mounted(const char *device, const char *place);
