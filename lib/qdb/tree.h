/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * The entries of one qube's database, in the order of their paths; who owns each; what the qube may
 * change and how much it may hold. No I/O.
 *
 * Who may write what is a rule about entries: what dom0 wrote is dom0's, and the qube may change it
 * only where it is asked to report (qdb_tree_is_report()). What the qube wrote is charged to it,
 * and dom0 may take it over by writing it. doc/protocol/qubesdb.md has the whole of it.
 */
#include "base/attr.h"
#include "proto/qubesdb.h"

/** QDB_ENTRY_COST - bytes charged for an entry besides its path and value */
#define QDB_ENTRY_COST 128
/** QDB_QUBE_ENTRIES, QDB_QUBE_BYTES - the quota of a qube */
#define QDB_QUBE_ENTRIES 2000
#define QDB_QUBE_BYTES   (4u << 20)

enum qdb_owner { QDB_DOM0, QDB_QUBE };

/** enum qdb_tree_outcome */
enum qdb_tree_outcome {
	QDB_T_NOENT = 1, /* nothing there to remove */
	QDB_T_OWNER,     /* it is dom0's, and the qube may not change it */
	QDB_T_QUOTA,     /* the qube holds too much already */
};

/**
 * struct qdb_entry - one entry, as seen from outside; valid until the tree changes
 * @path, @value:	NUL-terminated
 */
struct qdb_entry {
	const char *path, *value;
	size_t path_len, value_len;
	enum qdb_owner owner;
};

struct qdb_tree;

/**
 * qdb_tree_new() - an empty tree
 * @seed:	anything a qube cannot know: the tree's shape follows from it
 * @max_entries, @max_bytes: what QDB_QUBE may hold
 */
MUST_CHECK int qdb_tree_new(uint64_t seed, size_t max_entries, size_t max_bytes,
			    struct qdb_tree **ret);
void qdb_tree_free(struct qdb_tree *t);

/** qdb_tree_get() - the entry of that key, or NULL */
const struct qdb_entry *qdb_tree_get(const struct qdb_tree *t, const char *path, size_t path_len);

/** qdb_tree_first(), qdb_tree_next() - entries whose path begins with @prefix, in order; NULL at
 * the end */
const struct qdb_entry *qdb_tree_first(const struct qdb_tree *t, const char *prefix,
				       size_t prefix_len);
const struct qdb_entry *qdb_tree_next(const struct qdb_entry *e, const char *prefix,
				      size_t prefix_len);

/**
 * qdb_tree_set() - write an entry
 * @who:	who writes; becomes its owner, except that a report stays dom0's
 * @path:	a key (qdb_key_ok())
 * @value:	a value (qdb_value_ok())
 *
 * Return: 0; QDB_T_OWNER, QDB_T_QUOTA and nothing changed; -ENOMEM.
 */
MUST_CHECK int qdb_tree_set(struct qdb_tree *t, enum qdb_owner who, const char *path,
			    size_t path_len, const void *value, size_t value_len);

/**
 * qdb_tree_remove() - remove a key, or all below a subtree
 * @removed:	called for each entry just before it goes; may be NULL; must not change the tree
 *
 * Return: 0; QDB_T_NOENT; QDB_T_OWNER and nothing changed.
 */
MUST_CHECK int qdb_tree_remove(struct qdb_tree *t, enum qdb_owner who, const char *path,
			       size_t path_len,
			       void (*removed)(void *data, const struct qdb_entry *e), void *data);

size_t qdb_tree_n_entries(const struct qdb_tree *t);

/** qdb_tree_is_report() - a key that a qube may change although dom0 made it */
bool qdb_tree_is_report(const char *path, size_t path_len);

/** qdb_path_matches() - does @pattern (a key, or a subtree with '/' at its end) mean @path? */
bool qdb_path_matches(const char *pattern, size_t pattern_len, const char *path, size_t path_len);
