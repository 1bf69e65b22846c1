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

/**
 * aside_check_all() - make every system call that this machine has, each in a child of its own
 * behind the list that @confine gives to the kernel
 * @may:	names of calls beyond the base set that it may make with any arguments; NULL-terminated. Said again by the
 *		test, so that a list grows in two places. A call that it may make with some arguments alone is not
 *		here: the arguments tried are all ones
 *
 * Should: be asked of programs that do not look at what confine() could not build.
 *
 * Return: NULL if it ends with SIGSYS at every other one, and at none of these; else the name of the first that is not
 * so.
 */
const char *aside_check_all(int (*confine)(void), const char *const *may);
