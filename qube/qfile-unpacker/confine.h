/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "base/attr.h"

/**
 * confine() - keep standard streams, /proc/self/fd and one folder
 * @folder_fd:	replaced as in struct sandbox (sandbox/sandbox.h)
 *
 * Return: 0; -errno, and then the program must exit.
 */
MUST_CHECK int confine(int *folder_fd);
