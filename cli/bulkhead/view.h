/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * The file system with some names put in place: a mount namespace of this process, for itself and what it executes. The
 * machine sees nothing of it, and nothing of it is left when its last process has ended.
 *
 * A folder that gets a name becomes a small file system of its own in which every entry of the folder is mounted again; it
 * is read-only, for what was made there would be nobody's. What is made in that folder outside later on is not seen. All
 * else is as it is, below those entries too, and mounts that come later are.
 */
#include "base/attr.h"

#define VIEW_FOLDERS_MAX 8

/** struct view - @wrong: where view_put() and view_end() failed */
struct view {
	char folders[VIEW_FOLDERS_MAX][128];
	unsigned n;
	char wrong[512];
};

/**
 * view_begin() - into a mount namespace; who may not make one gets it with a user namespace, in which it is who it was
 *
 * Should: be called by a process without threads. Return: 0; -errno, of a kernel that lets nobody do this: -EPERM, -EACCES,
 * -ENOSPC, -ENOSYS, -EINVAL.
 */
MUST_CHECK int view_begin(struct view *v);
/**
 * view_put() - @name in @folder becomes a link to @target
 * @folder:	an absolute path without links, not the root; made if it is absent
 *
 * What has that name already is hidden. Return: 0; -errno.
 */
MUST_CHECK int view_put(struct view *v, const char *folder, const char *name, const char *target);
/** view_end() - nothing more is put */
MUST_CHECK int view_end(struct view *v);
