/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Where our own programs are: installed flat in one folder, or each in its own in the build tree. And
 * what comes with them.
 */
#include "base/attr.h"

/**
 * program_find() - the absolute path of one of dom0's programs
 * @name:	"qube-monitor", "vchand"...
 * @to:		room for the path; PATH_MAX is enough
 *
 * Looked for in $BULKHEAD_LIBEXEC if that is set, and nowhere else then; otherwise beside the
 * running program, then where the build tree has it. Return: 0; -ENOENT; -ENAMETOOLONG; -errno.
 */
MUST_CHECK int program_find(const char *name, char *to, size_t size);

/**
 * program_find_data() - the absolute path of a folder that is installed with the programs
 * @name:	"policy.d"
 *
 * In share/bulkhead beside libexec or bin, or at the top of the source tree that the build tree is
 * in. Return: as program_find().
 */
MUST_CHECK int program_find_data(const char *name, char *to, size_t size);

/**
 * program_find_folder() - the absolute path of a folder of programs that are installed with ours
 * @name:	"qubes-rpc"
 *
 * In $BULKHEAD_LIBEXEC if that is set, and nowhere else then; otherwise in libexec. The build tree has none.
 * Return: as program_find().
 */
MUST_CHECK int program_find_folder(const char *name, char *to, size_t size);
