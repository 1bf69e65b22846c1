/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* What a new instance begins with. */
#include "base/attr.h"
#include "base/paths.h"

/**
 * defaults_install() - a policy for an instance that has none: a copy, which is the user's to change
 *
 * All of it or nothing. Return: 0; -ENOENT if none is installed with us; -errno.
 */
MUST_CHECK int defaults_install(const struct paths *p);
