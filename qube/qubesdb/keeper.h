/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * The small parent of the confined daemon: it connects to dom0 when it is asked to, and tells the
 * world when the first dump is there. It parses nothing.
 */
#include "base/attr.h"

#include <sys/types.h>

/** KEEPER_CONNECT, KEEPER_READY - what the daemon asks for, one byte each */
#define KEEPER_CONNECT 'c'
#define KEEPER_READY   'r'

/** keeper_run() - serve the daemon @child on @sock; returns the exit code to end with */
int keeper_run(int sock, pid_t child, const char *ready_path);

/** keeper_notify() - tell systemd (if it started us) that @state, as in "READY=1" */
void keeper_notify(const char *state);
