/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/filecopy.h"

#include "base/bytes.h"
#include "base/shown.h"

#include <string.h>

/* the kinds of st_mode, and what of it a copy keeps */
#define MODE_FILE   0100000u
#define MODE_FOLDER 0040000u
#define MODE_LINK   0120000u
#define MODE_KEPT   0000777u
#define NS_MAX      999999999u

uint32_t filecopy_errno(int outcome)
{
	switch (outcome) {
	case FILECOPY_E_TOO_LONG:
		return 36; /* ENAMETOOLONG */
	case FILECOPY_E_SIZE:
		return 122; /* EDQUOT */
	case FILECOPY_E_NAME:
		return 84; /* EILSEQ */
	case FILECOPY_E_LINK:
		return 67; /* ENOLINK */
	default:
		return 22; /* EINVAL */
	}
}

static struct filecopy_time time_take(struct rd *r)
{
	struct filecopy_time t = {.s = rd_le32(r)};

	t.ns = rd_le32(r);
	return t;
}

static bool time_exists(const struct filecopy_time *t)
{
	return t->ns <= NS_MAX;
}

static int entry_check(const struct filecopy_entry *e)
{
	if (e->name_len > FILECOPY_NAME_MAX)
		return FILECOPY_E_TOO_LONG;
	if (e->name_len < 2 || e->mode > MODE_KEPT || !time_exists(&e->atime) ||
	    !time_exists(&e->mtime))
		return FILECOPY_E_FORMAT;
	switch (e->kind) {
	case FILECOPY_FILE:
		return e->size <= INT64_MAX ? 0 : FILECOPY_E_SIZE;
	case FILECOPY_FOLDER:
		return e->size == 0 ? 0 : FILECOPY_E_FORMAT;
	case FILECOPY_LINK:
		if (e->size > FILECOPY_NAME_MAX)
			return FILECOPY_E_TOO_LONG;
		return e->size > 0 ? 0 : FILECOPY_E_FORMAT;
	case FILECOPY_END:
	default:
		return FILECOPY_E_FORMAT;
	}
}

static bool is_end(const uint8_t *bytes)
{
	static const uint8_t zeros[FILECOPY_HEADER_LEN];

	return memcmp(bytes, zeros, sizeof(zeros)) == 0;
}

int filecopy_header_decode(const void *bytes, size_t len, struct filecopy_entry *ret)
{
	struct rd r = rd_of(bytes, len);
	struct filecopy_entry e = {.name_len = rd_le32(&r)};
	uint32_t mode = rd_le32(&r);
	int outcome;

	e.size = rd_le64(&r);
	e.atime = time_take(&r);
	e.mtime = time_take(&r);
	if (!rd_done(&r))
		return FILECOPY_E_FORMAT;
	if (is_end(bytes)) {
		*ret = (struct filecopy_entry){.kind = FILECOPY_END};
		return 0;
	}
	switch (mode & ~07777u) {
	case MODE_FILE:
		e.kind = FILECOPY_FILE;
		break;
	case MODE_FOLDER:
		e.kind = FILECOPY_FOLDER;
		break;
	case MODE_LINK:
		e.kind = FILECOPY_LINK;
		break;
	default:
		return FILECOPY_E_FORMAT;
	}
	e.mode = mode & MODE_KEPT;
	outcome = entry_check(&e);
	if (outcome == 0)
		*ret = e;
	return outcome;
}

int filecopy_header_encode(const struct filecopy_entry *e, uint8_t *to)
{
	static const uint32_t kinds[] = {0, MODE_FILE, MODE_FOLDER, MODE_LINK};
	struct wr w = wr_of(to, FILECOPY_HEADER_LEN);

	if (e->kind == FILECOPY_END) {
		wr_zeros(&w, FILECOPY_HEADER_LEN);
		return 0;
	}
	if (entry_check(e) != 0)
		return FILECOPY_E_FORMAT;
	wr_le32(&w, e->name_len);
	wr_le32(&w, kinds[e->kind] | e->mode);
	wr_le64(&w, e->size);
	wr_le32(&w, e->atime.s);
	wr_le32(&w, e->atime.ns);
	wr_le32(&w, e->mtime.s);
	wr_le32(&w, e->mtime.ns);
	return 0;
}

/* the next part of a path and where the one behind it begins; NULL behind the last */
static const char *part_take(const char *path, const char *end, size_t *ret_len)
{
	const char *slash = memchr(path, '/', (size_t)(end - path));

	*ret_len = (size_t)((slash ? slash : end) - path);
	return slash ? slash + 1 : NULL;
}

static bool part_is(const char *part, size_t len, const char *what)
{
	return len == strlen(what) && memcmp(part, what, len) == 0;
}

int filecopy_name_check(const char *name, size_t len, unsigned allow, unsigned *ret_depth)
{
	const char *end, *next;
	unsigned depth = 0;
	size_t part_len;

	if (len == 0 || len > FILECOPY_NAME_MAX || memchr(name, '\0', len) != name + len - 1)
		return FILECOPY_E_FORMAT;
	end = name + len - 1;
	if (!(allow & FILECOPY_ALL_NAMES) && !shown_is(name, len - 1))
		return FILECOPY_E_NAME;
	for (const char *part = name; part; part = next, depth++) {
		next = part_take(part, end, &part_len);
		if (part_len == 0 || part_is(part, part_len, ".") || part_is(part, part_len, ".."))
			return FILECOPY_E_NAME;
	}
	*ret_depth = depth;
	return 0;
}

int filecopy_link_check(unsigned depth, const char *target, size_t len, unsigned allow)
{
	const char *end = target + len, *next;
	/* how many steps up stay within the first folder of the name */
	unsigned ups = depth >= 2 ? depth - 2 : 0;
	bool below = false;
	size_t part_len;

	if (len == 0 || len > FILECOPY_NAME_MAX || memchr(target, '\0', len))
		return FILECOPY_E_FORMAT;
	if (!(allow & FILECOPY_ALL_NAMES) && !shown_is(target, len))
		return FILECOPY_E_NAME;
	if (allow & FILECOPY_ALL_LINKS)
		return 0;
	if (depth < 2 || target[0] == '/')
		return FILECOPY_E_LINK;
	for (const char *part = target; part; part = next) {
		next = part_take(part, end, &part_len);
		if (part_len == 0 || part_is(part, part_len, "."))
			continue;
		if (!part_is(part, part_len, "..")) {
			below = true;
			continue;
		}
		/* what is behind a part may be a link, and up from there leads anywhere */
		if (below || ups == 0)
			return FILECOPY_E_LINK;
		ups--;
	}
	return 0;
}

int filecopy_answer_decode(const void *bytes, size_t len, struct filecopy_answer *ret)
{
	struct rd r = rd_of(bytes, len);
	struct filecopy_answer a = {.error = rd_le32(&r)};
	uint32_t padding = rd_le32(&r);
	uint64_t crc = rd_le64(&r);

	if (!rd_done(&r) || padding != 0 || crc > UINT32_MAX)
		return FILECOPY_E_FORMAT;
	a.crc = (uint32_t)crc;
	*ret = a;
	return 0;
}

void filecopy_answer_encode(const struct filecopy_answer *a, uint8_t *to)
{
	struct wr w = wr_of(to, FILECOPY_ANSWER_LEN);

	wr_le32(&w, a->error);
	wr_le32(&w, 0);
	wr_le64(&w, a->crc);
}

int filecopy_last_decode(const uint8_t *bytes, uint32_t *ret)
{
	struct rd r = rd_of(bytes, FILECOPY_LAST_LEN);
	uint32_t len = rd_le32(&r);

	if (len > FILECOPY_NAME_MAX)
		return FILECOPY_E_TOO_LONG;
	*ret = len;
	return 0;
}

void filecopy_last_encode(uint32_t len, uint8_t *to)
{
	struct wr w = wr_of(to, FILECOPY_LAST_LEN);

	wr_le32(&w, len);
}
