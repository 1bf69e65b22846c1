/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Qubes as a whole: list, create, remove.
 *
 * A qube is made in three steps: it stands in the store, hidden, with the operation "create"; a job
 * makes its volumes; the operation ends and everybody sees it. Cut off in between, the next start
 * of qubesd rolls it back. Removing goes the other way and is finished rather than rolled back.
 */
#include "vm.h"
#include "api/call.h"
#include "api/event.h"
#include "api/method.h"
#include "base/log.h"
#include "job/job.h"
#include "power/power.h"
#include "qubesd.h"
#include "store/property.h"
#include "volume.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define GIB (1024ull * 1024 * 1024)

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
struct wish {
	enum klass klass;
	char name[QUBE_NAME_MAX + 1];
	unsigned label;
	const struct qube *template;
	char pools[N_DISKS][64];
};

static int wish_pool(struct call *c, struct wish *w, const char *disk, const char *pool)
{
	if (!model_pool(c->d->model, pool))
		return refuse(&c->why, "QubesException", "there is no pool '%s'", pool);
	for (unsigned i = 0; i < N_DISKS; i++)
		if (!disk || strcmp(disk, disk_name((enum disk)i)) == 0) {
			if (str_copy(w->pools[i], sizeof(w->pools[i]), pool, strlen(pool)) < 0)
				return refuse(&c->why, "QubesValueError", "'%s' is too long", pool);
			if (disk)
				return 0;
		}
	return disk ? refuse(&c->why, "ProtocolError", "there is no volume '%s'", disk) : 0;
}

static int wish_word(struct call *c, struct wish *w, char *word, bool may_pool)
{
	const struct qube *other;
	char *value = strchr(word, '=');

	if (!value)
		return refuse(&c->why, "ProtocolError", "the payload is name=NAME label=LABEL");
	*value++ = '\0';
	if (strcmp(word, "name") == 0 && w->name[0] == '\0') {
		if (!str_is_qube_name(value, strlen(value)))
			return refuse(&c->why, "QubesValueError",
				      "'%s' is no name for a qube: 1 to 31 letters, digits and "
				      "_.-, beginning with a letter, not ending in -dm, and not "
				      "none, default or Domain-0",
				      value);
		other = model_find(c->d->model, value);
		if (other)
			return refuse(&c->why, "QubesVMAlreadyExistsError",
				      "there is a qube '%s' already", value);
		return str_copy(w->name, sizeof(w->name), value, strlen(value));
	}
	if (strcmp(word, "label") == 0 && w->label == 0) {
		uint64_t i = model_label(c->d->model, value);

		if (i == 0 && (str_u64(value, LABEL_MAX, &i) < 0 || !c->d->model->labels[i].name))
			return model_refuse_label(c->d->model, "QubesLabelNotFoundError", value,
						  &c->why);
		w->label = (unsigned)i;
		return 0;
	}
	if (may_pool && strcmp(word, "pool") == 0)
		return wish_pool(c, w, NULL, value);
	if (may_pool && strncmp(word, "pool:", 5) == 0)
		return wish_pool(c, w, word + 5, value);
	return refuse(&c->why, "ProtocolError", "'%s' is unknown here, or said twice", word);
}

static int wish_template(struct call *c, struct wish *w)
{
	const struct model *m = c->d->model;
	const struct qube *t;

	if (w->klass != KLASS_APP) {
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
	static const enum global_id defaults[N_DISKS] = {GLOBAL_default_pool_root,
							 GLOBAL_default_pool_private,
							 GLOBAL_default_pool_volatile};
	char *rest = c->payload, *word, buf[PROPERTY_BUF];
	int r;

	for (size_t i = 0; i < c->q.payload_len; i++)
		if (c->payload[i] < 0x20 || c->payload[i] >= 0x7f)
			return refuse(&c->why, "ProtocolError",
				      "the payload holds more than printable ASCII");
	for (unsigned i = 0; i < N_DISKS; i++)
		(void)snprintf(w->pools[i], sizeof(w->pools[i]), "%.63s",
			       global_text(c->d->model, defaults[i], buf));
	while ((word = strsep(&rest, " "))) {
		r = wish_word(c, w, word, may_pool);
		if (r != 0)
			return r;
	}
	if (w->name[0] == '\0' || w->label == 0)
		return refuse(&c->why, "ProtocolError", "the payload is name=NAME label=LABEL");
	return wish_template(c, w);
}

static int make_uuid(char *to)
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

static void add_volumes(struct changes *changes, const struct wish *w, unsigned qid,
			const char *uuid)
{
	bool own_root = w->klass != KLASS_APP;
	/* clang-format off */
	struct volume volumes[N_DISKS] = {
		[DISK_ROOT]     = {.size = own_root ? 10 * GIB : 0, .rw = true, .save_on_stop = own_root,
				   .snap_on_start = !own_root, .revisions_to_keep = own_root ? 1 : 0},
		[DISK_PRIVATE]  = {.size = 2 * GIB, .rw = true, .save_on_stop = true, .revisions_to_keep = 1},
		[DISK_VOLATILE] = {.size = 10 * GIB, .rw = true},
	};
	/* clang-format on */
	char vid[64];

	for (unsigned i = 0; i < N_DISKS; i++) {
		(void)snprintf(vid, sizeof(vid), "vm/%s/%s", uuid, disk_name((enum disk)i));
		volumes[i].pool = (char *)w->pools[i];
		volumes[i].vid = vid;
		changes_set_volume(changes, qid, (enum disk)i, &volumes[i]);
	}
}

/* A qube that is being made or removed; lives from the call to the job's end. */
struct making {
	struct qubesd *d;
	struct call *call; /* NULL: finished at a start of qubesd */
	unsigned qid;
	uint64_t operation;
	bool failed; /* the job "create" did not do it: what it left is being removed */
	struct refusal why;
};

static void making_end(struct making *mk, int r)
{
	if (mk->call) {
		if (r == REFUSED)
			mk->call->why = mk->why;
		call_end(mk->call, r);
	}
	free(mk);
}

static void making_progress(void *data, const char *stage, const char *text, uint64_t done,
			    uint64_t total)
{
	struct making *mk = data;

	if (mk->call)
		call_progress(mk->call, stage, text, done, total);
}

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
		making_end(mk, REFUSED);
		return;
	}
	changes_remove_qube(&changes, mk->qid);
	changes_end(&changes, mk->operation);
	r = store_apply(d->store, &changes);
	if (r != 0) {
		log_err(name, "its volumes are gone, but the store could not be written; tried "
			      "again at the next start");
		(void)refuse(&mk->why, "QubesException",
			     "the volumes are gone, but the store could not be written");
		making_end(mk, REFUSED);
		return;
	}
	if (!mk->failed)
		event_emit(d, NULL, "domain-delete", "vm", name, NULL);
	making_end(mk, mk->failed ? REFUSED : 0);
}

static void start_removal(struct making *mk)
{
	static const struct job_events events = {making_progress, removed};
	struct request AUTO(request_done) request = {0};
	const struct job_end failed = {.type = "QubesException", .text = "no job could be started"};
	const struct qube *q = model_get(mk->d->model, mk->qid);

	for (unsigned i = 0; i < N_DISKS; i++)
		request_put_volume(&request, disk_name((enum disk)i), mk->d, q, i);
	if (job_start(mk->d, "remove", &request, &events, mk) < 0)
		removed(mk, &failed);
}

int vm_finish(struct qubesd *d, const struct operation *op)
{
	struct qube *q = model_get(d->model, op->qid);
	struct making *mk;

	if (!q)
		return 0;
	mk = calloc(1, sizeof(*mk));
	if (!mk)
		return -ENOMEM;
	mk->d = d;
	mk->qid = op->qid;
	mk->operation = op->id;
	mk->failed = str_eq(op->kind, "create");
	q->hidden = true;
	model_untell(d->model, q);
	start_removal(mk);
	return 0;
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
		start_removal(mk);
		return;
	}
	q->hidden = false;
	model_untell(d->model, q);
	event_emit(d, NULL, "domain-add", "vm", q->name, NULL);
	for (const struct pair *tag = q->tags; tag; tag = tag->next) {
		char name[300];

		if (str_format(name, sizeof(name), "domain-tag-add:%s", tag->key) == 0)
			event_emit(d, q, name, "tag", tag->key, NULL);
	}
	event_emit(d, q, "domain-create-on-disk", NULL);
	if (first_template)
		event_emit(d, NULL, "property-set:default_template", "name", "default_template",
			   "newvalue", q->name, NULL);
	making_end(mk, 0);
}

static int create(struct call *c, enum klass klass, bool may_pool)
{
	static const struct job_events events = {making_progress, created};
	const struct job_end failed = {.type = "QubesException", .text = "no job could be started"};
	struct changes AUTO(changes_done) changes = {0};
	struct request AUTO(request_done) request = {0};
	AUTO_FREE struct making *mk = calloc(1, sizeof(*mk));
	struct wish w = {.klass = klass};
	char uuid[UUID_LEN + 1], text[64];
	struct making *made;
	struct qube *q;
	unsigned qid;
	int r;

	if (!mk)
		return -ENOMEM;
	r = wish_parse(c, &w, may_pool);
	if (r != 0)
		return r;
	qid = model_free_qid(c->d->model);
	if (qid == 0)
		return refuse(&c->why, "QubesException", "there are %u qubes, which is the most",
			      QID_MAX);
	r = make_uuid(uuid);
	if (r < 0)
		return r;
	mk->d = c->d;
	mk->qid = qid;
	mk->operation = c->d->model->next_operation;
	changes_begin(&changes, mk->operation, qid, "create", "");
	changes_add_qube(&changes, qid, klass, w.name, uuid);
	(void)snprintf(text, sizeof(text), "%u", w.label);
	changes_set_property(&changes, qid, PROP_label, text);
	if (w.template) {
		(void)snprintf(text, sizeof(text), "%u", w.template->qid);
		changes_set_property(&changes, qid, PROP_template, text);
	}
	(void)snprintf(text, sizeof(text), "created-by-%s", c->source->name);
	changes_set_tag(&changes, qid, text, true);
	add_volumes(&changes, &w, qid, uuid);
	r = call_apply(c, &changes);
	if (r != 0)
		return r;
	q = model_get(c->d->model, qid);
	q->hidden = true;
	model_untell(c->d->model, q);
	for (unsigned i = 0; i < N_DISKS; i++)
		request_put_volume(&request, disk_name((enum disk)i), c->d, q, i);
	made = take_ptr(&mk);
	made->call = c;
	if (job_start(c->d, "create", &request, &events, made) < 0)
		created(made, &failed);
	return CALL_LATER;
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

int vm_remove(struct call *c)
{
	struct qubesd *d = c->d;
	struct changes AUTO(changes_done) changes = {0};
	struct qube *q = c->dest;
	AUTO_FREE struct making *mk = calloc(1, sizeof(*mk));
	char where[256];
	int r;

	if (!mk)
		return -ENOMEM;
	if (q->qid == 0)
		return refuse(&c->why, "QubesVMInUseError", "dom0 cannot be removed");
	if (q->power)
		return refuse(&c->why, "QubesVMNotHaltedError",
			      "'%s' is not halted: shut it down first", q->name);
	if (q->n_busy > 0)
		return refuse(&c->why, "QubesVMInUseError",
			      "another operation works on the volumes of '%s'; try again later",
			      q->name);
	if (property_bool(d->model, q, PROP_installed_by_rpm))
		return refuse(&c->why, "QubesVMInUseError",
			      "'%s' belongs to a package: remove that instead", q->name);
	if (property_references(d->model, q, where, sizeof(where)))
		return refuse(&c->why, "QubesVMInUseError", "'%s' is in use: %s", q->name, where);
	mk->d = d;
	mk->qid = q->qid;
	mk->operation = d->model->next_operation;
	changes_begin(&changes, mk->operation, q->qid, "remove", "");
	r = call_apply(c, &changes);
	if (r != 0)
		return r;
	event_emit(d, NULL, "domain-pre-delete", "vm", q->name, NULL);
	q->hidden = true;
	model_untell(d->model, q);
	mk->call = c;
	start_removal(take_ptr(&mk));
	return CALL_LATER;
}
