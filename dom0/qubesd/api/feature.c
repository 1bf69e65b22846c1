/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Features (name and value) and tags (name only) of qubes. */
#include "api/feature.h"
#include "api/call.h"
#include "api/event.h"
#include "api/method.h"
#include "api/property.h"
#include "power/tell.h"
#include "preload/preload.h"
#include "proto/argument.h"
#include "proto/picture.h"
#include "proto/qubesdb.h"
#include "qubesd.h"
#include "store/property.h"

#include <stdio.h>
#include <string.h>

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
static int check_told(const struct qube *q, const char *name, size_t len, struct refusal *why)
{
	char path[QDB_PATH_MAX + 1];
	size_t sum = QDB_PATH_MAX + len;
	unsigned n = 0;

	if (!tell_is_told(name) && !str_eq(name, "timezone"))
		return 0;
	if (len > QDB_VALUE_MAX)
		return refuse(why, "QubesValueError",
			      "'%s' is told the qube by QubesDB: at most %u bytes", name,
			      QDB_VALUE_MAX);
	if (tell_is_told(name) && !tell_path(name, path))
		return refuse(why, "QubesValueError",
			      "'%s' is told the qube by QubesDB, and its name is empty or too long "
			      "for that",
			      name);
	for (const struct pair *p = q->features; p; p = p->next)
		if (tell_is_told(p->key)) {
			n++;
			sum += str_eq(p->key, name) ? 0 : QDB_PATH_MAX + strlen(p->value);
		}
	if (sum > TELL_LEN_MAX && tell_is_told(name))
		return refuse(
			why, "QubesException",
			"what '%s' is told by features (service.*, vm-config.*) would be more "
			"than %u bytes, which is the most",
			q->name, TELL_LEN_MAX);
	if (n >= TELL_MAX && tell_is_told(name) && !pair_find(q->features, name))
		return refuse(why, "QubesException",
			      "'%s' has %u features that it is told (service.*, vm-config.*), "
			      "which is the most",
			      q->name, n);
	return 0;
}

/* those that the system writes down for itself */
static int check_kept(const char *name, struct refusal *why)
{
	static const char preload[] = "preload-dispvm";
	const char *rest = name;
	bool kept = str_eq(name, "deferred-netvm-original");

	if (str_starts(name, preload)) {
		rest += strlen(preload);
		kept = !str_eq(rest, "-max") && !str_eq(rest, "-delay") &&
		       !str_eq(rest, "-threshold");
	}
	return kept ? refuse(why, "QubesValueError", "'%s' is kept by the system and cannot be set",
			     name)
		    : 0;
}

int feature_may_set(const struct qube *q, const char *name, const char *value, size_t len,
		    struct refusal *why)
{
	int r;

	if (!argument_is_name(name, strlen(name)))
		return refuse(why, "QubesValueError",
			      "'%s' is no name for a feature: letters, digits and _.-", name);
	if (!argument_is_printable(value, len))
		return refuse(why, "QubesValueError", "a feature's value is printable ASCII");
	r = check_told(q, name, len, why);
	if (r == 0)
		r = check_kept(name, why);
	return r == 0 ? preload_may_set(name, value, why) : r;
}

/* A switch for balancing, from the time when a program in the qube did its part: maxmem says the same, so it is that which
 * is changed. Return: as a handler does; @ret_is: it was that */
static int set_balancing(struct call *c, bool *ret_is)
{
	const struct property *p = property_find(c->dest, "maxmem");
	char buf[PROPERTY_BUF];
	const char *now;
	bool on;

	*ret_is = str_eq(c->q.arg, "service.meminfo-writer") && c->dest->qid != 0 && p;
	if (!*ret_is)
		return 0;
	now = property_raw(c->d->model, c->dest, p, buf, NULL);
	on = now && !str_eq(now, "0");
	if (on == (c->payload[0] != '\0'))
		return 0;
	return property_set(c, c->dest, p, on ? "0" : NULL);
}

int feature_set(struct call *c)
{
	struct changes AUTO(changes_done) changes = {0};
	const struct pair *had = pair_find(c->dest->features, c->q.arg);
	AUTO_FREE char *old = had ? strdup(had->value) : NULL;
	bool balancing = false;
	int r = feature_may_set(c->dest, c->q.arg, c->payload, c->q.payload_len, &c->why);

	if (r == 0)
		r = set_balancing(c, &balancing);
	if (r != 0 || balancing)
		return r;
	changes_set_feature(&changes, c->dest->qid, c->q.arg, c->payload);
	emit(c, FEATURE_PRE_SET, c->payload, old);
	r = call_apply(c, &changes);
	if (r != 0)
		return r;
	emit(c, FEATURE_SET, c->payload, old);
	return tell_call(c, c->dest, c->q.arg);
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
	return tell_call(c, c->dest, c->q.arg);
}

int tag_list(struct call *c)
{
	for (const struct pair *p = c->dest->tags; p; p = p->next)
		text_add(&c->out, "%s\n", p->key);
	return 0;
}

static int check_tag_name(const char *name, struct refusal *why)
{
	if (!argument_is_name(name, strlen(name)))
		return refuse(why, "QubesInvalidTagError",
			      "'%s' is no tag: letters, digits and _.-", name);
	return 0;
}

int tag_may_add(const struct qube *q, const char *name, struct refusal *why)
{
	unsigned n = 0;
	int r = check_tag_name(name, why);

	for (const struct pair *p = q->tags; p; p = p->next)
		n++;
	if (r == 0 && n >= PICTURE_TAGS_MAX && !pair_find(q->tags, name))
		r = refuse(why, "QubesException", "'%s' has %u tags, which is the most", q->name,
			   PICTURE_TAGS_MAX);
	return r;
}

static int tag_check(struct call *c, bool changing)
{
	int r = check_tag_name(c->q.arg, &c->why);

	if (r != 0)
		return r;
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
	int r = tag_check(c, true);

	if (r == 0)
		r = tag_may_add(c->dest, c->q.arg, &c->why);
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
