/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The Admin API's frames; doc/protocol/admin.md has the rows that the functions below follow. */
#include "proto/admin.h"

#include "base/bytes.h"
#include "base/str.h"

#include <string.h>

/* one word of a header: printable ASCII, at least one byte, no space */
static bool is_word(const uint8_t *at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (at[i] <= 0x20 || at[i] >= 0x7f)
			return false;
	return len > 0;
}

/* the bytes up to the next space, which is eaten; the last word ends at the end */
static const uint8_t *word_take(struct rd *r, bool last, size_t *ret_len)
{
	const uint8_t *space;
	const uint8_t *at;

	if (last)
		return rd_rest(r, ret_len);
	space = r->len > 0 ? memchr(r->at, ' ', r->len) : NULL;
	if (!space)
		return NULL;
	*ret_len = (size_t)(space - r->at);
	at = rd_take(r, *ret_len);
	(void)rd_u8(r);
	return at;
}

static int word_copy(char *to, size_t size, const uint8_t *at, size_t len)
{
	return str_copy(to, size, (const char *)at, len) < 0 ? ADMIN_E_LONG : 0;
}

static bool word_is(const uint8_t *at, size_t len, const char *what)
{
	return strlen(what) == len && memcmp(at, what, len) == 0;
}

int admin_request_decode(const void *bytes, size_t len, struct admin_request *ret)
{
	const uint8_t *nul, *words[4], *plus;
	struct admin_request q = {0};
	size_t lens[4], method_len;
	struct rd r;
	bool too_long;

	if (len > ADMIN_MAX_REQUEST || len == 0)
		return ADMIN_E_FORMAT;
	nul = memchr(bytes, 0, len);
	if (!nul)
		return ADMIN_E_FORMAT;
	r = rd_of(bytes, (size_t)(nul - (const uint8_t *)bytes));
	for (unsigned i = 0; i < 4; i++) {
		words[i] = word_take(&r, i == 3, &lens[i]);
		if (!words[i] || !is_word(words[i], lens[i]))
			return ADMIN_E_FORMAT;
	}
	plus = memchr(words[0], '+', lens[0]);
	method_len = plus ? (size_t)(plus - words[0]) : lens[0];
	if (method_len == 0)
		return ADMIN_E_FORMAT;
	too_long = word_copy(q.method, sizeof(q.method), words[0], method_len) > 0;
	if (plus)
		too_long |= word_copy(q.arg, sizeof(q.arg), plus + 1, lens[0] - method_len - 1) > 0;
	too_long |= word_copy(q.source, sizeof(q.source), words[1], lens[1]) > 0;
	if (word_is(words[2], lens[2], "keyword")) {
		if (!word_is(words[3], lens[3], "adminvm"))
			return ADMIN_E_FORMAT;
		memcpy(q.dest, "dom0", sizeof("dom0"));
	} else if (word_is(words[2], lens[2], "name")) {
		too_long |= word_copy(q.dest, sizeof(q.dest), words[3], lens[3]) > 0;
	} else {
		return ADMIN_E_FORMAT;
	}
	if (too_long)
		return ADMIN_E_LONG;
	q.payload = nul + 1;
	q.payload_len = len - (size_t)(nul + 1 - (const uint8_t *)bytes);
	*ret = q;
	return 0;
}

static void put_words(struct wr *w, const char *s)
{
	wr_bytes(w, s, strlen(s));
}

static void wr_field(struct wr *w, const char *s)
{
	wr_bytes(w, s, strlen(s) + 1);
}

static bool is_word_str(const char *s)
{
	return is_word((const uint8_t *)s, strlen(s));
}

int admin_request_encode(const struct admin_request *q, void *buf, size_t size, size_t *ret_len)
{
	struct wr w = wr_of(buf, size < ADMIN_MAX_REQUEST ? size : ADMIN_MAX_REQUEST);

	if (!is_word_str(q->method) || strchr(q->method, '+') || !is_word_str(q->source) ||
	    !is_word_str(q->dest) || (q->arg[0] != '\0' && !is_word_str(q->arg)))
		return ADMIN_E_FORMAT;
	put_words(&w, q->method);
	wr_u8(&w, '+');
	put_words(&w, q->arg);
	wr_u8(&w, ' ');
	put_words(&w, q->source);
	put_words(&w, " name ");
	wr_field(&w, q->dest);
	wr_bytes(&w, q->payload, q->payload_len);
	*ret_len = wr_done(&w);
	return *ret_len > 0 ? 0 : ADMIN_E_LONG;
}

/* the next NUL-terminated string; NULL if its NUL is not there */
static const char *field_take(struct rd *r)
{
	const uint8_t *nul = r->len > 0 ? memchr(r->at, 0, r->len) : NULL;

	if (!nul)
		return NULL;
	return rd_take(r, (size_t)(nul - r->at) + 1);
}

static int exception_decode(struct rd *r, struct admin_answer *a)
{
	a->type = field_take(r);
	a->traceback = a->type ? field_take(r) : NULL;
	a->format = a->traceback ? field_take(r) : NULL;
	if (!a->format || a->type[0] == '\0')
		return ADMIN_E_FORMAT;
	if (strlen(a->type) > ADMIN_MAX_TYPE)
		return ADMIN_E_LONG;
	while (r->len > 0) {
		const char *arg = field_take(r);

		if (!arg)
			return ADMIN_E_FORMAT;
		if (a->n_args == ADMIN_MAX_ARGS)
			return ADMIN_E_LONG;
		a->args[a->n_args++] = arg;
	}
	return 0;
}

int admin_answer_decode(const void *bytes, size_t len, struct admin_answer *ret)
{
	struct rd r = rd_of(bytes, len);
	struct admin_answer a = {0};
	uint8_t kind = rd_u8(&r);
	uint8_t nul = rd_u8(&r);
	int result = 0;

	if (r.failed || nul != 0)
		return ADMIN_E_FORMAT;
	if (kind == ADMIN_OK) {
		a.kind = ADMIN_OK;
		a.body = rd_rest(&r, &a.body_len);
	} else if (kind == ADMIN_EXCEPTION) {
		a.kind = ADMIN_EXCEPTION;
		result = exception_decode(&r, &a);
	} else {
		return ADMIN_E_FORMAT;
	}
	if (result > 0)
		return result;
	*ret = a;
	return 0;
}

const char *admin_answer_text(const struct admin_answer *a, char *to, size_t size)
{
	size_t len = 0;
	unsigned arg = 0;

	for (const char *p = a->format; p && *p != '\0'; p++) {
		const char *part = p;
		size_t part_len = 1;

		if (p[0] == '%' && p[1] == '%') {
			p++;
		} else if (p[0] == '%' && p[1] != '\0' && strchr("sdr", p[1]) && arg < a->n_args) {
			part = a->args[arg++];
			part_len = strlen(part);
			p++;
		}
		if (part_len > size - 1 - len)
			part_len = size - 1 - len;
		memcpy(to + len, part, part_len);
		len += part_len;
	}
	to[len] = '\0';
	return to;
}

size_t admin_exception_encode(const char *type, const char *text, void *buf, size_t size)
{
	struct wr w = wr_of(buf, size);

	wr_u8(&w, ADMIN_EXCEPTION);
	wr_u8(&w, 0);
	wr_bytes(&w, type, strnlen(type, ADMIN_MAX_TYPE));
	wr_u8(&w, 0);
	wr_u8(&w, 0); /* no traceback */
	for (; *text != '\0'; text++) {
		if (w.size - w.len < 3) /* this byte, perhaps doubled, and the NUL */
			break;
		if (*text == '%')
			wr_u8(&w, '%');
		wr_u8(&w, (uint8_t)*text);
	}
	wr_u8(&w, 0);
	return wr_done(&w);
}

int admin_event_decode(const void *bytes, size_t len, struct admin_event *ret, size_t *ret_len)
{
	size_t seen = len < ADMIN_MAX_EVENT ? len : ADMIN_MAX_EVENT;
	int cut = len < ADMIN_MAX_EVENT ? ADMIN_E_MORE : ADMIN_E_FORMAT;
	struct rd r = rd_of(bytes, seen);
	struct admin_event e = {0};

	if (seen > 0 && rd_u8(&r) != ADMIN_EVENT)
		return ADMIN_E_FORMAT;
	if (seen > 1 && rd_u8(&r) != 0)
		return ADMIN_E_FORMAT;
	if (seen < 2)
		return ADMIN_E_MORE;
	e.subject = field_take(&r);
	e.name = e.subject ? field_take(&r) : NULL;
	if (!e.name)
		return cut;
	for (;;) {
		const char *key = field_take(&r);

		if (!key)
			return cut;
		if (key[0] == '\0')
			break;
		if (e.n == ADMIN_MAX_KEYS)
			return ADMIN_E_FORMAT;
		e.keys[e.n] = key;
		e.values[e.n] = field_take(&r);
		if (!e.values[e.n])
			return cut;
		e.n++;
	}
	*ret_len = seen - r.len;
	*ret = e;
	return 0;
}

int admin_event_encode(const struct admin_event *e, void *buf, size_t size, size_t *ret_len)
{
	struct wr w = wr_of(buf, size < ADMIN_MAX_EVENT ? size : ADMIN_MAX_EVENT);

	if (e->n > ADMIN_MAX_KEYS)
		return ADMIN_E_LONG;
	wr_u8(&w, ADMIN_EVENT);
	wr_u8(&w, 0);
	wr_field(&w, e->subject);
	wr_field(&w, e->name);
	for (unsigned i = 0; i < e->n; i++) {
		if (e->keys[i][0] == '\0')
			return ADMIN_E_FORMAT;
		wr_field(&w, e->keys[i]);
		wr_field(&w, e->values[i]);
	}
	wr_u8(&w, 0);
	*ret_len = wr_done(&w);
	return *ret_len > 0 ? 0 : ADMIN_E_LONG;
}
