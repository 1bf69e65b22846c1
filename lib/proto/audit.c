/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/audit.h"

#include "base/bytes.h"
#include "base/str.h"

#include <string.h>

enum key {
	TIME,
	VERDICT,
	CALLER,
	REMOTE,
	SERVICE,
	TARGET,
	TO,
	RULE,
	REASON,
	TOOK,
	DROPPED,
	N_KEYS
};

static const char *const keys[N_KEYS] = {
	[TIME] = "time",       [VERDICT] = "verdict", [CALLER] = "caller",   [REMOTE] = "remote",
	[SERVICE] = "service", [TARGET] = "target",   [TO] = "to",           [RULE] = "rule",
	[REASON] = "reason",   [TOOK] = "us",         [DROPPED] = "dropped",
};

static const char *const verdicts[] = {
	[AUDIT_ALLOW] = "allow",
	[AUDIT_DENY] = "deny",
	[AUDIT_POLICY] = "policy",
	[AUDIT_FAULT] = "fault",
};

const char *audit_verdict_name(enum audit_verdict v)
{
	return verdicts[v];
}

int audit_verdict_find(const char *name, enum audit_verdict *ret)
{
	for (unsigned v = 0; v < ARRAY_LEN(verdicts); v++) {
		if (!str_eq(name, verdicts[v]))
			continue;
		*ret = (enum audit_verdict)v;
		return 0;
	}
	return AUDIT_E_FORMAT;
}

const char *audit_key(unsigned i)
{
	return i < N_KEYS ? keys[i] : NULL;
}

#define SECONDS_MAX (INT64_MAX / 1000000 - 1)

/* --- writing --- */

static bool is_plain(char c)
{
	return (uint8_t)c >= 0x20 && (uint8_t)c < 0x7f && c != '\\';
}

static void put_key(struct wr *w, enum key k)
{
	if (w->len > 0)
		wr_u8(w, '\t');
	wr_bytes(w, keys[k], strlen(keys[k]));
	wr_u8(w, '=');
}

/* what is not printable ASCII becomes \xNN; the end of a long value goes */
static void put_text(struct wr *w, enum key k, const char *value)
{
	static const char hex[] = "0123456789abcdef";
	size_t end;

	if (value[0] == '\0')
		return;
	put_key(w, k);
	for (end = w->len + AUDIT_VALUE_MAX; *value != '\0'; value++) {
		uint8_t c = (uint8_t)*value;

		if (end - w->len < 4)
			break;
		if (is_plain(*value)) {
			wr_u8(w, c);
			continue;
		}
		wr_bytes(w, "\\x", 2);
		wr_u8(w, (uint8_t)hex[c >> 4]);
		wr_u8(w, (uint8_t)hex[c & 15]);
	}
}

static void put_digits(struct wr *w, uint64_t value, unsigned width)
{
	char digits[20];
	size_t n = 0;

	do
		digits[n++] = (char)('0' + value % 10);
	while (value /= 10);
	for (size_t i = n; i < width; i++)
		wr_u8(w, '0');
	while (n > 0)
		wr_u8(w, (uint8_t)digits[--n]);
}

size_t audit_encode(const struct audit_entry *e, char *to, size_t size)
{
	struct wr w = wr_of(to, size);

	if (size < AUDIT_MAX || e->time_us < 0 || e->time_us / 1000000 > SECONDS_MAX)
		return 0;
	put_key(&w, TIME);
	put_digits(&w, (uint64_t)e->time_us / 1000000, 1);
	wr_u8(&w, '.');
	put_digits(&w, (uint64_t)e->time_us % 1000000, 6);
	put_text(&w, VERDICT, verdicts[e->verdict]);
	put_text(&w, CALLER, e->caller);
	put_text(&w, REMOTE, e->remote);
	put_text(&w, SERVICE, e->service);
	put_text(&w, TARGET, e->target);
	put_text(&w, TO, e->to);
	put_text(&w, RULE, e->rule);
	put_text(&w, REASON, e->reason);
	put_key(&w, TOOK);
	put_digits(&w, e->took_us, 1);
	if (e->n_dropped > 0) {
		put_key(&w, DROPPED);
		put_digits(&w, e->n_dropped, 1);
	}
	wr_u8(&w, '\n');
	return wr_done(&w);
}

/* --- reading --- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* @value with its \xNN made bytes, where it stands; exactly what put_text() writes */
static int unescape(char *value)
{
	char *to = value;

	if (value[0] == '\0')
		return AUDIT_E_FORMAT;
	for (const char *from = value; *from != '\0'; to++) {
		int high, low;

		if (is_plain(*from)) {
			*to = *from++;
			continue;
		}
		if (from[0] != '\\' || from[1] != 'x')
			return AUDIT_E_FORMAT;
		high = hex_digit(from[2]);
		low = high < 0 ? -1 : hex_digit(from[3]);
		if (low < 0)
			return AUDIT_E_FORMAT;
		*to = (char)(high << 4 | low);
		if (*to == '\0' || is_plain(*to))
			return AUDIT_E_FORMAT;
		from += 4;
	}
	*to = '\0';
	return 0;
}

/* "SECONDS.MICROSECONDS" */
static int take_time(char *text, int64_t *ret)
{
	char *dot = text ? strchr(text, '.') : NULL;
	uint64_t seconds, us = 0;

	if (!dot || strlen(dot + 1) != 6)
		return AUDIT_E_FORMAT;
	*dot = '\0';
	for (const char *c = dot + 1; *c != '\0'; c++) {
		if (*c < '0' || *c > '9')
			return AUDIT_E_FORMAT;
		us = us * 10 + (uint64_t)(*c - '0');
	}
	if (str_u64(text, SECONDS_MAX, &seconds) < 0)
		return AUDIT_E_FORMAT;
	*ret = (int64_t)(seconds * 1000000 + us);
	return 0;
}

static int take_number(const char *text, uint64_t *ret)
{
	return text && str_u64(text, UINT64_MAX, ret) == 0 ? 0 : AUDIT_E_FORMAT;
}

/* the values by key, in the order of the keys */
static int split(char *line, char **values)
{
	unsigned k = 0;

	for (char *field; (field = strsep(&line, "\t"));) {
		char *value = strchr(field, '=');

		if (!value)
			return AUDIT_E_FORMAT;
		*value++ = '\0';
		while (k < N_KEYS && strcmp(keys[k], field) != 0)
			k++;
		if (k == N_KEYS || strlen(value) > AUDIT_VALUE_MAX)
			return AUDIT_E_FORMAT;
		values[k++] = value;
	}
	return 0;
}

int audit_decode(char *line, size_t len, struct audit_entry *ret)
{
	char *values[N_KEYS] = {0};
	const char *texts[N_KEYS];
	struct audit_entry e = {0};

	if (len == 0 || len > AUDIT_MAX || memchr(line, '\n', len) != line + len - 1 ||
	    memchr(line, '\0', len))
		return AUDIT_E_FORMAT;
	line[len - 1] = '\0';
	if (split(line, values) != 0)
		return AUDIT_E_FORMAT;
	for (unsigned k = CALLER; k <= REASON; k++) {
		if (values[k] && unescape(values[k]) != 0)
			return AUDIT_E_FORMAT;
		texts[k] = values[k] ? values[k] : "";
	}
	if (audit_verdict_find(values[VERDICT], &e.verdict) != 0 ||
	    take_time(values[TIME], &e.time_us) != 0 || take_number(values[TOOK], &e.took_us) != 0)
		return AUDIT_E_FORMAT;
	if (values[DROPPED] && (take_number(values[DROPPED], &e.n_dropped) != 0 || !e.n_dropped))
		return AUDIT_E_FORMAT;
	e.caller = texts[CALLER];
	e.remote = texts[REMOTE];
	e.service = texts[SERVICE];
	e.target = texts[TARGET];
	e.to = texts[TO];
	e.rule = texts[RULE];
	e.reason = texts[REASON];
	*ret = e;
	return 0;
}
