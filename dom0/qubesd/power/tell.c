/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "power/tell.h"

#include "api/call.h"
#include "base/log.h"
#include "job/job.h"
#include "power/power.h"
#include "qubesd.h"
#include "store/property.h"

#include <stdio.h>
#include <string.h>

/* Of a running qube. A job tells what has changed; what changes meanwhile the next one does, so that the last word is the
 * last change. @ended: the qube has; the job's end frees it. */
struct tell {
	struct qubesd *d;
	unsigned qid, source;           /* @source: who changed the last of it */
	struct pair *changed;           /* names of features and properties: these have no dot */
	struct call *waiting, *working; /* for the next job, for the one that runs */
	bool job, ended;
};

static const struct {
	const char *prefix, *dir;
	bool truth;
} kinds[] = {
	{"service.", "/qubes-service/", true},
	{"vm-config.", "/vm-config/", false},
};

/* ARRAY_LEN(kinds) for none */
static size_t kind_of(const char *feature)
{
	size_t i = 0;

	while (i < ARRAY_LEN(kinds) && !str_starts(feature, kinds[i].prefix))
		i++;
	return i;
}

bool tell_is_told(const char *feature)
{
	return kind_of(feature) < ARRAY_LEN(kinds);
}

bool tell_path(const char *feature, char to[QDB_PATH_MAX + 1])
{
	const size_t i = kind_of(feature);

	return i < ARRAY_LEN(kinds) && feature[strlen(kinds[i].prefix)] != '\0' &&
	       str_format(to, QDB_PATH_MAX + 1, "%s%s", kinds[i].dir,
			  feature + strlen(kinds[i].prefix)) == 0;
}

const char *tell_value(const char *feature, const char *value)
{
	const size_t i = kind_of(feature);

	if (i < ARRAY_LEN(kinds) && kinds[i].truth)
		return value[0] != '\0' ? "1" : "0";
	return value;
}

static void answer(struct call **list)
{
	struct call *c = *list;

	*list = NULL;
	while (c) {
		struct call *next = c->next;

		call_end(c, 0);
		c = next;
	}
}

static void free_now(struct tell *t)
{
	while (t->changed) {
		struct pair *p = t->changed;

		t->changed = p->next;
		pair_free(p);
	}
	free(t);
}

void tell_free(struct tell *t)
{
	if (!t)
		return;
	answer(&t->working);
	answer(&t->waiting);
	t->ended = true;
	if (!t->job)
		free_now(t);
}

static void job_done(void *data, const struct job_end *end)
{
	struct tell *t = data;
	struct qube *q = model_get(t->d->model, t->qid);

	t->job = false;
	if (t->ended) {
		free_now(t);
		return;
	}
	if (end->type[0] != '\0')
		log_warn(q->name, "what changed cannot be told it before its next start: %s",
			 end->text);
	/* an answered call may bring the next change */
	answer(&t->working);
	if (t->changed)
		tell_go(t->d, q);
}

static void describe_feature(const struct qube *q, const char *name, struct request *r)
{
	const struct pair *now = pair_find(q->features, name);
	char path[QDB_PATH_MAX + 1], key[QDB_PATH_MAX + 8];

	if (!tell_path(name, path))
		return;
	(void)snprintf(key, sizeof(key), "%s:%s", now ? "write" : "remove", path);
	request_put(r, key, "%s", now ? tell_value(name, now->value) : "");
}

/* @t->changed becomes a request */
static void describe(struct tell *t, const struct qube *q, struct request *r)
{
	request_put(r, "socket", "%s/qubes/qubesdb.%s.sock", t->d->paths.run, q->name);
	while (t->changed) {
		struct pair *p = t->changed;
		const struct property *property = property_find(q, p->key);
		char key[QDB_PATH_MAX + 8], buf[PROPERTY_BUF];

		if (property && property->entry) {
			(void)snprintf(key, sizeof(key), "write:%s", property->entry);
			request_put(
				r, key, "%s",
				property_text(t->d->model, q, (enum property_id)property->id, buf));
		} else {
			describe_feature(q, p->key, r);
		}
		t->changed = p->next;
		pair_free(p);
	}
}

void tell_go(struct qubesd *d, struct qube *q)
{
	static const struct job_events events = {NULL, job_done};
	const struct job_end failed = {.type = "QubesException", .text = "no job could be started"};
	struct request AUTO(request_done) request = {0};
	struct tell *t = *power_tell(q);

	if (!t || t->job || !t->changed)
		return;
	request.source = t->source;
	describe(t, q, &request);
	t->working = t->waiting;
	t->waiting = NULL;
	t->job = true;
	if (job_start(d, "tell", &request, &events, t) != 0)
		job_done(t, &failed);
}

static int changed_add(struct tell *t, const char *feature)
{
	struct pair *p;

	if (pair_find(t->changed, feature))
		return 0;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->key = strdup(feature);
	p->value = strdup("");
	if (!p->key || !p->value) {
		pair_free(p);
		return -ENOMEM;
	}
	pair_put(&t->changed, p);
	return 0;
}

/* is @name something that a qube is told? */
static bool is_told(const struct qube *q, const char *name)
{
	const struct property *property = property_find(q, name);
	char path[QDB_PATH_MAX + 1];

	return (property && property->entry) || tell_path(name, path);
}

/* one that is starting is told as soon as it runs */
static bool is_starting(const struct qube *q)
{
	return str_eq(power_state_name(q), "Transient");
}

/* *@ret: where @name is noted now; NULL: nobody is to be told */
static int note(struct qubesd *d, struct qube *q, const char *name, struct tell **ret)
{
	struct tell **t = power_tell(q);

	*ret = NULL;
	if (!t || !is_told(q, name))
		return 0;
	if (!*t)
		*t = calloc(1, sizeof(**t));
	if (!*t)
		return -ENOMEM;
	(*t)->d = d;
	(*t)->qid = q->qid;
	*ret = *t;
	return changed_add(*t, name);
}

int tell_call(struct call *c, struct qube *q, const char *name)
{
	struct tell *t;
	int r = note(c->d, q, name, &t);

	if (r < 0 || !t || is_starting(q))
		return r;
	t->source = c->source_qid;
	c->next = t->waiting;
	t->waiting = c;
	tell_go(c->d, q);
	return CALL_LATER;
}

int tell_qube(struct qubesd *d, struct qube *q, const char *name)
{
	struct tell *t;
	int r = note(d, q, name, &t);

	if (r == 0 && t && !is_starting(q))
		tell_go(d, q);
	return r;
}
