/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* The walls that sandbox_enter() puts up, one file each. Not for programs: they call
 * sandbox_enter(). */
#include "sandbox/sandbox.h"

/**
 * walls_unshare_privileged() - empty namespaces by privilege we already have (CAP_SYS_ADMIN)
 * @tree_fd:	NULL, or a folder whose descriptor becomes one of a mount of its own
 *
 * Return: 0; -EPERM when we lack it and nothing was done; -errno.
 */
MUST_CHECK int walls_unshare_privileged(bool empty_root, int *tree_fd);

/** walls_unshare_user() - empty namespaces below a user namespace of our own; 0 or -errno */
MUST_CHECK int walls_unshare_user(bool empty_root, int *tree_fd);

/** walls_drop_capabilities() - all of them, in whatever user namespace we are */
MUST_CHECK int walls_drop_capabilities(void);

/** walls_landlock() - nothing but reading @read_paths, and making things below @tree_fd if it is
 * not NO_FD; 0; -ENOSYS without Landlock; -errno */
MUST_CHECK int walls_landlock(const char *const *read_paths, int tree_fd);

/** walls_sanitized - a sanitizer's run time shares this process: its shadow memory knows no limit
 */
extern const bool walls_sanitized;

/** walls_seccomp() - only the base set and @calls from here on; 0 or -errno */
MUST_CHECK int walls_seccomp(const struct sandbox_call *calls, size_t n_calls);
