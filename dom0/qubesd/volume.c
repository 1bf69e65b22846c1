/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "volume.h"

#include "qubesd.h"

int volume_pool_dir(const struct qubesd *d, const char *pool, char *to, size_t size)
{
	const struct pool *p = model_pool(d->model, pool);

	if (!p)
		return -ENOENT;
	if (p->dir[0] != '\0')
		return str_format(to, size, "%s", p->dir);
	return str_format(to, size, "%s/pools/%s", d->paths.state, p->name);
}

bool volume_for_storage(const struct qubesd *d, const struct qube *q, enum disk disk,
			struct volume_place *place, struct storage_volume *ret)
{
	const struct volume *v = &q->volumes[disk], *source = model_source(d->model, q, disk);

	if (!v->pool || volume_pool_dir(d, v->pool, place->pool_dir, sizeof(place->pool_dir)) < 0)
		return false;
	*ret = (struct storage_volume){
		.pool_dir = place->pool_dir,
		.vid = v->vid,
		.source_vid = source ? source->vid : NULL,
		.size = v->size,
		.rw = v->rw,
		.save_on_stop = v->save_on_stop,
		.snap_on_start = v->snap_on_start,
		.revisions_to_keep = v->revisions_to_keep,
	};
	return true;
}
