/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * The small parent of a daemon that was started by hand: it makes what the confined daemon asks
 * for, from a fixed table, until the daemon is gone, and then removes what is left. It is nobody's
 * child, so that whoever started the daemon sees one process.
 */
#include "base/attr.h"

/**
 * struct parent - what the answers are made from; borrowed until parent_start() returns
 * @up_fd:	gets one byte when the agent is there the first time; NO_FD = nobody waits. Closed
 * in the caller
 * @log_fd:	where the broker's words go; NO_FD = standard error as it is
 */
struct parent {
	const char *vchan_dir, *qrexec_dir, *name, *uuid;
	const char *policy_program, *policy_socket; /* for the broker; NULL = as it finds it */
	unsigned domid;
	int seats_fd; /* the parent's own: for each broker */
	int up_fd;
	int log_fd;
};

/** parent_start() - 0 with the daemon's end of the questions in @ret_ask_fd; -errno */
MUST_CHECK int parent_start(const struct parent *p, int *ret_ask_fd);
