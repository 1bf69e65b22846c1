/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A qube gets another name (bulkhead.vm.Rename). All that refers to it in the store does so by number
 * and stays; tags that name it are renamed with it. Its volumes are named by its uuid.
 *
 * Who follows events of Qubes' kind knows of no renaming: to them the old qube goes and the new one
 * comes.
 */
#include "api/call.h"
#include "api/event.h"
#include "api/method.h"
#include "power/power.h"
#include "qubesd.h"

#include <stdio.h>
#include <string.h>

/* tags that qubesd keeps, and whose rest is a qube's name */
static const char *const prefixes[] = {"created-by-", "disp-created-by-", "guivm-", "audiovm-"};

typedef void (*tag_fn)(void *data, const struct qube *q, const char *tag, const char *new_tag);

static void each_tag(const struct model *m, const char *name, const char *new, tag_fn fn,
		     void *data)
{
	for (size_t i = 0; i < m->n_qubes; i++)
		for (size_t n = 0; n < ARRAY_LEN(prefixes); n++) {
			char tag[64], new_tag[64];

			(void)snprintf(tag, sizeof(tag), "%s%s", prefixes[n], name);
			(void)snprintf(new_tag, sizeof(new_tag), "%s%s", prefixes[n], new);
			if (pair_find(m->by_name[i]->tags, tag))
				fn(data, m->by_name[i], tag, new_tag);
		}
}

static void change_tag(void *data, const struct qube *q, const char *tag, const char *new_tag)
{
	changes_set_tag(data, q->qid, tag, false);
	changes_set_tag(data, q->qid, new_tag, true);
}

static void emit_tag(void *data, const struct qube *q, const char *tag, const char *new_tag)
{
	char event[96];

	if (!pair_find(q->tags, new_tag))
		return;
	(void)snprintf(event, sizeof(event), "domain-tag-delete:%s", tag);
	event_emit(data, q, event, "tag", tag, NULL);
	(void)snprintf(event, sizeof(event), "domain-tag-add:%s", new_tag);
	event_emit(data, q, event, "tag", new_tag, NULL);
}

/* the qubes whose tags have become others, told after all of them have */
struct told {
	unsigned qid;
	char tag[64], new_tag[64];
};
struct tellings {
	struct told *at;
	size_t n;
};

static void note(void *data, const struct qube *q, const char *tag, const char *new_tag)
{
	struct tellings *t = data;
	struct told *more = reallocarray(t->at, t->n + 1, sizeof(*more));

	if (!more)
		return; /* the change counts, not that it is told */
	t->at = more;
	more[t->n].qid = q->qid;
	(void)snprintf(more[t->n].tag, sizeof(more[t->n].tag), "%s", tag);
	(void)snprintf(more[t->n].new_tag, sizeof(more[t->n].new_tag), "%s", new_tag);
	t->n++;
}

static int may_rename(struct call *c, const char *new)
{
	if (!str_is_qube_name(new, strlen(new)))
		return refuse(&c->why, "QubesValueError",
			      "'%s' is no name for a qube: 1 to 31 letters, digits and _.-, "
			      "beginning with a letter, not ending in -dm, and not none, default "
			      "or Domain-0",
			      new);
	if (model_find(c->d->model, new))
		return refuse(&c->why, "QubesVMAlreadyExistsError", "there is a qube '%s' already",
			      new);
	return power_refuse_busy(c->dest, &c->why);
}

int rename_vm(struct call *c)
{
	struct changes AUTO(changes_done) changes = {0};
	struct qubesd *d = c->d;
	const char *new = c->q.arg;
	struct tellings tellings = {0};
	int r = may_rename(c, new);

	if (r != 0)
		return r;
	changes_rename(&changes, c->dest_qid, new);
	each_tag(d->model, c->dest_name, new, change_tag, &changes);
	if (d->n_streams[TOPIC_EVENTS] > 0)
		each_tag(d->model, c->dest_name, new, note, &tellings);
	event_emit(d, NULL, "domain-pre-delete", "vm", c->dest_name, NULL);
	r = call_apply(c, &changes);
	if (r == 0) {
		event_emit(d, NULL, "domain-delete", "vm", c->dest_name, NULL);
		event_emit(d, NULL, "domain-add", "vm", new, NULL);
		event_emit(d, c->dest, "property-set:name", "name", "name", "newvalue", new,
			   "oldvalue", c->dest_name, NULL);
		for (size_t i = 0; i < tellings.n; i++)
			emit_tag(d, model_get(d->model, tellings.at[i].qid), tellings.at[i].tag,
				 tellings.at[i].new_tag);
	}
	free(tellings.at);
	return r;
}
