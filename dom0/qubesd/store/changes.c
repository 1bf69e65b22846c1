/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Changes are collected: each with all the memory that its happening will need. */
#include "store/change.h"

#include "base/str.h"
#include "store/store.h"

#include <string.h>

void change_free(struct change *c)
{
	if (!c)
		return;
	qube_free(c->qube);
	pair_free(c->pair);
	free(c->key);
	free(c->value);
	if (c->pool) {
		free(c->pool->name);
		free(c->pool->driver);
		free(c->pool->dir);
		free(c->pool);
	}
	if (c->operation) {
		free(c->operation->kind);
		free(c->operation->detail);
		free(c->operation);
	}
	free(c->volume.pool);
	free(c->volume.vid);
	free(c);
}

void changes_done(struct changes *c)
{
	while (c->first) {
		struct change *next = c->first->next;

		change_free(c->first);
		c->first = next;
	}
	*c = (struct changes){0};
}

static struct change *append(struct changes *c, enum what what, unsigned qid)
{
	struct change *one = calloc(1, sizeof(*one));

	if (!one) {
		c->failed = true;
		return NULL;
	}
	one->what = what;
	one->qid = qid;
	if (!c->last)
		c->last = &c->first;
	*c->last = one;
	c->last = &one->next;
	return one;
}

/* a copy of @s, NULL for NULL; running out of memory sticks to @c */
static char *copy(struct changes *c, const char *s)
{
	char *new = s ? strdup(s) : NULL;

	if (s && !new)
		c->failed = true;
	return new;
}

void changes_add_qube(struct changes *c, unsigned qid, enum klass klass, const char *name,
		      const char *uuid)
{
	struct change *one = append(c, ADD_QUBE, qid);
	struct qube *q;

	if (!one)
		return;
	q = one->qube = calloc(1, sizeof(*q));
	if (!q || str_copy(q->name, sizeof(q->name), name, strlen(name)) < 0 ||
	    str_copy(q->uuid, sizeof(q->uuid), uuid, strlen(uuid)) < 0) {
		c->failed = true;
		return;
	}
	q->qid = qid;
	q->klass = klass;
	c->n_qubes++;
}

void changes_remove_qube(struct changes *c, unsigned qid)
{
	(void)append(c, REMOVE_QUBE, qid);
}

void changes_rename(struct changes *c, unsigned qid, const char *name)
{
	struct change *one = append(c, RENAME, qid);

	if (one)
		one->value = copy(c, name);
}

static void set_value(struct changes *c, enum what what, unsigned qid, unsigned index,
		      const char *raw)
{
	struct change *one = append(c, what, qid);

	if (!one)
		return;
	one->index = index;
	one->value = copy(c, raw);
}

void changes_set_property(struct changes *c, unsigned qid, enum property_id id, const char *raw)
{
	set_value(c, SET_PROPERTY, qid, id, raw);
}

void changes_set_document(struct changes *c, unsigned qid, enum document d, const char *text)
{
	set_value(c, SET_DOCUMENT, qid, d, text);
}

void changes_set_global(struct changes *c, enum global_id id, const char *raw)
{
	set_value(c, SET_GLOBAL, 0, id, raw);
}

static void set_pair(struct changes *c, enum what what, unsigned qid, const char *key,
		     const char *value)
{
	struct change *one = append(c, what, qid);

	if (!one)
		return;
	one->key = copy(c, key);
	if (!value)
		return;
	one->pair = calloc(1, sizeof(*one->pair));
	if (!one->pair) {
		c->failed = true;
		return;
	}
	one->pair->key = copy(c, key);
	one->pair->value = copy(c, value);
}

void changes_set_feature(struct changes *c, unsigned qid, const char *name, const char *value)
{
	set_pair(c, SET_FEATURE, qid, name, value);
}

void changes_set_tag(struct changes *c, unsigned qid, const char *name, bool there)
{
	set_pair(c, SET_TAG, qid, name, there ? "" : NULL);
}

void changes_set_volume(struct changes *c, unsigned qid, enum disk d, const struct volume *v)
{
	struct change *one = append(c, SET_VOLUME, qid);

	if (!one)
		return;
	one->index = d;
	one->volume = *v;
	one->volume.pool = copy(c, v->pool);
	one->volume.vid = copy(c, v->vid);
}

void changes_set_label(struct changes *c, unsigned i, const char *name, uint32_t color)
{
	struct change *one = append(c, SET_LABEL, 0);

	if (!one)
		return;
	one->index = i;
	one->number = color;
	one->value = copy(c, name);
}

void changes_remove_pool(struct changes *c, const char *name)
{
	struct change *one = append(c, SET_POOL, 0);

	if (one)
		one->key = copy(c, name);
}

void changes_set_pool(struct changes *c, const struct pool *pool)
{
	struct change *one = append(c, SET_POOL, 0);

	if (!one)
		return;
	one->key = copy(c, pool->name);
	one->pool = calloc(1, sizeof(*one->pool));
	if (!one->pool) {
		c->failed = true;
		return;
	}
	one->pool->name = copy(c, pool->name);
	one->pool->driver = copy(c, pool->driver);
	one->pool->dir = copy(c, pool->dir);
	one->pool->revisions_to_keep = pool->revisions_to_keep;
	one->pool->ephemeral_volatile = pool->ephemeral_volatile;
}

void changes_set_xid(struct changes *c, unsigned last_xid)
{
	struct change *one = append(c, SET_XID, 0);

	if (one)
		one->number = last_xid;
}

void changes_begin(struct changes *c, uint64_t id, unsigned qid, const char *kind,
		   const char *detail)
{
	struct change *one = append(c, BEGIN, qid);

	if (!one)
		return;
	one->number = id;
	one->operation = calloc(1, sizeof(*one->operation));
	if (!one->operation) {
		c->failed = true;
		return;
	}
	one->operation->id = id;
	one->operation->qid = qid;
	one->operation->kind = copy(c, kind);
	one->operation->detail = copy(c, detail);
}

void changes_end(struct changes *c, uint64_t id)
{
	struct change *one = append(c, END, 0);

	if (one)
		one->number = id;
}
