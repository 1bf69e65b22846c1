/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The compiled policy: made in two passes over the files, the first to count, the second to fill;
 * and checked when it comes from elsewhere.
 *
 * What is counted is an upper bound (a text that occurs twice is stored once), so the arrays have
 * room to spare; their counts say how much of them is used.
 */
#include "policy/parse.h"

#include <string.h>

#define LEN_MAX (256u << 20)

struct counts {
	size_t strings, tokens, rules, bytes;
};

static void count_text(struct counts *c, struct text t)
{
	if (!t.at)
		return;
	c->strings++;
	c->bytes += t.len + 1;
}

static void count_token(struct counts *c, const struct parsed_token *t)
{
	count_text(c, t->value);
	c->tokens += t->value.at != NULL;
}

static int count(void *context, const struct parsed *rule)
{
	struct counts *c = context;

	count_text(c, rule->service);
	count_text(c, rule->argument);
	count_text(c, rule->user);
	count_text(c, (struct text){rule->file, strlen(rule->file)});
	count_token(c, &rule->source);
	count_token(c, &rule->target);
	count_token(c, &rule->redirect);
	count_token(c, &rule->default_target);
	c->rules++;
	return c->bytes > LEN_MAX ? -E2BIG : 0;
}

/* a power of two with room for twice as many */
static size_t slots_for(size_t n)
{
	size_t slots = 2;

	while (slots < 2 * n)
		slots *= 2;
	return slots;
}

static uint32_t place(size_t *len, size_t bytes)
{
	size_t at = *len;

	*len = (at + bytes + 7) & ~(size_t)7;
	return (uint32_t)at;
}

/* the header of a policy with room for @c; its length is the result */
static size_t lay_out(const struct counts *c, struct policy *p)
{
	size_t len = 0;

	*p = (struct policy){.magic = POLICY_MAGIC};
	p->n_string_slots = (uint32_t)slots_for(c->strings);
	p->n_token_slots = (uint32_t)slots_for(c->tokens);
	(void)place(&len, sizeof(*p));
	p->strings = place(&len, c->strings * sizeof(struct entry));
	p->spans = place(&len, c->strings * sizeof(struct span));
	p->tokens = place(&len, c->tokens * sizeof(struct token));
	p->rules = place(&len, c->rules * sizeof(struct rule));
	p->order = place(&len, c->rules * sizeof(uint32_t));
	p->string_slots = place(&len, p->n_string_slots * sizeof(uint32_t));
	p->token_slots = place(&len, p->n_token_slots * sizeof(uint32_t));
	p->bytes = place(&len, c->bytes);
	p->len = (uint32_t)len;
	return len;
}

int policy_measure(const struct policy_files *files, size_t *ret_size,
		   struct policy_error *ret_error)
{
	struct counts c = {0};
	struct policy p;
	size_t len;
	int r = policy_parse(files, count, &c, ret_error);

	if (r == 0) {
		len = lay_out(&c, &p);
		r = len > LEN_MAX ? -E2BIG : 0;
	}
	if (r == -E2BIG) {
		*ret_error = (struct policy_error){.reason = "the policy is too large"};
		return POLICY_E_SYNTAX;
	}
	if (r == 0)
		*ret_size = len;
	return r;
}

/* --- the second pass --- */

struct fill {
	struct policy *p;
	size_t strings, tokens, rules, bytes; /* room */
	int r;
};

static void *at(struct policy *p, uint32_t offset)
{
	return (char *)p + offset;
}

uint32_t text_hash(uint32_t seed, const char *bytes, size_t len)
{
	uint32_t h = seed;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)bytes[i]) * 16777619u;
	return h;
}

static uint32_t mix(uint32_t h)
{
	h ^= h >> 16;
	h *= 0x7feb352du;
	return h ^ h >> 15;
}

/* the slot of the string, or the free one where it would be */
static uint32_t string_slot(const struct policy *p, const char *bytes, size_t len)
{
	const uint32_t *slots = policy_at(p, p->string_slots);
	uint32_t mask = p->n_string_slots - 1, i = mix(text_hash(HASH_SEED, bytes, len)) & mask;

	for (; slots[i] != POLICY_NONE; i = (i + 1) & mask) {
		const struct entry *e = &policy_strings(p)[slots[i]];

		if (e->len == len && memcmp(policy_text(p, slots[i]), bytes, len) == 0)
			break;
	}
	return i;
}

static uint32_t token_slot(const struct policy *p, enum token_kind kind, uint32_t text)
{
	const uint32_t *slots = policy_at(p, p->token_slots);
	uint32_t mask = p->n_token_slots - 1, i = mix(text * N_TOKEN_KINDS + kind) & mask;

	for (; slots[i] != POLICY_NONE; i = (i + 1) & mask) {
		const struct token *t = &policy_tokens(p)[slots[i]];

		if (t->kind == kind && t->text == text)
			break;
	}
	return i;
}

uint32_t policy_find(const struct policy *p, const char *bytes, size_t len)
{
	const uint32_t *slots = policy_at(p, p->string_slots);

	return slots[string_slot(p, bytes, len)];
}

uint32_t policy_find_token(const struct policy *p, enum token_kind kind, uint32_t text)
{
	const uint32_t *slots = policy_at(p, p->token_slots);

	return slots[token_slot(p, kind, text)];
}

static uint32_t intern(struct fill *f, struct text t)
{
	struct policy *p = f->p;
	uint32_t *slot;

	if (!t.at || f->r < 0)
		return POLICY_NONE;
	slot = (uint32_t *)at(p, p->string_slots) + string_slot(p, t.at, t.len);
	if (*slot != POLICY_NONE)
		return *slot;
	if (p->n_strings == f->strings || t.len >= f->bytes - p->n_bytes) {
		f->r = -ENOSPC;
		return POLICY_NONE;
	}
	((struct entry *)at(p, p->strings))[p->n_strings] =
		(struct entry){p->n_bytes, (uint32_t)t.len};
	memcpy((char *)at(p, p->bytes) + p->n_bytes, t.at, t.len);
	((char *)at(p, p->bytes))[p->n_bytes + t.len] = '\0';
	p->n_bytes += (uint32_t)t.len + 1;
	return *slot = p->n_strings++;
}

static uint32_t intern_token(struct fill *f, const struct parsed_token *t)
{
	struct policy *p = f->p;
	uint32_t text = intern(f, t->value), *slot;

	if (text == POLICY_NONE)
		return POLICY_NONE;
	slot = (uint32_t *)at(p, p->token_slots) + token_slot(p, t->kind, text);
	if (*slot != POLICY_NONE)
		return *slot;
	if (p->n_tokens == f->tokens) {
		f->r = -ENOSPC;
		return POLICY_NONE;
	}
	((struct token *)at(p, p->tokens))[p->n_tokens] = (struct token){t->kind, text};
	return *slot = p->n_tokens++;
}

static int fill(void *context, const struct parsed *rule)
{
	struct fill *f = context;
	struct policy *p = f->p;
	struct rule r = {
		.service = intern(f, rule->service),
		.argument = intern(f, rule->argument),
		.source = intern_token(f, &rule->source),
		.target = intern_token(f, &rule->target),
		.redirect = intern_token(f, &rule->redirect),
		.default_target = intern_token(f, &rule->default_target),
		.user = intern(f, rule->user),
		.file = intern(f, (struct text){rule->file, strlen(rule->file)}),
		.line = rule->line,
		.action = (uint8_t)rule->action,
		.notify = rule->notify,
		.autostart = rule->autostart,
	};

	if (f->r == 0 && p->n_rules == f->rules)
		f->r = -ENOSPC;
	if (f->r == 0)
		((struct rule *)at(p, p->rules))[p->n_rules++] = r;
	return f->r;
}

/* the rules of each service one after the other, those of all services last */
static void sort_rules(struct policy *p)
{
	struct span *spans = at(p, p->spans), *span;
	const struct rule *rules = policy_rules(p);
	uint32_t *order = at(p, p->order), n = 0;

	memset(spans, 0, p->n_strings * sizeof(*spans));
	for (uint32_t i = 0; i < p->n_rules; i++) {
		span = rules[i].service == POLICY_NONE ? &p->any : &spans[rules[i].service];
		span->n++;
	}
	for (uint32_t i = 0; i < p->n_strings; i++) {
		spans[i].first = n;
		n += spans[i].n;
		spans[i].n = 0;
	}
	p->any = (struct span){.first = n};
	for (uint32_t i = 0; i < p->n_rules; i++) {
		span = rules[i].service == POLICY_NONE ? &p->any : &spans[rules[i].service];
		order[span->first + span->n++] = i;
	}
}

int policy_compile(const struct policy_files *files, void *room, size_t size,
		   const struct policy **ret, struct policy_error *ret_error)
{
	struct counts c = {0};
	struct policy *p = room;
	struct policy header;
	struct fill f = {.p = p};
	int r = policy_parse(files, count, &c, ret_error);

	if (r != 0)
		return r;
	if (lay_out(&c, &header) > size)
		return -ENOSPC;
	memset(room, 0, header.len);
	*p = header;
	memset(at(p, p->string_slots), 0xff, p->n_string_slots * sizeof(uint32_t));
	memset(at(p, p->token_slots), 0xff, p->n_token_slots * sizeof(uint32_t));
	f.strings = c.strings;
	f.tokens = c.tokens;
	f.rules = c.rules;
	f.bytes = c.bytes;
	r = policy_parse(files, fill, &f, ret_error);
	if (r != 0)
		return r;
	sort_rules(p);
	*ret = p;
	return 0;
}

size_t policy_len(const struct policy *p)
{
	return p->len;
}

/* --- from elsewhere --- */

/* @n things of @size bytes fit between @offset and the end */
static bool fits(const struct policy *p, uint32_t offset, uint32_t n, size_t size)
{
	return offset % 8 == 0 && offset >= sizeof(*p) && offset <= p->len &&
	       n <= (p->len - offset) / size;
}

static bool is_string(const struct policy *p, uint32_t string)
{
	return string < p->n_strings;
}

static bool is_token(const struct policy *p, uint32_t token)
{
	return token < p->n_tokens;
}

/* open addressing ends at a free slot, so one must be there; and what stands there exists */
static bool slots_good(const struct policy *p, uint32_t offset, uint32_t n, uint32_t n_things)
{
	const uint32_t *slots;
	bool free_one = false;

	if (n == 0 || (n & (n - 1)) != 0 || !fits(p, offset, n, sizeof(*slots)))
		return false;
	slots = policy_at(p, offset);
	for (uint32_t i = 0; i < n; i++) {
		if (slots[i] != POLICY_NONE && slots[i] >= n_things)
			return false;
		free_one = free_one || slots[i] == POLICY_NONE;
	}
	return free_one;
}

static bool strings_good(const struct policy *p)
{
	const char *bytes = policy_at(p, p->bytes);

	for (uint32_t i = 0; i < p->n_strings; i++) {
		const struct entry *e = &policy_strings(p)[i];

		if (e->at >= p->n_bytes || e->len >= p->n_bytes - e->at ||
		    memchr(bytes + e->at, '\0', (size_t)e->len + 1) != bytes + e->at + e->len)
			return false;
	}
	return true;
}

static bool rule_good(const struct policy *p, const struct rule *r)
{
	return (r->service == POLICY_NONE || is_string(p, r->service)) &&
	       (r->argument == POLICY_NONE || is_string(p, r->argument)) &&
	       is_token(p, r->source) && is_token(p, r->target) &&
	       (r->redirect == POLICY_NONE || is_token(p, r->redirect)) &&
	       (r->default_target == POLICY_NONE || is_token(p, r->default_target)) &&
	       (r->user == POLICY_NONE || is_string(p, r->user)) && is_string(p, r->file) &&
	       r->action <= POLICY_ASK && r->notify <= 1 && r->autostart <= 1;
}

/* a span is inside of order[], which names rules of its service, ascending */
static bool span_good(const struct policy *p, const struct span *s, uint32_t service)
{
	const uint32_t *order = policy_order(p);

	if (s->first > p->n_rules || s->n > p->n_rules - s->first)
		return false;
	for (uint32_t i = s->first; i < s->first + s->n; i++)
		if (order[i] >= p->n_rules || policy_rules(p)[order[i]].service != service ||
		    (i > s->first && order[i - 1] >= order[i]))
			return false;
	return true;
}

int policy_check(const void *bytes, size_t len, const struct policy **ret)
{
	const struct policy *p = bytes;
	uint64_t n_ordered;

	if (len < sizeof(*p) || p->magic != POLICY_MAGIC || p->len != len || len > LEN_MAX)
		return POLICY_E_FORMAT;
	if (!fits(p, p->strings, p->n_strings, sizeof(struct entry)) ||
	    !fits(p, p->spans, p->n_strings, sizeof(struct span)) ||
	    !fits(p, p->tokens, p->n_tokens, sizeof(struct token)) ||
	    !fits(p, p->rules, p->n_rules, sizeof(struct rule)) ||
	    !fits(p, p->order, p->n_rules, sizeof(uint32_t)) || !fits(p, p->bytes, p->n_bytes, 1) ||
	    !strings_good(p) || !slots_good(p, p->string_slots, p->n_string_slots, p->n_strings) ||
	    !slots_good(p, p->token_slots, p->n_token_slots, p->n_tokens))
		return POLICY_E_FORMAT;
	for (uint32_t i = 0; i < p->n_tokens; i++)
		if (policy_tokens(p)[i].kind >= N_TOKEN_KINDS ||
		    !is_string(p, policy_tokens(p)[i].text))
			return POLICY_E_FORMAT;
	for (uint32_t i = 0; i < p->n_rules; i++)
		if (!rule_good(p, &policy_rules(p)[i]))
			return POLICY_E_FORMAT;
	if (!span_good(p, &p->any, POLICY_NONE))
		return POLICY_E_FORMAT;
	n_ordered = p->any.n;
	for (uint32_t i = 0; i < p->n_strings; i++) {
		if (!span_good(p, &policy_spans(p)[i], i))
			return POLICY_E_FORMAT;
		n_ordered += policy_spans(p)[i].n;
	}
	if (n_ordered != p->n_rules)
		return POLICY_E_FORMAT; /* a rule that nobody would ask */
	*ret = p;
	return 0;
}

/* --- for people --- */

unsigned policy_n_rules(const struct policy *p)
{
	return p->n_rules;
}

static struct policy_token_text token_text(const struct policy *p, uint32_t token)
{
	const struct token *t;

	if (token == POLICY_NONE)
		return (struct policy_token_text){NULL, NULL};
	t = &policy_tokens(p)[token];
	return (struct policy_token_text){token_prefixes[t->kind], policy_text(p, t->text)};
}

void policy_rule_get(const struct policy *p, uint32_t rule, struct policy_rule *ret)
{
	const struct rule *r = &policy_rules(p)[rule];

	*ret = (struct policy_rule){
		.service = policy_string(p, r->service),
		.argument = policy_string(p, r->argument),
		.user = policy_string(p, r->user),
		.file = policy_string(p, r->file),
		.source = token_text(p, r->source),
		.target = token_text(p, r->target),
		.redirect = token_text(p, r->redirect),
		.default_target = token_text(p, r->default_target),
		.action = (enum policy_action)r->action,
		.notify = r->notify,
		.autostart = r->autostart,
		.line = r->line,
	};
}
