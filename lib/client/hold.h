/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * A disposable that lives as long as its struct hold: a call of bulkhead.vm.Disposable whose
 * connection stays open (doc/protocol/admin.md). When hold_free() closes it, or this process ends
 * in any way, qubesd kills the disposable and removes it.
 *
 * Nothing waits. A qubesd that was started anew is told again who holds the disposable.
 */
#include "base/attr.h"

enum hold_state {
	HOLD_STARTING,
	HOLD_RUNNING, /* it has a name */
	HOLD_ENDED,   /* or never ran: hold_why() */
};

struct hold;

/**
 * hold_new() - wish for a disposable
 * @socket:	path of qubesd.sock; NULL = this instance's
 * @source:	the qube it is for, or "dom0"
 * @template:	what it is made from, or "dom0": the default_dispvm of @source
 *
 * Return: 0; -ENOENT or -ECONNREFUSED when qubesd is not running; -EINVAL for names that are none;
 * -errno.
 */
MUST_CHECK int hold_new(const char *socket, const char *source, const char *template,
			struct hold **ret);
void hold_free(struct hold *h);
/** hold_fd() - to poll for POLLIN; NO_FD while there is no qubesd */
int hold_fd(const struct hold *h);
/** hold_timeout_ms() - until hold_turn() has something to do anyway; -1 = never */
int hold_timeout_ms(const struct hold *h);
/** hold_turn() - go on; cheap when there is nothing to do */
enum hold_state hold_turn(struct hold *h);

/** hold_name(), hold_uuid() - borrowed; empty before HOLD_RUNNING, kept afterwards */
const char *hold_name(const struct hold *h);
const char *hold_uuid(const struct hold *h);
/** hold_why() - a sentence, of HOLD_ENDED */
const char *hold_why(const struct hold *h);
