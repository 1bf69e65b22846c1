/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "import.h"

#include "api/event.h"
#include "api/feature.h"
#include "api/firewall.h"
#include "api/label.h"
#include "base/log.h"
#include "base/str.h"
#include "disposable.h"
#include "job/job.h"
#include "making.h"
#include "proto/import.h"
#include "qubesd.h"
#include "storage/storage.h"
#include "store/property.h"
#include "store/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/** PASSES - over properties whose references wait for others; no chain of references is that long */
#define PASSES 8
/** STEPS_MAX - records of one file: of a few hundred qubes with all their features there are some tens of thousands */
#define STEPS_MAX 200000

struct step {
	struct import_record record;
	bool taken; /* its change is in the plan */
	char *why;  /* it is left out; the text of the refusal */
};

struct made {
	unsigned qid;
	uint64_t operation;
};

/**
 * struct import
 * @now:	the first transaction: new qubes, with all that is theirs
 * @later:	the second: labels, the system, dom0
 * @seen:	qubes that are there already and are referred to, by qid
 * @at:		of @made: whose volumes are being made, or removed
 */
struct import {
	struct qubesd *d;
	char *bytes;
	struct store *trial;
	struct model *m; /* of @trial */
	struct step *steps;
	size_t n_steps, steps_room;
	struct changes now, later;
	struct made *made;
	unsigned n_made, at;
	bool seen[QID_MAX + 1];
	struct text left_out;
	struct import_events events;
	void *data;
	struct refusal why;
};

void import_free(struct import *im)
{
	if (!im)
		return;
	for (size_t i = 0; i < im->n_steps; i++)
		free(im->steps[i].why);
	free(im->steps);
	free(im->made);
	changes_done(&im->now);
	changes_done(&im->later);
	store_free(im->trial);
	text_done(&im->left_out);
	free(im->bytes);
	free(im);
}

const struct text *import_left_out(const struct import *im)
{
	return &im->left_out;
}

/* ---- the plan */

/* of the plan, where what concerns @q stands */
static struct changes *lasting(struct import *im, const struct qube *q)
{
	return q && q->qid != 0 ? &im->now : &im->later;
}

static int decode(struct import *im, size_t len, struct refusal *why)
{
	struct import_record one;
	size_t at = 0;
	int r;

	while ((r = import_next(im->bytes, len, &at, &one)) == 0) {
		if (im->n_steps == STEPS_MAX)
			return refuse(why, "ProtocolError", "more than %d definitions in one file",
				      STEPS_MAX);
		if (im->n_steps == im->steps_room) {
			size_t room = im->steps_room > 0 ? im->steps_room * 2 : 256;
			struct step *more = reallocarray(im->steps, room, sizeof(*more));

			if (!more)
				return -ENOMEM;
			im->steps = more;
			im->steps_room = room;
		}
		im->steps[im->n_steps++] = (struct step){.record = one};
	}
	return r == IMPORT_E_END ? 0
				 : refuse(why, "ProtocolError",
					  "the definitions are not written as they must be, at "
					  "byte %zu",
					  at);
}

/* what a record is about: a new qube or dom0 */
static int subject(struct import *im, const char *name, struct qube **ret, struct refusal *why)
{
	struct qube *q = model_find(im->m, name);

	if (!q || (q->qid != 0 && model_get(im->d->model, q->qid))) {
		(void)refuse(why, "QubesVMNotFoundError", "'%s' is no qube that is made here",
			     name);
		return REFUSED;
	}
	*ret = q;
	return 0;
}

static int plan_label(struct import *im, const char *name, const char *color, struct refusal *why)
{
	struct changes AUTO(changes_done) one = {0};
	unsigned i;
	uint32_t value;
	int r;

	if (model_label(im->m, name) > 0)
		return 0;
	r = label_may_create(im->m, name, color, &i, &value, why);
	if (r != 0)
		return r;
	changes_set_label(&one, i, name, value);
	changes_set_label(&im->later, i, name, value);
	return store_apply(im->trial, &one);
}

static int add_made(struct import *im, unsigned qid)
{
	struct made *more = reallocarray(im->made, im->n_made + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	im->made = more;
	more[im->n_made] = (struct made){qid, im->d->model->next_operation + im->n_made};
	im->n_made++;
	return 0;
}

static int plan_qube(struct import *im, const char *class, const char *name, struct refusal *why)
{
	struct changes AUTO(changes_done) one = {0};
	struct changes *const both[] = {&one, &im->now};
	struct wish w = {.klass = (enum klass)klass_find(class)};
	const unsigned qid = model_free_qid(im->m);
	char uuid[UUID_LEN + 1], dispid[16];
	int r;

	if (klass_find(class) == N_KLASSES || w.klass == KLASS_ADMIN)
		return refuse(why, "QubesValueError", "'%s' cannot be made: there is no class '%s'",
			      name, class);
	if (!str_is_qube_name(name, strlen(name)))
		return refuse(why, "QubesValueError", "'%s' is no name for a qube", name);
	if (model_find(im->m, name))
		return refuse(why, "QubesVMAlreadyExistsError", "there is a qube '%s' already",
			      name);
	if (qid == 0)
		return refuse(why, "QubesException", "with these there would be more than %u qubes",
			      QID_MAX);
	(void)snprintf(w.name, sizeof(w.name), "%s", name);
	making_pools(im->m, w.pools);
	r = w.klass == KLASS_DISP ? disposable_choose(im->d, &w, why) : 0;
	if (r == 0)
		r = making_uuid(uuid);
	if (r == 0)
		r = add_made(im, qid);
	if (r != 0)
		return r;
	changes_begin(&im->now, im->made[im->n_made - 1].operation, qid, "create", "");
	changes_end(&im->later, im->made[im->n_made - 1].operation);
	(void)snprintf(dispid, sizeof(dispid), "%u", w.dispid);
	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		changes_add_qube(both[i], qid, w.klass, name, uuid);
		if (w.klass == KLASS_DISP)
			changes_set_property(both[i], qid, PROP_dispid, dispid);
		making_add_volumes(both[i], &w, qid, uuid);
	}
	return store_apply(im->trial, &one);
}

/* the three words behind the volume's name, "" = as it is */
static int change_volume(const struct import *im, const struct qube *q, struct volume *v,
			 const char *const *words, struct refusal *why)
{
	uint64_t n = 0;

	if (words[0][0] != '\0' && !model_pool(im->m, words[0]))
		return refuse(why, "QubesException", "there is no pool '%s' for volumes of '%s'",
			      words[0], q->name);
	if (words[0][0] != '\0')
		v->pool = (char *)words[0];
	/* one that starts from another has that one's size */
	if (words[1][0] != '\0' && !v->snap_on_start) {
		if (str_u64(words[1], INT64_MAX - 511, &n) < 0 || n == 0)
			return refuse(why, "QubesValueError", "'%s' is no size of a volume of '%s'",
				      words[1], q->name);
		v->size = (n + 511) / 512 * 512;
	}
	if (words[2][0] == '\0' || !v->save_on_stop)
		return 0;
	if (!str_eq(words[2], "-1") && str_u64(words[2], STORAGE_MAX_REVISIONS, &n) < 0)
		return refuse(why, "QubesValueError",
			      "a volume of '%s' cannot keep %s revisions: -1 (all) to %u", q->name,
			      words[2], STORAGE_MAX_REVISIONS);
	v->revisions_to_keep = words[2][0] == '-' ? -1 : (int)n;
	return 0;
}

static int plan_volume(struct import *im, const char *const *fields, struct refusal *why)
{
	struct changes AUTO(changes_done) one = {0};
	struct qube *q;
	struct volume v;
	unsigned d = 0;
	int r = subject(im, fields[0], &q, why);

	while (d < N_DISKS && !str_eq(disk_name((enum disk)d), fields[1]))
		d++;
	if (r == 0 && (d == N_DISKS || !q->volumes[d].pool))
		r = refuse(why, "QubesValueError", "'%s' has no volume '%s'", fields[0], fields[1]);
	if (r != 0)
		return r;
	v = q->volumes[d];
	r = change_volume(im, q, &v, fields + 2, why);
	if (r != 0)
		return r;
	changes_set_volume(&one, q->qid, (enum disk)d, &v);
	changes_set_volume(&im->now, q->qid, (enum disk)d, &v);
	return store_apply(im->trial, &one);
}

/* a reference to one that is there already: it has to be there in the end, too */
static void note_reference(struct import *im, const struct property *p, const char *raw)
{
	uint64_t qid;

	if (p->type == TYPE_VM && str_u64(raw, QID_MAX, &qid) == 0 &&
	    model_get(im->d->model, (unsigned)qid))
		im->seen[qid] = true;
}

static int put_property(struct import *im, const struct qube *q, const struct property *p,
			const char *raw)
{
	struct changes AUTO(changes_done) one = {0};
	struct changes *const both[] = {&one, lasting(im, q)};

	note_reference(im, p, raw);
	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		if (q)
			changes_set_property(both[i], q->qid, (enum property_id)p->id, raw);
		else
			changes_set_global(both[i], (enum global_id)p->id, raw);
	}
	return store_apply(im->trial, &one);
}

static int plan_property(struct import *im, const char *const *fields, struct refusal *why)
{
	char raw[PROPERTY_VALUE_MAX + 1];
	const struct property *p;
	struct qube *q = NULL;
	int r = fields[0][0] != '\0' ? subject(im, fields[0], &q, why) : 0;

	if (r != 0)
		return r;
	p = property_find(q, fields[1]);
	if (!p)
		return refuse(why, "QubesNoSuchPropertyError", "there is no such property here");
	r = property_parse(im->m, q, p, fields[2], strlen(fields[2]), raw, why);
	return r == 0 ? put_property(im, q, p, raw) : r;
}

static int plan_feature(struct import *im, const char *const *fields, struct refusal *why)
{
	struct changes AUTO(changes_done) one = {0};
	struct qube *q;
	int r = subject(im, fields[0], &q, why);

	if (r == 0)
		r = feature_may_set(q, fields[1], fields[2], strlen(fields[2]), why);
	if (r != 0)
		return r;
	changes_set_feature(&one, q->qid, fields[1], fields[2]);
	changes_set_feature(lasting(im, q), q->qid, fields[1], fields[2]);
	return store_apply(im->trial, &one);
}

static int plan_tag(struct import *im, const char *const *fields, struct refusal *why)
{
	struct changes AUTO(changes_done) one = {0};
	struct qube *q;
	int r = subject(im, fields[0], &q, why);

	if (r == 0)
		r = tag_may_add(q, fields[1], why);
	if (r != 0)
		return r;
	changes_set_tag(&one, q->qid, fields[1], true);
	changes_set_tag(lasting(im, q), q->qid, fields[1], true);
	return store_apply(im->trial, &one);
}

static int plan_firewall(struct import *im, const char *const *fields, struct refusal *why)
{
	struct text AUTO(text_done) rules = {0};
	struct qube *q;
	int r = subject(im, fields[0], &q, why);

	if (r == 0 && q->qid == 0)
		return refuse(why, "QubesValueError", "dom0 has no firewall");
	if (r == 0)
		r = firewall_parse(fields[1], &rules, why);
	if (r == 0)
		changes_set_document(&im->now, q->qid, DOCUMENT_FIREWALL, rules.at ? rules.at : "");
	return r;
}

static int plan_step(struct import *im, const struct import_record *rec, struct refusal *why)
{
	const char *const *f = rec->fields;

	switch (rec->kind) {
	case IMPORT_LABEL:
		return plan_label(im, f[0], f[1], why);
	case IMPORT_QUBE:
		return plan_qube(im, f[0], f[1], why);
	case IMPORT_VOLUME:
		return plan_volume(im, f, why);
	case IMPORT_PROPERTY:
		return plan_property(im, f, why);
	case IMPORT_FEATURE:
		return plan_feature(im, f, why);
	case IMPORT_TAG:
		return plan_tag(im, f, why);
	case IMPORT_FIREWALL:
		return plan_firewall(im, f, why);
	case IMPORT_KINDS:
		break;
	}
	return -EINVAL;
}

/* those not taken yet; with how many were. A refused qube or volume refuses the whole */
static int pass(struct import *im, bool first, unsigned *ret_taken, struct refusal *why)
{
	*ret_taken = 0;
	for (size_t i = 0; i < im->n_steps; i++) {
		struct step *s = &im->steps[i];
		const enum import_kind kind = s->record.kind;
		int r;

		if (s->taken || (!first && kind != IMPORT_PROPERTY))
			continue;
		r = plan_step(im, &s->record, why);
		if (r < 0 || (r > 0 && (kind == IMPORT_QUBE || kind == IMPORT_VOLUME)))
			return r;
		s->taken = r == 0;
		*ret_taken += r == 0;
		if (r == 0)
			continue;
		free(s->why); /* the last reason counts */
		s->why = strdup(why->text);
		if (!s->why)
			return -ENOMEM;
	}
	return 0;
}

/* Words of the file: a TAB among them would be a column, a newline a line, and others a terminal's business. */
static void add_plain(struct text *t, const char *words, char end)
{
	for (; words && *words != '\0'; words++)
		text_bytes(t, (unsigned char)*words < ' ' || *words == 0x7f ? "?" : words, 1);
	text_bytes(t, &end, 1);
}

static void leave_out(struct import *im, const struct step *s)
{
	const char *const *f = s->record.fields;
	const bool of_qube = s->record.kind != IMPORT_LABEL;

	const char *who = of_qube ? f[0] : "";
	const char *what = s->record.kind == IMPORT_FIREWALL ? "" : f[of_qube ? 1 : 0];

	text_add(&im->left_out, "%s\t", import_word(s->record.kind));
	add_plain(&im->left_out, who, '\t');
	add_plain(&im->left_out, what, '\t');
	add_plain(&im->left_out, s->why, '\n');
}

/* A template that was asked for is no setting that could be left out: the system's own would be another qube. */
static int check_templates(const struct import *im, struct refusal *why)
{
	for (size_t i = 0; i < im->n_steps; i++) {
		const struct step *s = &im->steps[i];
		const char *const *f = s->record.fields;
		const struct qube *q;

		if (s->taken || s->record.kind != IMPORT_PROPERTY || !str_eq(f[1], "template"))
			continue;
		q = model_find(im->m, f[0]);
		if (q && (q->klass == KLASS_APP || q->klass == KLASS_DISP))
			return refuse(why, "QubesValueError", "'%s' would have no template: %.600s",
				      q->name, s->why);
	}
	return 0;
}

/* what a new qube must have */
static int complete(struct import *im, const struct qube *q, struct refusal *why)
{
	const bool needs_template = q->klass == KLASS_APP || q->klass == KLASS_DISP;
	const struct qube *t = model_template(im->m, q);
	unsigned label = 1;
	char raw[16];
	int r = 0;

	while (label < LABEL_MAX && !im->m->labels[label].name)
		label++;
	(void)snprintf(raw, sizeof(raw), "%u", label);
	if (!q->values[PROP_label])
		r = put_property(im, q, property_at(false, PROP_label), raw);
	if (r != 0 || !needs_template)
		return r;
	(void)snprintf(raw, sizeof(raw), "%u", t ? t->qid : 0);
	if (!t || (q->klass == KLASS_DISP && !property_bool(im->m, t, PROP_template_for_dispvms)))
		return refuse(why, "QubesValueError",
			      "'%s' (%s) would have no template: what it names is neither here nor "
			      "made with it, or is none",
			      q->name, klass_name(q->klass));
	return q->values[PROP_template]
		       ? 0
		       : put_property(im, q, property_at(false, PROP_template), raw);
}

static int plan(struct import *im, size_t len, struct refusal *why)
{
	unsigned taken = 1;
	int r = decode(im, len, why);

	for (unsigned i = 0; r == 0 && taken > 0 && i < PASSES; i++)
		r = pass(im, i == 0, &taken, why);
	if (r == 0)
		r = check_templates(im, why);
	for (unsigned i = 0; r == 0 && i < im->n_made; i++)
		r = complete(im, model_get(im->m, im->made[i].qid), why);
	for (size_t i = 0; r == 0 && i < im->n_steps; i++)
		if (!im->steps[i].taken)
			leave_out(im, &im->steps[i]);
	if (r == 0 && (im->now.failed || im->later.failed || im->left_out.failed))
		return -ENOMEM;
	return r;
}

int import_plan(struct qubesd *d, char *bytes, size_t len, struct import **ret, struct refusal *why)
{
	struct import *im = calloc(1, sizeof(*im));
	int r;

	if (!im) {
		free(bytes);
		return -ENOMEM;
	}
	im->d = d;
	im->bytes = bytes;
	r = store_trial(d->store, &im->trial);
	if (r == 0) {
		im->m = store_model(im->trial);
		r = plan(im, len, why);
	} else {
		r = fault(r);
	}
	if (r != 0) {
		import_free(im);
		return r;
	}
	*ret = im;
	return 0;
}

/* ---- carried out */

static void finish(struct import *im, bool well)
{
	im->events.done(im->data, well ? NULL : &im->why);
	import_free(im);
}

static void take_back(struct import *im);

static void taken_back(void *data, struct qube *q, const struct refusal *why)
{
	(void)q, (void)why; /* what could not be removed is tried again at the next start */
	take_back(data);
}

/* one after the other */
static void take_back(struct import *im)
{
	static const struct making_events events = {NULL, taken_back};

	while (im->n_made > 0) {
		struct qube *q = model_get(im->d->model, im->made[--im->n_made].qid);

		if (q && making_undo(im->d, q, true, &events, im) == 0)
			return;
	}
	finish(im, false);
}

static int check_meanwhile(struct import *im)
{
	const struct model *m = im->d->model;

	for (unsigned i = 1; i <= LABEL_MAX; i++)
		if (im->m->labels[i].name && !str_eq(im->m->labels[i].name, m->labels[i].name) &&
		    (m->labels[i].name || model_label(m, im->m->labels[i].name) > 0))
			return refuse(&im->why, "QubesException",
				      "a label was made meanwhile; try again");
	for (unsigned i = 0; i <= QID_MAX; i++)
		if (im->seen[i] && (!m->by_qid[i] || m->by_qid[i]->hidden))
			return refuse(&im->why, "QubesException",
				      "a qube that others refer to was removed meanwhile; try "
				      "again");
	return 0;
}

/* what has changed of the system and of dom0 */
static void show_step(struct import *im, const struct import_record *rec)
{
	const bool of_dom0 = str_eq(rec->fields[0], "dom0");
	const struct qube *q = of_dom0 ? model_get(im->d->model, 0) : NULL;
	char event[300];

	if (rec->kind == IMPORT_PROPERTY && (of_dom0 || rec->fields[0][0] == '\0') &&
	    str_format(event, sizeof(event), "property-set:%s", rec->fields[1]) == 0)
		event_emit(im->d, q, event, "name", rec->fields[1], "newvalue",
			   rec->fields[2][0] != '\0' ? rec->fields[2] : "None", NULL);
	if (rec->kind == IMPORT_FEATURE && of_dom0)
		feature_emit(im->d, q, FEATURE_SET, rec->fields[1], rec->fields[2], NULL);
	if (rec->kind == IMPORT_TAG && of_dom0 &&
	    str_format(event, sizeof(event), "domain-tag-add:%s", rec->fields[1]) == 0)
		event_emit(im->d, q, event, "tag", rec->fields[1], NULL);
}

/* all volumes are there */
static void show(struct import *im)
{
	struct qubesd *d = im->d;
	int r = check_meanwhile(im);

	if (r == 0)
		r = store_change(d->store, &im->later, &im->why);
	if (r < 0)
		(void)refuse(&im->why, "QubesException", "the store cannot be written: %s",
			     log_errno_str(r));
	if (r != 0) {
		take_back(im);
		return;
	}
	for (unsigned i = 0; i < im->n_made; i++)
		making_show(d, model_get(d->model, im->made[i].qid));
	for (size_t i = 0; i < im->n_steps; i++)
		if (im->steps[i].taken)
			show_step(im, &im->steps[i].record);
	log_info(NULL, "%u qubes were imported", im->n_made);
	finish(im, true);
}

static void make_next(struct import *im);

static void made(void *data, const struct job_end *end)
{
	struct import *im = data;

	if (end->type[0] != '\0') {
		(void)refuse(&im->why, end->type,
			     "'%s' could not be made: %s. Nothing was taken over",
			     model_get(im->d->model, im->made[im->at].qid)->name, end->text);
		take_back(im);
		return;
	}
	im->at++;
	make_next(im);
}

static void make_next(struct import *im)
{
	static const struct job_events events = {NULL, made};
	const struct job_end failed = {.type = "QubesException", .text = "no job could be started"};
	struct request AUTO(request_done) request = {0};
	const struct qube *q;

	if (im->at == im->n_made) {
		show(im);
		return;
	}
	q = model_get(im->d->model, im->made[im->at].qid);
	im->events.progress(im->data, q->name, im->at, im->n_made);
	making_put_volumes(&request, im->d, q);
	if (job_start(im->d, "create", &request, &events, im) != 0)
		made(im, &failed);
}

int import_begin(struct import *im, const struct import_events *events, void *data,
		 struct refusal *why)
{
	int r = store_change(im->d->store, &im->now, why);

	if (r != 0)
		return r;
	im->events = *events;
	im->data = data;
	for (unsigned i = 0; i < im->n_made; i++) {
		struct qube *q = model_get(im->d->model, im->made[i].qid);

		q->hidden = true;
		model_untell(im->d->model, q);
	}
	make_next(im);
	return 0;
}
