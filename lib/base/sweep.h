/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* What a running qube leaves in the run directory (base/paths.h), removed. */
#include "base/attr.h"

/**
 * sweep_qube() - remove q/DOMID, qrexec.DOMID with the links that lead to it, qubesdb.NAME.sock
 * @run_dir:	paths.run
 * @name:	NULL: any socket in qubesdb/ that nobody answers on
 *
 * Should: be called when no process of the qube is left. What is not there is fine. Return: 0;
 * -errno of the first thing that could not be removed.
 */
MUST_CHECK int sweep_qube(const char *run_dir, unsigned domid, const char *name);
