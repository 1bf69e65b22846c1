/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "guard.h"

void guard_map(struct guard *g, uint64_t now_ms)
{
	g->mapped = true;
	g->quiet_since_ms = now_ms;
}

void guard_focus(struct guard *g, bool focused, uint64_t now_ms)
{
	g->focused = focused;
	g->quiet_since_ms = now_ms;
}

bool guard_is_open(const struct guard *g, uint64_t now_ms)
{
	return g->mapped && g->focused && now_ms - g->quiet_since_ms >= GUARD_MS;
}

bool guard_input(struct guard *g, uint64_t now_ms)
{
	if (guard_is_open(g, now_ms))
		return true;
	g->quiet_since_ms = now_ms;
	return false;
}
