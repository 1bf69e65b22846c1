/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* For the tests of confined daemons: behind a daemon's own walls, one step aside is its end. */
#include "base/attr.h"

/**
 * aside_check() - try each forbidden step in a child behind the walls
 * @confine:	the daemon's own function
 *
 * Return: NULL if all is as it must be; else what did not end with SIGSYS, or that standing still
 * did not go well.
 */
const char *aside_check(int (*confine)(void));
