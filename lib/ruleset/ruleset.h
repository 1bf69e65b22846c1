/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * The policy's files: read from their folders, put in order, compiled. lib/policy, which is pure,
 * wants them all at once.
 */
#include "policy/policy.h"

/** RULESET_LEGACY_DIR - the R4.0 folder, if none is named */
#define RULESET_LEGACY_DIR "/etc/qubes-rpc/policy"

/** struct ruleset - policy files in memory, as policy_measure() wants them */
struct ruleset {
	struct policy_files files;
	struct policy_file *own, *legacy; /* what @files leads to */
	char **owned;                     /* paths and texts, if they are not borrowed */
	size_t n_owned;
	int64_t until; /* when the first grant ends, by grant_now(); 0 = none holds */
};

/**
 * ruleset_read() - files from disk
 * @folders:	NULL-terminated; all that is in them and below, as if it were one folder. What two of
 *		them have is the former one's. Those that do not exist are passed over, if one does
 * @legacy:	the R4.0 folder, or NULL; if there is none in fact, there is none in @ret
 * @ret_path:	on a fault what it was about, for the caller to free; NULL = none
 *
 * Grants that are over (ruleset/grant.h) are there without text. Files that nothing reads but
 * an include, and that cannot be read, are not there: those whose names begin with a dot, and links
 * to nowhere but *.policy. Return: 0; -ENOENT if none of @folders exists; -EFBIG for a file over 1 MiB, -E2BIG for more than
 * 4,096 files or 16 folders one in the other; -errno. @ret needs ruleset_done() in any case.
 */
MUST_CHECK int ruleset_read(const char *const *folders, const char *legacy, struct ruleset *ret,
			    char **ret_path);
void ruleset_done(struct ruleset *s);
/**
 * ruleset_put() - a file as it would be: in the place of the one with that path, or among them
 * @text:	@len bytes, borrowed
 *
 * Return: 0; -ENOMEM.
 */
MUST_CHECK int ruleset_put(struct ruleset *s, const char *path, const char *text, size_t len);

/**
 * ruleset_compile() - a policy on the heap
 *
 * Return: 0, and the caller frees @ret; as policy_compile(); -ENOMEM.
 */
MUST_CHECK int ruleset_compile(const struct ruleset *s, struct policy **ret,
			       struct policy_error *error);
