/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "gate.h"

#include "sandbox/sandbox.h"

int confine(void)
{
	return sandbox_enter_small();
}
