/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "base/attr.h"

/** struct confine_qemu - @program: QEMU's path; @niceness: as text */
struct confine_qemu {
	const char *program, *niceness;
};

/** confine_qemu() - walls of QEMU; for spawn(), in the child, @data is a struct confine_qemu */
int confine_qemu(void *data);

/**
 * confine_monitor() - give up what neither we nor any child of ours needs
 *
 * Should: be called before anything is started, so that the children have it too. Return: 0;
 * -errno.
 */
MUST_CHECK int confine_monitor(void);
