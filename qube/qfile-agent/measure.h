/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* A walk's visitor that sends nothing: how much there is, and whether a receiver will take it. The
 * walk's context is a struct measure. */
#include "walk.h"

/** struct measure - @size: bytes of files; @all_shown: names and targets need no permission */
struct measure {
	uint64_t size;
	bool all_shown;
};

/** measure_visitor - ends the walk with FILECOPY_E_LINK at a link that no receiver takes unasked */
extern const struct walk_visitor measure_visitor;
