/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Programs that a start runs and waits for. */
#include "base/attr.h"

/**
 * program_run() - run a program to its end
 * @argv:	NULL-terminated; argv[0] is looked for as execvp() does
 * @timeout_ms:	0 = no limit; after it the program goes on alone
 * @ret_status:	its exit code; 128 + the signal that ended it
 *
 * Return: 0; -ETIMEDOUT; -ENOENT it is not installed; -errno.
 */
MUST_CHECK int program_run(char *const argv[], unsigned timeout_ms, int *ret_status);
