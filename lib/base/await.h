/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Waiting for what another program makes. */
#include "base/attr.h"

/**
 * path_await() - wait until there is something at @path
 * @timeout_ms:	-1: for ever
 *
 * Its folder is made if it is not there, and watched unless @path is there already. Return: 0; -ETIMEDOUT; -EINVAL: not an absolute path; -errno.
 */
MUST_CHECK int path_await(const char *path, int timeout_ms);
