/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* For the tests of confined programs: behind a program's own walls, one step aside is its end. */
#include "base/attr.h"

/**
 * aside_assert_list() - make every system call that this machine has, each in a child of its own behind the list that
 * @confine gives to the kernel
 * @confine:	the program's own function
 * @may:	names of calls beyond the base set that it may make with any arguments; NULL-terminated. Said again by the
 *		test, so that a list grows in two places. A call that it may make with some arguments alone is not
 *		here: the arguments tried are all ones
 *
 * The test fails, with its name, at the first that does not end with SIGSYS, or does though it may be made. Should: be
 * asked of programs that do not look at what confine() could not build.
 */
void aside_assert_list(int (*confine)(void), const char *const *may);

/** aside_assert() - the same of one that opens, connects and starts nothing: this is tried behind all of its walls, too */
void aside_assert(int (*confine)(void), const char *const *may);
