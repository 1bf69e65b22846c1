/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Features (name and value) and tags (name only) of qubes. */
#include "api/feature.h"
#include "api/call.h"
#include "api/event.h"
#include "api/method.h"
#include "power/tell.h"
#include "proto/picture.h"
#include "proto/qubesdb.h"
#include "qubesd.h"
#include "store/property.h"

#include <stdio.h>
#include <string.h>

#define NAME_MAX_LEN 255

void feature_emit(struct qubesd *d, const struct qube *q, enum feature_event kind, const char *name,
		  const char *value, const char *old)
{
	static const char *const kinds[] = {
		[FEATURE_PRE_SET] = "domain-feature-pre-set",
		[FEATURE_SET] = "domain-feature-set",
		[FEATURE_PRE_DELETE] = "domain-feature-pre-delete",
		[FEATURE_DELETE] = "domain-feature-delete",
	};
	char event[ADMIN_MAX_ARG + 64];

	(void)snprintf(event, sizeof(event), "%s:%s", kinds[kind], name);
	event_emit(d, q, event, "feature", name, "value", value, "oldvalue", old, NULL);
}

static void emit(struct call *c, enum feature_event kind, const char *value, const char *old)
{
	feature_emit(c->d, c->dest, kind, c->q.arg, value, old);
}

static void emit_tag(struct call *c, const char *kind)
{
	char event[ADMIN_MAX_ARG + 64];

	(void)snprintf(event, sizeof(event), "%s:%s", kind, c->q.arg);
	event_emit(c->d, c->dest, event, "tag", c->q.arg, NULL);
}

int feature_list(struct call *c)
{
	for (const struct pair *p = c->dest->features; p; p = p->next)
		text_add(&c->out, "%s\n", p->key);
	return 0;
}

static int missing(struct call *c)
{
	return refuse(&c->why, "QubesFeatureNotFoundError", "'%s' has no feature '%s'",
		      c->dest_name, c->q.arg);
}

static bool answer_from(struct call *c, const struct qube *q)
{
	const struct pair *p = q ? pair_find(q->features, c->q.arg) : NULL;

	if (p)
		text_bytes(&c->out, p->value, strlen(p->value));
	return p != NULL;
}

int feature_get(struct call *c)
{
	return answer_from(c, c->dest) ? 0 : missing(c);
}

static bool answer_from_template(struct call *c)
{
	const struct qube *q = c->dest;

	for (unsigned n = 0; q && n < 3; n++, q = model_template(c->d->model, q))
		if (answer_from(c, q))
			return true;
	return false;
}

int feature_check_template(struct call *c)
{
	return answer_from_template(c) ? 0 : missing(c);
}

int feature_check_netvm(struct call *c)
{
	const struct qube *q = c->dest;

	for (unsigned n = 0; q && n <= QID_MAX; n++) {
		if (answer_from(c, q))
			return 0;
		q = property_qube(c->d->model, q, PROP_netvm);
	}
	return missing(c);
}

int feature_check_adminvm(struct call *c)
{
	return answer_from(c, c->dest) || answer_from(c, model_get(c->d->model, 0)) ? 0
										    : missing(c);
}

int feature_check_template_adminvm(struct call *c)
{
	return answer_from_template(c) || answer_from(c, model_get(c->d->model, 0)) ? 0
										    : missing(c);
}

/* what the qube is told has a place in its QubesDB, which would else prevent its start */
static int check_told(struct call *c)
{
	const char *name = c->q.arg;
	char path[QDB_PATH_MAX + 1];

	if (!tell_is_told(name) && !str_eq(name, "timezone"))
		return 0;
	if (c->q.payload_len > QDB_VALUE_MAX)
		return refuse(&c->why, "QubesValueError",
			      "'%s' is told the qube by QubesDB: at most %u bytes", name,
			      QDB_VALUE_MAX);
	if (tell_is_told(name) && !tell_path(name, path))
		return refuse(&c->why, "QubesValueError",
			      "'%s' is told the qube by QubesDB, and its name is empty or too long "
			      "for that",
			      name);
	return 0;
}

int feature_set(struct call *c)
{
	struct changes AUTO(changes_done) changes = {0};
	const struct pair *had = pair_find(c->dest->features, c->q.arg);
	AUTO_FREE char *old = had ? strdup(had->value) : NULL;
	int r;

	if (strlen(c->q.arg) > NAME_MAX_LEN ||
	    !bytes_are_alnum_or(c->q.arg, strlen(c->q.arg), "_.-"))
		return refuse(&c->why, "QubesValueError",
			      "'%s' is no name for a feature: letters, digits and _.-", c->q.arg);
	for (size_t i = 0; i < c->q.payload_len; i++)
		if (c->payload[i] < 0x20 || c->payload[i] >= 0x7f)
			return refuse(&c->why, "QubesValueError",
				      "a feature's value is printable ASCII");
	r = check_told(c);
	if (r != 0)
		return r;
	changes_set_feature(&changes, c->dest->qid, c->q.arg, c->payload);
	emit(c, FEATURE_PRE_SET, c->payload, old);
	r = call_apply(c, &changes);
	if (r != 0)
		return r;
	emit(c, FEATURE_SET, c->payload, old);
	return tell_feature(c, c->dest);
}

int feature_remove(struct call *c)
{
	struct changes AUTO(changes_done) changes = {0};
	int r;

	if (!pair_find(c->dest->features, c->q.arg))
		return missing(c);
	changes_set_feature(&changes, c->dest->qid, c->q.arg, NULL);
	emit(c, FEATURE_PRE_DELETE, NULL, NULL);
	r = call_apply(c, &changes);
	if (r != 0)
		return r;
	emit(c, FEATURE_DELETE, NULL, NULL);
	return tell_feature(c, c->dest);
}

int tag_list(struct call *c)
{
	for (const struct pair *p = c->dest->tags; p; p = p->next)
		text_add(&c->out, "%s\n", p->key);
	return 0;
}

static int tag_check(struct call *c, bool changing)
{
	if (strlen(c->q.arg) > NAME_MAX_LEN ||
	    !bytes_are_alnum_or(c->q.arg, strlen(c->q.arg), "_.-"))
		return refuse(&c->why, "QubesInvalidTagError",
			      "'%s' is no tag: letters, digits and _.-", c->q.arg);
	if (changing && c->source->qid != 0 && str_starts(c->q.arg, "created-by-"))
		return refuse(&c->why, "PermissionDenied", "only dom0 changes tags created-by-*");
	return 0;
}

int tag_get(struct call *c)
{
	int r = tag_check(c, false);

	if (r == 0)
		text_add(&c->out, "%d", pair_find(c->dest->tags, c->q.arg) != NULL);
	return r;
}

int tag_set(struct call *c)
{
	struct changes AUTO(changes_done) changes = {0};
	bool had = pair_find(c->dest->tags, c->q.arg) != NULL;
	unsigned n_tags = 0;
	int r = tag_check(c, true);

	for (const struct pair *p = c->dest->tags; p; p = p->next)
		n_tags++;
	if (r == 0 && !had && n_tags >= PICTURE_TAGS_MAX)
		r = refuse(&c->why, "QubesException", "'%s' has %u tags, which is the most",
			   c->dest->name, PICTURE_TAGS_MAX);

	if (r != 0 || had)
		return r;
	changes_set_tag(&changes, c->dest->qid, c->q.arg, true);
	r = call_apply(c, &changes);
	if (r == 0)
		emit_tag(c, "domain-tag-add");
	return r;
}

int tag_remove(struct call *c)
{
	struct changes AUTO(changes_done) changes = {0};
	int r = tag_check(c, true);

	if (r != 0)
		return r;
	if (!pair_find(c->dest->tags, c->q.arg))
		return refuse(&c->why, "QubesTagNotFoundError", "'%s' has no tag '%s'",
			      c->dest_name, c->q.arg);
	changes_set_tag(&changes, c->dest->qid, c->q.arg, false);
	r = call_apply(c, &changes);
	if (r == 0)
		emit_tag(c, "domain-tag-delete");
	return r;
}
