/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * The directory of vchan sockets (doc/protocol/vchan.md): which servers are there, and which come
 * and go. Ids are those of the paths.
 */
#include "base/attr.h"
#include "carry/carry.h"

/** PLACES_SELF - a qube's name for itself in paths */
#define PLACES_SELF 32752

struct places;

/**
 * struct places_hooks
 * @server:	a server whose SERVER is our own id came or went; said again after a lost event
 * @stale:	a socket whose SERVER is another's: met by the first look only, a predecessor's
 * proxy
 */
struct places_hooks {
	void *data;
	void (*server)(void *data, const struct vmux_where *path, bool there);
	void (*stale)(void *data, const struct vmux_where *path);
};

/**
 * places_new() - watch the directory @dir_fd (taken on success)
 * @own:	our id in paths
 *
 * Needs /proc now; later only reads what it holds open. Without any inotify left for the user it looks again and again,
 * and says what it finds up to 100 ms late. Return: 0; -errno.
 */
MUST_CHECK int places_new(int *dir_fd, unsigned own, const struct places_hooks *hooks,
			  struct places **ret);
/** places_start() - look at what is there, then follow changes in @c's loop */
MUST_CHECK int places_start(struct places *p, struct carry *c);

/** places_look() - say every server of ours again */
void places_look(struct places *p);

/** places_parse() - "vchan.SERVER.CLIENT.PORT.sock". Return: 0; -EINVAL */
MUST_CHECK int places_parse(const char *name, struct vmux_where *ret);
