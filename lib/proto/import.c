/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/import.h"

#include "base/bytes.h"

#include <string.h>

static const struct {
	const char *word;
	unsigned n;
} kinds[IMPORT_KINDS] = {
	[IMPORT_LABEL] = {"label", 2},       [IMPORT_QUBE] = {"qube", 2},
	[IMPORT_VOLUME] = {"volume", 5},     [IMPORT_PROPERTY] = {"property", 3},
	[IMPORT_FEATURE] = {"feature", 3},   [IMPORT_TAG] = {"tag", 2},
	[IMPORT_FIREWALL] = {"firewall", 2},
};

const char *import_word(enum import_kind kind)
{
	return kinds[kind].word;
}

unsigned import_n_fields(enum import_kind kind)
{
	return kinds[kind].n;
}

/* the text at *@at, which a NUL ends; NULL: there is none, or it is too long */
static const char *text(const char *bytes, size_t len, size_t *at)
{
	const char *from = bytes + *at;
	const char *end = memchr(from, '\0', len - *at);

	if (!end || end - from > IMPORT_FIELD_MAX)
		return NULL;
	*at += (size_t)(end - from) + 1;
	return from;
}

int import_next(const char *bytes, size_t len, size_t *at, struct import_record *ret)
{
	struct import_record r = {0};
	size_t here = *at;
	const char *word;
	unsigned kind = 0;

	if (len > IMPORT_LEN_MAX || here > len)
		return IMPORT_E_FORMAT;
	if (here == len)
		return IMPORT_E_END;
	word = text(bytes, len, &here);
	while (word && kind < IMPORT_KINDS && strcmp(kinds[kind].word, word) != 0)
		kind++;
	if (!word || kind == IMPORT_KINDS)
		return IMPORT_E_FORMAT;
	r.kind = (enum import_kind)kind;
	for (unsigned i = 0; i < kinds[kind].n; i++) {
		r.fields[i] = here < len ? text(bytes, len, &here) : NULL;
		if (!r.fields[i])
			return IMPORT_E_FORMAT;
	}
	*at = here;
	*ret = r;
	return 0;
}

size_t import_encode(const struct import_record *r, void *buf, size_t size)
{
	struct wr w = wr_of(buf, size);

	wr_bytes(&w, kinds[r->kind].word, strlen(kinds[r->kind].word) + 1);
	for (unsigned i = 0; i < kinds[r->kind].n; i++) {
		size_t n = strlen(r->fields[i]);

		if (n > IMPORT_FIELD_MAX)
			return 0;
		wr_bytes(&w, r->fields[i], n + 1);
	}
	return wr_done(&w);
}
