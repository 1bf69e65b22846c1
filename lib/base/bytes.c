/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/bytes.h"

#include <string.h>

struct rd rd_of(const void *bytes, size_t len)
{
	return (struct rd){.at = bytes, .len = len};
}

const void *rd_take(struct rd *r, size_t len)
{
	const uint8_t *p = r->at;

	if (r->failed || len > r->len) {
		r->failed = true;
		return NULL;
	}
	if (len > 0)
		r->at += len;
	r->len -= len;
	return p;
}

uint8_t rd_u8(struct rd *r)
{
	const uint8_t *p = rd_take(r, 1);

	return p ? p[0] : 0;
}

uint16_t rd_le16(struct rd *r)
{
	const uint8_t *p = rd_take(r, 2);

	return p ? (uint16_t)(p[0] | (unsigned)p[1] << 8) : 0;
}

uint32_t rd_le32(struct rd *r)
{
	const uint8_t *p = rd_take(r, 4);

	return p ? p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24 : 0;
}

uint64_t rd_le64(struct rd *r)
{
	uint64_t low = rd_le32(r);

	return low | (uint64_t)rd_le32(r) << 32;
}

uint32_t rd_be32(struct rd *r)
{
	return __builtin_bswap32(rd_le32(r));
}

uint64_t rd_be64(struct rd *r)
{
	return __builtin_bswap64(rd_le64(r));
}

void rd_copy(struct rd *r, void *to, size_t len)
{
	const void *p = rd_take(r, len);

	if (len == 0)
		return;
	if (p)
		memcpy(to, p, len);
	else
		memset(to, 0, len);
}

const void *rd_rest(struct rd *r, size_t *ret_len)
{
	*ret_len = r->failed ? 0 : r->len;
	return rd_take(r, *ret_len);
}

const char *rd_text(struct rd *r)
{
	size_t len = rd_le16(r);
	const char *s = rd_take(r, len);

	if (!s || len == 0 || memchr(s, '\0', len) != s + len - 1) {
		r->failed = true;
		return "";
	}
	return s;
}

bool rd_bool(struct rd *r)
{
	uint8_t v = rd_u8(r);

	if (v > 1)
		r->failed = true;
	return v == 1;
}

bool rd_done(const struct rd *r)
{
	return !r->failed && r->len == 0;
}

struct wr wr_of(void *buf, size_t size)
{
	return (struct wr){.at = buf, .size = size};
}

static uint8_t *wr_room(struct wr *w, size_t len)
{
	uint8_t *p;

	if (w->failed || len > w->size - w->len) {
		w->failed = true;
		return NULL;
	}
	p = w->at + w->len;
	w->len += len;
	return p;
}

void wr_bytes(struct wr *w, const void *bytes, size_t len)
{
	uint8_t *p = wr_room(w, len);

	if (p && len > 0)
		memcpy(p, bytes, len);
}

void wr_text(struct wr *w, const char *text)
{
	size_t len = text ? strlen(text) : 0;

	if (len >= UINT16_MAX) {
		w->failed = true;
		return;
	}
	wr_le16(w, (uint16_t)(len + 1));
	wr_bytes(w, text ? text : "", len + 1);
}

void wr_zeros(struct wr *w, size_t len)
{
	uint8_t *p = wr_room(w, len);

	if (p && len > 0)
		memset(p, 0, len);
}

void wr_u8(struct wr *w, uint8_t v)
{
	wr_bytes(w, &v, 1);
}

void wr_le16(struct wr *w, uint16_t v)
{
	const uint8_t b[2] = {(uint8_t)v, (uint8_t)(v >> 8)};

	wr_bytes(w, b, sizeof(b));
}

void wr_le32(struct wr *w, uint32_t v)
{
	const uint8_t b[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16),
			      (uint8_t)(v >> 24)};

	wr_bytes(w, b, sizeof(b));
}

void wr_le64(struct wr *w, uint64_t v)
{
	wr_le32(w, (uint32_t)v);
	wr_le32(w, (uint32_t)(v >> 32));
}

void wr_be32(struct wr *w, uint32_t v)
{
	wr_le32(w, __builtin_bswap32(v));
}

void wr_be64(struct wr *w, uint64_t v)
{
	wr_le64(w, __builtin_bswap64(v));
}

size_t wr_done(const struct wr *w)
{
	return w->failed ? 0 : w->len;
}
