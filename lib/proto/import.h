/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Definitions of qubes that are to be made together: what bulkhead.Import gets as a file. doc/protocol/import.md has
 * the rows.
 */
#include "base/attr.h"

/** IMPORT_LEN_MAX - bytes of all records */
#define IMPORT_LEN_MAX (16u << 20)
/** IMPORT_FIELD_MAX - bytes of one field, without its NUL */
#define IMPORT_FIELD_MAX  65535
#define IMPORT_FIELDS_MAX 5

/** enum import_kind - and the fields it has */
enum import_kind {
	IMPORT_LABEL, /* name, 0xRRGGBB */
	IMPORT_QUBE,  /* class, name */
	IMPORT_VOLUME, /* qube, volume, pool, bytes, revisions to keep; the last three may be empty */
	IMPORT_PROPERTY, /* qube or "", name, value */
	IMPORT_FEATURE,  /* qube, name, value */
	IMPORT_TAG,      /* qube, name */
	IMPORT_FIREWALL, /* qube, rules */
	IMPORT_KINDS
};

/** enum import_outcome */
enum import_outcome {
	IMPORT_E_END = 1, /* there are no more records */
	IMPORT_E_FORMAT,  /* not what a record looks like */
};

/** struct import_record - @fields borrow the bytes */
struct import_record {
	enum import_kind kind;
	const char *fields[IMPORT_FIELDS_MAX];
};

/** import_word() - what a record of that kind begins with; import_n_fields(): how many fields follow */
const char *import_word(enum import_kind kind);
unsigned import_n_fields(enum import_kind kind);

/**
 * import_next() - the record at *@at of @len bytes; *@at is moved behind it
 *
 * Return: 0; an outcome, and *@at is where it was.
 */
MUST_CHECK int import_next(const char *bytes, size_t len, size_t *at, struct import_record *ret);
/** import_encode() - into @buf of @size bytes; returns how many it took, 0: there is no room, or a field is too long */
size_t import_encode(const struct import_record *r, void *buf, size_t size);
