/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Copies of files and folders with owner, mode, times and links, as `cp -a` makes them. */
#include "base/attr.h"

/**
 * tree_copy() - copy @from (file, link or folder with all below it) to the absent @to
 *
 * Sockets, fifos and device nodes are passed over. Stays on one file system. A copy that was cut
 * short is left: copy to a name of its own and rename. Return: 0; -errno.
 */
MUST_CHECK int tree_copy(const char *from, const char *to);
