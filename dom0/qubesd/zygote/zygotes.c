/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "zygote/zygotes.h"

#include "api/call.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "job/job.h"
#include "power/power.h"
#include "qubesd.h"
#include "store/property.h"
#include "zygote/zygote.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define MAX_COPIES 16
#define MAX_WISHES 32
/** COPIES_SHARE - of the machine's memory, copies may take at most this part */
#define COPIES_SHARE 4
/** QUIET_US - so long after the last start one may be made */
#define QUIET_US UINT64_C(2000000)
/** AGAIN_MS - after one could not be made, so long none is tried for that qube; after a fork did not answer, so long it boots */
#define AGAIN_MS UINT64_C(600000)

/* Of which machines a copy can serve; whether it does its key decides. Label and all that a client can change are in it. */
struct slot {
	char text[2048];
	unsigned root; /* qid of the template whose root it is */
};

struct copy {
	struct slot slot;
	int fd; /* NO_FD: free */
	uint64_t bytes, used_ms;
};

/* A qube for which something is remembered. When it is gone its qid may be another's: its uuid never is. */
struct who {
	unsigned qid; /* 0: nobody */
	char uuid[UUID_LEN + 1];
};

/* A qube whose zygote was once wanted: it says how such a machine is described. */
struct wish {
	struct who who;
	bool wanted;
	uint64_t failed_ms, fork_failed_ms; /* 0: never */
	uint64_t used_ms;
};

struct zygotes {
	struct qubesd *d;
	struct copy copies[MAX_COPIES];
	struct wish wishes[MAX_WISHES];
	sd_event_source *timer;
	struct who making; /* for whom one is made; nobody: none is */
	unsigned making_xid;
	bool said_no_room, said_no_memory;
	char said_not_made[256]; /* why, the last time; "" since one was */
};

static struct zygotes *zygotes_of(struct qubesd *d)
{
	if (d->zygotes)
		return d->zygotes;
	d->zygotes = calloc(1, sizeof(*d->zygotes));
	if (!d->zygotes)
		return NULL;
	d->zygotes->d = d;
	for (size_t i = 0; i < MAX_COPIES; i++)
		d->zygotes->copies[i].fd = NO_FD;
	return d->zygotes;
}

void zygotes_done(struct qubesd *d)
{
	struct zygotes *z = d->zygotes;

	if (!z)
		return;
	sd_event_source_disable_unref(z->timer);
	for (size_t i = 0; i < MAX_COPIES; i++)
		close_fd(&z->copies[i].fd);
	free(z);
	d->zygotes = NULL;
}

unsigned zygotes_xid(const struct qubesd *d)
{
	return d->zygotes ? d->zygotes->making_xid : 0;
}

static struct who who_is(const struct qube *q)
{
	struct who who = {.qid = q->qid};

	(void)snprintf(who.uuid, sizeof(who.uuid), "%s", q->uuid);
	return who;
}

/* NULL: nobody, or one that is gone */
static const struct qube *qube_of(const struct zygotes *z, const struct who *who)
{
	const struct qube *q = who->qid != 0 ? model_get(z->d->model, who->qid) : NULL;

	return q && str_eq(q->uuid, who->uuid) ? q : NULL;
}

static int zygotes_dir(const struct qubesd *d, char *to, size_t size)
{
	return str_format(to, size, "%s/zygotes", d->paths.state);
}

static bool may_fork(const struct qubesd *d, const struct qube *q)
{
	return model_template(d->model, q) && property_bool(d->model, q, PROP_fork);
}

static bool slot_of(const struct qubesd *d, const struct qube *q, struct slot *ret)
{
	const struct model *m = d->model;
	const struct qube *root = model_template(m, q);
	char buf[3][PROPERTY_BUF];

	memset(ret, 0, sizeof(*ret));
	/* an app qube's root is its template's; a disposable's is that of its own template's template */
	while (root && model_template(m, root))
		root = model_template(m, root);
	ret->root = root ? root->qid : 0;
	return root &&
	       str_format(ret->text, sizeof(ret->text), "%s|%u|%" PRId64 "|%" PRId64 "|%s|%s|%d",
			  property_text(m, q, PROP_label, buf[0]), root->qid,
			  property_int(m, q, PROP_memory), property_int(m, q, PROP_vcpus),
			  property_text(m, q, PROP_kernel, buf[1]),
			  property_text(m, q, PROP_kernelopts, buf[2]),
			  property_bool(m, q, PROP_debug)) == 0;
}

static struct copy *copy_find(struct zygotes *z, const struct slot *slot)
{
	for (size_t i = 0; i < MAX_COPIES; i++)
		if (z->copies[i].fd >= 0 && str_eq(z->copies[i].slot.text, slot->text))
			return &z->copies[i];
	return NULL;
}

static void copy_drop(struct zygotes *z, const struct slot *slot)
{
	struct copy *c = copy_find(z, slot);

	/* who runs from it goes on: it has the file itself */
	if (c)
		close_fd(&c->fd);
}

static bool copy_is_used(const struct zygotes *z, const struct copy *c)
{
	const struct model *m = z->d->model;
	struct slot slot;

	for (size_t i = 0; i < m->n_qubes; i++)
		if (power_zygote(m->by_name[i]) && slot_of(z->d, m->by_name[i], &slot) &&
		    str_eq(slot.text, c->slot.text))
			return true;
	return false;
}

bool zygotes_let_go(struct qubesd *d)
{
	bool any = false;

	for (size_t i = 0; d->zygotes && i < MAX_COPIES; i++) {
		struct copy *c = &d->zygotes->copies[i];

		/* one in use is in memory whether we have it or not */
		if (c->fd < 0 || copy_is_used(d->zygotes, c))
			continue;
		close_fd(&c->fd);
		any = true;
	}
	return any;
}

/* of all copies together, and so of each */
static uint64_t copies_most(const struct zygotes *z)
{
	return (z->d->model->machine.memory_mib << 20) / COPIES_SHARE;
}

static uint64_t memory_bytes(const struct zygotes *z, const struct qube *q)
{
	return (uint64_t)property_int(z->d->model, q, PROP_memory) << 20;
}

/* room for @bytes more, by letting go of what was used least recently; NULL: there is none */
static struct copy *copy_room(struct zygotes *z, uint64_t bytes)
{
	const uint64_t most = copies_most(z);

	if (bytes > most)
		return NULL;
	for (;;) {
		struct copy *unused = NULL, *oldest = NULL;
		uint64_t sum = 0;

		for (size_t i = 0; i < MAX_COPIES; i++) {
			struct copy *c = &z->copies[i];

			if (c->fd < 0) {
				unused = c;
				continue;
			}
			sum += c->bytes;
			if (!oldest || c->used_ms < oldest->used_ms)
				oldest = c;
		}
		if (unused && sum + bytes <= most)
			return unused;
		close_fd(&oldest->fd);
	}
}

static struct copy *copy_new(struct zygotes *z, const struct slot *slot, uint64_t bytes)
{
	struct copy *c = copy_room(z, bytes);

	if (!c) {
		if (!z->said_no_room)
			log_warn(NULL,
				 "the memory of a zygote (%" PRIu64
				 " MiB) is more than a quarter of this machine's: such qubes boot",
				 bytes >> 20);
		z->said_no_room = true;
		return NULL;
	}
	c->fd = memfd_create("zygote", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (c->fd < 0)
		return NULL;
	c->slot = *slot;
	c->bytes = bytes;
	return c;
}

/* The one of a qube: if there is none, one that was of a qube that is gone, or the one that was looked at least recently. */
static struct wish *wish_of(struct zygotes *z, const struct qube *q)
{
	struct wish *old = &z->wishes[0], *w = NULL;

	for (size_t i = 0; i < MAX_WISHES && !w; i++) {
		struct wish *at = &z->wishes[i];
		const struct qube *whose = qube_of(z, &at->who);

		if (whose == q)
			w = at;
		if (!whose)
			at->used_ms = 0;
		if (at->used_ms < old->used_ms)
			old = at;
	}
	if (!w) {
		w = old;
		*w = (struct wish){.who = who_is(q)};
	}
	w->used_ms = io_now_ms();
	return w;
}

static bool fork_failed(const struct zygotes *z, const struct qube *q)
{
	for (size_t i = 0; i < MAX_WISHES; i++)
		if (qube_of(z, &z->wishes[i].who) == q && z->wishes[i].fork_failed_ms != 0)
			return io_now_ms() - z->wishes[i].fork_failed_ms < AGAIN_MS;
	return false;
}

void zygotes_describe(struct qubesd *d, const struct qube *q, struct request *request)
{
	struct zygotes *z = may_fork(d, q) ? zygotes_of(d) : NULL;
	char dir[4096];
	struct slot slot;
	struct copy *c;

	if (!z || fork_failed(z, q) || zygotes_dir(d, dir, sizeof(dir)) < 0 ||
	    !slot_of(d, q, &slot))
		return;
	request_put(request, "zygotes", "%s", dir);
	c = copy_find(z, &slot);
	if (!c)
		c = copy_new(z, &slot, memory_bytes(z, q));
	if (c) {
		AUTO_CLOSE int fd = fcntl(c->fd, F_DUPFD_CLOEXEC, 3);

		c->used_ms = io_now_ms();
		if (fd >= 0)
			request_put_fd(request, "zygote_memory", &fd);
	}
}

/* ---- making one ---- */

static int on_quiet(sd_event_source *s, uint64_t usec, void *data);

static void wait_for_quiet(struct zygotes *z)
{
	z->timer = sd_event_source_disable_unref(z->timer);
	if (sd_event_add_time_relative(z->d->event, &z->timer, CLOCK_MONOTONIC, QUIET_US, 0,
				       on_quiet, z) < 0)
		log_warn(NULL, "no timer for a zygote: none is made now");
}

static void want(struct zygotes *z, const struct qube *q)
{
	struct wish *w;

	/* nobody could be forked from it (zygotes_describe() has said so) */
	if (memory_bytes(z, q) > copies_most(z))
		return;
	w = wish_of(z, q);
	if (w->failed_ms != 0 && io_now_ms() - w->failed_ms < AGAIN_MS)
		return;
	w->wanted = true;
	wait_for_quiet(z);
}

static void made(void *data, const char *stage, const char *text, uint64_t done, uint64_t total)
{
	(void)data, (void)done, (void)total;
	if (str_eq(stage, "zygote-made"))
		log_info(NULL, "zygote %s is made", text);
}

/* the same is said once, until one could be made; @why "": it could */
static void tell_not_made(struct zygotes *z, const char *why)
{
	char text[sizeof(z->said_not_made)];

	(void)snprintf(text, sizeof(text), "%s", why);
	if (text[0] != '\0' && !str_eq(text, z->said_not_made))
		log_warn(NULL, "a zygote could not be made: %s", why);
	memcpy(z->said_not_made, text, sizeof(text));
}

static void make_done(void *data, const struct job_end *end)
{
	struct zygotes *z = data;
	const struct qube *q = qube_of(z, &z->making);
	const bool failed = end->type[0] != '\0';
	struct slot slot;

	tell_not_made(z, failed ? end->text : "");
	if (q)
		wish_of(z, q)->failed_ms = failed ? io_now_ms() : 0;
	/* a copy that was handed out before may be of an older one */
	if (q && !failed && slot_of(z->d, q, &slot))
		copy_drop(z, &slot);
	z->making = (struct who){0};
	z->making_xid = 0;
	wait_for_quiet(z);
}

static bool is_quiet(const struct qubesd *d)
{
	for (size_t i = 0; i < d->model->n_qubes; i++)
		if (str_eq(power_state_name(d->model->by_name[i]), "Transient"))
			return false;
	return true;
}

static int make(struct zygotes *z, const struct qube *q)
{
	static const struct job_events events = {made, make_done};
	const struct qube *template = model_template(z->d->model, q);
	struct request AUTO(request_done) request = {0};
	struct refusal why;
	char dir[4096];
	unsigned xid;
	int r = power_take_xid(z->d, &xid);

	r = r < 0 ? r : zygotes_dir(z->d, dir, sizeof(dir));
	if (r < 0)
		return r;
	if (power_describe_machine(z->d, q, xid, &request, &why) != 0)
		return -EINVAL;
	request_put(&request, "zygotes", "%s", dir);
	request_put(&request, "from", "%s", template->name);
	request_put(&request, "log_path", "%s/log/zygote.log", z->d->paths.state);
	r = fault(job_start(z->d, "zygote", &request, &events, z));
	if (r < 0)
		return r;
	z->making = who_is(q);
	z->making_xid = xid;
	return 0;
}

static int on_quiet(sd_event_source *s, uint64_t usec, void *data)
{
	struct zygotes *z = data;

	(void)s, (void)usec;
	z->timer = sd_event_source_disable_unref(z->timer);
	if (z->making.qid != 0)
		return 0;
	for (size_t i = 0; i < MAX_WISHES; i++) {
		struct wish *w = &z->wishes[i];
		const struct qube *q = w->wanted ? qube_of(z, &w->who) : NULL;
		int r;

		if (!q || !may_fork(z->d, q)) {
			w->wanted = false;
			continue;
		}
		if (!is_quiet(z->d)) {
			wait_for_quiet(z);
			return 0;
		}
		w->wanted = false;
		r = make(z, q);
		if (r == 0)
			return 0;
		tell_not_made(z, log_errno_str(r));
		w->failed_ms = io_now_ms();
	}
	return 0;
}

bool zygotes_news(struct qubesd *d, const struct qube *q, const char *stage, const char *text)
{
	struct zygotes *z;
	struct slot slot;

	if (!str_starts(stage, "zygote-"))
		return false;
	z = zygotes_of(d);
	if (!z)
		return true;
	if (str_eq(stage, "zygote-wanted")) {
		want(z, q);
	} else if (str_eq(stage, "zygote-used")) {
		log_info(q->name, "is forked from zygote %s", text);
		z->said_no_memory = false;
		(void)wish_of(z, q);
	} else if (str_eq(stage, "zygote-short")) {
		if (!z->said_no_memory)
			log_warn(NULL, "%s: qubes boot", text);
		z->said_no_memory = true;
	} else if (str_eq(stage, "zygote-failed")) {
		wish_of(z, q)->fork_failed_ms = io_now_ms();
	} else if (slot_of(d, q, &slot)) {
		copy_drop(z, &slot);
	}
	return true;
}

void zygotes_template_changed(struct qubesd *d, const struct qube *t)
{
	struct zygotes *z = d->zygotes;

	/* nobody will start from these again */
	for (size_t i = 0; z && i < MAX_COPIES; i++)
		if (z->copies[i].fd >= 0 && z->copies[i].slot.root == t->qid)
			close_fd(&z->copies[i].fd);
	for (size_t i = 0; z && i < MAX_WISHES; i++) {
		const struct qube *q = qube_of(z, &z->wishes[i].who);
		const struct qube *root = q ? model_template(d->model, q) : NULL;

		while (root && model_template(d->model, root))
			root = model_template(d->model, root);
		if (root == t) {
			z->wishes[i].failed_ms = z->wishes[i].fork_failed_ms = 0;
			want(z, q);
		}
	}
}

/* ---- the list ---- */

struct list {
	struct call *c;
};

static void list_one(void *data, const char *name, const struct zygote_meta *meta,
		     uint64_t disk_bytes)
{
	struct call *c = ((struct list *)data)->c;
	unsigned users = 0;

	for (size_t i = 0; i < c->d->model->n_qubes; i++)
		users += str_eq(power_zygote(c->d->model->by_name[i]), name);
	text_add(&c->out, "%s\t%s\t%u\t%u\t%" PRIu64 "\t%" PRIu64 "\t%u\n", name, meta->from,
		 meta->memory_mib, meta->vcpus, disk_bytes, meta->made_s, users);
}

int zygote_api_list(struct call *c)
{
	struct list list = {c};
	char dir[4096];
	int r = zygotes_dir(c->d, dir, sizeof(dir));

	if (r < 0)
		return r;
	text_add(&c->out, "name\ttemplate\tmemory\tvcpus\tdisk\tmade\tusers\n");
	zygote_list(dir, list_one, &list);
	return 0;
}
