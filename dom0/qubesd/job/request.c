/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "job/request.h"

#include "base/str.h"
#include "qubesd.h"
#include "store/model.h"
#include "volume.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void request_done(struct request *r)
{
	text_done(&r->body);
	for (unsigned i = 0; i < r->n_fds; i++)
		close_fd(&r->fds[i]);
	r->n_fds = 0;
}

void request_put(struct request *r, const char *key, const char *format, ...)
{
	char value[8192]; /* more than any property or path */
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(value, sizeof(value), format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= sizeof(value)) {
		r->body.failed = true;
		return;
	}
	text_bytes(&r->body, key, strlen(key) + 1);
	text_bytes(&r->body, value, (size_t)n + 1);
}

void request_put_fd(struct request *r, const char *key, int *fd)
{
	if (r->n_fds == JOB_MAX_FDS) {
		r->body.failed = true;
		return;
	}
	request_put(r, key, "%u", JOB_FIRST_FD + r->n_fds);
	r->fds[r->n_fds++] = take_fd(fd);
}

const char *request_next(const struct request *r, const char *key, const char **ret_value)
{
	const char *at = r->body.at, *end = at + r->body.len;

	if (key) {
		at = key + strlen(key) + 1; /* its value */
		at += strlen(at) + 1;
	}
	if (!at || at >= end || at + strlen(at) + 1 >= end)
		return NULL;
	*ret_value = at + strlen(at) + 1;
	return at;
}

const char *request_get(const struct request *r, const char *key)
{
	const char *at = NULL, *value;

	while ((at = request_next(r, at, &value)))
		if (strcmp(at, key) == 0)
			return value;
	return NULL;
}

uint64_t request_number(const struct request *r, const char *key)
{
	const char *value = request_get(r, key);
	uint64_t v;

	return value && str_u64(value, UINT64_MAX, &v) == 0 ? v : 0;
}

int request_fd(const struct request *r, const char *key)
{
	const char *value = request_get(r, key);

	return value ? (int)request_number(r, key) : NO_FD;
}

/* "NAME.what", with room for the longest */
static const char *sub(char *to, const char *name, const char *what)
{
	(void)snprintf(to, 64, "%s.%s", name, what);
	return to;
}

void request_pool(struct request *r, const struct qubesd *d, const char *pool)
{
	if (volume_pool_is_near(d, pool))
		return;
	for (unsigned i = 0; i < TURN_POOLS; i++) {
		char *at = r->pools[i];

		if (str_eq(at, pool))
			return;
		if (at[0] == '\0') {
			(void)snprintf(at, sizeof(r->pools[i]), "%s", pool);
			return;
		}
	}
}

void request_put_volume(struct request *r, const char *name, const struct qubesd *d,
			const struct qube *q, unsigned disk)
{
	struct volume_place place;
	struct storage_volume v;
	char key[64];

	if (!volume_for_storage(d, q, (enum disk)disk, &place, &v))
		return;
	request_pool(r, d, model_volume_pool(d->model, q, (enum disk)disk));
	request_put(r, sub(key, name, "driver"), "%s", v.driver);
	request_put(r, sub(key, name, "pool_dir"), "%s", v.pool_dir);
	request_put(r, sub(key, name, "vid"), "%s", v.vid);
	if (v.source_vid)
		request_put(r, sub(key, name, "source_vid"), "%s", v.source_vid);
	request_put(r, sub(key, name, "size"), "%" PRIu64, v.size);
	request_put(r, sub(key, name, "rw"), "%d", v.rw);
	request_put(r, sub(key, name, "save_on_stop"), "%d", v.save_on_stop);
	request_put(r, sub(key, name, "snap_on_start"), "%d", v.snap_on_start);
	request_put(r, sub(key, name, "ephemeral"), "%d", v.ephemeral);
	request_put(r, sub(key, name, "revisions_to_keep"), "%d", v.revisions_to_keep + 1);
}

bool request_get_volume(const struct request *r, const char *name, struct storage_volume *ret)
{
	char key[64];

	*ret = (struct storage_volume){
		.driver = request_get(r, sub(key, name, "driver")),
		.pool_dir = request_get(r, sub(key, name, "pool_dir")),
		.vid = request_get(r, sub(key, name, "vid")),
		.source_vid = request_get(r, sub(key, name, "source_vid")),
		.size = request_number(r, sub(key, name, "size")),
		.rw = request_number(r, sub(key, name, "rw")) != 0,
		.save_on_stop = request_number(r, sub(key, name, "save_on_stop")) != 0,
		.snap_on_start = request_number(r, sub(key, name, "snap_on_start")) != 0,
		.ephemeral = request_number(r, sub(key, name, "ephemeral")) != 0,
		/* -1 (keep all) travels as 0 */
		.revisions_to_keep =
			(int)request_number(r, sub(key, name, "revisions_to_keep")) - 1,
	};
	return ret->driver && ret->pool_dir && ret->vid;
}
