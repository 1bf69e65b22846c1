/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* The commands of qubes-policy, one file each, and where policy and qubes come from. */
#include "args.h"
#include "base/paths.h"
#include "policy/policy.h"
#include "ruleset/ruleset.h"

#include <jansson.h>

extern const struct command policy_decide_command, policy_edit, policy_eval, policy_explain,
	policy_grant, policy_lint, policy_log;

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

/** system_load() - the qubes of the file @path; NULL = of this instance */
MUST_CHECK int system_load(const struct args *a, const char *path, struct system *ret);
/** policy_load() - the policy of @folder; NULL = of this instance. The caller frees @ret */
MUST_CHECK int policy_load(const struct args *a, const char *folder, const char *legacy,
			   struct policy **ret);
/** struct lint_file - one as it would be: its @name among the policy's files */
struct lint_file {
	const char *name;
	char *text;
	size_t len;
};
/** policy_load_with() - the same with @files in it, each in the place of one of its name */
MUST_CHECK int policy_load_with(const struct args *a, const char *folder, const char *legacy,
				const struct lint_file *files, unsigned n_files,
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

/**
 * lint() - look for faults in the policy with @files in it
 * @folder:	as for policy_load(), @legacy too
 *
 * Return: 0; 1, and said what is wrong.
 */
MUST_CHECK int lint(const struct args *a, const char *folder, const char *legacy,
		    const struct lint_file *files, unsigned n_files, unsigned *ret_n_rules);

struct decision_request;
/**
 * policyd_ask() - policyd's answer to @q, as decision_answer_decode() wants it
 * @ret_text:	owned by the caller
 *
 * Return: 0; -ENOENT or -ECONNREFUSED: there is no policyd; -errno.
 */
MUST_CHECK int policyd_ask(const struct decision_request *q, char **ret_text, size_t *ret_len);

struct audit_entry;
/** log_each() - all decisions in this instance's log, in no order; without a log none */
void log_each(void (*fn)(void *data, const struct audit_entry *e), void *data);

/** diff_show() - what @new decides otherwise than @old; returns the exit code */
MUST_CHECK int diff_show(const struct args *a, const struct policy *old, const struct policy *new,
			 const struct system *s);
