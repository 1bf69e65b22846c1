/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Qubes as a whole: list, create, remove. What the calls mean; how it is done is in making.c. */
#include "making.h"

#include "api/call.h"
#include "api/method.h"
#include "disposable.h"
#include "power/power.h"
#include "preload/preload.h"
#include "proto/argument.h"
#include "qubesd.h"
#include "store/property.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void list_line(struct call *c, const struct qube *q)
{
	if (!q->hidden)
		text_add(&c->out, "%s class=%s state=%s uuid=%s\n", q->name, klass_name(q->klass),
			 power_state_name(q), q->uuid);
}

int vm_list(struct call *c)
{
	const struct model *m = c->d->model;

	if (c->dest->qid != 0) {
		list_line(c, c->dest);
		return 0;
	}
	for (size_t i = 0; i < m->n_qubes; i++)
		list_line(c, m->by_name[i]);
	return 0;
}

int vmclass_list(struct call *c)
{
	text_add(&c->out, "AdminVM\nAppVM\nDispVM\nRemoteVM\nStandaloneVM\nTemplateVM\n");
	return 0;
}

int deviceclass_list(struct call *c)
{
	(void)c; /* none yet: an empty list is the truth */
	return 0;
}

/* What a create call asks for. */

static int wish_pool(struct call *c, struct wish *w, const char *disk, const char *name)
{
	const struct pool *pool = model_pool(c->d->model, name);
	bool found = false;

	if (!pool)
		return refuse(&c->why, "QubesException", "there is no pool '%s'", name);
	if (!pool_takes_volumes(pool))
		return refuse(&c->why, "QubesException",
			      "pool '%s' takes no volumes: its driver is %s", name, pool->driver);
	for (unsigned i = 0; i < N_DISKS; i++)
		if (disk[0] == '\0' || strcmp(disk, disk_name((enum disk)i)) == 0) {
			found = true;
			if (str_copy(w->pools[i], sizeof(w->pools[i]), name, strlen(name)) < 0)
				return refuse(&c->why, "QubesValueError", "'%s' is too long", name);
		}
	return found ? 0 : refuse(&c->why, "ProtocolError", "there is no volume '%s'", disk);
}

static int wish_name(struct call *c, struct wish *w, const char *name)
{
	if (model_find(c->d->model, name))
		return refuse(&c->why, "QubesVMAlreadyExistsError", "there is a qube '%s' already",
			      name);
	return str_copy(w->name, sizeof(w->name), name, strlen(name));
}

static int wish_label(struct call *c, struct wish *w, const char *name)
{
	uint64_t i = model_label(c->d->model, name);

	if (i == 0 && (str_u64(name, LABEL_MAX, &i) < 0 || !c->d->model->labels[i].name))
		return model_refuse_label(c->d->model, "QubesLabelNotFoundError", name, &c->why);
	w->label = (unsigned)i;
	return 0;
}

static int refuse_wish(struct call *c, const struct argument_create *a, int outcome)
{
	if (outcome == ARGUMENT_E_NAME)
		return refuse(&c->why, "QubesValueError",
			      "'%s' is no name for a qube: 1 to 31 letters, digits and "
			      "_.-, beginning with a letter, not ending in -dm, and not "
			      "none, default or Domain-0",
			      a->bad);
	if (outcome == ARGUMENT_E_LABEL)
		return model_refuse_label(c->d->model, "QubesLabelNotFoundError", a->bad, &c->why);
	if (outcome == ARGUMENT_E_POOL)
		return refuse(&c->why, "QubesException", "there is no pool or volume '%s'", a->bad);
	if (outcome == ARGUMENT_E_FORMAT)
		return refuse(&c->why, "ProtocolError", "the payload is name=NAME label=LABEL");
	return refuse(&c->why, "ProtocolError", "the payload: '%s' %s", a->bad,
		      argument_outcome_str(outcome));
}

static int wish_template(struct call *c, struct wish *w)
{
	const struct model *m = c->d->model;
	const struct qube *t;

	if (w->klass == KLASS_DISP) {
		t = c->q.arg[0] != '\0' ? model_find(m, c->q.arg) : NULL;
		if (c->q.arg[0] != '\0' && (!t || t->hidden))
			return refuse(&c->why, "QubesVMNotFoundError", "there is no qube '%s'",
				      c->q.arg);
		if (t && t->qid == 0)
			return refuse(&c->why, "QubesException",
				      "no disposable is made from 'dom0'");
		w->template = disposable_template(m, t ? t : m->by_qid[0], c->source, &c->why);
		return w->template ? 0 : REFUSED;
	}
	if (w->klass != KLASS_APP) {
		if (c->q.arg[0] != '\0' && w->klass == KLASS_REMOTE)
			return refuse(&c->why, "QubesValueError", "a RemoteVM has no template");
		if (c->q.arg[0] != '\0')
			return refuse(
				&c->why, "QubesValueError",
				"a %s has no template; make it, then clone the volumes of '%s'",
				klass_name(w->klass), c->q.arg);
		return 0;
	}
	t = c->q.arg[0] != '\0' ? model_find(m, c->q.arg) : global_qube(m, GLOBAL_default_template);
	if (!t && c->q.arg[0] == '\0')
		return refuse(&c->why, "QubesValueError",
			      "an AppVM needs a template, and there is no default_template; name "
			      "one, or get one by qvm-template install");
	if (!t || t->hidden)
		return refuse(&c->why, "QubesVMNotFoundError", "there is no template '%s'",
			      c->q.arg);
	if (t->klass != KLASS_TEMPLATE)
		return refuse(&c->why, "QubesValueError", "'%s' is no template but of class %s",
			      t->name, klass_name(t->klass));
	w->template = t;
	return 0;
}

static int wish_parse(struct call *c, struct wish *w, bool may_pool)
{
	struct argument_create a;
	int r = argument_create_decode(c->payload, c->q.payload_len, may_pool, &a);

	if (r > 0)
		return refuse_wish(c, &a, r);
	making_pools(c->d->model, w->pools);
	r = wish_name(c, w, a.name);
	if (r == 0)
		r = wish_label(c, w, a.label);
	for (unsigned i = 0; r == 0 && i < a.n_pools; i++)
		r = wish_pool(c, w, a.pools[i].volume, a.pools[i].pool);
	if (r != 0)
		return r;
	w->creator = c->source;
	return wish_template(c, w);
}

static void call_progressed(void *data, const char *stage, const char *text, uint64_t done,
			    uint64_t total)
{
	call_progress(data, stage, text, done, total);
}

static void call_made(void *data, struct qube *q, const struct refusal *why)
{
	struct call *c = data;

	(void)q;
	if (why)
		c->why = *why;
	c->changed = true;
	call_end(c, why ? REFUSED : 0);
}

static const struct making_events call_events = {call_progressed, call_made};

static int create(struct call *c, enum klass klass, bool may_pool)
{
	struct wish w = {.klass = klass};
	struct qube *q;
	int r = wish_parse(c, &w, may_pool);

	if (r == 0 && klass == KLASS_DISP)
		r = disposable_choose(c->d, &w, &c->why);
	if (r == 0)
		r = making_create(c->d, &w, &call_events, c, &q, &c->why);
	return r == 0 ? CALL_LATER : r;
}

int vm_create_app(struct call *c)
{
	return create(c, KLASS_APP, false);
}

int vm_create_template(struct call *c)
{
	return create(c, KLASS_TEMPLATE, false);
}

int vm_create_standalone(struct call *c)
{
	return create(c, KLASS_STANDALONE, false);
}

int vm_create_disp(struct call *c)
{
	return create(c, KLASS_DISP, false);
}

int vm_create_remote(struct call *c)
{
	return create(c, KLASS_REMOTE, false);
}

int vm_create_in_pool_app(struct call *c)
{
	return create(c, KLASS_APP, true);
}

int vm_create_in_pool_template(struct call *c)
{
	return create(c, KLASS_TEMPLATE, true);
}

int vm_create_in_pool_standalone(struct call *c)
{
	return create(c, KLASS_STANDALONE, true);
}

int vm_create_in_pool_disp(struct call *c)
{
	return create(c, KLASS_DISP, true);
}

/* made and told by name */
static void named(void *data, struct qube *q, const struct refusal *why)
{
	struct call *c = data;

	if (q)
		text_add(&c->out, "%s", q->name);
	call_made(c, q, why);
}

static void told_by_uuid(void *data, struct qube *q, const struct refusal *why)
{
	struct call *c = data;

	if (q)
		text_add(&c->out, "uuid:%s", q->uuid);
	call_made(c, q, why);
}

static void preloaded(struct call *c, struct qube *q)
{
	c->changed = true;
	if (c->q.payload_len > 0)
		text_add(&c->out, "uuid:%s", q->uuid);
	else
		text_add(&c->out, "%s", q->name);
	call_end(c, 0);
}

int vm_create_disposable(struct call *c)
{
	const bool preload = strcmp(c->q.arg, "preload") == 0;
	const bool uuid = strcmp(c->payload, "uuid") == 0;
	const struct making_events events = {NULL, uuid ? told_by_uuid : named};
	const struct qube *t;
	struct wish w;
	struct qube *q;
	int r;

	if (c->q.arg[0] != '\0' && !preload)
		return refuse(&c->why, "ProtocolError",
			      "the argument is preload or empty, not '%s'", c->q.arg);
	if (c->q.payload_len > 0 && !uuid)
		return refuse(&c->why, "ProtocolError", "the payload is uuid or empty");
	t = disposable_template(c->d->model, c->dest, c->source, &c->why);
	if (!t)
		return REFUSED;
	if (preload)
		return preload_make(c, t, preloaded);
	if (preload_take(c->d, t, c->source, false, c, preloaded))
		return CALL_LATER;
	r = disposable_wish(c->d, c->dest, c->source, &w, &c->why);
	if (r == 0)
		r = making_create(c->d, &w, &events, c, &q, &c->why);
	return r == 0 ? CALL_LATER : r;
}

int vm_remove(struct call *c)
{
	int r = making_remove(c->d, c->dest, c->source->qid,
			      property_bool(c->d->model, c->dest, PROP_auto_cleanup), &call_events,
			      c, &c->why);

	return r == 0 ? CALL_LATER : r;
}
