/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/qubesdb.h"

#include "base/bytes.h"
#include "base/str.h"

#include <string.h>

#define PADDING 3

/* what each type carries */
enum path_kind {
	PATH_ANY,            /* also none */
	PATH_KEY,            /* one entry */
	PATH_KEY_OR_NONE,    /* an entry, or the end of a series */
	PATH_KEY_OR_SUBTREE, /* one or many */
};

/* clang-format off */
static const struct {
	enum path_kind path;
	bool value;
} types[] = {
	[QDB_READ]         = {PATH_KEY, false},
	[QDB_WRITE]        = {PATH_KEY, true},
	[QDB_MULTIREAD]    = {PATH_ANY, false},
	[QDB_LIST]         = {PATH_ANY, false},
	[QDB_RM]           = {PATH_KEY_OR_SUBTREE, false},
	[QDB_WATCH]        = {PATH_KEY_OR_SUBTREE, false},
	[QDB_UNWATCH]      = {PATH_KEY_OR_SUBTREE, false},
	[QDB_OK]           = {PATH_ANY, false},
	[QDB_ENOENT]       = {PATH_ANY, false},
	[QDB_ERROR]        = {PATH_ANY, false},
	[QDB_READ_IS]      = {PATH_KEY, true},
	[QDB_MULTIREAD_IS] = {PATH_KEY_OR_NONE, true},
	[QDB_LIST_IS]      = {PATH_KEY_OR_NONE, false},
	[QDB_FIRED]        = {PATH_KEY_OR_SUBTREE, false},
};
/* clang-format on */

bool qdb_path_ok(const char *path, size_t len)
{
	return len <= QDB_PATH_MAX && bytes_are_alnum_or(path, len, "_/.:@-") &&
	       (len == 0 || path[0] != '-');
}

bool qdb_subtree_ok(const char *path, size_t len)
{
	return len > 0 && path[len - 1] == '/' && qdb_path_ok(path, len);
}

bool qdb_key_ok(const char *path, size_t len)
{
	return len > 0 && path[len - 1] != '/' && qdb_path_ok(path, len);
}

bool qdb_value_ok(const void *value, size_t len)
{
	return len <= QDB_VALUE_MAX && (len == 0 || !memchr(value, '\0', len));
}

static bool path_fits(enum path_kind kind, const char *path, size_t len)
{
	switch (kind) {
	case PATH_ANY:
		return qdb_path_ok(path, len);
	case PATH_KEY:
		return qdb_key_ok(path, len);
	case PATH_KEY_OR_NONE:
		return len == 0 || qdb_key_ok(path, len);
	case PATH_KEY_OR_SUBTREE:
		return qdb_key_ok(path, len) || qdb_subtree_ok(path, len);
	}
	return false;
}

static bool value_fits(enum qdb_type type, size_t path_len, size_t value_len)
{
	if (value_len > QDB_VALUE_MAX)
		return false;
	return value_len == 0 || (types[type].value && path_len > 0);
}

int qdb_head_decode(const uint8_t bytes[QDB_HEADER], struct qdb_head *ret)
{
	struct rd r = rd_of(bytes, QDB_HEADER);
	struct qdb_head h = {0};
	uint8_t type = rd_u8(&r);
	const char *path = rd_take(&r, QDB_PATH_MAX + 1);

	(void)rd_take(&r, PADDING);
	h.value_len = rd_le32(&r);
	if (!rd_done(&r) || type >= ARRAY_LEN(types))
		return QDB_E_FORMAT;
	h.type = (enum qdb_type)type;
	h.path_len = strnlen(path, QDB_PATH_MAX + 1);
	if (h.path_len > QDB_PATH_MAX || !value_fits(h.type, h.path_len, h.value_len))
		return QDB_E_FORMAT;
	memcpy(h.path, path, h.path_len);
	*ret = h;
	return path_fits(types[type].path, h.path, h.path_len) ? 0 : QDB_E_PATH;
}

int qdb_head_encode(uint8_t to[QDB_HEADER], enum qdb_type type, const char *path, size_t path_len,
		    size_t value_len)
{
	struct wr w = wr_of(to, QDB_HEADER);

	if (type >= ARRAY_LEN(types) || !path_fits(types[type].path, path, path_len))
		return QDB_E_PATH;
	if (!value_fits(type, path_len, value_len))
		return QDB_E_VALUE;
	wr_u8(&w, (uint8_t)type);
	wr_bytes(&w, path, path_len);
	wr_zeros(&w, QDB_PATH_MAX + 1 - path_len + PADDING);
	wr_le32(&w, (uint32_t)value_len);
	return wr_done(&w) == QDB_HEADER ? 0 : QDB_E_PATH;
}
