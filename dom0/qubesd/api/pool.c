/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pools: places with volumes. "default" and others that were added (qcow2 files), "linux-kernel" (kernel
 * sets, read only). */
#include "api/call.h"
#include "api/event.h"
#include "api/method.h"
#include "base/io.h"
#include "base/log.h"
#include "kernel.h"
#include "qubesd.h"
#include "store/property.h"
#include "volume.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>

#define POOL_NAME_MAX 63
/** POOL_DIR_MAX - leaves room for what stands below */
#define POOL_DIR_MAX 3072

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
	text_add(&c->out, "linux-kernel\nqcow2 dir_path revisions_to_keep ephemeral_volatile\n");
	return 0;
}

static bool usage(const struct call *c, const struct pool *p, uint64_t *size, uint64_t *used)
{
	char dir[4096];

	return str_eq(p->driver, "qcow2") &&
	       volume_pool_dir(c->d, p->name, dir, sizeof(dir)) == 0 &&
	       storage_pool_usage(dir, size, used) == 0;
}

int pool_info(struct call *c)
{
	const struct pool *p;
	uint64_t size, used;
	char dir[4096];
	int r = find(c, &p);

	if (r != 0)
		return r;
	text_add(&c->out, "name=%s\ndriver=%s\nrevisions_to_keep=%d\nephemeral_volatile=False\n",
		 p->name, p->driver, p->revisions_to_keep);
	if (str_eq(p->driver, "qcow2") && volume_pool_dir(c->d, p->name, dir, sizeof(dir)) == 0)
		text_add(&c->out, "dir_path=%s\n", dir);
	if (usage(c, p, &size, &used))
		text_add(&c->out, "size=%" PRIu64 "\nusage=%" PRIu64 "\n", size, used);
	return 0;
}

int pool_usage(struct call *c)
{
	const struct pool *p;
	uint64_t size, used;
	int r = find(c, &p);

	if (r == 0 && usage(c, p, &size, &used))
		text_add(&c->out, "data_size=%" PRIu64 "\ndata_usage=%" PRIu64 "\n", size, used);
	return r;
}

int pool_set_revisions(struct call *c)
{
	struct changes AUTO(changes_done) changes = {0};
	const struct pool *p;
	struct pool new;
	uint64_t n = 0;
	int r = find(c, &p);

	if (r != 0)
		return r;
	if (!str_eq(c->payload, "-1") && str_u64(c->payload, STORAGE_MAX_REVISIONS, &n) < 0)
		return refuse(&c->why, "ProtocolError", "revisions to keep: -1 (all) to %u",
			      STORAGE_MAX_REVISIONS);
	new = *p;
	new.revisions_to_keep = c->payload[0] == '-' ? -1 : (int)n;
	changes_set_pool(&changes, &new);
	return call_apply(c, &changes);
}

static int parse_truth(struct call *c, const char *text, bool *ret)
{
	char raw[PROPERTY_VALUE_MAX + 1];

	if (!property_parse_bool(text, raw))
		return refuse(&c->why, "ProtocolError", "it is True or False, not '%.32s'", text);
	*ret = str_eq(raw, "True");
	return 0;
}

static int refuse_ephemeral(struct call *c)
{
	return refuse(&c->why, "QubesNotImplementedError",
		      "volumes that are encrypted with a key of one start are not available in "
		      "this version of Bulkhead");
}

int pool_set_ephemeral(struct call *c)
{
	const struct pool *p;
	bool ephemeral = false;
	int r = find(c, &p);

	if (r == 0)
		r = parse_truth(c, c->payload, &ephemeral);
	return r == 0 && ephemeral ? refuse_ephemeral(c) : r;
}

/* What a new pool is to be. */
struct wish {
	const char *name, *dir;
	int revisions_to_keep;
};

static int wish_word(struct call *c, struct wish *w, char *word)
{
	char *value = strchr(word, '=');
	bool ephemeral = false;
	uint64_t n = 0;
	int r;

	if (!value)
		return refuse(&c->why, "ProtocolError",
			      "the payload is name=NAME and options, each "
			      "on a line of its own");
	*value++ = '\0';
	if (str_eq(word, "name") && !w->name) {
		w->name = value;
		return 0;
	}
	if (str_eq(word, "dir_path") && !w->dir) {
		w->dir = value;
		return 0;
	}
	if (str_eq(word, "revisions_to_keep")) {
		if (!str_eq(value, "-1") && str_u64(value, STORAGE_MAX_REVISIONS, &n) < 0)
			return refuse(&c->why, "QubesValueError",
				      "revisions_to_keep: -1 (all) to %u", STORAGE_MAX_REVISIONS);
		w->revisions_to_keep = value[0] == '-' ? -1 : (int)n;
		return 0;
	}
	if (str_eq(word, "ephemeral_volatile")) {
		r = parse_truth(c, value, &ephemeral);
		return r == 0 && ephemeral ? refuse_ephemeral(c) : r;
	}
	return refuse(&c->why, "QubesValueError",
		      "'%s' is no option of the driver qcow2, or was said twice; its options are "
		      "dir_path, revisions_to_keep and ephemeral_volatile",
		      word);
}

/* @dir is @other, or below it */
static bool is_within(const char *dir, const char *other)
{
	size_t len = strlen(other);

	return strncmp(dir, other, len) == 0 && (dir[len] == '/' || dir[len] == '\0');
}

/* the folder is made if it is missing, and no other pool's; @real: its path without links */
static int make_dir(struct call *c, const struct wish *w, char real[PATH_MAX])
{
	const struct model *m = c->d->model;
	char other[PATH_MAX], other_real[PATH_MAX];
	int r;

	if (!w->dir || w->dir[0] != '/')
		return refuse(&c->why, "QubesValueError",
			      "dir_path is missing: the whole path of the folder where the pool's "
			      "volumes are to be");
	r = io_mkdirs(w->dir, 0700);
	if (r == 0 && access(w->dir, W_OK | X_OK) < 0)
		r = fail_errno();
	if (r == 0 && !realpath(w->dir, real))
		r = fail_errno();
	if (r == 0 && strlen(real) > POOL_DIR_MAX)
		r = -ENAMETOOLONG;
	if (r < 0)
		return refuse(&c->why, "StoragePoolException", "%.200s: %s", w->dir,
			      log_errno_str(r));
	for (const struct pool *p = m->pools; p; p = p->next) {
		if (volume_pool_dir(c->d, p->name, other, sizeof(other)) < 0 ||
		    !realpath(other, other_real))
			continue;
		if (is_within(real, other_real) || is_within(other_real, real))
			return refuse(&c->why, "StoragePoolException",
				      "%.200s is, or holds, or belongs to the folder of pool '%s'",
				      w->dir, p->name);
	}
	return 0;
}

int pool_add(struct call *c)
{
	struct changes AUTO(changes_done) changes = {0};
	struct wish w = {.revisions_to_keep = 1};
	char *rest = c->payload, *word, dir[PATH_MAX];
	int r;

	if (!str_eq(c->q.arg, "qcow2"))
		return refuse(&c->why, "PermissionDenied",
			      "no pool is made by a driver '%s'; there is qcow2", c->q.arg);
	for (size_t i = 0; i < c->q.payload_len; i++)
		if (c->payload[i] != '\n' && (c->payload[i] < 0x20 || c->payload[i] >= 0x7f))
			return refuse(&c->why, "ProtocolError",
				      "the payload holds more than printable ASCII");
	while ((word = strsep(&rest, "\n"))) {
		if (word[0] == '\0' && !rest)
			break;
		r = wish_word(c, &w, word);
		if (r != 0)
			return r;
	}
	if (!w.name || strlen(w.name) > POOL_NAME_MAX || w.name[0] == '\0' ||
	    !bytes_are_alnum_or(w.name, strlen(w.name), "_.-") || w.name[0] == '.')
		return refuse(&c->why, "QubesValueError",
			      "a pool's name is 1 to %u letters, digits and _.-, not beginning "
			      "with a dot",
			      POOL_NAME_MAX);
	if (model_pool(c->d->model, w.name))
		return refuse(&c->why, "QubesPoolInUseError", "there is a pool '%s' already",
			      w.name);
	r = make_dir(c, &w, dir);
	if (r != 0)
		return r;
	changes_set_pool(&changes, &(struct pool){.name = (char *)w.name,
						  .driver = c->q.arg,
						  .dir = dir,
						  .revisions_to_keep = w.revisions_to_keep});
	r = call_apply(c, &changes);
	if (r == 0)
		event_emit(c->d, NULL, "pool-add", "pool", w.name, NULL);
	return r;
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
			if (str_eq(m->by_name[i]->volumes[n].pool, p->name))
				return refuse(&c->why, "QubesPoolInUseError",
					      "volume '%s' of '%s' is in pool '%s'",
					      disk_name((enum disk)n), m->by_name[i]->name,
					      p->name);
	event_emit(c->d, NULL, "pool-pre-delete", "pool", c->q.arg, NULL);
	changes_remove_pool(&changes, c->q.arg);
	r = call_apply(c, &changes);
	if (r == 0)
		event_emit(c->d, NULL, "pool-delete", "pool", c->q.arg, NULL);
	return r;
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
			if (str_eq(m->by_name[i]->volumes[n].pool, p->name))
				text_add(&c->out, "%s\n", m->by_name[i]->volumes[n].vid);
	return 0;
}
