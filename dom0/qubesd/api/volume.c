/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Volumes of a qube. What takes longer than a look is a job; one at a time per qube. */
#include "volume.h"

#include "api/call.h"
#include "api/event.h"
#include "api/method.h"
#include "base/io.h"
#include "base/log.h"
#include "growth.h"
#include "job/job.h"
#include "kernel.h"
#include "looks.h"
#include "power/power.h"
#include "preload/preload.h"
#include "proto/argument.h"
#include "proto/gate.h"
#include "qubesd.h"
#include "store/property.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

#define KERNEL_POOL "linux-kernel"

_Static_assert(ARGUMENT_REVISIONS_MAX == STORAGE_MAX_REVISIONS, "what may be asked can be kept");

int volume_list(struct call *c)
{
	for (unsigned i = 0; i < N_DISKS; i++)
		if (c->dest->volumes[i].pool)
			text_add(&c->out, "%s\n", disk_name((enum disk)i));
	if (c->dest->qid != 0 && c->dest->klass != KLASS_REMOTE)
		text_add(&c->out, "kernel\n");
	return 0;
}

static int unknown(struct call *c)
{
	return refuse(&c->why, "PermissionDenied", "'%s' has no volume '%s'", c->dest_name,
		      c->q.arg);
}

/* the volume the call names, other than kernel */
static int find(struct call *c, enum disk *ret)
{
	for (unsigned i = 0; i < N_DISKS; i++)
		if (c->dest->volumes[i].pool && strcmp(disk_name((enum disk)i), c->q.arg) == 0) {
			*ret = (enum disk)i;
			return 0;
		}
	if (str_eq(c->q.arg, "kernel") && c->dest->qid != 0)
		(void)refuse(&c->why, "QubesException",
			     "the volume kernel follows from the property kernel");
	else
		(void)unknown(c);
	return REFUSED;
}

static int kernel_info(struct call *c)
{
	char buf[PROPERTY_BUF];
	const char *kernel = property_text(c->d->model, c->dest, PROP_kernel, buf);

	text_add(&c->out,
		 "pool=" KERNEL_POOL "\nvid=%s\nsize=%" PRIu64 "\nusage=0\nrw=False\nsource=\n"
		 "path=\nsave_on_stop=False\nsnap_on_start=False\nrevisions_to_keep=0\n"
		 "ephemeral=False\nis_outdated=False\n",
		 kernel, kernel_modules_size(c->d, kernel));
	return 0;
}

static const char *truth(bool b)
{
	return b ? "True" : "False";
}

/* the rest of an answer, behind what the look at the disk tells */
struct info {
	unsigned qid;
	enum disk disk;
	struct text rest;
};

static void info_looked(struct call *c, struct looks *l, void *data)
{
	struct info *i = data;
	struct qube gone = {.qid = i->qid};
	uint64_t usage;

	if (!looks_usage(l, &gone, i->disk, &usage))
		usage = 0;
	text_add(&c->out, "usage=%" PRIu64 "\n", usage);
	text_bytes(&c->out, i->rest.at, i->rest.len);
	text_add(&c->out, "is_outdated=%s\n", truth(looks_outdated(l)));
	c->out.failed |= i->rest.failed;
	text_done(&i->rest);
	free(i);
	call_end(c, 0);
}

int volume_info(struct call *c)
{
	const struct model *m = c->d->model;
	const struct volume *v, *source;
	struct looks *l;
	struct info *i;
	enum disk disk;
	int r;

	if (str_eq(c->q.arg, "kernel") && c->dest->qid != 0 && c->dest->klass != KLASS_REMOTE)
		return kernel_info(c);
	r = find(c, &disk);
	if (r != 0)
		return r;
	v = &c->dest->volumes[disk];
	source = model_source(m, c->dest, disk);
	i = calloc(1, sizeof(*i));
	l = i ? looks_new(c, info_looked, i) : NULL;
	if (!l) {
		free(i);
		return -ENOMEM;
	}
	*i = (struct info){.qid = c->dest->qid, .disk = disk};
	text_add(&c->out, "pool=%s\nvid=%s\nsize=%" PRIu64 "\n",
		 model_volume_pool(m, c->dest, disk), v->vid, model_volume_size(m, c->dest, disk));
	text_add(&i->rest,
		 "rw=%s\nsource=%s\npath=\nsave_on_stop=%s\nsnap_on_start=%s\n"
		 "revisions_to_keep=%d\nephemeral=%s\n",
		 truth(v->rw), source ? source->vid : "", truth(v->save_on_stop),
		 truth(v->snap_on_start), v->revisions_to_keep,
		 truth(model_is_ephemeral(m, c->dest, disk)));
	looks_add(l, c->dest, disk,
		  LOOK_USAGE | (v->snap_on_start && c->dest->power ? LOOK_OUTDATED : 0));
	r = looks_go(l);
	if (r != CALL_LATER) {
		text_done(&i->rest);
		free(i);
	}
	return r;
}

static void snapshots_looked(struct call *c, struct looks *l, void *data)
{
	const struct text *revisions = looks_revisions(l);
	int r = 0;

	(void)data;
	if (looks_unanswered(l))
		r = refuse(&c->why, "StoragePoolException", "the revisions of '%s': %s", c->q.arg,
			   looks_unanswered(l));
	else if (looks_damaged(l))
		r = refuse(&c->why, "StoragePoolException",
			   "the files of volume '%s' are missing or damaged", c->q.arg);
	else
		text_bytes(&c->out, revisions->at, revisions->len);
	call_end(c, r);
}

int volume_snapshots(struct call *c)
{
	struct looks *l;
	enum disk disk;
	int r;

	if (str_eq(c->q.arg, "kernel") && c->dest->qid != 0)
		return 0;
	r = find(c, &disk);
	if (r != 0 || !c->dest->volumes[disk].save_on_stop)
		return r;
	l = looks_new(c, snapshots_looked, NULL);
	if (!l)
		return -ENOMEM;
	looks_add(l, c->dest, disk, LOOK_REVISIONS);
	return looks_go(l);
}

/* A job on one volume: what its end changes in the store, and whom it tells. */
struct work {
	struct qubesd *d;
	struct call *call;
	unsigned qid;
	enum disk disk;
	uint64_t operation; /* 0: none */
	bool import;
	uint64_t new_size; /* 0: as it was */
	unsigned from_qid; /* a clone's source, which must stay; 0: none */
	bool resize;       /* of a halted qube, to @new_size */
	bool again;        /* a clone or resize that was cut off, and is done once more */
	bool grows;        /* of a qube that runs */
};

static void work_progress(void *data, const char *stage, const char *text, uint64_t done,
			  uint64_t total)
{
	struct work *w = data;

	if (w->call)
		call_progress(w->call, stage, text, done, total);
}

static int start_again(struct work *w);

static void work_done(void *data, const struct job_end *end)
{
	struct work *w = data;
	struct call *c = w->call;
	struct qube *q = model_get(w->d->model, w->qid);
	struct changes AUTO(changes_done) changes = {0};
	struct volume v = q->volumes[w->disk];
	bool well = end->type[0] == '\0';
	int r = 0;

	/* what was there has gone already, or has another size: it becomes what it was to be, as it does when qubesd begins anew */
	if (end->cut_off && (w->from_qid > 0 || w->resize) && !w->again) {
		w->again = true;
		log_warn(q->name, "volume %s: %s; once more", disk_name(w->disk), end->text);
		if (start_again(w) == 0)
			return;
	}
	q->n_busy--;
	if (w->from_qid > 0)
		model_get(w->d->model, w->from_qid)->n_busy--;
	preloads_outdate(w->d, q);
	if (w->operation > 0)
		changes_end(&changes, w->operation);
	if (well && w->new_size > 0) {
		v.size = w->new_size;
		changes_set_volume(&changes, w->qid, w->disk, &v);
	}
	if (!c) {
		/* a resize that fails is over: begun again some day it would undo what was done since */
		if ((!well && !w->resize) || store_apply(w->d->store, &changes) != 0 || !well)
			log_err(q->name, "volume %s: what was begun could not be finished%s%s",
				disk_name(w->disk), well ? "" : ": ", end->text);
		free(w);
		return;
	}
	if (changes.first)
		r = call_apply(c, &changes);
	if (!well)
		r = refuse(&c->why, end->type, "%s", end->text);
	if (w->import)
		event_emit(w->d, q, "domain-volume-import-end", "volume", disk_name(w->disk),
			   "success", truth(r == 0), NULL);
	if (r == 0 && w->grows)
		r = growth_begin(c, q, w->disk, w->new_size);
	free(w);
	if (r != CALL_LATER)
		call_end(c, r);
}

static const struct job_events work_events = {work_progress, work_done};

/* the job alone: of one that stands in the store */
static int start_again(struct work *w)
{
	struct request AUTO(request_done) request = {0};
	struct qubesd *d = w->d;

	request_put_volume(&request, "volume", d, model_get(d->model, w->qid), w->disk);
	if (w->resize)
		request_put(&request, "size", "%" PRIu64, w->new_size);
	else
		request_put_volume(&request, "from", d, model_get(d->model, w->from_qid), w->disk);
	return fault(job_start(d, w->resize ? "resize" : "clone", &request, &work_events, w));
}

static void hold(struct qubesd *d, const struct work *w)
{
	model_get(d->model, w->qid)->n_busy++;
	if (w->from_qid > 0)
		model_get(d->model, w->from_qid)->n_busy++;
}

/* if @journaled, the operation stands in the store: its detail is the disk and a clone's source,
 * whose disk has the same name, or the size it is to have */
static int work_start(struct call *c, struct work *w, const char *kind, struct request *request,
		      bool journaled)
{
	struct changes AUTO(changes_done) changes = {0};
	struct work *heap;
	char detail[64];
	int r;

	w->d = c->d;
	w->call = c;
	w->qid = c->dest->qid;
	heap = malloc(sizeof(*heap));
	if (!heap)
		return -ENOMEM;
	if (journaled) {
		w->operation = c->d->model->next_operation;
		(void)snprintf(detail, sizeof(detail), "%u %" PRIu64, (unsigned)w->disk,
			       w->resize ? w->new_size : w->from_qid);
		changes_begin(&changes, w->operation, w->qid, kind, detail);
		r = call_apply(c, &changes);
		if (r != 0) {
			free(heap);
			return r;
		}
	}
	*heap = *w;
	request->source = c->source_qid;
	r = job_start(c->d, kind, request, &work_events, heap);
	if (r != 0) {
		free(heap);
		changes_end(&changes, w->operation);
		if (w->operation > 0 && call_apply(c, &changes) != 0)
			log_warn(c->dest_name, "an operation stays open until the next start");
		return r == JOB_E_MANY ? call_refuse_many(c) : r;
	}
	hold(c->d, w);
	return CALL_LATER;
}

int volume_revert(struct call *c)
{
	struct request AUTO(request_done) request = {0};
	struct storage_revision asked;
	struct work w = {0};
	int r = find(c, &w.disk);

	if (r == 0)
		r = power_refuse_busy(c->dest, &c->why);
	if (r != 0)
		return r;
	/* the job says whether there is such a one */
	if (!c->dest->volumes[w.disk].save_on_stop || c->q.payload_len >= sizeof(asked.id) ||
	    !bytes_are_alnum_or(c->payload, c->q.payload_len, "-+:._"))
		return refuse(&c->why, "StoragePoolException",
			      "volume '%s' of '%s' has no such revision; see qvm-volume info",
			      c->q.arg, c->dest_name);
	request_put_volume(&request, "volume", c->d, c->dest, w.disk);
	request_put(&request, "revision", "%s", c->payload);
	request_put(&request, "shown", "'%s' of '%s'", c->q.arg, c->dest_name);
	return work_start(c, &w, "revert", &request, false);
}

int volume_resize(struct call *c)
{
	struct request AUTO(request_done) request = {0};
	struct work w = {0};
	uint64_t size;
	int r = find(c, &w.disk);

	if (r != 0)
		return r;
	if (argument_size_decode(c->payload, c->q.payload_len, &size) != 0 || size == 0)
		return refuse(&c->why, "ProtocolError", "a size is a decimal number of bytes");
	if (c->dest->volumes[w.disk].snap_on_start)
		return refuse(&c->why, "StoragePoolException",
			      "'%s' has the size of its source: resize that", c->q.arg);
	w.grows = power_is_running(c->dest);
	if (w.grows && size < c->dest->volumes[w.disk].size)
		return refuse(&c->why, "QubesVMNotHaltedError",
			      "'%s' runs, and a disk in use becomes no smaller: shut it down first",
			      c->dest_name);
	/* one after the other: never from a larger size to a smaller one */
	r = w.grows ? power_refuse_worked_on(c->dest, &c->why)
		    : power_refuse_busy(c->dest, &c->why);
	if (r != 0)
		return r;
	w.new_size = size;
	/* halted, for nothing else works on its volumes when qubesd begins anew */
	w.resize = !w.grows;
	request_put_volume(&request, "volume", c->d, c->dest, w.disk);
	request_put(&request, "size", "%" PRIu64, size);
	/* cut off, the disk may have the new size, and the store the old one */
	return work_start(c, &w, "resize", &request, w.resize);
}

int volume_set_revisions(struct call *c)
{
	struct changes AUTO(changes_done) changes = {0};
	struct volume v;
	enum disk disk;
	int n, r = find(c, &disk);

	if (r != 0)
		return r;
	if (argument_revisions_decode(c->payload, c->q.payload_len, &n) != 0)
		return refuse(&c->why, "ProtocolError", "revisions to keep: -1 (all) to %u",
			      ARGUMENT_REVISIONS_MAX);
	v = c->dest->volumes[disk];
	v.revisions_to_keep = n;
	changes_set_volume(&changes, c->dest->qid, disk, &v);
	return call_apply(c, &changes);
}

static int parse_truth(struct call *c, bool *ret)
{
	if (argument_truth_decode(c->payload, c->q.payload_len, ret) != 0)
		return refuse(&c->why, "ProtocolError", "it is True or False, not '%.32s'",
			      c->payload);
	return 0;
}

int volume_set_rw(struct call *c)
{
	struct changes AUTO(changes_done) changes = {0};
	struct volume v;
	enum disk disk;
	bool rw = false;
	int r = find(c, &disk);

	if (r == 0)
		r = parse_truth(c, &rw);
	if (r == 0)
		r = power_refuse_busy(c->dest, &c->why);
	if (r != 0)
		return r;
	v = c->dest->volumes[disk];
	v.rw = rw;
	changes_set_volume(&changes, c->dest->qid, disk, &v);
	return call_apply(c, &changes);
}

/* an ephemeral volume is encrypted with a key that nobody keeps, from the next start on */
int volume_set_ephemeral(struct call *c)
{
	struct changes AUTO(changes_done) changes = {0};
	struct volume v;
	enum disk disk;
	bool ephemeral = false;
	int r = find(c, &disk);

	if (r == 0)
		r = parse_truth(c, &ephemeral);
	if (r == 0)
		r = power_refuse_busy(c->dest, &c->why);
	if (r != 0)
		return r;
	v = c->dest->volumes[disk];
	if (ephemeral && (v.save_on_stop || v.snap_on_start))
		return refuse(&c->why, "StoragePoolException",
			      "'%s' of '%s' keeps what is written, so it cannot be ephemeral",
			      c->q.arg, c->dest_name);
	v.ephemeral = ephemeral ? EPHEMERAL_YES : EPHEMERAL_NO;
	changes_set_volume(&changes, c->dest->qid, disk, &v);
	return call_apply(c, &changes);
}

/* One-time tickets of CloneFrom, redeemed by CloneTo; the oldest is forgotten when there are too
 * many. */
static struct token {
	char text[33];
	unsigned qid;
	char uuid[UUID_LEN + 1];
	enum disk disk;
} tokens[64];
static unsigned next_token;

int volume_clone_from(struct call *c)
{
	struct token *t = &tokens[next_token % ARRAY_LEN(tokens)];
	uint8_t random[16];
	enum disk disk;
	int r = find(c, &disk);

	if (r != 0)
		return r;
	if (!c->dest->volumes[disk].save_on_stop)
		return refuse(&c->why, "StoragePoolException",
			      "volume '%s' of '%s' keeps nothing to be cloned", c->q.arg,
			      c->dest_name);
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return fail_errno();
	for (unsigned i = 0; i < sizeof(random); i++)
		(void)snprintf(t->text + 2 * (size_t)i, 3, "%02x", random[i]);
	t->qid = c->dest->qid;
	memcpy(t->uuid, c->dest->uuid, sizeof(t->uuid));
	t->disk = disk;
	next_token++;
	text_add(&c->out, "%s", t->text);
	return 0;
}

static struct qube *redeem(struct call *c, enum disk *ret_disk)
{
	for (unsigned i = 0; i < ARRAY_LEN(tokens); i++) {
		struct qube *q;

		if (tokens[i].text[0] == '\0' || !str_eq(tokens[i].text, c->payload))
			continue;
		tokens[i].text[0] = '\0';
		q = model_get(c->d->model, tokens[i].qid);
		*ret_disk = tokens[i].disk;
		return q && !q->hidden && str_eq(q->uuid, tokens[i].uuid) ? q : NULL;
	}
	return NULL;
}

/* the volume the call names, which is not in use and keeps what is @done */
static int find_kept(struct call *c, const char *done, enum disk *ret)
{
	int r = find(c, ret);

	if (r == 0)
		r = power_refuse_busy(c->dest, &c->why);
	if (r == 0 && !c->dest->volumes[*ret].save_on_stop)
		r = refuse(&c->why, "StoragePoolException",
			   "volume '%s' of '%s' would not keep what is %s", c->q.arg, c->dest_name,
			   done);
	return r;
}

int volume_clone_to(struct call *c)
{
	struct request AUTO(request_done) request = {0};
	struct work w = {0};
	enum disk from_disk = DISK_ROOT;
	const struct qube *from;
	char source[128];
	int r = find_kept(c, "cloned to it", &w.disk);

	if (r != 0)
		return r;
	from = redeem(c, &from_disk);
	if (!from)
		return refuse(&c->why, "QubesVolumeCopyTokenNotFoundError",
			      "the token is unknown or was used already");
	(void)snprintf(source, sizeof(source), "%s", from->volumes[from_disk].vid);
	if (from_disk != w.disk)
		return refuse(&c->why, "StoragePoolException",
			      "a volume '%s' cannot be cloned to a volume '%s'",
			      disk_name(from_disk), disk_name(w.disk));
	if (from->n_busy > 0)
		return refuse(&c->why, "QubesVMInUseError",
			      "another operation works on the volumes of '%s'; try again later",
			      from->name);
	w.new_size = from->volumes[from_disk].size;
	w.from_qid = from->qid;
	request_put_volume(&request, "volume", c->d, c->dest, w.disk);
	request_put_volume(&request, "from", c->d, from, from_disk);
	r = work_start(c, &w, "clone", &request, true);
	if (r == CALL_LATER)
		event_emit(c->d, c->dest, "domain-import-volume", "name", disk_name(w.disk),
			   "source", source, NULL);
	return r;
}

/* the first @size bytes of @c->fd become what volume @disk holds; @whole: there must be no more */
static int import(struct call *c, enum disk disk, uint64_t size, bool whole)
{
	struct request AUTO(request_done) request = {0};
	struct work w = {.import = true, .disk = disk};
	char text[32];
	int r;

	/* a larger image makes the volume larger; a smaller one leaves its size */
	if (size > INT64_MAX - 511)
		return refuse(&c->why, "ProtocolError", "an image cannot be that large");
	if (size > c->dest->volumes[disk].size) {
		w.new_size = (size + 511) / 512 * 512;
		/* said before what the store still knows: the first one counts */
		request_put(&request, "volume.size", "%" PRIu64, w.new_size);
	}
	request_put_volume(&request, "volume", c->d, c->dest, w.disk);
	request_put(&request, "size", "%" PRIu64, size);
	request_put(&request, "whole", "%d", whole);
	request_put_fd(&request, "image", &c->fd);
	(void)snprintf(text, sizeof(text), "%" PRIu64, size);
	event_emit(c->d, c->dest, "domain-volume-import-begin", "volume", disk_name(w.disk), "size",
		   text, NULL);
	r = work_start(c, &w, "import", &request, true);
	if (r != CALL_LATER)
		event_emit(c->d, c->dest, "domain-volume-import-end", "volume", disk_name(w.disk),
			   "success", "False", NULL);
	return r;
}

/* what is imported came along as a descriptor */
/* without asking a file system that may not answer: who opened it has just been told */
static int image_came(struct call *c, struct statx *ret)
{
	if (c->fd < 0)
		return refuse(&c->why, "ProtocolError",
			      "the image's descriptor did not come along");
	if (statx(c->fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_SIZE, ret) <
		    0 ||
	    !(S_ISREG(ret->stx_mode) || S_ISFIFO(ret->stx_mode) || S_ISSOCK(ret->stx_mode)))
		return refuse(&c->why, "ProtocolError", "an image is a regular file or a pipe");
	return 0;
}

int volume_import_file(struct call *c)
{
	uint64_t size = 0;
	struct statx st = {0};
	enum disk disk;
	int r = find_kept(c, "imported", &disk);

	r = r != 0 ? r : image_came(c, &st);
	if (r != 0)
		return r;
	if (c->q.payload_len > 0 && argument_size_decode(c->payload, c->q.payload_len, &size) != 0)
		return refuse(&c->why, "ProtocolError", "a size is a decimal number of bytes");
	if (size == 0 && S_ISREG(st.stx_mode))
		size = st.stx_size;
	if (size == 0)
		return refuse(&c->why, "ProtocolError", "the image is empty, or its size unknown");
	return import(c, disk, size, false);
}

/* from the gate: as many bytes as the volume has */
int volume_import_stream(struct call *c)
{
	struct statx st = {0};
	enum disk disk;
	int r = find_kept(c, "imported", &disk);

	r = r != 0 ? r : image_came(c, &st);
	return r != 0 ? r : import(c, disk, c->dest->volumes[disk].size, true);
}

/* from the gate: as many as it says */
int volume_import_sized_stream(struct call *c)
{
	uint64_t size = 0;
	struct statx st = {0};
	enum disk disk;
	int r = find_kept(c, "imported", &disk);

	r = r != 0 ? r : image_came(c, &st);
	if (r == 0 && gate_sized_decode(c->payload, c->q.payload_len, &size) != 0)
		r = refuse(&c->why, "ProtocolError",
			   "in front of the image stands its size in bytes, and a newline");
	return r != 0 ? r : import(c, disk, size, false);
}

/* @len bytes and then zeros, @size in all, as a file that takes no room for the zeros */
static int import_bytes(struct call *c, enum disk disk, const void *bytes, size_t len,
			uint64_t size)
{
	int r;

	close_fd(&c->fd);
	c->fd = memfd_create("image", MFD_CLOEXEC);
	if (c->fd < 0)
		return fail_errno();
	r = io_write_full(c->fd, bytes, len);
	if (r < 0)
		return r;
	if (ftruncate(c->fd, (off_t)size) < 0 || lseek(c->fd, 0, SEEK_SET) < 0)
		return fail_errno();
	return import(c, disk, size, false);
}

/* what an import takes has come with the request, so it is small; larger ones come as a stream to
 * the service of this name: admin-gate */
int volume_import(struct call *c)
{
	uint64_t size;
	enum disk disk;
	int r = find_kept(c, "imported", &disk);

	if (r != 0)
		return r;
	size = c->dest->volumes[disk].size;
	if (c->q.payload_len != size)
		return refuse(&c->why, "ProtocolError",
			      "volume '%s' of '%s' takes %" PRIu64 " bytes, and %zu came", c->q.arg,
			      c->dest_name, size, c->q.payload_len);
	return import_bytes(c, disk, c->payload, c->q.payload_len, size);
}

int volume_import_with_size(struct call *c)
{
	size_t at, len;
	enum disk disk;
	int r = find_kept(c, "imported", &disk);

	if (r != 0)
		return r;
	r = argument_image_decode(c->payload, c->q.payload_len, &at);
	if (r == ARGUMENT_E_NUMBER)
		return refuse(&c->why, "ProtocolError",
			      "an image of another size was announced than came");
	if (r > 0)
		return refuse(&c->why, "ProtocolError",
			      "the payload is the size in bytes, a newline and the image");
	len = c->q.payload_len - at;
	return import_bytes(c, disk, c->payload + at, len, len);
}

int volume_clear(struct call *c)
{
	enum disk disk;
	int r = find_kept(c, "cleared", &disk);

	return r == 0 ? import_bytes(c, disk, "", 0, c->dest->volumes[disk].size) : r;
}

/* "DISK NUMBER": a qid, or a size */
static bool detail_parse(const char *detail, enum disk *ret_disk, uint64_t *ret_number)
{
	char *end;
	unsigned long disk = strtoul(detail, &end, 10);
	uint64_t number = strtoull(end, NULL, 10);

	if (disk >= N_DISKS || number == 0)
		return false;
	*ret_disk = (enum disk)disk;
	*ret_number = number;
	return true;
}

int volume_finish(struct qubesd *d, const struct operation *op)
{
	struct changes AUTO(changes_done) changes = {0};
	struct qube *q = model_get(d->model, op->qid), *from = NULL;
	const bool resize = str_eq(op->kind, "resize");
	struct work *w = NULL;
	uint64_t number = 0;
	enum disk disk = DISK_ROOT;
	bool known = q && detail_parse(op->detail, &disk, &number);
	int r;

	if (known && str_eq(op->kind, "clone") && number <= UINT_MAX)
		from = model_get(d->model, (unsigned)number);
	if (!known || (!from && !resize)) {
		log_info(q ? q->name : NULL, "%s was cut off: the volume is as it was before",
			 op->kind);
		changes_end(&changes, op->id);
		return fault(store_apply(d->store, &changes));
	}
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	*w = (struct work){.d = d,
			   .qid = op->qid,
			   .disk = disk,
			   .operation = op->id,
			   .resize = resize,
			   .new_size = resize ? number : from->volumes[disk].size,
			   .from_qid = resize ? 0 : (unsigned)number};
	r = start_again(w);
	if (r < 0) {
		free(w);
		return r;
	}
	hold(d, w);
	return 0;
}
