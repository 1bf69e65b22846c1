/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "room.h"

#include "api/event.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "job/job.h"
#include "power/power.h"
#include "proto/argument.h"
#include "qubesd.h"
#include "store/model.h"
#include "volume.h"

#include <stdio.h>
#include <string.h>

#define LOOK_MS  UINT64_C(5000)
#define FAR_MS   30000 /* a look by a job, unless somebody stands still */
#define LATER_MS 60000 /* where the file system did not answer */
/** LEAST - with less than that nobody goes on: it would stop again at once */
#define LEAST (UINT64_C(16) << 20)

/* percent in use that are told, the highest first; and once it was below by so many, again */
static const unsigned levels[] = {95, 90, 80};
#define BELOW 2

/* A pool that is looked at. @free holds if @known, and is as of the last look. @percent is kept until there is another. */
struct place {
	struct place *next;
	struct qubesd *d;
	char name[ARGUMENT_POOL_MAX + 1]; /* "": it was removed; a job looks at it still */
	bool wanted, hurry, looking, known;
	unsigned percent, level;
	uint64_t free, not_before_ms;
};

struct room {
	sd_event_source *timer;
	struct place *places;
};

static struct place *place_find(const struct room *room, const char *name)
{
	struct place *p = room->places;

	while (p && !str_eq(p->name, name))
		p = p->next;
	return p;
}

static struct place *place_get(struct qubesd *d, const char *name)
{
	struct place *p = place_find(d->room, name);

	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->d = d;
	(void)snprintf(p->name, sizeof(p->name), "%s", name);
	p->next = d->room->places;
	d->room->places = p;
	return p;
}

/* a pool that the guest of @q writes to; NULL: that disk has none */
static const char *pool_of(const struct qubesd *d, const struct qube *q, unsigned disk)
{
	const char *name = model_volume_pool(d->model, q, (enum disk)disk);
	const struct pool *p = name ? model_pool(d->model, name) : NULL;

	return p && pool_takes_volumes(p) ? name : NULL;
}

static bool has_room(const struct qubesd *d, const struct qube *q)
{
	for (unsigned i = 0; i < N_DISKS; i++) {
		const char *name = pool_of(d, q, i);
		const struct place *p = name ? place_find(d->room, name) : NULL;

		if (name && (!p || !p->known || p->free < LEAST))
			return false;
	}
	return true;
}

static void go_on(struct qubesd *d)
{
	for (size_t i = 0; i < d->model->n_qubes; i++) {
		const struct qube *q = d->model->by_name[i];

		if (power_is_full(q) && has_room(d, q))
			power_try_again(q);
	}
}

static unsigned level_of(unsigned percent)
{
	for (size_t i = 0; i < ARRAY_LEN(levels); i++)
		if (percent >= levels[i])
			return levels[i];
	return 0;
}

static void tell_level(struct place *p)
{
	const unsigned up = level_of(p->percent), down = level_of(p->percent + BELOW);
	char level[16], percent[16];

	if (up <= p->level && down >= p->level)
		return;
	if (up > p->level)
		log_warn(NULL, "pool %s: %u %% of its disk are in use, %llu MiB are left", p->name,
			 p->percent, (unsigned long long)p->free >> 20);
	else
		log_info(NULL, "pool %s: %u %% of its disk are in use", p->name, p->percent);
	p->level = up > p->level ? up : down;
	(void)snprintf(level, sizeof(level), "%u", p->level);
	(void)snprintf(percent, sizeof(percent), "%u", p->percent);
	event_emit(p->d, NULL, "pool-level", "pool", p->name, "level", level, "percent", percent,
		   NULL);
}

static void set_room(struct place *p, uint64_t used, uint64_t size)
{
	if (size == 0 || used > size || p->name[0] == '\0')
		return;
	p->known = true;
	p->free = size - used;
	/* rounded up, as df does it: 100 is full */
	p->percent = (unsigned)((used / 1024 * 100 + size / 1024) / (size / 1024 + 1));
	tell_level(p);
}

static void on_seen(void *data, const char *stage, const char *text, uint64_t done, uint64_t total)
{
	(void)text;
	if (str_eq(stage, "usage"))
		set_room(data, done, total);
}

static void on_looked(void *data, const struct job_end *end)
{
	struct place *p = data;

	(void)end;
	p->looking = false;
	p->not_before_ms = io_now_ms() + (p->known ? FAR_MS : LATER_MS);
	go_on(p->d);
}

static void look_near(struct place *p)
{
	const struct pool *pool = model_pool(p->d->model, p->name);
	struct storage_room room = {0};
	char dir[4096];

	if (pool && volume_pool_dir(p->d, p->name, dir, sizeof(dir)) == 0 &&
	    storage_pool_usage(pool->driver, dir, &room) == 0)
		set_room(p, room.used, room.size);
}

/* by a job: its file system may be one that does not answer */
static void look_far(struct place *p)
{
	static const struct job_events events = {on_seen, on_looked};
	struct request AUTO(request_done) request = {0};
	const struct pool *pool = model_pool(p->d->model, p->name);
	char dir[4096];

	if (!pool || volume_pool_dir(p->d, p->name, dir, sizeof(dir)) < 0)
		return;
	request_pool(&request, p->d, p->name);
	request_put(&request, "driver", "%s", pool->driver);
	request_put(&request, "pool_dir", "%s", dir);
	p->looking = job_start(p->d, "usage", &request, &events, p) == 0;
}

static void look(struct place *p)
{
	const bool near = volume_pool_is_near(p->d, p->name);

	if (!near && !(p->hurry && p->known) && io_now_ms() < p->not_before_ms)
		return;
	p->known = false;
	if (near)
		look_near(p);
	else
		look_far(p);
}

static void forget(struct room *room)
{
	for (struct place **at = &room->places; *at;) {
		struct place *p = *at;

		if (p->wanted || p->looking) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		free(p);
	}
}

static void want(struct qubesd *d, const char *name, bool hurry)
{
	struct place *p = name ? place_get(d, name) : NULL;

	if (!p)
		return;
	p->wanted = true;
	p->hurry |= hurry;
}

static void want_near(struct qubesd *d)
{
	for (const struct pool *p = d->model->pools; p; p = p->next)
		if (pool_takes_volumes(p) && volume_pool_is_near(d, p->name))
			want(d, p->name, false);
}

/* Return: a qube runs, so that there is more to look at */
static bool mark_wanted(struct qubesd *d)
{
	bool any = false;

	for (struct place *p = d->room->places; p; p = p->next)
		p->wanted = p->hurry = false;
	want_near(d);
	for (size_t i = 0; i < d->model->n_qubes; i++) {
		const struct qube *q = d->model->by_name[i];

		for (unsigned n = 0; n < N_DISKS && power_vmm(q); n++) {
			want(d, pool_of(d, q, n), power_is_full(q));
			any = true;
		}
	}
	return any;
}

static int on_time(sd_event_source *s, uint64_t usec, void *data)
{
	struct qubesd *d = data;

	(void)s, (void)usec;
	d->room->timer = sd_event_source_disable_unref(d->room->timer);
	if (mark_wanted(d))
		room_watch(d);
	forget(d->room);
	for (struct place *p = d->room->places; p; p = p->next)
		if (p->wanted && !p->looking)
			look(p);
	go_on(d);
	return 0;
}

static int room_make(struct qubesd *d)
{
	if (!d->room)
		d->room = calloc(1, sizeof(*d->room));
	return d->room ? 0 : -ENOMEM;
}

void room_watch(struct qubesd *d)
{
	int r = room_make(d);

	if (r == 0 && d->room->timer)
		return;
	if (r == 0)
		r = sd_event_add_time_relative(d->event, &d->room->timer, CLOCK_MONOTONIC,
					       LOOK_MS * 1000, LOOK_MS * 100, on_time, d);
	if (r < 0)
		log_err(NULL, "room in pools is not looked at: %s", log_errno_str(r));
}

void room_removed(struct qubesd *d, const char *pool)
{
	struct place *p = d->room ? place_find(d->room, pool) : NULL;

	if (!p)
		return;
	p->name[0] = '\0';
	p->wanted = false;
	forget(d->room);
}

const char *room_least(struct qubesd *d, unsigned *ret_percent)
{
	const struct place *least = NULL;

	if (room_make(d) < 0)
		return NULL;
	want_near(d);
	for (struct place *p = d->room->places; p; p = p->next) {
		if (volume_pool_is_near(d, p->name))
			look_near(p);
		if (model_pool(d->model, p->name) && (!least || p->percent > least->percent))
			least = p;
	}
	if (!least)
		return NULL;
	*ret_percent = least->percent;
	return least->name;
}

void room_wanted(struct qubesd *d, const struct qube *q)
{
	static struct log_limit limit = {.interval_s = 60, .burst = 10};

	if (log_allowed(&limit, q->name))
		log_warn(
			q->name,
			"paused: no room is left for what it writes. Nothing of that is lost, and it goes on when there is room");
	room_watch(d);
}

void room_done(struct qubesd *d)
{
	if (!d->room)
		return;
	sd_event_source_disable_unref(d->room->timer);
	while (d->room->places) {
		struct place *p = d->room->places;

		d->room->places = p->next;
		free(p);
	}
	free(d->room);
	d->room = NULL;
}
