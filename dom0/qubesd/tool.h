/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * A tool of the user's that qubesd starts itself: a client of ours like any other, for work that is a client's. It ends with
 * us.
 */
#include "base/attr.h"
#include "loop/child.h"

struct qubesd;

/**
 * tool_start() - start a command of qvm's
 * @argv:	"qvm-run" and its arguments, ends with NULL
 * @in:		what it reads, borrowed; what it says, which may be a qube's, is not kept then. NO_FD: it has our streams
 *
 * Return: 0; -ENOENT: the tools are not installed; -errno.
 */
MUST_CHECK int tool_start(const struct qubesd *d, const char *const *argv, int in, child_fn fn,
			  void *data, struct child **ret);
/** tool_kill() - end it unheard; NULL is fine */
void tool_kill(struct child *c);
