/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "volume.h"

#include "base/str.h"
#include "qubesd.h"

#include <string.h>

int volume_pool_dir(const struct qubesd *d, const char *pool, char *to, size_t size)
{
	const struct pool *p = model_pool(d->model, pool);

	if (!p)
		return -ENOENT;
	if (p->dir[0] != '\0')
		return str_format(to, size, "%s", p->dir);
	return str_format(to, size, "%s/pools/%s", d->paths.state, p->name);
}

bool volume_pool_is_near(const struct qubesd *d, const char *pool)
{
	const struct pool *p = model_pool(d->model, pool);

	return p && p->dir[0] == '\0' && !d->pools_apart;
}

bool volume_dir_is_within(const char *dir, const char *other)
{
	const size_t len = strlen(other);

	return str_eq(other, "/") ||
	       (strncmp(dir, other, len) == 0 && (dir[len] == '/' || dir[len] == '\0'));
}

bool volume_for_storage(const struct qubesd *d, const struct qube *q, enum disk disk,
			struct volume_place *place, struct storage_volume *ret)
{
	const struct volume *v = &q->volumes[disk], *source = model_source(d->model, q, disk);
	const char *name = model_volume_pool(d->model, q, disk);
	const struct pool *pool = name ? model_pool(d->model, name) : NULL;

	if (!pool || !storage_has_driver(pool->driver) ||
	    volume_pool_dir(d, name, place->pool_dir, sizeof(place->pool_dir)) < 0)
		return false;
	*ret = (struct storage_volume){
		.driver = pool->driver,
		.pool_dir = place->pool_dir,
		.vid = v->vid,
		.source_vid = source ? source->vid : NULL,
		.size = v->size,
		.rw = v->rw,
		.save_on_stop = v->save_on_stop,
		.snap_on_start = v->snap_on_start,
		.ephemeral = model_is_ephemeral(d->model, q, disk),
		.revisions_to_keep = v->revisions_to_keep,
	};
	return true;
}
