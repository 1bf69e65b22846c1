/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "room.h"

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

#define LOOK_MS  5000
#define LATER_MS 60000 /* where the file system did not answer */
/** LEAST - with less than that nobody goes on: it would stop again at once */
#define LEAST (UINT64_C(16) << 20)

/* A pool that is looked at. @free holds if @known, and is not older than the last turn of the timer. */
struct place {
	struct place *next;
	struct qubesd *d;
	char name[ARGUMENT_POOL_MAX + 1];
	bool wanted, looking, known;
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

static void set_room(struct place *p, uint64_t used, uint64_t size)
{
	p->known = true;
	p->free = size > used ? size - used : 0;
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
	if (!p->known)
		p->not_before_ms = io_now_ms() + LATER_MS;
	go_on(p->d);
}

/* far pools by a job: their file system may be one that does not answer */
static void look(struct place *p)
{
	static const struct job_events events = {on_seen, on_looked};
	struct request AUTO(request_done) request = {0};
	const struct pool *pool = model_pool(p->d->model, p->name);
	struct storage_room room = {0};
	char dir[4096];

	p->known = false;
	if (!pool || volume_pool_dir(p->d, p->name, dir, sizeof(dir)) < 0 ||
	    io_now_ms() < p->not_before_ms)
		return;
	if (volume_pool_is_near(p->d, p->name)) {
		if (storage_pool_usage(pool->driver, dir, &room) == 0)
			set_room(p, room.used, room.size);
		return;
	}
	request_pool(&request, p->d, p->name);
	request_put(&request, "driver", "%s", pool->driver);
	request_put(&request, "pool_dir", "%s", dir);
	p->looking = job_start(p->d, "usage", &request, &events, p) == 0;
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

/* Return: somebody stands still */
static bool mark_wanted(struct qubesd *d)
{
	bool any = false;

	for (struct place *p = d->room->places; p; p = p->next)
		p->wanted = false;
	for (size_t i = 0; i < d->model->n_qubes; i++) {
		const struct qube *q = d->model->by_name[i];

		for (unsigned n = 0; n < N_DISKS && power_is_full(q); n++) {
			const char *name = pool_of(d, q, n);
			struct place *p = name ? place_get(d, name) : NULL;

			any = true;
			if (p)
				p->wanted = true;
		}
	}
	return any;
}

static int on_time(sd_event_source *s, uint64_t usec, void *data);

static void watch(struct qubesd *d)
{
	int r = -ENOMEM;

	if (!d->room)
		d->room = calloc(1, sizeof(*d->room));
	if (d->room && d->room->timer)
		return;
	if (d->room)
		r = sd_event_add_time_relative(d->event, &d->room->timer, CLOCK_MONOTONIC,
					       LOOK_MS * 1000, LOOK_MS * 100, on_time, d);
	if (r < 0)
		log_err(NULL, "room in pools is not looked at: %s", log_errno_str(r));
}

static int on_time(sd_event_source *s, uint64_t usec, void *data)
{
	struct qubesd *d = data;

	(void)s, (void)usec;
	d->room->timer = sd_event_source_disable_unref(d->room->timer);
	if (mark_wanted(d))
		watch(d);
	forget(d->room);
	for (struct place *p = d->room->places; p; p = p->next)
		if (p->wanted && !p->looking)
			look(p);
	go_on(d);
	return 0;
}

void room_wanted(struct qubesd *d, const struct qube *q)
{
	static struct log_limit limit = {.interval_s = 60, .burst = 10};

	if (log_allowed(&limit, q->name))
		log_warn(
			q->name,
			"paused: no room is left for what it writes. Nothing of that is lost, and it goes on when there is room");
	watch(d);
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
