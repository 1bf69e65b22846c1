/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * As much JSON as QMP needs: a bounded reader over bytes that may lie, and a writer.
 *
 * Failure is sticky in both, as in base/bytes.h. The reader takes RFC 8259 with these limits: raw
 * string bytes are printable ASCII (QEMU escapes the rest), no NUL by \u0000, at most
 * JSON_MAX_DEPTH containers in each other.
 */
#include "base/bytes.h"

#define JSON_MAX_DEPTH 16

/** struct jr - reads one value after the other */
struct jr {
	const uint8_t *at, *end;
	bool failed;
};

/** jr_of() - a reader of the @len bytes at @bytes; borrowed for the reader's life */
struct jr jr_of(const void *bytes, size_t len);
/** jr_done() - all was well and only white space is left */
bool jr_done(struct jr *r);
/** jr_peek() - first byte of the next value; 0 at the end or after a failure */
char jr_peek(struct jr *r);

/**
 * jr_str() - read a string
 * @to:		its first @size - 1 bytes, as UTF-8, and a NUL; never half a character. NULL: skip
 * it
 *
 * Return: all of it fitted (or @to is NULL).
 */
bool jr_str(struct jr *r, char *to, size_t size);
bool jr_bool(struct jr *r);
/** jr_u64() - a number without sign, fraction or exponent */
uint64_t jr_u64(struct jr *r);
/** jr_skip() - pass over any value, @depth containers down */
void jr_skip(struct jr *r, unsigned depth);

/* Objects: if (jr_open(r)) while (jr_key(r, &first, key, size)) read or skip the value. */
/** jr_open() - the next value is an object: go inside. Else fails */
bool jr_open(struct jr *r);
/**
 * jr_key() - the next member's name, or leave the object
 * @first:	true before the first call
 * @key:	the name; one that does not fit is ""
 *
 * Return: there is a member, and its value comes next.
 */
bool jr_key(struct jr *r, bool *first, char *key, size_t size);

/** struct jw - writes; @comma: the next value needs one before it */
struct jw {
	struct wr w;
	bool comma;
};

struct jw jw_of(void *buf, size_t size);
/* '{' '[' and their ends */
void jw_begin(struct jw *w, char bracket);
void jw_end(struct jw *w, char bracket);
void jw_key(struct jw *w, const char *key);
/** jw_str() - a string, escaped; its bytes from 0x80 up must be UTF-8 and go out as they are */
void jw_str(struct jw *w, const char *s);
void jw_u64(struct jw *w, uint64_t v);
void jw_bool(struct jw *w, bool v);
void jw_null(struct jw *w);
/** jw_raw() - bytes between values, as they are */
void jw_raw(struct jw *w, const char *s);
/** jw_done() - length of the text; 0 if it did not fit. @w's buffer is then NUL-terminated */
size_t jw_done(struct jw *w);
