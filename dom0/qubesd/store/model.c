/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/model.h"

#include "base/str.h"
#include "store/property.h"
#include "store/refusal.h"

#include <stdio.h>
#include <string.h>

static const char *const klass_names[N_KLASSES] = {
	[KLASS_ADMIN] = "AdminVM", [KLASS_TEMPLATE] = "TemplateVM",
	[KLASS_APP] = "AppVM",     [KLASS_STANDALONE] = "StandaloneVM",
	[KLASS_DISP] = "DispVM",   [KLASS_REMOTE] = "RemoteVM",
};

const char *klass_name(enum klass k)
{
	return klass_names[k];
}

unsigned klass_find(const char *name)
{
	unsigned k = 0;

	while (k < N_KLASSES && strcmp(klass_names[k], name) != 0)
		k++;
	return k;
}

const char *disk_name(enum disk d)
{
	static const char *const names[N_DISKS] = {"root", "private", "volatile"};

	return names[d];
}

const char *document_name(enum document d)
{
	static const char *const names[N_DOCUMENTS] = {"notes", "firewall", "menu"};

	return names[d];
}

const struct pair *pair_find(const struct pair *list, const char *key)
{
	int order = -1;

	for (; list && (order = strcmp(list->key, key)) < 0; list = list->next)
		;
	return list && order == 0 ? list : NULL;
}

void pair_free(struct pair *p)
{
	if (!p)
		return;
	free(p->key);
	free(p->value);
	free(p);
}

/* where @key is, or belongs; @ret_there: something is there under it */
static struct pair **pair_seek(struct pair **list, const char *key, bool *ret_there)
{
	int order = -1;

	while (*list && (order = strcmp((*list)->key, key)) < 0)
		list = &(*list)->next;
	*ret_there = *list && order == 0;
	return list;
}

void pair_drop(struct pair **list, const char *key)
{
	bool there;
	struct pair **at = pair_seek(list, key, &there);
	struct pair *gone = *at;

	if (!there)
		return;
	*at = gone->next;
	pair_free(gone);
}

void pair_put(struct pair **list, struct pair *p)
{
	bool there;
	struct pair **at = pair_seek(list, p->key, &there);
	struct pair *gone = *at;

	p->next = there ? gone->next : gone;
	*at = p;
	if (there)
		pair_free(gone);
}

static void pairs_free(struct pair *list)
{
	while (list) {
		struct pair *next = list->next;

		pair_free(list);
		list = next;
	}
}

static unsigned bucket(const char *s)
{
	uint32_t h = 2166136261u;

	for (; *s != '\0'; s++)
		h = (h ^ (uint8_t)*s) * 16777619u;
	return h % N_BUCKETS;
}

void model_init(struct model *m)
{
	memset(m, 0, sizeof(*m));
	m->next_operation = 1;
}

void qube_free(struct qube *q)
{
	if (!q)
		return;
	for (unsigned i = 0; i < N_PROPERTIES; i++)
		free(q->values[i]);
	for (unsigned i = 0; i < N_DISKS; i++) {
		free(q->volumes[i].pool);
		free(q->volumes[i].vid);
	}
	for (unsigned i = 0; i < N_DOCUMENTS; i++)
		free(q->documents[i]);
	pairs_free(q->features);
	pairs_free(q->tags);
	free(q);
}

void model_done(struct model *m)
{
	for (unsigned i = 0; i <= QID_MAX; i++)
		qube_free(m->by_qid[i]);
	free(m->by_name);
	for (unsigned i = 0; i < N_GLOBALS; i++)
		free(m->globals[i]);
	for (unsigned i = 0; i <= LABEL_MAX; i++)
		free(m->labels[i].name);
	while (m->pools) {
		struct pool *p = m->pools;

		m->pools = p->next;
		free(p->name);
		free(p->driver);
		free(p->dir);
		free(p);
	}
	while (m->operations) {
		struct operation *o = m->operations;

		m->operations = o->next;
		free(o->kind);
		free(o->detail);
		free(o);
	}
	model_init(m);
}

struct qube *model_find(const struct model *m, const char *name)
{
	if (str_starts(name, "uuid:")) {
		name += strlen("uuid:");
		for (struct qube *q = m->uuid_buckets[bucket(name)]; q; q = q->uuid_next)
			if (strcmp(q->uuid, name) == 0)
				return q;
		return NULL;
	}
	for (struct qube *q = m->name_buckets[bucket(name)]; q; q = q->name_next)
		if (strcmp(q->name, name) == 0)
			return q;
	return NULL;
}

struct qube *model_get(const struct model *m, unsigned qid)
{
	return qid <= QID_MAX ? m->by_qid[qid] : NULL;
}

const struct pool *model_pool(const struct model *m, const char *name)
{
	const struct pool *p = m->pools;

	while (p && strcmp(p->name, name) != 0)
		p = p->next;
	return p;
}

bool pool_takes_volumes(const struct pool *p)
{
	return !str_eq(p->driver, "linux-kernel");
}

unsigned model_label(const struct model *m, const char *name)
{
	for (unsigned i = 1; i <= LABEL_MAX; i++)
		if (str_eq(m->labels[i].name, name))
			return i;
	return 0;
}

int model_refuse_label(const struct model *m, const char *type, const char *name,
		       struct refusal *why)
{
	char names[512] = "";
	size_t n = 0;

	for (unsigned i = 1; i <= LABEL_MAX && n < sizeof(names); i++) {
		if (m->labels[i].name)
			n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%s",
					      n > 0 ? ", " : "", m->labels[i].name);
	}
	return refuse(why, type, "there is no label '%s'; there are: %s", name, names);
}

unsigned model_free_qid(const struct model *m)
{
	for (unsigned i = 1; i <= QID_MAX; i++)
		if (!m->by_qid[i])
			return i;
	return 0;
}

void model_untell(struct model *m, struct qube *q)
{
	q->untold = true;
	m->untold = true;
}

struct qube *model_template(const struct model *m, const struct qube *q)
{
	if (q->klass != KLASS_APP && q->klass != KLASS_DISP)
		return NULL;
	return property_qube(m, q, PROP_template);
}

const struct volume *model_source(const struct model *m, const struct qube *q, enum disk d)
{
	const struct qube *from;

	if (!q->volumes[d].pool || !q->volumes[d].snap_on_start)
		return NULL;
	/* a disposable's root comes from its template's template, its private from its template */
	from = model_template(m, q);
	if (from && q->klass == KLASS_DISP && d == DISK_ROOT && model_template(m, from))
		from = model_template(m, from);
	return from && from->volumes[d].pool ? &from->volumes[d] : NULL;
}

const char *model_volume_pool(const struct model *m, const struct qube *q, enum disk d)
{
	const struct volume *source = model_source(m, q, d);

	return source ? source->pool : q->volumes[d].pool;
}

bool model_is_ephemeral(const struct model *m, const struct qube *q, enum disk d)
{
	const struct volume *v = &q->volumes[d];
	const struct pool *pool;

	if (!v->pool || v->save_on_stop || v->snap_on_start || v->ephemeral == EPHEMERAL_NO)
		return false;
	pool = model_pool(m, v->pool);
	return v->ephemeral == EPHEMERAL_YES || (pool && pool->ephemeral_volatile);
}

uint64_t model_volume_size(const struct model *m, const struct qube *q, enum disk d)
{
	const struct volume *v = &q->volumes[d], *source = model_source(m, q, d);

	if (source && source->size > v->size)
		return source->size;
	return v->size;
}

int model_reserve(struct model *m, size_t n_more)
{
	size_t room = m->by_name_room > 0 ? m->by_name_room : 64;
	struct qube **more;

	while (room < m->n_qubes + n_more)
		room *= 2;
	if (room == m->by_name_room)
		return 0;
	more = reallocarray(m->by_name, room, sizeof(*more));
	if (!more)
		return -ENOMEM;
	m->by_name = more;
	m->by_name_room = room;
	return 0;
}

/* dom0 first, then by name */
static int order(const struct qube *a, const struct qube *b)
{
	if (a->qid == 0 || b->qid == 0)
		return a->qid == 0 ? -1 : 1;
	return strcmp(a->name, b->name);
}

static size_t place(const struct model *m, const struct qube *q)
{
	size_t low = 0, high = m->n_qubes;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (order(m->by_name[mid], q) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* under its name: in the list and the table of names */
static void name_put(struct model *m, struct qube *q)
{
	unsigned b = bucket(q->name);
	size_t at = place(m, q);

	memmove(&m->by_name[at + 1], &m->by_name[at], (m->n_qubes - at) * sizeof(*m->by_name));
	m->by_name[at] = q;
	m->n_qubes++;
	q->name_next = m->name_buckets[b];
	m->name_buckets[b] = q;
}

static void name_drop(struct model *m, struct qube *q)
{
	struct qube **p = &m->name_buckets[bucket(q->name)];
	size_t at = place(m, q);

	while (*p != q)
		p = &(*p)->name_next;
	*p = q->name_next;
	m->n_qubes--;
	memmove(&m->by_name[at], &m->by_name[at + 1], (m->n_qubes - at) * sizeof(*m->by_name));
}

void model_add(struct model *m, struct qube *q)
{
	unsigned u = bucket(q->uuid);

	name_put(m, q);
	m->by_qid[q->qid] = q;
	q->uuid_next = m->uuid_buckets[u];
	m->uuid_buckets[u] = q;
}

void model_rename(struct model *m, struct qube *q, const char *name)
{
	name_drop(m, q);
	(void)snprintf(q->name, sizeof(q->name), "%s", name);
	name_put(m, q);
}

void model_remove(struct model *m, struct qube *q)
{
	struct qube **p = &m->uuid_buckets[bucket(q->uuid)];

	name_drop(m, q);
	while (*p != q)
		p = &(*p)->uuid_next;
	*p = q->uuid_next;
	m->by_qid[q->qid] = NULL;
	qube_free(q);
}
