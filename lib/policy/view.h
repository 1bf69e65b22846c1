/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* The policy for the qubes there are; private to lib/policy. */
#include "policy/table.h"

#include <string.h>

/* what a token means now: a qube (kinds with a name) or a set of qubes (types and tags) */
struct slot {
	uint32_t qube; /* POLICY_NONE: there is no such qube */
	uint32_t set;
	bool by_uuid;
};

/* Sets of qubes are bits of @n_words words, by the qubes' index. */
struct policy_view {
	const struct policy *p;
	const struct policy_qube *qubes;
	uint32_t n_qubes, n_words, dom0, n_sets, index_mask;
	struct slot *slots; /* by token */
	uint64_t *sets;     /* @n_sets of them */
	uint64_t *all, *not_admin, *templates, *internal, *running;
	uint64_t *names, *disposables; /* of the answer being given */
	uint32_t *index;               /* hash of names and of "uuid:..."; 2 * qube + by_uuid */
};

static inline bool set_has(const uint64_t *set, uint32_t i)
{
	return set[i / 64] >> i % 64 & 1;
}

static inline void set_add(uint64_t *set, uint32_t i)
{
	set[i / 64] |= (uint64_t)1 << i % 64;
}

static inline const uint64_t *view_set(const struct policy_view *v, uint32_t set)
{
	return v->sets + (size_t)set * v->n_words;
}

/** view_find() - the qube of this name or "uuid:...", or POLICY_NONE; @ret_by_uuid may be NULL */
uint32_t view_find(const struct policy_view *v, const char *text, bool *ret_by_uuid);
