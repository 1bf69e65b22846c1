/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * When the person's keys and clicks are meant for the question: pure, time comes in.
 *
 * A window that appears while somebody types or clicks must not take that for an answer. So the
 * guard is closed until the window is on the screen and has had the focus for GUARD_MS in which no
 * key or button came. Losing the focus closes it again.
 */
#include "base/attr.h"

#define GUARD_MS 500

/** struct guard - zeroed: not on the screen, closed */
struct guard {
	bool mapped, focused;
	uint64_t quiet_since_ms;
};

void guard_map(struct guard *g, uint64_t now_ms);
void guard_focus(struct guard *g, bool focused, uint64_t now_ms);
/** guard_input() - a key or button; Return: it is meant for us. Else it begins the wait anew */
MUST_CHECK bool guard_input(struct guard *g, uint64_t now_ms);
/** guard_is_open() - what the person does now counts */
bool guard_is_open(const struct guard *g, uint64_t now_ms);
