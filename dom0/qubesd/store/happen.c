/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The model: what a change does there. Nothing here fails. */
#include "store/change.h"

#include "base/str.h"
#include "store/store.h"

#include <string.h>

static void swap_text(char **to, char **from)
{
	free(*to);
	*to = take_ptr(from);
}

static void operation_drop(struct operation **at)
{
	struct operation *gone = *at;

	*at = gone->next;
	free(gone->kind);
	free(gone->detail);
	free(gone);
}

static void apply_operation_end(struct model *m, uint64_t id)
{
	struct operation **p = &m->operations;

	while (*p && (*p)->id != id)
		p = &(*p)->next;
	if (*p)
		operation_drop(p);
}

static void apply_removal(struct model *m, struct qube *q)
{
	struct operation **p = &m->operations;

	while (*p) {
		if ((*p)->qid == q->qid)
			operation_drop(p);
		else
			p = &(*p)->next;
	}
	model_remove(m, q);
}

static void apply_pool(struct model *m, struct change *c)
{
	struct pool **p = &m->pools;

	while (*p && strcmp((*p)->name, c->key) != 0)
		p = &(*p)->next;
	if (*p) {
		struct pool *gone = *p;

		*p = gone->next;
		free(gone->name);
		free(gone->driver);
		free(gone->dir);
		free(gone);
	}
	if (c->pool) {
		c->pool->next = *p;
		*p = take_ptr(&c->pool);
	}
}

static void apply_volume(struct qube *q, struct change *c)
{
	struct volume *v = &q->volumes[c->index];

	free(v->pool);
	free(v->vid);
	*v = c->volume;
	c->volume = (struct volume){0};
}

/* what calls are decided by: policyd is told of it (policyd.h) */
static bool is_told(const struct change *c)
{
	/* the template, for it is a disposable's default_dispvm */
	static const unsigned properties[] = {
		PROP_default_dispvm,       PROP_label,        PROP_relayvm, PROP_template,
		PROP_template_for_dispvms, PROP_transport_rpc};

	if (c->what == SET_FEATURE)
		return str_eq(c->pair ? c->pair->key : c->key, "internal");
	for (size_t i = 0; c->what == SET_PROPERTY && i < ARRAY_LEN(properties); i++)
		if (properties[i] == c->index)
			return true;
	return c->what == SET_TAG || c->what == RENAME;
}

static void untell(struct model *m, const struct change *c)
{
	struct qube *q = model_get(m, c->qid);

	if (c->what == ADD_QUBE || c->what == REMOVE_QUBE)
		m->untold = true; /* one that was never told is told */
	if (q && is_told(c))
		model_untell(m, q);
	/* policyd knows qubes that others refer to by name */
	if (c->what == RENAME || (c->what == SET_GLOBAL && c->index == GLOBAL_default_dispvm))
		for (size_t i = 0; i < m->n_qubes; i++)
			model_untell(m, m->by_name[i]);
}

void change_happen(struct model *m, struct change *c)
{
	struct qube *q = model_get(m, c->qid);
	struct pair **pairs = NULL;

	untell(m, c);
	switch (c->what) {
	case ADD_QUBE:
		model_add(m, take_ptr(&c->qube));
		return;
	case SET_GLOBAL:
		swap_text(&m->globals[c->index], &c->value);
		return;
	case SET_LABEL:
		swap_text(&m->labels[c->index].name, &c->value);
		m->labels[c->index].color = (uint32_t)c->number;
		return;
	case SET_POOL:
		apply_pool(m, c);
		return;
	case SET_XID:
		m->last_xid = (unsigned)c->number;
		return;
	case BEGIN:
		if (m->next_operation <= c->number)
			m->next_operation = c->number + 1;
		c->operation->next = m->operations;
		m->operations = take_ptr(&c->operation);
		return;
	case END:
		apply_operation_end(m, c->number);
		return;
	case REMOVE_QUBE:
	case RENAME:
	case SET_PROPERTY:
	case SET_DOCUMENT:
	case SET_FEATURE:
	case SET_TAG:
	case SET_VOLUME:
		break;
	}
	if (!q)
		return;
	if (c->what == REMOVE_QUBE) {
		apply_removal(m, q);
	} else if (c->what == RENAME) {
		model_rename(m, q, c->value);
	} else if (c->what == SET_DOCUMENT) {
		swap_text(&q->documents[c->index], &c->value);
	} else if (c->what == SET_PROPERTY) {
		swap_text(&q->values[c->index], &c->value);
	} else if (c->what == SET_VOLUME) {
		apply_volume(q, c);
	} else {
		pairs = c->what == SET_TAG ? &q->tags : &q->features;
		if (c->pair)
			pair_put(pairs, take_ptr(&c->pair));
		else
			pair_drop(pairs, c->key);
	}
}
