/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/follow.h"

#include "api/call.h"
#include "api/event.h"
#include "api/feature.h"
#include "base/log.h"
#include "power/tell.h"
#include "qubesd.h"
#include "store/property.h"

#include <stdio.h>
#include <string.h>

void follows_done(struct follows *f)
{
	free(f->at);
	*f = (struct follows){0};
}

/* what a change is collected into */
struct collect {
	struct call *c;
	struct changes *changes;
	struct follows *to;
};

static int add(struct collect *to, const struct qube *q, bool is_tag, const char *name,
	       const char *value)
{
	struct follow *more = reallocarray(to->to->at, to->to->n + 1, sizeof(*more));
	const struct pair *had = pair_find(is_tag ? q->tags : q->features, name);

	if (!more)
		return -ENOMEM;
	to->to->at = more;
	if (value ? had && str_eq(had->value, value) : !had)
		return 0;
	more += to->to->n++;
	*more = (struct follow){.qid = q->qid, .is_tag = is_tag};
	(void)snprintf(more->name, sizeof(more->name), "%s", name);
	(void)snprintf(more->value, sizeof(more->value), "%s", value ? value : "");
	if (is_tag) {
		changes_set_tag(to->changes, q->qid, name, value != NULL);
		return 0;
	}
	changes_set_feature(to->changes, q->qid, name, value);
	feature_emit(to->c->d, q, value ? FEATURE_PRE_SET : FEATURE_PRE_DELETE, name, value,
		     had ? had->value : NULL);
	return 0;
}

static int move_clock(struct collect *to, const struct qube *from, const struct qube *clock)
{
	int r = from && from != clock ? add(to, from, false, "service.clocksync", NULL) : 0;

	return r == 0 && clock ? add(to, clock, false, "service.clocksync", "1") : r;
}

/* @q has the one tag that begins with @prefix and names @of */
static int retag(struct collect *to, const struct qube *q, const char *prefix,
		 const struct qube *of)
{
	char name[64] = "";
	int r = 0;

	if (of && of->qid != 0)
		(void)snprintf(name, sizeof(name), "%s%s", prefix, of->name);
	for (const struct pair *tag = q->tags; r == 0 && tag; tag = tag->next)
		if (str_starts(tag->key, prefix) && !str_eq(tag->key, name))
			r = add(to, q, true, tag->key, NULL);
	return r == 0 && name[0] != '\0' ? add(to, q, true, name, "") : r;
}

static int retag_default(struct collect *to, enum property_id id, const char *prefix,
			 const struct qube *of)
{
	const struct model *m = to->c->d->model;
	int r = 0;

	for (size_t i = 0; r == 0 && i < m->n_qubes; i++)
		if (property_has(m->by_name[i], property_at(false, id)) &&
		    !m->by_name[i]->values[id])
			r = retag(to, m->by_name[i], prefix, of);
	return r;
}

static struct qube *meant(const struct model *m, const char *raw)
{
	uint64_t qid;

	return raw && str_u64(raw, QID_MAX, &qid) == 0 ? model_get(m, (unsigned)qid) : NULL;
}

int follow_change(struct call *c, struct qube *q, const struct property *p, const char *raw,
		  struct changes *changes, struct follows *ret)
{
	const struct model *m = c->d->model;
	struct collect to = {c, changes, ret};
	char buf[PROPERTY_BUF];
	const char *new = raw ? raw : property_default(m, q, p, buf);

	if (!q && p->id == GLOBAL_clockvm)
		return move_clock(&to, global_qube(m, GLOBAL_clockvm), meant(m, new));
	if (!q && p->id == GLOBAL_default_guivm)
		return retag_default(&to, PROP_guivm, "guivm-", meant(m, new));
	if (!q && p->id == GLOBAL_default_audiovm)
		return retag_default(&to, PROP_audiovm, "audiovm-", meant(m, new));
	if (q && p->id == PROP_guivm)
		return retag(&to, q, "guivm-", meant(m, new));
	if (q && p->id == PROP_audiovm)
		return retag(&to, q, "audiovm-", meant(m, new));
	if (q && p->id == PROP_provides_network)
		return add(&to, q, false, "servicevm", str_eq(new, "True") ? "1" : NULL);
	return 0;
}

static void tell_tag(struct call *c, const struct qube *q, const char *tag)
{
	char event[96];

	(void)snprintf(event, sizeof(event), "domain-tag-%s:%s",
		       pair_find(q->tags, tag) ? "add" : "delete", tag);
	event_emit(c->d, q, event, "tag", tag, NULL);
}

void follow_tell(struct call *c, const struct follows *f)
{
	for (size_t i = 0; i < f->n; i++) {
		struct qube *q = model_get(c->d->model, f->at[i].qid);
		const char *name = f->at[i].name;
		const struct pair *now = q ? pair_find(q->features, name) : NULL;

		if (!q)
			continue;
		if (f->at[i].is_tag) {
			tell_tag(c, q, name);
			continue;
		}
		feature_emit(c->d, q, now ? FEATURE_SET : FEATURE_DELETE, name,
			     now ? now->value : NULL, NULL);
		if (tell_qube(c->d, q, name) < 0)
			log_warn(q->name, "out of memory: it is not told of %s", name);
	}
}
