/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Qubes that are not halted: starting, running, stopping. */
#include "base/attr.h"

struct qube;

/** power_state_name() - "Halted", "Running"... */
const char *power_state_name(const struct qube *q);
/** power_memory_kib() - what a running qube uses; 0 for one that does not run */
uint64_t power_memory_kib(const struct qube *q);
