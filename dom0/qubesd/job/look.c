/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "job/look.h"

#include "base/str.h"
#include "job/run.h"

#include <string.h>

/* WHAT SAVE SNAP KEEP newline DRIVER newline POOL_DIR newline VID newline SOURCE_VID; the folder of a pool has no newline in it */
void look_put(struct request *r, const struct storage_volume *v, unsigned what)
{
	if (strchr(v->pool_dir, '\n')) {
		r->body.failed = true;
		return;
	}
	request_put(r, LOOK_KEY, "%u %d %d %d\n%s\n%s\n%s\n%s", what, v->save_on_stop,
		    v->snap_on_start, v->revisions_to_keep + 1, v->driver, v->pool_dir, v->vid,
		    v->source_vid ? v->source_vid : "");
}

/* of @line, which is cut */
static bool parse(char *line, unsigned *ret_what, struct storage_volume *ret)
{
	char *rest = line, *flags = strsep(&rest, "\n"), *numbers[4], *driver, *pool, *vid;
	uint64_t n[4];

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		numbers[i] = strsep(&flags, " ");
		if (!numbers[i] || str_u64(numbers[i], INT32_MAX, &n[i]) < 0)
			return false;
	}
	driver = strsep(&rest, "\n");
	pool = strsep(&rest, "\n");
	vid = strsep(&rest, "\n");
	if (!driver || !pool || !vid || !rest)
		return false;
	*ret_what = (unsigned)n[0];
	*ret = (struct storage_volume){
		.driver = driver,
		.pool_dir = pool,
		.vid = vid,
		.source_vid = rest[0] != '\0' ? rest : NULL,
		.save_on_stop = n[1] != 0,
		.snap_on_start = n[2] != 0,
		/* -1 (keep all) travels as 0 */
		.revisions_to_keep = (int)n[3] - 1,
	};
	return true;
}

static void look_revisions(const struct storage_volume *v, uint64_t number, look_fn fn, void *data)
{
	struct storage_revision revisions[STORAGE_MAX_REVISIONS];
	unsigned n = 0;
	int r = storage_revisions(v, revisions, &n);

	if (r > 0)
		fn(data, "damaged", "", number, 0);
	for (unsigned i = 0; r == 0 && i < n; i++)
		fn(data, "revision", revisions[i].id, number, 0);
}

static void look_at(const struct storage_volume *v, unsigned what, uint64_t number, look_fn fn,
		    void *data)
{
	bool outdated;
	uint64_t usage;

	if (what & LOOK_USAGE && storage_usage(v, &usage) == 0)
		fn(data, "usage", "", number, usage);
	if (what & LOOK_OUTDATED && storage_is_outdated(v, &outdated) == 0 && outdated)
		fn(data, "outdated", "", number, 0);
	if (what & LOOK_REVISIONS)
		look_revisions(v, number, fn, data);
}

int look_each(const struct request *r, look_fn fn, void *data)
{
	const char *key = NULL, *value;
	uint64_t number = 0;

	while ((key = request_next(r, key, &value))) {
		AUTO_FREE char *line = NULL;
		struct storage_volume v;
		unsigned what;

		if (!str_eq(key, LOOK_KEY))
			continue;
		line = strdup(value);
		if (!line)
			return -ENOMEM;
		if (!parse(line, &what, &v))
			return -EINVAL;
		look_at(&v, what, number++, fn, data);
	}
	return 0;
}

static void tell(void *data, const char *seen, const char *text, uint64_t volume, uint64_t value)
{
	(void)data;
	run_progress(seen, text, volume, value);
}

int run_look(const struct request *request)
{
	return look_each(request, tell, NULL);
}
