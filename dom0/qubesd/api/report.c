/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What qubes say of themselves (qubesd.misc.sock; doc/protocol/report.md): the source is the qube, its words were taken
 * apart by a confined process (dom0/rpc) and are looked at again here.
 *
 * A claim becomes a feature of the qube that made it if the table below knows it; a qube that gets its root from a template
 * claims nothing, for the template does. What was set already by a person, the two that decide how a qube is started and
 * shown are left alone.
 */
#include "proto/report.h"

#include "api/call.h"
#include "api/feature.h"
#include "api/method.h"
#include "api/quota.h"
#include "base/log.h"
#include "looks.h"
#include "qubesd.h"
#include "store/property.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum form {
	FLAG,      /* 0 or 1 */
	TEXT,      /* anything a claim may be, but nothing */
	DATE,      /* 2028-06-30 */
	SUPPORTED, /* a prefix: 1, and gone when it is not claimed any more */
};

static const struct rule {
	const char *name;
	enum form form;
	bool if_unset;
} rules[] = {
	{"qrexec", FLAG, true},
	{"gui", FLAG, true},
	{"gui-emulated", FLAG, true},
	{"qubes-firewall", FLAG, false},
	{"vmexec", FLAG, false},
	{"os", TEXT, false},
	{"os-distribution", TEXT, false},
	{"os-distribution-like", TEXT, false},
	{"os-version", TEXT, false},
	{"os-eol", DATE, false},
	{"qubes-agent-version", TEXT, false},
	{"supported-feature.", SUPPORTED, false},
	{"supported-rpc.", SUPPORTED, false},
	{"supported-service.", SUPPORTED, false},
};

/* tools of old say these and nothing else */
static bool tools_say(const char *name)
{
	static const char *const names[] = {"qrexec", "gui", "gui-emulated", "os"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq(name, names[i]))
			return true;
	return false;
}

static const struct rule *rule_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		if (rules[i].form == SUPPORTED
			    ? str_starts(name, rules[i].name) && !str_eq(name, rules[i].name)
			    : str_eq(name, rules[i].name))
			return &rules[i];
	return NULL;
}

static bool is_date(const char *text)
{
	static const char like[] = "dddd-dd-dd";

	if (strlen(text) != strlen(like))
		return false;
	for (size_t i = 0; i < strlen(like); i++)
		if (like[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != like[i])
			return false;
	return true;
}

/* the feature's value for what was claimed; NULL: it is not believed */
static const char *value_of(const struct rule *rule, const char *claimed)
{
	const bool one = str_eq(claimed, "1");

	switch (rule->form) {
	case FLAG:
		return one ? "1" : str_eq(claimed, "0") ? "" : NULL;
	case TEXT:
		return claimed[0] != '\0' ? claimed : NULL;
	case DATE:
		return is_date(claimed) ? claimed : NULL;
	case SUPPORTED:
		return one ? "1" : NULL;
	}
	return NULL;
}

/* what is to become of one feature */
struct wish {
	char name[REPORT_NAME_MAX + 1];
	char value[REPORT_VALUE_MAX + 1];
	char *old; /* NULL: it had none */
	bool remove;
};

/** WISHES_MAX - all that is claimed, and all that is claimed no more */
#define WISHES_MAX (2 * REPORT_CLAIMS_MAX)

struct wishes {
	struct wish list[WISHES_MAX];
	unsigned n;
};

static void wish(struct wishes *w, const struct qube *q, const char *name, const char *value)
{
	const struct pair *had = pair_find(q->features, name);
	struct wish *one = &w->list[w->n];

	if (w->n == WISHES_MAX || (value && had && str_eq(had->value, value)) || (!value && !had))
		return;
	if (str_format(one->name, sizeof(one->name), "%s", name) < 0 ||
	    str_format(one->value, sizeof(one->value), "%s", value ? value : "") < 0)
		return;
	one->remove = !value;
	one->old = had ? strdup(had->value) : NULL;
	w->n++;
}

static void emit_all(struct call *c, const struct qube *q, const struct wishes *w,
		     enum feature_event set, enum feature_event removed)
{
	for (unsigned i = 0; i < w->n; i++) {
		const struct wish *one = &w->list[i];

		if (one->remove)
			feature_emit(c->d, q, removed, one->name, NULL, NULL);
		else
			feature_emit(c->d, q, set, one->name, one->value, one->old);
	}
}

/* do them all or none, as often as the qube that calls may; @w is empty afterwards */
static int grant(struct call *c, const struct qube *q, struct wishes *w)
{
	struct changes AUTO(changes_done) changes = {0};
	int r = quota_take(c, w->n > 0);

	for (unsigned i = 0; i < w->n; i++)
		changes_set_feature(&changes, q->qid, w->list[i].name,
				    w->list[i].remove ? NULL : w->list[i].value);
	if (r == 0)
		emit_all(c, q, w, FEATURE_PRE_SET, FEATURE_PRE_DELETE);
	if (r == 0 && w->n > 0)
		r = call_apply(c, &changes);
	if (r == 0)
		emit_all(c, q, w, FEATURE_SET, FEATURE_DELETE);
	while (w->n > 0)
		free(w->list[--w->n].old);
	return r;
}

static int not_a_report(struct call *c, int outcome)
{
	return refuse(&c->why, "ProtocolError", "%s: %s", c->q.method, report_outcome_str(outcome));
}

static bool is_updateable(const struct qube *q)
{
	return q->klass == KLASS_TEMPLATE || q->klass == KLASS_STANDALONE;
}

int report_features(struct call *c)
{
	static struct report report;
	static struct wishes wishes;
	const struct qube *q = c->source;
	int r = report_decode(c->payload, c->q.payload_len, &report);

	if (r != 0)
		return not_a_report(c, r);
	if (!is_updateable(q)) {
		log_debug(q->name, "%s: its template's word counts", c->q.method);
		return 0;
	}
	for (unsigned i = 0; i < report.n; i++) {
		const struct report_claim *claim = &report.claims[i];
		const bool heard =
			str_eq(c->q.method, "qubes.FeaturesRequest") || tools_say(claim->name);
		const struct rule *rule = heard ? rule_find(claim->name) : NULL;
		const char *value = rule ? value_of(rule, claim->value) : NULL;

		if (value && !(rule->if_unset && pair_find(q->features, claim->name)))
			wish(&wishes, q, claim->name, value);
	}
	/* tools of old do not say what they support */
	for (const struct pair *p = q->features; p && str_eq(c->q.method, "qubes.FeaturesRequest");
	     p = p->next) {
		const struct rule *rule = rule_find(p->key);

		if (rule && rule->form == SUPPORTED && !report_find(&report, p->key))
			wish(&wishes, q, p->key, NULL);
	}
	return grant(c, q, &wishes);
}

static int grant_updates(struct call *c, const struct qube *q, bool there)
{
	static struct wishes wishes;
	const struct pair *had = pair_find(q->features, "updates-available");
	const time_t now = time(NULL);
	char text[32] = "";
	struct tm tm;

	if (localtime_r(&now, &tm))
		(void)strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	if (had && had->value[0] != '\0' && !there)
		wish(&wishes, q, "last-update", text);
	wish(&wishes, q, "updates-available", there ? "1" : "");
	wish(&wishes, q, "last-updates-check", text);
	return grant(c, q, &wishes);
}

/* whose updates somebody has told of: a uuid, for a job may have looked in between */
struct hint {
	char source[sizeof("uuid:") + UUID_LEN], template[sizeof("uuid:") + UUID_LEN];
};

static void hint_looked(struct call *c, struct looks *l, void *data)
{
	AUTO_FREE struct hint *hint = data;
	const struct qube *template = model_find(c->d->model, hint->template);
	int r = 0;

	/* a disposable that said it may be gone by now */
	c->source = model_find(c->d->model, hint->source);
	if (c->source && !c->source->hidden && template && !template->hidden &&
	    !looks_unanswered(l) && !looks_outdated(l))
		r = grant_updates(c, template, true);
	call_end(c, r);
}

/* @q says that @template has updates: unless it runs on an older root than its template has now */
static int take_hint(struct call *c, const struct qube *q, const struct qube *template)
{
	struct hint *hint = calloc(1, sizeof(*hint));
	struct looks *l = hint ? looks_new(c, hint_looked, hint) : NULL;
	int r;

	if (!l) {
		free(hint);
		return -ENOMEM;
	}
	(void)snprintf(hint->source, sizeof(hint->source), "uuid:%s", q->uuid);
	(void)snprintf(hint->template, sizeof(hint->template), "uuid:%s", template->uuid);
	looks_to_the_end(l);
	if (q->power)
		looks_add(l, q, DISK_ROOT, LOOK_OUTDATED);
	r = looks_go(l);
	if (r != CALL_LATER)
		free(hint);
	return r;
}

int report_updates(struct call *c)
{
	const struct qube *q = c->source, *template = q;
	uint64_t n;
	int r = report_count_decode(c->payload, c->q.payload_len, &n);

	if (r != 0)
		return not_a_report(c, r);
	if (is_updateable(q))
		return grant_updates(c, q, n > 0);
	/* A hint: that its template has some. None is no news, and neither is what it sees in an older root, or what a
	 * template that runs says itself.
	 */
	for (unsigned i = 0; i < 3 && template && !is_updateable(template); i++)
		template = model_template(c->d->model, template);
	if (n == 0 || !template || !is_updateable(template) || template->power)
		return quota_take(c, false);
	return take_hint(c, q, template);
}
