/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* A child's end as an event of the loop. No SIGCHLD handling is needed: the pidfd tells. */
#include "loop/spawn.h"

#include <systemd/sd-event.h>

/** child_fn - the child ended and has been collected; the source is off and may be unreffed */
typedef void (*child_fn)(void *data, const struct child_end *end);

struct child;

/**
 * child_new() - follow a child
 * @pidfd:	taken, on success
 * @ret:	owned by the caller; child_free() may be called in @fn
 */
MUST_CHECK int child_new(sd_event *event, int pidfd, child_fn fn, void *data, struct child **ret);
/** child_free() - stop following; a child that still runs goes on */
void child_free(struct child *c);
/** child_get_pidfd() - NO_FD for NULL */
int child_get_pidfd(const struct child *c);
