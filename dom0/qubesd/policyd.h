/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * qrexec-policyd, which decides calls: started, told what the qubes are, started again when it
 * ends. doc/protocol/picture.md is what is said.
 *
 * The socket for questions is ours for as long as we run, so questions wait while one policyd
 * follows another. A policyd ends with us.
 */
#include "base/attr.h"

struct call;
struct qubesd;

/** policyd_begin() - after the store is there; one that cannot be started is tried again */
MUST_CHECK int policyd_begin(struct qubesd *d);
/** policyd_end() - qubesd ends */
void policyd_end(struct qubesd *d);

/**
 * policyd_tell() - what has changed, at once and not at the end of the turn
 *
 * Should: come before an event about it: who hears that may ask policyd about it, which takes in what it is told before it looks at
 * questions.
 */
void policyd_tell(struct qubesd *d);

/**
 * policyd_holds() - tell policyd what has changed, and keep @c until it knows
 * @r:	the call's result, for call_finish() then
 *
 * Return: false if there is nothing to wait for.
 */
bool policyd_holds(struct qubesd *d, struct call *c, int r);
