/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "qdb/tree.h"

static struct qdb_tree *new_tree(size_t max_entries, size_t max_bytes)
{
	struct qdb_tree *t;

	assert_int_equal(qdb_tree_new(12345, max_entries, max_bytes, &t), 0);
	return t;
}

static int set(struct qdb_tree *t, enum qdb_owner who, const char *path, const char *value)
{
	return qdb_tree_set(t, who, path, strlen(path), value, strlen(value));
}

static int rm(struct qdb_tree *t, enum qdb_owner who, const char *path)
{
	return qdb_tree_remove(t, who, path, strlen(path), NULL, NULL);
}

static const char *get(const struct qdb_tree *t, const char *path)
{
	const struct qdb_entry *e = qdb_tree_get(t, path, strlen(path));

	return e ? e->value : "(none)";
}

static const char *list(const struct qdb_tree *t, const char *prefix)
{
	static char text[4096];
	const size_t n = strlen(prefix);
	const struct qdb_entry *e;
	size_t len = 0;

	text[0] = '\0';
	for (e = qdb_tree_first(t, prefix, n); e; e = qdb_tree_next(e, prefix, n)) {
		assert_int_equal(str_format(text + len, sizeof(text) - len, "%s ", e->path), 0);
		len += strlen(text + len);
	}
	return text;
}

static void entries_stand_in_order(void **state)
{
	struct qdb_tree *t = new_tree(10, 10000);

	(void)state;
	assert_int_equal(set(t, QDB_DOM0, "/b", "2"), 0);
	assert_int_equal(set(t, QDB_DOM0, "/a/c", "3"), 0);
	assert_int_equal(set(t, QDB_DOM0, "/a", "1"), 0);
	assert_int_equal(set(t, QDB_DOM0, "/a/b", ""), 0);
	assert_int_equal(set(t, QDB_DOM0, "/ab", "4"), 0);
	assert_int_equal(set(t, QDB_DOM0, "/b", "two"), 0);
	assert_int_equal(qdb_tree_n_entries(t), 5);
	assert_string_equal(list(t, ""), "/a /a/b /a/c /ab /b ");
	assert_string_equal(list(t, "/a"), "/a /a/b /a/c /ab ");
	assert_string_equal(list(t, "/a/"), "/a/b /a/c ");
	assert_string_equal(list(t, "/a/bb"), "");
	assert_string_equal(list(t, "/c"), "");
	assert_string_equal(get(t, "/b"), "two");
	assert_string_equal(get(t, "/a/b"), "");
	assert_string_equal(get(t, "/a/"), "(none)");
	assert_int_equal(rm(t, QDB_DOM0, "/a/"), 0);
	assert_string_equal(list(t, ""), "/a /ab /b ");
	assert_int_equal(rm(t, QDB_DOM0, "/a/"), QDB_T_NOENT);
	assert_int_equal(rm(t, QDB_DOM0, "/a"), 0);
	assert_int_equal(rm(t, QDB_DOM0, "/a"), QDB_T_NOENT);
	assert_int_equal(rm(t, QDB_DOM0, "/"), 0);
	assert_int_equal(qdb_tree_n_entries(t), 0);
	qdb_tree_free(t);
}

static void who_may_change_what(void **state)
{
	static const struct {
		const char *path; /* an entry that dom0 wrote */
		int set, rm;      /* what the qube's change of it meets */
	} rows[] = {
		{"/name", QDB_T_OWNER, QDB_T_OWNER},
		{"/qubes-block-devices", 0, 0},
		{"/qubes-block-devices/sda/desc", 0, 0},
		{"/qubes-usb-devices", 0, 0},
		{"/qubes-random-seed", 0, 0},
		{"/qubes-block-devicesx", QDB_T_OWNER, QDB_T_OWNER},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct qdb_tree *t = new_tree(10, 10000);

		assert_int_equal(set(t, QDB_DOM0, rows[i].path, "dom0"), 0);
		assert_int_equal(set(t, QDB_QUBE, rows[i].path, "qube"), rows[i].set);
		assert_string_equal(get(t, rows[i].path), rows[i].set ? "dom0" : "qube");
		assert_int_equal(rm(t, QDB_QUBE, rows[i].path), rows[i].rm);
		assert_string_equal(get(t, rows[i].path), rows[i].rm ? "dom0" : "(none)");
		qdb_tree_free(t);
	}
}

static void dom0_takes_over_what_it_writes(void **state)
{
	struct qdb_tree *t = new_tree(1, 10000);

	(void)state;
	assert_int_equal(set(t, QDB_QUBE, "/x/mine", "1"), 0);
	assert_int_equal(set(t, QDB_QUBE, "/y", "1"), QDB_T_QUOTA);
	assert_int_equal(set(t, QDB_DOM0, "/x/mine", "2"), 0);
	assert_int_equal(set(t, QDB_QUBE, "/x/mine", "3"), QDB_T_OWNER);
	assert_int_equal(set(t, QDB_QUBE, "/x/a", "1"), 0); /* its charge came back */
	/* a subtree with one entry of dom0's stays as a whole */
	assert_int_equal(rm(t, QDB_QUBE, "/x/"), QDB_T_OWNER);
	assert_string_equal(list(t, ""), "/x/a /x/mine ");
	assert_int_equal(rm(t, QDB_QUBE, "/x/a"), 0);
	assert_int_equal(rm(t, QDB_DOM0, "/x/"), 0);
	qdb_tree_free(t);
}

static void a_qube_holds_no_more_than_its_quota(void **state)
{
	struct qdb_tree *t = new_tree(3, 3 * QDB_ENTRY_COST + 3 * 2 + 10);

	(void)state;
	assert_int_equal(set(t, QDB_QUBE, "/a", "12345"), 0);
	assert_int_equal(set(t, QDB_QUBE, "/b", "12345"), 0);
	assert_int_equal(set(t, QDB_QUBE, "/c", "1"), QDB_T_QUOTA); /* bytes */
	assert_int_equal(set(t, QDB_QUBE, "/c", ""), 0);
	assert_int_equal(set(t, QDB_QUBE, "/d", ""), QDB_T_QUOTA); /* entries */
	assert_int_equal(set(t, QDB_QUBE, "/a", "123456"), QDB_T_QUOTA);
	assert_string_equal(get(t, "/a"), "12345");
	assert_int_equal(set(t, QDB_QUBE, "/a", "1234"), 0);
	assert_int_equal(set(t, QDB_QUBE, "/c", "1"), 0);
	assert_int_equal(set(t, QDB_DOM0, "/dom0", "any amount of bytes by dom0"), 0);
	assert_int_equal(rm(t, QDB_QUBE, "/b"), 0);
	assert_int_equal(set(t, QDB_QUBE, "/d", "12345"), 0);
	qdb_tree_free(t);
}

static void patterns(void **state)
{
	static const struct {
		const char *pattern, *path;
		bool matches;
	} rows[] = {
		{"/a", "/a", true},    {"/a", "/a/b", false}, {"/a", "/ab", false},
		{"/a/", "/a/b", true}, {"/a/", "/a", false},  {"/a/", "/a/b/c", true},
		{"/", "/a", true},     {"/", "a", false},     {"/abc", "/a", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (qdb_path_matches(rows[i].pattern, strlen(rows[i].pattern), rows[i].path,
				     strlen(rows[i].path)) != rows[i].matches)
			fail_msg("%s %s", rows[i].pattern, rows[i].path);
}

static unsigned n_removed;

static void count(void *data, const struct qdb_entry *e)
{
	(void)data;
	n_removed += e->value_len > 0;
}

/* against the plainest model there is */
static void many_entries_in_any_order(void **state)
{
	enum { N = 3000 };
	static bool model[N];
	struct qdb_tree *t = new_tree(N, 64u << 20);
	uint32_t x = 1;
	size_t n = 0;
	char path[32], last[32] = "";

	(void)state;
	for (unsigned i = 0; i < 40000; i++) {
		unsigned k;

		x = x * 1664525u + 1013904223u;
		k = (x >> 8) % N;
		(void)snprintf(path, sizeof(path), "/k/%u", k);
		if ((x >> 30) == 0) {
			assert_int_equal(rm(t, QDB_QUBE, path), model[k] ? 0 : QDB_T_NOENT);
			n -= model[k];
			model[k] = false;
		} else {
			assert_int_equal(set(t, QDB_QUBE, path, path), 0);
			n += !model[k];
			model[k] = true;
		}
		assert_int_equal(qdb_tree_n_entries(t), n);
	}
	for (unsigned k = 0; k < N; k++) {
		(void)snprintf(path, sizeof(path), "/k/%u", k);
		assert_string_equal(get(t, path), model[k] ? path : "(none)");
	}
	for (const struct qdb_entry *e = qdb_tree_first(t, "", 0); e; e = qdb_tree_next(e, "", 0)) {
		assert_true(strcmp(last, e->path) < 0);
		memcpy(last, e->path, e->path_len + 1);
	}
	assert_int_equal(qdb_tree_remove(t, QDB_QUBE, "/k/", 3, count, NULL), 0);
	assert_int_equal(n_removed, n);
	qdb_tree_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_stand_in_order),
		cmocka_unit_test(who_may_change_what),
		cmocka_unit_test(dom0_takes_over_what_it_writes),
		cmocka_unit_test(a_qube_holds_no_more_than_its_quota),
		cmocka_unit_test(patterns),
		cmocka_unit_test(many_entries_in_any_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
