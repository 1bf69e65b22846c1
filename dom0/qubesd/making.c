/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "making.h"

#include "api/event.h"
#include "base/log.h"
#include "base/str.h"
#include "job/job.h"
#include "job/request.h"
#include "power/power.h"
#include "qubesd.h"
#include "store/property.h"
#include "store/store.h"
#include "volume.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define GIB (1024ull * 1024 * 1024)

/* lives from the wish to the job's end */
struct making {
	struct qubesd *d;
	struct making_events events;
	void *data;
	unsigned qid, source; /* @source: whose wish it is */
	uint64_t operation;
	bool failed; /* the job "create" did not do it: what it left is being removed */
	bool traces;
	struct refusal why;
};

static void making_end(struct making *mk, struct qube *q, bool well)
{
	if (mk->events.done)
		mk->events.done(mk->data, q, well ? NULL : &mk->why);
	free(mk);
}

static void making_progress(void *data, const char *stage, const char *text, uint64_t done,
			    uint64_t total)
{
	struct making *mk = data;

	if (mk->events.progress)
		mk->events.progress(mk->data, stage, text, done, total);
}

static int making_new(struct qubesd *d, const struct making_events *events, void *data,
		      struct making **ret)
{
	struct making *mk = calloc(1, sizeof(*mk));

	if (!mk)
		return -ENOMEM;
	mk->d = d;
	if (events)
		mk->events = *events;
	mk->data = data;
	mk->operation = d->model->next_operation;
	*ret = mk;
	return 0;
}

void making_pools(const struct model *m, char pools[N_DISKS][64])
{
	static const enum global_id defaults[N_DISKS] = {GLOBAL_default_pool_root,
							 GLOBAL_default_pool_private,
							 GLOBAL_default_pool_volatile};
	char buf[PROPERTY_BUF];

	for (unsigned i = 0; i < N_DISKS; i++)
		(void)snprintf(pools[i], 64, "%.63s", global_text(m, defaults[i], buf));
}

/* ---- removing */

/* the job "remove" has ended */
static void removed(void *data, const struct job_end *end)
{
	struct making *mk = data;
	struct qubesd *d = mk->d;
	struct qube *q = model_get(d->model, mk->qid);
	struct changes AUTO(changes_done) changes = {0};
	char name[QUBE_NAME_MAX + 1];
	int r;

	memcpy(name, q->name, sizeof(name));
	if (end->type[0] != '\0') {
		/* hidden it stays, and the operation in the store: tried again at the next start */
		log_err(name, "its volumes could not be removed: %s; tried again at the next start",
			end->text);
		if (!mk->failed)
			(void)refuse(&mk->why, end->type, "%s", end->text);
		making_end(mk, NULL, false);
		return;
	}
	changes_remove_qube(&changes, mk->qid);
	r = store_apply(d->store, &changes);
	if (r != 0) {
		log_err(name, "its volumes are gone, but the store could not be written; tried "
			      "again at the next start");
		(void)refuse(&mk->why, "QubesException",
			     "the volumes are gone, but the store could not be written");
		making_end(mk, NULL, false);
		return;
	}
	if (!mk->failed)
		event_emit(d, NULL, "domain-delete", "vm", name, NULL);
	making_end(mk, NULL, !mk->failed);
}

void making_put_volumes(struct request *request, const struct qubesd *d, const struct qube *q)
{
	for (unsigned i = 0; i < N_DISKS; i++)
		request_put_volume(request, disk_name((enum disk)i), d, q, i);
}

static int start_removal(struct making *mk)
{
	static const struct job_events events = {making_progress, removed};
	struct request AUTO(request_done) request = {0};
	const struct qube *q = model_get(mk->d->model, mk->qid);

	request.source = mk->source;
	making_put_volumes(&request, mk->d, q);
	if (mk->traces)
		power_describe_log(mk->d, q, &request);
	return fault(job_start(mk->d, "remove", &request, &events, mk));
}

/* there is no other way on */
static void go_on_removing(struct making *mk)
{
	const struct job_end failed = {.type = "QubesException", .text = "no job could be started"};

	if (start_removal(mk) < 0)
		removed(mk, &failed);
}

int making_undo(struct qubesd *d, struct qube *q, bool unseen, const struct making_events *events,
		void *data)
{
	struct making *mk;
	int r = making_new(d, events, data, &mk);

	if (r < 0)
		return r;
	mk->qid = q->qid;
	mk->failed = unseen;
	mk->traces = property_bool(d->model, q, PROP_auto_cleanup);
	q->hidden = true;
	model_untell(d->model, q);
	go_on_removing(mk);
	return 0;
}

int making_finish(struct qubesd *d, const struct operation *op)
{
	struct qube *q = model_get(d->model, op->qid);

	return q ? making_undo(d, q, str_eq(op->kind, "create"), NULL, NULL) : 0;
}

static int may_remove(const struct model *m, const struct qube *q, struct refusal *why)
{
	char where[512];
	int r;

	if (q->qid == 0)
		return refuse(why, "QubesVMInUseError", "dom0 cannot be removed");
	r = power_refuse_busy(q, why);
	if (r != 0)
		return r;
	if (property_bool(m, q, PROP_installed_by_rpm))
		return refuse(why, "QubesVMInUseError",
			      "'%s' belongs to a package: remove that instead", q->name);
	if (property_references(m, q, where, sizeof(where)))
		return refuse(why, "QubesVMInUseError", "'%s' is in use: %s", q->name, where);
	return 0;
}

int making_remove(struct qubesd *d, struct qube *q, unsigned source, bool traces,
		  const struct making_events *events, void *data, struct refusal *why)
{
	struct changes AUTO(changes_done) changes = {0};
	AUTO_FREE struct making *mk = NULL;
	int r = may_remove(d->model, q, why);

	if (r == 0)
		r = making_new(d, events, data, &mk);
	if (r != 0)
		return r;
	mk->qid = q->qid;
	mk->source = source;
	mk->traces = traces;
	changes_begin(&changes, mk->operation, q->qid, "remove", "");
	r = store_change(d->store, &changes, why);
	if (r != 0)
		return r;
	event_emit(d, NULL, "domain-pre-delete", "vm", q->name, NULL);
	q->hidden = true;
	model_untell(d->model, q);
	go_on_removing(take_ptr(&mk));
	return 0;
}

/* ---- making */

void making_show(struct qubesd *d, struct qube *q)
{
	q->hidden = false;
	model_untell(d->model, q);
	event_emit(d, NULL, "domain-add", "vm", q->name, NULL);
	for (const struct pair *tag = q->tags; tag; tag = tag->next) {
		char name[300];

		if (str_format(name, sizeof(name), "domain-tag-add:%s", tag->key) == 0)
			event_emit(d, q, name, "tag", tag->key, NULL);
	}
	event_emit(d, q, "domain-create-on-disk", NULL);
}

/* the job "create" has ended */
static void created(void *data, const struct job_end *end)
{
	struct making *mk = data;
	struct qubesd *d = mk->d;
	struct qube *q = model_get(d->model, mk->qid);
	struct changes AUTO(changes_done) changes = {0};
	bool first_template =
		q->klass == KLASS_TEMPLATE && !d->model->globals[GLOBAL_default_template];
	char qid[16];
	int r = 0;

	if (end->type[0] == '\0') {
		changes_end(&changes, mk->operation);
		(void)snprintf(qid, sizeof(qid), "%u", mk->qid);
		if (first_template)
			changes_set_global(&changes, GLOBAL_default_template, qid);
		r = store_apply(d->store, &changes);
	}
	if (end->type[0] != '\0' || r != 0) {
		mk->failed = true;
		(void)refuse(&mk->why, end->type[0] != '\0' ? end->type : "QubesException",
			     "'%s' could not be created: %s", q->name,
			     end->type[0] != '\0' ? end->text : "the store cannot be written");
		go_on_removing(mk);
		return;
	}
	making_show(d, q);
	if (first_template)
		event_emit(d, NULL, "property-set:default_template", "name", "default_template",
			   "newvalue", q->name, NULL);
	making_end(mk, q, true);
}

int making_uuid(char *to)
{
	uint8_t b[16];

	if (getrandom(b, sizeof(b), 0) != sizeof(b))
		return fail_errno();
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	return str_format(to, UUID_LEN + 1,
			  "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
			  b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11],
			  b[12], b[13], b[14], b[15]);
}

void making_add_volumes(struct changes *changes, const struct wish *w, unsigned qid,
			const char *uuid)
{
	const bool disp = w->klass == KLASS_DISP, own_root = !disp && w->klass != KLASS_APP;
	/* clang-format off */
	struct volume volumes[N_DISKS] = {
		[DISK_ROOT]     = {.size = own_root ? 10 * GIB : 0, .rw = true, .save_on_stop = own_root,
				   .snap_on_start = !own_root, .revisions_to_keep = own_root ? 1 : 0},
		[DISK_PRIVATE]  = {.size = disp ? 0 : 2 * GIB, .rw = true, .save_on_stop = !disp,
				   .snap_on_start = disp, .revisions_to_keep = disp ? 0 : 1},
		/* of a disposable: as much as root and private of others come to */
		[DISK_VOLATILE] = {.size = (disp ? 12 : 10) * GIB, .rw = true},
	};
	/* clang-format on */
	char vid[64];

	/* one that runs elsewhere has its disks there */
	for (unsigned i = 0; w->klass != KLASS_REMOTE && i < N_DISKS; i++) {
		(void)snprintf(vid, sizeof(vid), "vm/%s/%s", uuid, disk_name((enum disk)i));
		volumes[i].pool = (char *)w->pools[i];
		volumes[i].vid = vid;
		changes_set_volume(changes, qid, (enum disk)i, &volumes[i]);
	}
}

static void set_number(struct changes *changes, unsigned qid, enum property_id id, unsigned n)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "%u", n);
	changes_set_property(changes, qid, id, text);
}

static void add_tag(struct changes *changes, unsigned qid, const char *prefix, const char *name)
{
	char tag[128];

	(void)snprintf(tag, sizeof(tag), "%s%s", prefix, name);
	changes_set_tag(changes, qid, tag, true);
}

/* what is set of @t, but for what it is itself and what two at a time cannot share */
static void inherit(struct changes *changes, unsigned qid, const struct qube *t)
{
	static const unsigned its_own[] = {PROP_autostart,
					   PROP_backup_timestamp,
					   PROP_include_in_backups,
					   PROP_installed_by_rpm,
					   PROP_ip,
					   PROP_ip6,
					   PROP_label,
					   PROP_template};

	for (unsigned i = 0; i < N_PROPERTIES; i++) {
		const struct property *p = property_at(false, i);
		bool own = !(p->classes & 1U << KLASS_DISP) || p->flags & FIXED;

		for (size_t k = 0; k < ARRAY_LEN(its_own); k++)
			own |= its_own[k] == i;
		if (t->values[i] && !own)
			changes_set_property(changes, qid, (enum property_id)i, t->values[i]);
	}
	for (const struct pair *f = t->features; f; f = f->next)
		if (!str_starts(f->key, "preload-dispvm"))
			changes_set_feature(changes, qid, f->key, f->value);
	if (t->documents[DOCUMENT_FIREWALL])
		changes_set_document(changes, qid, DOCUMENT_FIREWALL,
				     t->documents[DOCUMENT_FIREWALL]);
	/* who made the template has no say in what others make from it */
	for (const struct pair *tag = t->tags; tag; tag = tag->next)
		if (!str_starts(tag->key, "created-by-") &&
		    !str_starts(tag->key, "disp-created-by-"))
			changes_set_tag(changes, qid, tag->key, true);
}

/* The tag that policies know its guivm or audiovm by, where that is the system's: api/follow.c keeps it from now on. What is
 * set of a disposable's template has been taken over with its tags. */
static void add_default_tag(struct changes *changes, const struct model *m, const struct wish *w,
			    unsigned qid, enum property_id id, enum global_id global,
			    const char *prefix)
{
	const struct qube *of = global_qube(m, global);
	const bool has = property_at(false, id)->classes & 1U << w->klass;
	const bool set = w->klass == KLASS_DISP && w->template->values[id];

	if (has && !set && of && of->qid != 0)
		add_tag(changes, qid, prefix, of->name);
}

static void describe(struct changes *changes, const struct model *m, const struct wish *w,
		     unsigned qid, const char *uuid)
{
	changes_add_qube(changes, qid, w->klass, w->name, uuid);
	if (w->klass == KLASS_DISP) {
		inherit(changes, qid, w->template);
		set_number(changes, qid, PROP_dispid, w->dispid);
	}
	set_number(changes, qid, PROP_label, w->label);
	if (w->template)
		set_number(changes, qid, PROP_template, w->template->qid);
	add_tag(changes, qid, "created-by-", w->creator->name);
	add_default_tag(changes, m, w, qid, PROP_guivm, GLOBAL_default_guivm, "guivm-");
	add_default_tag(changes, m, w, qid, PROP_audiovm, GLOBAL_default_audiovm, "audiovm-");
	if (w->preload) {
		changes_set_feature(changes, qid, "internal", "1");
		changes_set_feature(changes, qid, "preload-dispvm-in-progress", "1");
	}
	if (w->cleanup) {
		changes_set_property(changes, qid, PROP_auto_cleanup, "True");
		add_tag(changes, qid, "disp-created-by-", w->creator->name);
	}
	making_add_volumes(changes, w, qid, uuid);
}

/* nothing of it is made yet */
static int take_back(struct qubesd *d, unsigned qid, struct refusal *why)
{
	struct changes AUTO(changes_done) changes = {0};

	changes_remove_qube(&changes, qid);
	if (store_apply(d->store, &changes) != 0)
		log_err(NULL, "a qube that was not made stays in the store until the next start");
	return refuse(why, "QubesException", "no job could be started");
}

int making_create(struct qubesd *d, const struct wish *w, const struct making_events *events,
		  void *data, struct qube **ret, struct refusal *why)
{
	static const struct job_events job = {making_progress, created};
	struct changes AUTO(changes_done) changes = {0};
	struct request AUTO(request_done) request = {0};
	AUTO_FREE struct making *mk = NULL;
	char uuid[UUID_LEN + 1];
	const unsigned qid = model_free_qid(d->model);
	struct qube *q;
	int r;

	if (qid == 0)
		return refuse(why, "QubesException", "there are %u qubes, which is the most",
			      QID_MAX);
	r = making_new(d, events, data, &mk);
	if (r == 0)
		r = making_uuid(uuid);
	if (r < 0)
		return r;
	mk->qid = qid;
	mk->source = w->creator->qid;
	mk->traces = w->cleanup;
	changes_begin(&changes, mk->operation, qid, "create", "");
	if (w->held)
		changes_begin(&changes, mk->operation + 1, qid, "hold", "");
	if (w->preload)
		changes_begin(&changes, mk->operation + 1, qid, "preload", w->preload);
	describe(&changes, d->model, w, qid, uuid);
	r = store_change(d->store, &changes, why);
	if (r != 0)
		return r;
	q = model_get(d->model, qid);
	q->hidden = true;
	model_untell(d->model, q);
	making_put_volumes(&request, d, q);
	request.source = mk->source;
	if (job_start(d, "create", &request, &job, mk) != 0)
		return take_back(d, qid, why);
	(void)take_ptr(&mk);
	*ret = q;
	return 0;
}
