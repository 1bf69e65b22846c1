/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Which folders and files of root a user keeps in /rw: *.conf files with lines such as
 *
 *	binds+=( '/etc/ssh' "/var/lib/docker" )		adds
 *	binds=( )					starts anew, dropping what came before
 *
 * They look like shell, for Qubes' own are sourced by one, but here they are read, never run. Words
 * may be bare or quoted, a list may go over several lines, # begins a comment. A line that is
 * anything else is counted and passed over.
 */
#include "base/attr.h"

#define BINDS_MAX     256
#define BIND_PATH_MAX 255

/** struct binds - absolute, normal paths without a final '/', in order, each once */
struct binds {
	char paths[BINDS_MAX][BIND_PATH_MAX + 1];
	unsigned n;
	unsigned n_passed_over; /* lines and words that were not understood or not allowed */
};

/** binds_parse() - apply one file's @len bytes to @binds, which starts zeroed */
void binds_parse(struct binds *binds, const char *text, size_t len);
