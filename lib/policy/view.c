/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What each token of the policy means for the qubes there are. */
#include "policy/view.h"

#include "base/str.h"

#define UUID_PREFIX     "uuid:"
#define UUID_PREFIX_LEN 5

/* how the room is parted; with a NULL room it is only measured */
struct parts {
	char *room;
	size_t len;
};

static void *part(struct parts *parts, size_t n, size_t size)
{
	void *at = parts->room ? parts->room + parts->len : NULL;

	parts->len = (parts->len + n * size + 7) & ~(size_t)7;
	return at;
}

static bool is_set_kind(uint32_t kind)
{
	return kind == TOKEN_TYPE || kind == TOKEN_TAG || kind == TOKEN_DISPVM_TAG;
}

static size_t lay_out(struct policy_view *v, void *room)
{
	struct parts parts = {.room = room};
	size_t words = v->n_words;

	(void)part(&parts, 1, sizeof(*v));
	v->slots = part(&parts, v->p->n_tokens, sizeof(*v->slots));
	v->sets = part(&parts, v->n_sets * words, sizeof(uint64_t));
	v->all = part(&parts, words, sizeof(uint64_t));
	v->not_admin = part(&parts, words, sizeof(uint64_t));
	v->templates = part(&parts, words, sizeof(uint64_t));
	v->internal = part(&parts, words, sizeof(uint64_t));
	v->running = part(&parts, words, sizeof(uint64_t));
	v->names = part(&parts, words, sizeof(uint64_t));
	v->disposables = part(&parts, words, sizeof(uint64_t));
	v->probes = part(&parts, v->p->n_rules, sizeof(*v->probes));
	v->index = part(&parts, (size_t)v->index_mask + 1, sizeof(*v->index));
	return parts.len;
}

static struct policy_view sized(const struct policy *p, unsigned n_qubes)
{
	struct policy_view v = {
		.p = p, .n_qubes = n_qubes, .n_words = n_qubes / 64 + 1, .n_sets = N_FIRST_SETS};
	uint32_t slots = 4;

	for (uint32_t i = 0; i < p->n_tokens; i++)
		v.n_sets += is_set_kind(policy_tokens(p)[i].kind);
	while (slots < 4 * (uint64_t)n_qubes)
		slots *= 2;
	v.index_mask = slots - 1;
	return v;
}

size_t policy_view_size(const struct policy *p, unsigned n_qubes)
{
	struct policy_view v = sized(p, n_qubes);

	return lay_out(&v, NULL);
}

/* the place of @text in the index, or the free one where it would be */
static struct index_entry *find_entry(const struct policy_view *v, const char *text)
{
	const char *uuid = str_starts(text, UUID_PREFIX) ? text + UUID_PREFIX_LEN : NULL;
	uint32_t hash = text_hash(HASH_SEED, text, strlen(text)), i = hash & v->index_mask;

	for (; v->index[i].who != POLICY_NONE; i = (i + 1) & v->index_mask) {
		const struct index_entry *e = &v->index[i];
		const char *wanted = e->who & 1 ? uuid : text;

		if (e->hash == hash && wanted && strcmp(e->text, wanted) == 0)
			return &v->index[i];
	}
	v->index[i].hash = hash;
	return &v->index[i];
}

uint32_t view_find(const struct policy_view *v, const char *text, bool *ret_by_uuid)
{
	const struct index_entry *e = find_entry(v, text);

	if (e->who == POLICY_NONE)
		return POLICY_NONE;
	if (ret_by_uuid)
		*ret_by_uuid = e->who & 1;
	return e->who / 2;
}

/* the tokens that name the qube @i as @text */
static void name_tokens(struct policy_view *v, const char *text, uint32_t i, bool by_uuid)
{
	static const enum token_kind kinds[] = {TOKEN_NAME, TOKEN_DISPVM_OF};
	struct index_entry *e = find_entry(v, text);
	uint32_t string = policy_find(v->p, text, strlen(text));

	if (e->who == POLICY_NONE) {
		e->who = 2 * i + by_uuid;
		e->text = by_uuid ? v->qubes[i].uuid : v->qubes[i].name;
	}
	for (unsigned k = 0; k < ARRAY_LEN(kinds) && string != POLICY_NONE; k++) {
		uint32_t token = policy_find_token(v->p, kinds[k], string);

		if (token != POLICY_NONE && v->slots[token].qube == POLICY_NONE) {
			v->slots[token].qube = i;
			v->slots[token].by_uuid = by_uuid;
		}
	}
}

static void add_to_set(struct policy_view *v, enum token_kind kind, const char *text, uint32_t i)
{
	uint32_t string = policy_find(v->p, text, strlen(text)),
		 token = string == POLICY_NONE ? POLICY_NONE
					       : policy_find_token(v->p, kind, string);

	if (token != POLICY_NONE)
		set_add(v->sets + (size_t)v->slots[token].set * v->n_words, i);
}

static void add_qube(struct policy_view *v, uint32_t i)
{
	const struct policy_qube *q = &v->qubes[i];
	char uuid[64];

	name_tokens(v, q->name, i, false);
	if (q->uuid && q->uuid[0] != '\0' &&
	    str_format(uuid, sizeof(uuid), UUID_PREFIX "%s", q->uuid) == 0)
		name_tokens(v, uuid, i, true);
	if (q->type)
		add_to_set(v, TOKEN_TYPE, q->type, i);
	for (unsigned t = 0; t < q->n_tags; t++) {
		add_to_set(v, TOKEN_TAG, q->tags[t], i);
		if (q->template_for_dispvms)
			add_to_set(v, TOKEN_DISPVM_TAG, q->tags[t], i);
	}
	set_add(v->all, i);
	if (i != v->dom0 && !str_eq(q->type, "AdminVM"))
		set_add(v->not_admin, i);
	if (q->template_for_dispvms)
		set_add(v->templates, i);
	if (q->internal)
		set_add(v->internal, i);
	if (q->running || i == v->dom0)
		set_add(v->running, i);
}

static uint64_t *first_set(struct policy_view *v, unsigned set)
{
	return v->sets + (size_t)set * v->n_words;
}

static void add_sources(struct policy_view *v)
{
	memcpy(first_set(v, SET_ANY_SOURCE), v->all, v->n_words * sizeof(uint64_t));
	memcpy(first_set(v, SET_ANYVM_SOURCE), v->not_admin, v->n_words * sizeof(uint64_t));
	set_add(first_set(v, SET_ANY_SOURCE), v->n_qubes);
	set_add(first_set(v, SET_ANYVM_SOURCE), v->n_qubes);
	set_add(first_set(v, SET_ADMINVM_SOURCE), v->dom0);
}

static void add_probes(struct policy_view *v)
{
	/* a caller is a qube by its name: not @default, nor what it was made from */
	static const uint32_t sets[N_TOKEN_KINDS] = {[TOKEN_ALL] = SET_ANY_SOURCE,
						     [TOKEN_ANYVM] = SET_ANYVM_SOURCE,
						     [TOKEN_ADMINVM] = SET_ADMINVM_SOURCE};

	for (uint32_t i = 0; i < v->p->n_rules; i++) {
		uint32_t rule = policy_order(v->p)[i];
		const struct rule *r = &policy_rules(v->p)[rule];
		uint32_t kind = policy_tokens(v->p)[r->source].kind;
		uint32_t target_kind = policy_tokens(v->p)[r->target].kind;
		const struct slot *s = &v->slots[r->source], *t = &v->slots[r->target];
		bool by_set = kind == TOKEN_TYPE || kind == TOKEN_TAG;

		v->probes[i] = (struct probe){
			.rule = rule,
			.argument = r->argument,
			.qube = kind == TOKEN_NAME ? s->qube : NO_QUBE,
			.set = by_set ? s->set : sets[kind],
			.target_kind = target_kind,
			.target = is_set_kind(target_kind) ? t->set : t->qube,
		};
	}
}

int policy_view_make(const struct policy *p, const struct policy_qube *qubes, unsigned n_qubes,
		     void *room, size_t size, struct policy_view **ret)
{
	struct policy_view v = sized(p, n_qubes);
	uint32_t set = N_FIRST_SETS;

	if (!room || lay_out(&v, room) > size)
		return -ENOSPC;
	v.qubes = qubes;
	v.dom0 = POLICY_NONE;
	for (uint32_t i = 0; i < n_qubes; i++) {
		if (i > 0 && strcmp(qubes[i - 1].name, qubes[i].name) >= 0)
			return POLICY_E_QUBES;
		if (strcmp(qubes[i].name, "dom0") == 0)
			v.dom0 = i;
	}
	if (v.dom0 == POLICY_NONE)
		return POLICY_E_QUBES;
	memset(room, 0, size);
	for (uint32_t i = 0; i <= v.index_mask; i++)
		v.index[i].who = POLICY_NONE;
	for (uint32_t i = 0; i < p->n_tokens; i++) {
		v.slots[i].qube = POLICY_NONE;
		if (is_set_kind(policy_tokens(p)[i].kind))
			v.slots[i].set = set++;
	}
	for (uint32_t i = 0; i < n_qubes; i++)
		add_qube(&v, i);
	add_sources(&v);
	add_probes(&v);
	*(struct policy_view *)room = v;
	*ret = room;
	return 0;
}
