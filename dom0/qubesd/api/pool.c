/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pools: places with volumes. "default" (qcow2 files) and "linux-kernel" (kernel sets, read only).
 */
#include "api/call.h"
#include "api/method.h"
#include "kernel.h"
#include "qubesd.h"
#include "volume.h"

#include <inttypes.h>

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
	text_add(&c->out, "linux-kernel\nqcow2\n");
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
