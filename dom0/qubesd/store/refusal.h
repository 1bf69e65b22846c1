/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Why a request is refused: an exception's type and a sentence for a person. An outcome, no fault.
 */
#include "base/attr.h"

/** enum refused - what functions return that filled a refusal */
enum refused { REFUSED = 1 };

struct refusal {
	char type[64];
	char text[768]; /* cut if longer */
};

/** refuse() - fill @why; returns REFUSED, so that callers can return it */
int refuse(struct refusal *why, const char *type, const char *format, ...) PRINTF_LIKE(3, 4);
