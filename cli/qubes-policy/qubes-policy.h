/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* The commands of qubes-policy, one file each, and where policy and qubes come from. */
#include "args.h"
#include "policy/policy.h"

#include <jansson.h>

extern const struct command policy_eval, policy_explain;

/** struct tree - policy files in memory, as policy_measure() wants them */
struct tree {
	struct policy_files files;
	struct policy_file *own, *legacy; /* what @files leads to */
	char **owned;                     /* paths and texts, if they are not borrowed */
	size_t n_owned;
};

/**
 * tree_from_json() - files from objects {path: text}
 * @legacy:	those of an R4.0 folder; NULL = there is none
 *
 * The texts are borrowed from the objects. Return: 0; -EINVAL if they are no such objects; -ENOMEM.
 * @ret needs tree_done() in any case.
 */
MUST_CHECK int tree_from_json(json_t *files, json_t *legacy, struct tree *ret);
/**
 * tree_from_folders() - files from disk
 * @folder:	with all that is in it and below
 * @legacy:	the R4.0 folder, or NULL; if there is none in fact, there is none in @ret
 * @ret_path:	on a fault what it was about, for the caller to free; NULL = none
 *
 * Return: 0; -EFBIG for a file over 1 MiB, -E2BIG for more than 4,096 files or 16 folders one in
 * the other; -errno. @ret needs tree_done() in any case.
 */
MUST_CHECK int tree_from_folders(const char *folder, const char *legacy, struct tree *ret,
				 char **ret_path);
void tree_done(struct tree *t);

/**
 * tree_compile() - a policy on the heap
 *
 * Return: 0, and the caller frees @ret; as policy_compile(); -ENOMEM.
 */
MUST_CHECK int tree_compile(const struct tree *t, struct policy **ret, struct policy_error *error);

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
