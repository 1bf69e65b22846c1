/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pools: places with volumes. "default" and others that were added, each of a storage driver; "linux-kernel"
 * (kernel sets, read only). */
#include "api/call.h"
#include "api/event.h"
#include "api/method.h"
#include "base/log.h"
#include "job/job.h"
#include "kernel.h"
#include "proto/argument.h"
#include "qubesd.h"
#include "room.h"
#include "store/property.h"
#include "volume.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int find(struct call *c, const struct pool **ret)
{
	*ret = model_pool(c->d->model, c->q.arg);
	if (!*ret)
		return refuse(&c->why, "PermissionDenied", "there is no pool '%s'", c->q.arg);
	return 0;
}

int pool_list(struct call *c)
{
	for (const struct pool *p = c->d->model->pools; p; p = p->next)
		text_add(&c->out, "%s\n", p->name);
	return 0;
}

int pool_drivers(struct call *c)
{
	const char *name, *options;

	text_add(&c->out, "linux-kernel\n");
	for (unsigned n = 0; (name = storage_driver_name(n, &options)); n++)
		text_add(&c->out, "%s %s\n", name, options);
	return 0;
}

/* How full a pool is: a job looks, for its file system may be one that does not answer. */
struct look {
	struct call *call;
	const char *prefix; /* of the lines that tell it */
};

static void looked(void *data, const char *stage, const char *text, uint64_t done, uint64_t total)
{
	struct look *l = data;

	(void)text;
	if (str_eq(stage, "usage"))
		text_add(&l->call->out, "%ssize=%" PRIu64 "\n%susage=%" PRIu64 "\n", l->prefix,
			 total, l->prefix, done);
}

/* what could not be looked at is left out */
static void look_done(void *data, const struct job_end *end)
{
	struct look *l = data;
	struct call *c = l->call;

	(void)end;
	free(l);
	call_end(c, 0);
}

static void look_abandoned(void *data)
{
	struct look *l = data;

	job_abandon(l->call->d, l);
}

/* the answer is what stands there already, and how full @p is */
static int usage(struct call *c, const struct pool *p, const char *prefix)
{
	static const struct job_events events = {looked, look_done};
	struct request AUTO(request_done) request = {0};
	struct look *l;
	char dir[4096];
	int r;

	if (!pool_takes_volumes(p) || volume_pool_dir(c->d, p->name, dir, sizeof(dir)) < 0)
		return 0;
	l = malloc(sizeof(*l));
	if (!l)
		return -ENOMEM;
	*l = (struct look){c, prefix};
	request.source = c->source_qid;
	request_pool(&request, c->d, p->name);
	request_put(&request, "driver", "%s", p->driver);
	request_put(&request, "pool_dir", "%s", dir);
	r = job_start(c->d, "usage", &request, &events, l);
	if (r == 0) {
		c->abandoned = look_abandoned;
		c->ended_data = l;
		return CALL_LATER;
	}
	free(l);
	return r == JOB_E_MANY ? call_refuse_many(c) : r;
}

int pool_info(struct call *c)
{
	const struct pool *p;
	char dir[4096];
	int r = find(c, &p);

	if (r != 0)
		return r;
	text_add(&c->out, "name=%s\ndriver=%s\nrevisions_to_keep=%d\nephemeral_volatile=%s\n",
		 p->name, p->driver, p->revisions_to_keep,
		 p->ephemeral_volatile ? "True" : "False");
	if (pool_takes_volumes(p) && volume_pool_dir(c->d, p->name, dir, sizeof(dir)) == 0)
		text_add(&c->out, "dir_path=%s\n", dir);
	return usage(c, p, "");
}

int pool_usage(struct call *c)
{
	const struct pool *p;
	int r = find(c, &p);

	return r == 0 ? usage(c, p, "data_") : r;
}

int pool_set_revisions(struct call *c)
{
	struct changes AUTO(changes_done) changes = {0};
	const struct pool *p;
	struct pool new;
	int n, r = find(c, &p);

	if (r != 0)
		return r;
	if (argument_revisions_decode(c->payload, c->q.payload_len, &n) != 0)
		return refuse(&c->why, "ProtocolError", "revisions to keep: -1 (all) to %u",
			      ARGUMENT_REVISIONS_MAX);
	new = *p;
	new.revisions_to_keep = n;
	changes_set_pool(&changes, &new);
	return call_apply(c, &changes);
}

int pool_set_ephemeral(struct call *c)
{
	struct changes AUTO(changes_done) changes = {0};
	const struct pool *p;
	struct pool new;
	bool ephemeral;
	int r = find(c, &p);

	if (r != 0)
		return r;
	if (argument_truth_decode(c->payload, c->q.payload_len, &ephemeral) != 0)
		return refuse(&c->why, "ProtocolError", "it is True or False, not '%.32s'",
			      c->payload);
	new = *p;
	new.ephemeral_volatile = ephemeral;
	changes_set_pool(&changes, &new);
	return call_apply(c, &changes);
}

static int refuse_wish(struct call *c, const struct argument_pool *a, int outcome)
{
	if (outcome == ARGUMENT_E_BYTES || outcome == ARGUMENT_E_FORMAT)
		return refuse(&c->why, "ProtocolError",
			      "the payload is name=NAME and options in printable ASCII, each on a "
			      "line of its own");
	if (outcome == ARGUMENT_E_NAME)
		return refuse(&c->why, "QubesValueError",
			      "a pool's name is 1 to %u letters, digits and _.-, not beginning "
			      "with a dot",
			      ARGUMENT_POOL_MAX);
	if (outcome == ARGUMENT_E_DIR)
		return refuse(&c->why, "QubesValueError",
			      "dir_path is missing: the whole path of the folder where the pool's "
			      "volumes are to be");
	if (outcome == ARGUMENT_E_NUMBER)
		return refuse(&c->why, "QubesValueError", "revisions_to_keep: -1 (all) to %u",
			      ARGUMENT_REVISIONS_MAX);
	if (outcome == ARGUMENT_E_TRUTH)
		return refuse(&c->why, "ProtocolError", "it is True or False, not '%s'", a->bad);
	return refuse(&c->why, "QubesValueError",
		      "'%s' is no option of the driver %s, or was said twice; its options are "
		      "dir_path, revisions_to_keep and ephemeral_volatile",
		      a->bad, c->q.arg);
}

/* A pool being added: a job finds its folder and makes it. */
struct adding {
	struct call *call;
	struct argument_pool wish;
	struct text dir; /* as the job found it */
	size_t there;    /* so much of it was there before */
};

static void adding_free(struct adding *a)
{
	text_done(&a->dir);
	free(a);
}

/* A pool to be has no name that another may not have as well: to the lanes it is what its folder is in, so that a file system
 * that hangs does not keep all places.
 */
static void put_new(struct request *r, const struct argument_pool *w)
{
	const char *last = strrchr(w->dir, '/');

	(void)snprintf(r->pools[0], sizeof(r->pools[0]), "+%.*s", last ? (int)(last - w->dir) : 0,
		       w->dir);
}

/* nobody waits for this */
static void unmade(void *data, const struct job_end *end)
{
	(void)data, (void)end;
}

/* what was made of its folder goes again */
static void unmake(struct adding *a)
{
	static const struct job_events events = {NULL, unmade};
	struct request AUTO(request_done) request = {0};

	request_put(&request, "unmake", "%s", a->dir.at);
	request_put(&request, "there", "%zu", a->there);
	request.source = a->call->source_qid;
	put_new(&request, &a->wish);
	if (job_start(a->call->d, "folder", &request, &events, NULL) != 0)
		log_warn(NULL, "%s: an empty folder stays behind", a->dir.at);
}

static int refuse_name(struct call *c, const char *name)
{
	return refuse(&c->why, "QubesPoolInUseError", "there is a pool '%s' already", name);
}

/** MAX_POOLS - each is looked at again and again */
#define MAX_POOLS 64

static bool is_one_too_many(const struct model *m)
{
	unsigned n = 0;

	for (const struct pool *p = m->pools; p; p = p->next)
		n++;
	return n >= MAX_POOLS;
}

static int refuse_number(struct call *c)
{
	return refuse(
		&c->why, "StoragePoolException",
		"there are %u pools, which is as many as there may be; qvm-pool remove one that is not in use",
		MAX_POOLS);
}

/* others may have been added since the job began */
static int check_again(struct call *c, const struct adding *a)
{
	if (is_one_too_many(c->d->model))
		return refuse_number(c);
	if (model_pool(c->d->model, a->wish.name))
		return refuse_name(c, a->wish.name);
	for (const struct pool *p = c->d->model->pools; p; p = p->next)
		if (p->dir[0] != '\0' && (volume_dir_is_within(p->dir, a->dir.at) ||
					  volume_dir_is_within(a->dir.at, p->dir)))
			return refuse(&c->why, "StoragePoolException",
				      "%.200s is, or holds, or belongs to the folder of pool '%s'",
				      a->wish.dir, p->name);
	return 0;
}

static int add(struct call *c, const struct adding *a)
{
	struct changes AUTO(changes_done) changes = {0};
	int r;

	if (a->dir.failed || a->dir.len == 0)
		return -ENOMEM;
	r = check_again(c, a);
	if (r != 0)
		return r;
	changes_set_pool(&changes, &(struct pool){.name = (char *)a->wish.name,
						  .driver = c->q.arg,
						  .dir = a->dir.at,
						  .revisions_to_keep = a->wish.revisions_to_keep,
						  .ephemeral_volatile = a->wish.ephemeral});
	r = call_apply(c, &changes);
	if (r == 0)
		event_emit(c->d, NULL, "pool-add", "pool", a->wish.name, NULL);
	return r;
}

static void folder_found(void *data, const char *stage, const char *text, uint64_t done,
			 uint64_t total)
{
	struct adding *a = data;

	(void)total;
	if (str_eq(stage, "folder"))
		text_bytes(&a->dir, text, strlen(text));
	else if (str_eq(stage, "there"))
		a->there = done;
}

static void folder_done(void *data, const struct job_end *end)
{
	struct adding *a = data;
	struct call *c = a->call;
	int r = end->type[0] == '\0' ? add(c, a) : refuse(&c->why, end->type, "%s", end->text);

	if (r != 0 && end->type[0] == '\0' && a->dir.len > 0 && !a->dir.failed)
		unmake(a);
	adding_free(a);
	call_end(c, r);
}

/* the folder is no other pool's, and is made if it is missing */
static int start_adding(struct call *c, const struct argument_pool *w)
{
	static const struct job_events events = {folder_found, folder_done};
	struct request AUTO(request_done) request = {.source = c->source_qid};
	struct adding *a = calloc(1, sizeof(*a));
	char key[80], dir[4096];
	int r;

	if (!a)
		return -ENOMEM;
	a->call = c;
	a->wish = *w;
	request_put(&request, "driver", "%s", c->q.arg);
	request_put(&request, "dir", "%s", w->dir);
	for (const struct pool *p = c->d->model->pools; p; p = p->next) {
		if (volume_pool_dir(c->d, p->name, dir, sizeof(dir)) < 0)
			continue;
		(void)snprintf(key, sizeof(key), "%s:%.63s",
			       volume_pool_is_near(c->d, p->name) ? "near" : "far", p->name);
		request_put(&request, key, "%s", dir);
	}
	put_new(&request, w);
	r = job_start(c->d, "folder", &request, &events, a);
	if (r == 0)
		return CALL_LATER;
	adding_free(a);
	return r == JOB_E_MANY ? call_refuse_many(c) : r;
}

int pool_add(struct call *c)
{
	struct argument_pool w;
	int r;

	if (!storage_has_driver(c->q.arg))
		return refuse(&c->why, "PermissionDenied",
			      "no pool is made by a driver '%s'; qvm-pool drivers shows those that "
			      "there are",
			      c->q.arg);
	r = argument_pool_decode(c->payload, c->q.payload_len, &w);
	if (r > 0)
		return refuse_wish(c, &w, r);
	if (model_pool(c->d->model, w.name))
		return refuse_name(c, w.name);
	if (is_one_too_many(c->d->model))
		return refuse_number(c);
	return start_adding(c, &w);
}

/* the folder stays: whoever chose it may have other things there */
int pool_remove(struct call *c)
{
	static const enum global_id defaults[] = {
		GLOBAL_default_pool, GLOBAL_default_pool_kernel, GLOBAL_default_pool_private,
		GLOBAL_default_pool_root, GLOBAL_default_pool_volatile};
	struct changes AUTO(changes_done) changes = {0};
	const struct model *m = c->d->model;
	const struct pool *p;
	char buf[PROPERTY_BUF];
	int r = find(c, &p);

	if (r != 0)
		return r;
	for (size_t i = 0; i < ARRAY_LEN(defaults); i++)
		if (str_eq(global_text(m, defaults[i], buf), p->name))
			return refuse(&c->why, "QubesPoolInUseError",
				      "'%s' is the system's %s: set that to another one first",
				      p->name, property_at(true, defaults[i])->name);
	for (size_t i = 0; i < m->n_qubes; i++)
		for (unsigned n = 0; n < N_DISKS; n++)
			if (str_eq(model_volume_pool(m, m->by_name[i], (enum disk)n), p->name))
				return refuse(&c->why, "QubesPoolInUseError",
					      "volume '%s' of '%s' is in pool '%s'",
					      disk_name((enum disk)n), m->by_name[i]->name,
					      p->name);
	event_emit(c->d, NULL, "pool-pre-delete", "pool", c->q.arg, NULL);
	changes_remove_pool(&changes, c->q.arg);
	r = call_apply(c, &changes);
	if (r != 0)
		return r;
	room_removed(c->d, c->q.arg);
	event_emit(c->d, NULL, "pool-delete", "pool", c->q.arg, NULL);
	return 0;
}

int pool_volumes(struct call *c)
{
	const struct model *m = c->d->model;
	const struct pool *p;
	int r = find(c, &p);

	if (r != 0)
		return r;
	if (str_eq(p->driver, "linux-kernel"))
		kernel_list(c->d, &c->out);
	for (size_t i = 0; i < m->n_qubes; i++)
		for (unsigned n = 0; n < N_DISKS; n++)
			if (str_eq(model_volume_pool(m, m->by_name[i], (enum disk)n), p->name))
				text_add(&c->out, "%s\n", m->by_name[i]->volumes[n].vid);
	return 0;
}
