/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A skip list: ordered, so that a prefix is one search and a walk; cheap to insert into in any
 * order; short enough to be read. Each node stands in as many of the lists as its height, drawn
 * from a generator the qube cannot see, so that no choice of keys makes it a line.
 */
#include "qdb/tree.h"

#include "base/str.h"

#include <string.h>

#define MAX_HEIGHT 12 /* 4^12 entries before searches lengthen */

struct node {
	struct qdb_entry entry; /* first: an entry is its node */
	char *value;
	unsigned height;
	struct node *next[]; /* @height of them, then the path */
};

struct qdb_tree {
	struct node *head[MAX_HEIGHT];
	uint64_t random;
	size_t n_entries;
	size_t n_qube, qube_bytes;  /* charged to the qube */
	size_t max_qube, max_bytes; /* what it may hold */
};

int qdb_tree_new(uint64_t seed, size_t max_entries, size_t max_bytes, struct qdb_tree **ret)
{
	struct qdb_tree *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->random = seed | 1; /* xorshift stays at zero for ever */
	t->max_qube = max_entries;
	t->max_bytes = max_bytes;
	*ret = t;
	return 0;
}

static void node_free(struct node *n)
{
	free(n->value);
	free(n);
}

void qdb_tree_free(struct qdb_tree *t)
{
	if (!t)
		return;
	for (struct node *n = t->head[0]; n;) {
		struct node *next = n->next[0];

		node_free(n);
		n = next;
	}
	free(t);
}

static unsigned draw_height(struct qdb_tree *t)
{
	unsigned height = 1;
	uint64_t x = t->random;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	t->random = x;
	for (x >>= 16; height < MAX_HEIGHT && (x & 3) == 0; x >>= 2)
		height++;
	return height;
}

static int compare(const struct node *n, const char *path, size_t path_len)
{
	size_t common = n->entry.path_len < path_len ? n->entry.path_len : path_len;
	int r = memcmp(n->entry.path, path, common);

	if (r != 0)
		return r;
	return n->entry.path_len < path_len ? -1 : n->entry.path_len > path_len;
}

/* the links that lead to the first node not before @path; returns that node */
static struct node *search(struct qdb_tree *t, const char *path, size_t path_len,
			   struct node **links[MAX_HEIGHT])
{
	struct node **at = t->head;

	for (unsigned level = MAX_HEIGHT; level-- > 0;) {
		while (at[level] && compare(at[level], path, path_len) < 0)
			at = at[level]->next;
		links[level] = &at[level];
	}
	return *links[0];
}

static bool node_is(const struct node *n, const char *path, size_t path_len)
{
	return n && compare(n, path, path_len) == 0;
}

const struct qdb_entry *qdb_tree_get(const struct qdb_tree *t, const char *path, size_t path_len)
{
	struct node **links[MAX_HEIGHT];
	struct node *n = search((struct qdb_tree *)t, path, path_len, links);

	return node_is(n, path, path_len) ? &n->entry : NULL;
}

static const struct qdb_entry *with_prefix(const struct node *n, const char *prefix,
					   size_t prefix_len)
{
	if (!n || n->entry.path_len < prefix_len)
		return NULL;
	return memcmp(n->entry.path, prefix, prefix_len) == 0 ? &n->entry : NULL;
}

const struct qdb_entry *qdb_tree_first(const struct qdb_tree *t, const char *prefix,
				       size_t prefix_len)
{
	struct node **links[MAX_HEIGHT];

	return with_prefix(search((struct qdb_tree *)t, prefix, prefix_len, links), prefix,
			   prefix_len);
}

const struct qdb_entry *qdb_tree_next(const struct qdb_entry *e, const char *prefix,
				      size_t prefix_len)
{
	return with_prefix(((const struct node *)e)->next[0], prefix, prefix_len);
}

static size_t cost(size_t path_len, size_t value_len)
{
	return QDB_ENTRY_COST + path_len + value_len;
}

static void charge(struct qdb_tree *t, const struct qdb_entry *e)
{
	if (e->owner != QDB_QUBE)
		return;
	t->n_qube++;
	t->qube_bytes += cost(e->path_len, e->value_len);
}

static void uncharge(struct qdb_tree *t, const struct qdb_entry *e)
{
	if (e->owner != QDB_QUBE)
		return;
	t->n_qube--;
	t->qube_bytes -= cost(e->path_len, e->value_len);
}

static int may_set(const struct qdb_tree *t, enum qdb_owner who, const struct qdb_entry *old,
		   size_t path_len, size_t value_len)
{
	size_t n = t->n_qube + 1, bytes = t->qube_bytes + cost(path_len, value_len);

	if (who == QDB_DOM0)
		return 0;
	if (old && old->owner == QDB_DOM0)
		return qdb_tree_is_report(old->path, old->path_len) ? 0 : QDB_T_OWNER;
	if (old) {
		n--;
		bytes -= cost(old->path_len, old->value_len);
	}
	return n > t->max_qube || bytes > t->max_bytes ? QDB_T_QUOTA : 0;
}

static char *copy_value(const void *value, size_t value_len)
{
	char *copy = malloc(value_len + 1);

	if (!copy)
		return NULL;
	if (value_len > 0)
		memcpy(copy, value, value_len);
	copy[value_len] = '\0';
	return copy;
}

static struct node *node_new(unsigned height, const char *path, size_t path_len)
{
	const size_t links = height * sizeof(struct node *);
	struct node *n = calloc(1, sizeof(*n) + links + path_len + 1);
	char *own_path;

	if (!n)
		return NULL;
	own_path = (char *)n->next + links;
	memcpy(own_path, path, path_len);
	n->height = height;
	n->entry.path = own_path;
	n->entry.path_len = path_len;
	return n;
}

int qdb_tree_set(struct qdb_tree *t, enum qdb_owner who, const char *path, size_t path_len,
		 const void *value, size_t value_len)
{
	struct node **links[MAX_HEIGHT];
	struct node *n = search(t, path, path_len, links);
	const bool there = node_is(n, path, path_len);
	AUTO_FREE char *copy = NULL;
	int r = may_set(t, who, there ? &n->entry : NULL, path_len, value_len);

	if (r != 0)
		return r;
	copy = copy_value(value, value_len);
	if (!copy)
		return -ENOMEM;
	if (there) {
		uncharge(t, &n->entry);
		if (who == QDB_DOM0)
			n->entry.owner = QDB_DOM0;
	} else {
		n = node_new(draw_height(t), path, path_len);
		if (!n)
			return -ENOMEM;
		n->entry.owner = who;
		for (unsigned i = 0; i < n->height; i++) {
			n->next[i] = *links[i];
			*links[i] = n;
		}
		t->n_entries++;
	}
	free(n->value);
	n->value = take_ptr(&copy);
	n->entry.value = n->value;
	n->entry.value_len = value_len;
	charge(t, &n->entry);
	return 0;
}

/* takes out the node that all of @links lead to, which stay good for the one behind it */
static void unlink_node(struct qdb_tree *t, struct node *n, struct node **links[MAX_HEIGHT])
{
	for (unsigned i = 0; i < n->height; i++)
		*links[i] = n->next[i];
	uncharge(t, &n->entry);
	t->n_entries--;
	node_free(n);
}

static bool may_remove(enum qdb_owner who, const struct qdb_entry *e)
{
	return who == QDB_DOM0 || e->owner == QDB_QUBE || qdb_tree_is_report(e->path, e->path_len);
}

int qdb_tree_remove(struct qdb_tree *t, enum qdb_owner who, const char *path, size_t path_len,
		    void (*removed)(void *data, const struct qdb_entry *e), void *data)
{
	const bool subtree = path_len > 0 && path[path_len - 1] == '/';
	struct node **links[MAX_HEIGHT];
	struct node *n = search(t, path, path_len, links);

	if (subtree ? !with_prefix(n, path, path_len) : !node_is(n, path, path_len))
		return QDB_T_NOENT;
	for (const struct qdb_entry *e = &n->entry; e; e = qdb_tree_next(e, path, path_len)) {
		if (!may_remove(who, e))
			return QDB_T_OWNER;
		if (!subtree)
			break;
	}
	do {
		if (removed)
			removed(data, &n->entry);
		unlink_node(t, n, links);
		n = *links[0];
	} while (subtree && with_prefix(n, path, path_len));
	return 0;
}

size_t qdb_tree_n_entries(const struct qdb_tree *t)
{
	return t->n_entries;
}

bool qdb_tree_is_report(const char *path, size_t path_len)
{
	/* the seed is not reported but used up: a start removes it once the kernel has it */
	static const char *const reports[] = {"/qubes-block-devices", "/qubes-usb-devices",
					      "/qubes-random-seed"};

	for (size_t i = 0; i < ARRAY_LEN(reports); i++) {
		const size_t n = strlen(reports[i]);

		if (path_len >= n && memcmp(path, reports[i], n) == 0 &&
		    (path_len == n || path[n] == '/'))
			return true;
	}
	return false;
}

bool qdb_path_matches(const char *pattern, size_t pattern_len, const char *path, size_t path_len)
{
	if (pattern_len > path_len || memcmp(pattern, path, pattern_len) != 0)
		return false;
	return path_len == pattern_len || (pattern_len > 0 && pattern[pattern_len - 1] == '/');
}
