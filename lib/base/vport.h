/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* virtio-serial ports of this machine, by the name that its host gave them. */
#include "base/attr.h"

/**
 * vport_open() - open the port called @name, close-on-exec and without blocking
 *
 * The links in /dev/virtio-ports/ are udev's; without it the names are in sysfs. Return: 0; -ENOENT there is none (yet);
 * -EBUSY somebody has it open; -errno.
 */
MUST_CHECK int vport_open(const char *name, int *ret_fd);
