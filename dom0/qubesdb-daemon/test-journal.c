/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "journal.h"

#include "base/str.h"

#include <fcntl.h>
#include <sys/mman.h>

static int file_of(const void *bytes, size_t len)
{
	int fd = memfd_create("initial", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), (ssize_t)len);
	return fd;
}

static struct qdb_tree *new_tree(void)
{
	struct qdb_tree *t;

	assert_int_equal(qdb_tree_new(1, 100, 100000, &t), 0);
	return t;
}

static const char *text_of(const struct qdb_tree *t)
{
	static char text[1024];
	size_t n = 0;

	text[0] = '\0';
	for (const struct qdb_entry *e = qdb_tree_first(t, "", 0); e; e = qdb_tree_next(e, "", 0)) {
		assert_int_equal(str_format(text + n, sizeof(text) - n, "%s%s=%s ",
					    e->owner == QDB_QUBE ? "+" : "", e->path, e->value),
				 0);
		n += strlen(text + n);
	}
	return text;
}

#define BYTES(s) s, sizeof(s) - 1

static void what_a_file_says(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		int r;
		const char *text;
	} rows[] = {
		{BYTES(""), 0, ""},
		{BYTES("/a\0001\0/b\0\0"), 0, "/a=1 /b= "},
		{BYTES("/a\0001\0/a\0002\0"), 0, "/a=2 "},
		{BYTES("+/a\0001\0/b\0002\0"), 0, "+/a=1 /b=2 "},
		{BYTES("/a\0001\0-/a\0\0-/none\0\0"), 0, ""},
		{BYTES("/a\0001\0/cut\0va"), 0, "/a=1 "},
		{BYTES("/a\0001\0/cut"), 0, "/a=1 "},
		{BYTES("/a/\0001\0"), -EPROTO, ""},
		{BYTES("/a b\0001\0"), -EPROTO, ""},
		{BYTES("\0001\0"), -EPROTO, ""},
		{BYTES("-/a/\0\0"), -EPROTO, ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int fd = file_of(rows[i].bytes, rows[i].len);
		struct qdb_tree *t = new_tree();
		struct journal j;
		int r = journal_load(&j, &fd, t);

		assert_int_equal(fd, NO_FD);
		if (r != rows[i].r || (r == 0 && strcmp(text_of(t), rows[i].text) != 0))
			fail_msg("row %zu: %d %s", i, r, text_of(t));
		journal_done(&j);
		qdb_tree_free(t);
	}
}

static void set(struct journal *j, struct qdb_tree *t, enum qdb_owner who, const char *path,
		const char *value)
{
	const size_t n = strlen(path);

	assert_int_equal(qdb_tree_set(t, who, path, n, value, strlen(value)), 0);
	journal_note(j, t, qdb_tree_get(t, path, n), false);
}

static struct journal *noting;
static struct qdb_tree *noted;

static void on_removed(void *data, const struct qdb_entry *e)
{
	(void)data;
	journal_note(noting, noted, e, true);
}

static void a_new_life_goes_on_where_the_old_one_was(void **state)
{
	int fd = file_of(BYTES("/a\0001\0/cut\0va")), again = dup(fd);
	struct qdb_tree *t = new_tree(), *u = new_tree();
	struct journal j, k;
	char big[2001], path[32];

	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	assert_int_equal(journal_load(&j, &fd, t), 0);
	set(&j, t, QDB_QUBE, "/q", "2");
	set(&j, t, QDB_DOM0, "/b", "3");
	/* enough for the file to be written anew more than once */
	for (unsigned i = 0; i < 2000; i++) {
		(void)snprintf(path, sizeof(path), "/big/%u", i % 10);
		set(&j, t, QDB_DOM0, path, big);
	}
	assert_true(lseek(again, 0, SEEK_END) < 2 << 20);
	noting = &j;
	noted = t;
	assert_int_equal(qdb_tree_remove(t, QDB_DOM0, "/big/", 5, on_removed, NULL), 0);
	set(&j, t, QDB_QUBE, "/q", "4");
	journal_done(&j);

	assert_int_equal(journal_load(&k, &again, u), 0);
	assert_string_equal(text_of(u), "/a=1 /b=3 +/q=4 ");
	journal_done(&k);
	qdb_tree_free(t);
	qdb_tree_free(u);
}

static void a_pipe_is_read_and_not_kept(void **state)
{
	struct qdb_tree *t = new_tree();
	struct journal j;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], BYTES("/a\0001\0")), 5);
	(void)close(fds[1]);
	assert_int_equal(journal_load(&j, &fds[0], t), 0);
	assert_int_equal(j.fd, NO_FD);
	set(&j, t, QDB_DOM0, "/b", "2");
	assert_string_equal(text_of(t), "/a=1 /b=2 ");
	journal_done(&j);
	qdb_tree_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_file_says),
		cmocka_unit_test(a_new_life_goes_on_where_the_old_one_was),
		cmocka_unit_test(a_pipe_is_read_and_not_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
