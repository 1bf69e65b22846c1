/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* The commands of qubes-policy, one file each, and where policy and qubes come from. */
#include "args.h"
#include "base/paths.h"
#include "policy/policy.h"
#include "ruleset/ruleset.h"

#include <jansson.h>

extern const struct command policy_eval, policy_explain, policy_log;

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

/* ---- load.c: of this instance, or of files; each says what is wrong and returns the exit code */

/** LEGACY_DIR - the R4.0 folder, if none is named */
#define LEGACY_DIR "/etc/qubes-rpc/policy"

/** system_load() - the qubes of the file @path; NULL = of this instance */
MUST_CHECK int system_load(const struct args *a, const char *path, struct system *ret);
/** policy_load() - the policy of @folder; NULL = of this instance. The caller frees @ret */
MUST_CHECK int policy_load(const struct args *a, const char *folder, const char *legacy,
			   struct policy **ret);
/** policy_fault() - say where a policy has one */
int policy_fault(const struct args *a, const struct policy_error *e);

/** struct instance_folders - where the policy of this instance is; the former's files hide others */
struct instance_folders {
	char runtime[PATHS_RUN_MAX + sizeof("/policy.d")], config[4096];
};
/** instance_folders() - 0; -errno: there is no instance */
MUST_CHECK int instance_folders(struct instance_folders *ret);

/** duration_parse() - "90s", "30m", "12h", "7d", at most ten years; 0; -EINVAL */
MUST_CHECK int duration_parse(const char *text, int64_t *ret_s);
