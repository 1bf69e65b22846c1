/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "base/attr.h"

/** confine() - keep what serving needs, for good: see sandbox_enter() */
MUST_CHECK int confine(void);
