/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* The commands of qubes-policy, one file each, and where policy and qubes come from. */
#include "args.h"
#include "policy/policy.h"
#include "ruleset/ruleset.h"

#include <jansson.h>

extern const struct command policy_eval, policy_explain;

/**
 * ruleset_from_json() - files from objects {path: text}
 * @legacy:	those of an R4.0 folder; NULL = there is none
 *
 * The texts are borrowed from the objects. Return: 0; -EINVAL if they are no such objects; -ENOMEM.
 * @ret needs ruleset_done() in any case.
 */
MUST_CHECK int ruleset_from_json(json_t *files, json_t *legacy, struct ruleset *ret);

/** struct system - the qubes, as policy_view_make() wants them; borrows from @json, which it owns */
struct system {
	json_t *json;
	struct policy_qube *qubes;
	unsigned n_qubes;
	const char **tags; /* of all qubes */
};

/**
 * system_from_json() - from what internal.GetSystemInfo answers
 * @json:	taken, in any case
 *
 * Return: 0; -EINVAL if it is something else; -ENOMEM.
 */
MUST_CHECK int system_from_json(json_t *json, struct system *ret);
void system_done(struct system *s);

/** view_new() - the policy for these qubes, on the heap; as policy_view_make(), -ENOMEM */
MUST_CHECK int view_new(const struct policy *p, const struct system *s, struct policy_view **ret);
