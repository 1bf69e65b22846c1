/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* What a template's disposables are like, and how many of them are to wait: read from the model. */
#include "base/attr.h"

struct model;
struct qube;

/** RECIPE_LEN - hex digits */
#define RECIPE_LEN 16

/** recipe_of() - a checksum of all that a disposable made of @t now would be: into RECIPE_LEN + 1 bytes. What is in the volumes is not in it */
void recipe_of(const struct model *m, const struct qube *t, char *to);

/** PRELOAD_MOST - of one template */
#define PRELOAD_MOST 50

/** recipe_wanted() - how many of @t's are to wait: dom0's preload-dispvm-max if @t is the system's default_dispvm, else its own; none where
 * they are forked */
unsigned recipe_wanted(const struct model *m, const struct qube *t);
/** recipe_delay_s() - between the use of one and the next one's start; recipe_threshold_mib() - memory to be left free beside it */
uint64_t recipe_delay_s(const struct model *m, const struct qube *t);
uint64_t recipe_threshold_mib(const struct model *m);
