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

/*
 * What is looked at in a rule to pass it over, next to that of the next rule of its service: most
 * rules are passed over, and it should not cost a walk through memory.
 */
struct probe {
	uint32_t rule, argument; /* as in the rule */
	uint32_t qube; /* its source, if that names a qube; POLICY_NONE: which is unknown */
	uint32_t set;  /* its source, if that is a set; else the empty one */
	uint32_t target_kind, target; /* its target: the kind, and the qube or set */
};
#define NO_QUBE (POLICY_NONE - 1) /* a probe's whose source is a set */

/* the first sets: none; the sources that "*", @anyvm and @adminvm stand for */
enum { SET_NONE, SET_ANY_SOURCE, SET_ANYVM_SOURCE, SET_ADMINVM_SOURCE, N_FIRST_SETS };

struct index_entry {
	uint32_t hash;
	uint32_t who;     /* 2 * qube + by_uuid; POLICY_NONE: free */
	const char *text; /* the name, or the uuid without "uuid:" */
};

/* Sets of qubes are bits of @n_words words, by the qubes' index; of the sets
 * of sources the bit behind the last qube is a source that is none of them.
 */
struct policy_view {
	const struct policy *p;
	const struct policy_qube *qubes;
	uint32_t n_qubes, n_words, dom0, n_sets, index_mask;
	struct slot *slots; /* by token */
	uint64_t *sets;     /* @n_sets of them */
	uint64_t *all, *not_admin, *templates, *internal, *running;
	uint64_t *names, *disposables; /* of the answer being given */
	struct probe *probes;          /* in the order of policy_order() */
	struct index_entry *index;     /* names and "uuid:..." */
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
