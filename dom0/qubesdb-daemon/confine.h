/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "base/attr.h"

/**
 * confine() - keep what serving needs, for good: see sandbox_enter()
 * @name:	of the qube, for log lines
 * @uid:	user and group to become as root; 0 = stay
 */
MUST_CHECK int confine(const char *name, uid_t uid);
