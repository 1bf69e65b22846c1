/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Volumes that the store knows: their files are there, sound, and no larger than the store says. */
#include "check.h"

#include "base/log.h"
#include "base/str.h"
#include "storage/storage.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct one {
	struct check *c;
	const char *subject;
	const char *revert;
};

static void on_finding(void *data, enum storage_finding what, const char *text)
{
	static const char back[] =
		"mending puts that file aside as N.damaged (N.2.damaged...) beside it, and the volume goes on from its last revision";
	const struct one *o = data;

	switch (what) {
	case STORAGE_BROKEN:
		tell(o->c, "volume", o->subject, text, o->revert, MEND_HAND);
		break;
	case STORAGE_UNFINISHED:
		tell(o->c, "volume", o->subject, text, back, MEND_CAN);
		break;
	case STORAGE_ASIDE:
		tell(o->c, "volume", o->subject, text, back, MEND_DONE);
		break;
	case STORAGE_NOT_ASIDE:
		tell(o->c, "volume", o->subject, text, back, MEND_FAILED);
		break;
	}
}

/* The folder is gone. An empty private volume is made only where the pool itself is there: a disk that is not mounted
 * looks the same. */
static void check_absent(struct check *c, const char *subject, const struct storage_volume *v,
			 enum disk d)
{
	char path[PATH_MAX], text[PATH_MAX + 300], error[300] = "";
	bool pool_there = str_format(path, sizeof(path), "%s/vm", v->pool_dir) == 0 &&
			  access(path, F_OK) == 0;
	enum store_mend how = MEND_CAN;

	(void)snprintf(text, sizeof(text), "%s/%s, its files, are not there", v->pool_dir, v->vid);
	if (!pool_there) {
		tell(c, "volume", subject, text,
		     "nothing of that pool is there: mount the disk that it is on", MEND_HAND);
		return;
	}
	if (d == DISK_ROOT) {
		tell(c, "volume", subject, text,
		     "restore it from a backup, or remove the qube and install or make it again",
		     MEND_HAND);
		return;
	}
	if (c->mend && !c->up)
		how = storage_create(v, error, sizeof(error)) == 0 ? MEND_DONE : MEND_FAILED;
	tell(c, "volume", subject, text,
	     error[0] ? error
		      : "mending makes an empty one; what it held comes back from a backup only",
	     how);
}

static int check_size(struct check *c, const struct picture *p, const char *subject,
		      const struct qube *q, enum disk d, uint64_t size)
{
	struct changes AUTO(changes_done) changes = {0};
	struct volume v = q->volumes[d];
	enum store_mend how = MEND_CAN;
	char text[160];

	if (size <= v.size)
		return 0;
	(void)snprintf(text, sizeof(text),
		       "its disk has %" PRIu64 " bytes, the store says %" PRIu64, size, v.size);
	if (c->mend && !c->up) {
		v.size = size;
		changes_set_volume(&changes, q->qid, d, &v);
		how = store_apply(p->store, &changes) == 0 ? MEND_DONE : MEND_FAILED;
	}
	tell(c, "volume", subject, text, "mending writes the disk's size into the store", how);
	return 0;
}

static int check_volume(struct check *c, const struct picture *p, const struct qube *q, enum disk d)
{
	const struct model *m = store_model(p->store);
	const struct volume *v = &q->volumes[d];
	const struct pool *pool = v->pool ? model_pool(m, v->pool) : NULL;
	char dir[PATH_MAX], subject[64], error[400] = "", revert[200];
	struct one one = {c, subject, revert};
	uint64_t size;
	int r;

	/* what is not kept is made anew at each start */
	if (!pool || !v->save_on_stop || !pool_dir(c, pool, dir, sizeof(dir)))
		return 0;
	const struct storage_volume sv = {.driver = pool->driver,
					  .pool_dir = dir,
					  .vid = v->vid,
					  .size = v->size,
					  .rw = v->rw,
					  .save_on_stop = true,
					  .revisions_to_keep = v->revisions_to_keep};

	(void)snprintf(subject, sizeof(subject), "%s:%s", q->name, disk_name(d));
	(void)snprintf(
		revert, sizeof(revert),
		"go back to an earlier revision (qvm-volume info %s; qvm-volume revert), or restore it from a backup",
		subject);
	r = storage_check(&sv, c->mend && !c->up, on_finding, &one, &size, error, sizeof(error));
	if (r == STORAGE_E_ABSENT)
		check_absent(c, subject, &sv, d);
	else if (r != 0)
		tell(c, "volume", subject, error[0] ? error : log_errno_str(r),
		     "see what ails the disk (dmesg), then check again", MEND_HAND);
	return r == 0 ? check_size(c, p, subject, q, d, size) : 0;
}

/* a qube that is being made or removed, or whose volumes are: the next start of qubesd sees to it */
static bool is_unfinished(const struct model *m, const struct qube *q)
{
	for (const struct operation *op = m->operations; op; op = op->next)
		if (op->qid == q->qid && !str_eq(op->kind, "run") && !str_eq(op->kind, "hold"))
			return true;
	return false;
}

static bool runs(const struct model *m, const struct qube *q)
{
	for (const struct operation *op = m->operations; op; op = op->next)
		if (op->qid == q->qid && str_eq(op->kind, "run"))
			return true;
	return false;
}

int check_volumes(struct check *c, const struct picture *p)
{
	const struct model *m = store_model(p->store);
	const bool mend = c->mend;
	char text[QUBE_NAME_MAX + 32];
	int r = 0;

	for (size_t i = 0; r == 0 && i < m->n_qubes; i++) {
		const struct qube *q = m->by_name[i];

		if (is_unfinished(m, q))
			continue;
		(void)snprintf(text, sizeof(text), "looking at the volumes of %s", q->name);
		tell_progress((unsigned)(i * 90 / m->n_qubes), text);
		/* a qube outlives qubesd, and may be running now */
		c->mend = mend && !runs(m, q);
		for (unsigned d = 0; r == 0 && d < N_DISKS; d++)
			r = check_volume(c, p, q, (enum disk)d);
		c->mend = mend;
	}
	return r;
}
