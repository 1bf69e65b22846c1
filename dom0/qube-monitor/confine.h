/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "base/attr.h"

/** confine_qemu() - walls of QEMU; for spawn(), in the child, @program is its path */
int confine_qemu(void *program);

/**
 * confine_monitor() - give up what neither we nor any child of ours needs
 *
 * Should: be called before anything is started, so that the children have it too. Return: 0;
 * -errno.
 */
MUST_CHECK int confine_monitor(void);
