/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "journal.h"

#include "base/io.h"

#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>

#define LOAD_MAX    (64u << 20)
#define COMPACT_MIN (1 << 20)

struct record {
	char kind; /* '+', '-' or, for the plain form, 0 */
	const char *path, *value;
	size_t path_len, value_len;
};

/* false at the end, also if the last record is cut */
static bool next_record(const char **at, const char *end, struct record *ret)
{
	const char *path = *at, *path_end, *value, *value_end;

	path_end = path < end ? memchr(path, '\0', (size_t)(end - path)) : NULL;
	if (!path_end)
		return false;
	value = path_end + 1;
	value_end = value < end ? memchr(value, '\0', (size_t)(end - value)) : NULL;
	if (!value_end)
		return false;
	*ret = (struct record){0};
	if (*path == '+' || *path == '-')
		ret->kind = *path++;
	ret->path = path;
	ret->path_len = (size_t)(path_end - path);
	ret->value = value;
	ret->value_len = (size_t)(value_end - value);
	*at = value_end + 1;
	return true;
}

static int apply(struct qdb_tree *t, const struct record *r)
{
	if (!qdb_key_ok(r->path, r->path_len) || !qdb_value_ok(r->value, r->value_len))
		return -EPROTO;
	if (r->kind == '-') /* one that is not there is gone too */
		return qdb_tree_remove(t, QDB_DOM0, r->path, r->path_len, NULL, NULL) < 0 ? -EIO
											  : 0;
	/* a quota that has become smaller: what is over it is left out */
	return qdb_tree_set(t, r->kind == '+' ? QDB_QUBE : QDB_DOM0, r->path, r->path_len, r->value,
			    r->value_len) < 0
		       ? -ENOMEM
		       : 0;
}

static void set_compact_at(struct journal *j)
{
	j->compact_at = j->len < COMPACT_MIN / 2 ? COMPACT_MIN : j->len * 2;
}

int journal_load(struct journal *j, int *fd, struct qdb_tree *t)
{
	AUTO_CLOSE int own = take_fd(fd);
	AUTO_FREE char *bytes = NULL;
	const char *at;
	struct record rec;
	size_t len = 0;
	int r;

	*j = (struct journal){.fd = NO_FD};
	if (own < 0)
		return 0;
	(void)lseek(own, 0, SEEK_SET); /* not on a pipe */
	r = io_read_all(own, LOAD_MAX, &bytes, &len);
	if (r < 0)
		return r;
	at = bytes;
	while (next_record(&at, bytes + len, &rec)) {
		r = apply(t, &rec);
		if (r < 0)
			return r;
	}
	if ((fcntl(own, F_GETFL) & O_ACCMODE) != O_RDWR || lseek(own, 0, SEEK_CUR) < 0)
		return 0;
	j->fd = take_fd(&own);
	j->len = at - bytes; /* over what was cut */
	set_compact_at(j);
	return 0;
}

void journal_done(struct journal *j)
{
	close_fd(&j->fd);
}

static int put(struct journal *j, const struct qdb_entry *e, const char *kind)
{
	const struct iovec parts[] = {
		{.iov_base = (void *)kind, .iov_len = strlen(kind)},
		{.iov_base = (void *)e->path, .iov_len = e->path_len + 1},
		{.iov_base = (void *)(*kind == '-' ? "" : e->value),
		 .iov_len = *kind == '-' ? 1 : e->value_len + 1},
	};
	ssize_t n = pwritev(j->fd, parts, ARRAY_LEN(parts), j->len);

	if (n < 0)
		return fail_errno();
	j->len += n;
	return 0;
}

/* Dying in the middle of this loses entries; it takes far less than a millisecond per megabyte of
 * changes, and a second file that could be put in the place of the first is not ours to make. */
static int compact(struct journal *j, const struct qdb_tree *t)
{
	int r = 0;

	if (ftruncate(j->fd, 0) < 0)
		return fail_errno();
	j->len = 0;
	for (const struct qdb_entry *e = qdb_tree_first(t, "", 0); r == 0 && e;
	     e = qdb_tree_next(e, "", 0))
		r = put(j, e, e->owner == QDB_QUBE ? "+" : "");
	set_compact_at(j);
	return r;
}

void journal_note(struct journal *j, const struct qdb_tree *t, const struct qdb_entry *e, bool gone)
{
	int r;

	if (j->fd < 0)
		return;
	r = put(j, e, gone ? "-" : e->owner == QDB_QUBE ? "+" : "");
	if (r == 0 && !gone && j->len > j->compact_at)
		r = compact(j, t);
	if (r < 0)
		journal_done(j);
}
