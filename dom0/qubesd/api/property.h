/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Setting a property in the name of a call, for methods that have another name for it. */
#include "base/attr.h"

struct call;
struct property;
struct qube;

/**
 * property_set() - with its events, what follows from it, and the running qube told
 * @q:		NULL = the system
 * @raw:	checked; NULL = back to the default
 *
 * Return: as a handler.
 */
MUST_CHECK int property_set(struct call *c, struct qube *q, const struct property *p,
			    const char *raw);
