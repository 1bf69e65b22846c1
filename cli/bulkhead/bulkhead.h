/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* The commands of bulkhead, one file each. */
#include "args.h"
#include "base/paths.h"

extern const struct command bulkhead_start, bulkhead_stop, bulkhead_status, bulkhead_doctor,
	bulkhead_exec;

/** daemon_answers() - qubesd of this instance answers a call */
bool daemon_answers(void);

/** prompt_start() - the session's prompt, where there is a display and none listens yet; 0; the exit code, and said why */
int prompt_start(const struct args *a, const struct paths *paths);
/** prompt_stop() - end it, if one listens */
void prompt_stop(const struct paths *paths);
bool prompt_listens(const struct paths *paths);
