/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* The commands of bulkhead, one file each. */
#include "args.h"

extern const struct command bulkhead_start, bulkhead_stop, bulkhead_status, bulkhead_doctor,
	bulkhead_exec;

/** daemon_answers() - qubesd of this instance answers a call */
bool daemon_answers(void);
