/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Bounded readers and writers of byte strings; the only way codecs touch bytes.
 *
 * Failure is sticky: after the first read past the end every getter returns zero or NULL and
 * rd_done() is false, so a decoder reads all its fields and asks once. Each getter of an integer
 * names its byte order: our wires are little endian, disk formats of others may be big endian.
 */
#include "base/attr.h"

struct rd {
	const uint8_t *at;
	size_t len; /* bytes left */
	bool failed;
};

/** rd_of() - a reader of the @len bytes at @bytes; borrowed for the reader's life */
struct rd rd_of(const void *bytes, size_t len);
uint8_t rd_u8(struct rd *r);
uint16_t rd_le16(struct rd *r);
uint32_t rd_le32(struct rd *r);
uint64_t rd_le64(struct rd *r);
uint32_t rd_be32(struct rd *r);
uint64_t rd_be64(struct rd *r);
/** rd_take() - borrow the next @len bytes; NULL (and failed) if fewer are left */
const void *rd_take(struct rd *r, size_t len);
/** rd_copy() - copy the next @len bytes to @to; zeros if fewer are left */
void rd_copy(struct rd *r, void *to, size_t len);
/** rd_rest() - borrow all that is left, which may be nothing; its length in @ret_len */
const void *rd_rest(struct rd *r, size_t *ret_len);
/** rd_text() - borrow a text: le16 length with its NUL, the bytes, one NUL at the end; "" (and failed)
 * if it is none */
const char *rd_text(struct rd *r);
/** rd_bool() - a byte that is 0 or 1; false (and failed) for another */
bool rd_bool(struct rd *r);
/** rd_done() - everything was there and nothing is left: too short and too long are one answer */
bool rd_done(const struct rd *r);

struct wr {
	uint8_t *at;
	size_t len;  /* written so far */
	size_t size; /* room in all */
	bool failed;
};

/** wr_of() - a writer into the @size bytes at @buf; borrowed for the writer's life */
struct wr wr_of(void *buf, size_t size);
void wr_u8(struct wr *w, uint8_t v);
void wr_le16(struct wr *w, uint16_t v);
void wr_le32(struct wr *w, uint32_t v);
void wr_le64(struct wr *w, uint64_t v);
void wr_be32(struct wr *w, uint32_t v);
void wr_be64(struct wr *w, uint64_t v);
void wr_bytes(struct wr *w, const void *bytes, size_t len);
/** wr_text() - as rd_text() reads it; NULL is "" */
void wr_text(struct wr *w, const char *text);
/** wr_zeros() - @len bytes of zero */
void wr_zeros(struct wr *w, size_t len);
/** wr_done() - how many bytes were written; 0 if they did not fit */
size_t wr_done(const struct wr *w);
