/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What Bulkhead adds to the Admin API; doc/protocol/admin.md. */
#include "api/call.h"
#include "api/event.h"
#include "api/method.h"
#include "base/log.h"
#include "looks.h"
#include "power/memory.h"
#include "power/power.h"
#include "proto/argument.h"
#include "qubesd.h"
#include "room.h"
#include "store/property.h"
#include "version.h"

#include "base/io.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* A column of bulkhead.List. */
struct field {
	enum {
		FIELD_PROPERTY,
		FIELD_STATE,
		FIELD_TAGS,
		FIELD_MEMORY,
		FIELD_ASSIGNED,
		FIELD_CPUTIME,
		FIELD_DISK,
		FIELD_SIZE,
		FIELD_USAGE,
		FIELD_FEATURE,
		FIELD_MENU
	} kind;
	const struct property *property;
	const char *feature;
	enum disk disk; /* of FIELD_SIZE and FIELD_USAGE */
};

static int no_field(struct call *c, const char *name)
{
	return refuse(&c->why, "QubesNoSuchPropertyError", "'%s' is no field of a list", name);
}

static int find_property(struct call *c, const char *name, struct field *ret)
{
	static const struct {
		const char *name;
		struct field field;
	} others[] = {
		{"state", {.kind = FIELD_STATE}},
		{"tags", {.kind = FIELD_TAGS}},
		{"memory_used", {.kind = FIELD_MEMORY}},
		{"cputime", {.kind = FIELD_CPUTIME}},
		{"memory_assigned", {.kind = FIELD_ASSIGNED}},
		{"disk", {.kind = FIELD_DISK}},
		{"menu", {.kind = FIELD_MENU}},
	};

	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (strcmp(others[i].name, name) == 0) {
			*ret = others[i].field;
			return 0;
		}
	if (strcmp(name, "class") == 0)
		name = "klass";
	for (unsigned i = 0; i < N_PROPERTIES; i++)
		if (strcmp(property_at(false, i)->name, name) == 0) {
			*ret = (struct field){.kind = FIELD_PROPERTY,
					      .property = property_at(false, i)};
			return 0;
		}
	return no_field(c, name);
}

/* @asked lives as long as what is returned */
static int find_field(struct call *c, const struct argument_field *asked, struct field *ret)
{
	const char *name = argument_field_name(asked);

	switch (asked->kind) {
	case ARGUMENT_FIELD:
		return find_property(c, name, ret);
	case ARGUMENT_FEATURE:
		*ret = (struct field){.kind = FIELD_FEATURE, .feature = name};
		return 0;
	case ARGUMENT_SIZE:
	case ARGUMENT_USAGE:
		break;
	}
	for (unsigned i = 0; i < N_DISKS; i++)
		if (strcmp(name, disk_name((enum disk)i)) == 0) {
			*ret = (struct field){.disk = (enum disk)i};
			ret->kind = asked->kind == ARGUMENT_SIZE ? FIELD_SIZE : FIELD_USAGE;
			return 0;
		}
	return no_field(c, asked->text);
}

static uint64_t disk_usage(struct looks *l, const struct qube *q)
{
	uint64_t sum = 0, one;

	for (unsigned i = 0; i < N_DISKS; i++)
		if (looks_usage(l, q, (enum disk)i, &one))
			sum += one;
	return sum;
}

/* @l: what was seen on disk */
static void put_field(struct call *c, const struct qube *q, const struct field *f, struct looks *l)
{
	const struct pair *feature;
	struct memory_figures figures;
	char buf[PROPERTY_BUF];
	uint64_t usage;

	switch (f->kind) {
	case FIELD_PROPERTY:
		if (property_has(q, f->property)) {
			const char *s =
				property_show(c->d->model, f->property,
					      property_raw(c->d->model, q, f->property, buf, NULL));

			text_bytes(&c->out, s, strlen(s));
		}
		break;
	case FIELD_STATE:
		text_add(&c->out, "%s", power_state_name(q));
		break;
	case FIELD_TAGS:
		for (const struct pair *p = q->tags; p; p = p->next)
			text_add(&c->out, "%s%s", p->key, p->next ? " " : "");
		break;
	case FIELD_MEMORY:
		if (power_memory_kib(q) > 0)
			text_add(&c->out, "%" PRIu64, power_memory_kib(q));
		break;
	case FIELD_ASSIGNED:
		if (q->qid == 0)
			text_add(&c->out, "%" PRIu64, c->d->model->machine.memory_mib * 1024);
		else if (memory_figures(c->d, q, &figures))
			text_add(&c->out, "%" PRIu64, figures.assigned);
		break;
	case FIELD_DISK:
		if (q->qid != 0)
			text_add(&c->out, "%" PRIu64, disk_usage(l, q));
		break;
	case FIELD_CPUTIME:
		if (q->power)
			text_add(&c->out, "%" PRIu64, power_cputime_ms(q));
		break;
	case FIELD_SIZE:
		if (q->volumes[f->disk].pool)
			text_add(&c->out, "%" PRIu64, model_volume_size(c->d->model, q, f->disk));
		break;
	case FIELD_USAGE:
		if (looks_usage(l, q, f->disk, &usage))
			text_add(&c->out, "%" PRIu64, usage);
		break;
	case FIELD_FEATURE:
		feature = pair_find(q->features, f->feature);
		text_add(&c->out, "%s", feature ? feature->value : "");
		break;
	case FIELD_MENU:
		if (q->documents[DOCUMENT_MENU])
			text_add(&c->out, "%zu", strlen(q->documents[DOCUMENT_MENU]));
		break;
	}
}

/* The columns a call asks for. */
struct fields {
	struct field at[ARGUMENT_FIELDS_MAX];
	struct argument_field asked[ARGUMENT_FIELDS_MAX];
	unsigned n;
};

static int parse_fields(struct call *c, unsigned max, struct fields *ret)
{
	static const char default_fields[] = "name\nstate\nklass\nlabel\ntemplate\nnetvm";
	const bool any = c->q.payload_len > 0;
	int r = argument_fields_decode(any ? c->payload : default_fields,
				       any ? c->q.payload_len : strlen(default_fields), max,
				       ret->asked, &ret->n);

	if (r == ARGUMENT_E_MANY)
		return refuse(&c->why, "ProtocolError", "at most %u fields can be had", max);
	if (r > 0)
		return refuse(&c->why, "QubesNoSuchPropertyError",
			      "the payload is names of fields, each on a line of its own");
	for (unsigned i = 0; i < ret->n; i++) {
		r = find_field(c, &ret->asked[i], &ret->at[i]);
		if (r != 0)
			return r;
	}
	return 0;
}

/* the volumes whose disk usage @f is about: bits of enum disk */
static unsigned disks_of(const struct fields *f)
{
	unsigned disks = 0;

	for (unsigned i = 0; i < f->n; i++) {
		if (f->at[i].kind == FIELD_USAGE)
			disks |= 1U << f->at[i].disk;
		else if (f->at[i].kind == FIELD_DISK)
			disks |= (1U << N_DISKS) - 1;
	}
	return disks;
}

/* what it is about may have gone while a job looked */
static int find_again(struct call *c)
{
	struct qube *q = model_get(c->d->model, c->dest_qid);

	if (!q || q->hidden || !str_eq(q->name, c->dest_name))
		return refuse(&c->why, "QubesVMNotFoundError", "there is no qube '%s'",
			      c->dest_name);
	c->dest = q;
	return 0;
}

static bool is_asked_about(const struct call *c, const struct qube *q)
{
	return !q->hidden && (c->dest_qid == 0 || q->qid == c->dest_qid);
}

static void add_looks(struct looks *l, const struct call *c, unsigned disks)
{
	const struct model *m = c->d->model;

	for (size_t i = 0; i < m->n_qubes; i++) {
		const struct qube *q = m->by_name[i];

		for (unsigned k = 0; k < N_DISKS && is_asked_about(c, q); k++)
			if (disks & 1U << k && q->volumes[k].pool)
				looks_add(l, q, (enum disk)k, LOOK_USAGE);
	}
}

/* look at all volumes that @f is about, then go on with @fn */
static int look_first(struct call *c, const struct fields *f, looks_fn fn)
{
	struct looks *l = looks_new(c, fn, NULL);
	const unsigned disks = disks_of(f);

	if (!l)
		return -ENOMEM;
	if (disks != 0)
		add_looks(l, c, disks);
	return looks_go(l);
}

static int list(struct call *c, struct looks *l)
{
	static struct fields fields;
	const struct model *m = c->d->model;
	int r = find_again(c);

	r = r == 0 ? parse_fields(c, ARGUMENT_FIELDS_MAX, &fields) : r;
	if (r != 0)
		return r;
	for (unsigned i = 0; i < fields.n; i++)
		text_add(&c->out, "%s%s", i > 0 ? "\t" : "", fields.asked[i].text);
	text_add(&c->out, "\n");
	for (size_t i = 0; i < m->n_qubes; i++) {
		const struct qube *q = m->by_name[i];

		if (!is_asked_about(c, q))
			continue;
		for (unsigned k = 0; k < fields.n; k++) {
			if (k > 0)
				text_bytes(&c->out, "\t", 1);
			put_field(c, q, &fields.at[k], l);
		}
		text_bytes(&c->out, "\n", 1);
	}
	return 0;
}

static void list_looked(struct call *c, struct looks *l, void *data)
{
	(void)data;
	call_end(c, list(c, l));
}

int bulkhead_list(struct call *c)
{
	static struct fields fields;
	int r = parse_fields(c, ARGUMENT_FIELDS_MAX, &fields);

	return r == 0 ? look_first(c, &fields, list_looked) : r;
}

/* An event that is too long: its longest value is cut, and ends in "...". @values are memory of ours. */
static bool cut_longest(unsigned n, char *const *values)
{
	static const char marker[] = "...";
	unsigned longest = 0;
	size_t len;

	for (unsigned i = 1; i < n; i++)
		if (strlen(values[i]) > strlen(values[longest]))
			longest = i;
	len = n > 0 ? strlen(values[longest]) : 0;
	if (len < 2 * sizeof(marker))
		return false;
	memcpy(values[longest] + len * 3 / 4 - strlen(marker), marker, sizeof(marker));
	return true;
}

/* the event "qube": how @q is now */
static int send_qube(struct call *c, const struct qube *q, const struct fields *f, struct looks *l)
{
	static uint8_t buf[ADMIN_MAX_EVENT];
	const unsigned n = f->n;
	struct admin_event e = {.subject = q->name, .name = "qube", .n = n};
	size_t at[ADMIN_MAX_KEYS], len;
	char *values[ADMIN_MAX_KEYS];
	int r;

	if (!c->client)
		return -EPIPE;
	c->out.len = 0;
	for (unsigned i = 0; i < n; i++) {
		at[i] = c->out.len;
		put_field(c, q, &f->at[i], l);
		text_bytes(&c->out, "", 1);
	}
	if (c->out.failed)
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++) {
		e.keys[i] = f->asked[i].text;
		e.values[i] = values[i] = c->out.at + at[i];
	}
	while ((r = admin_event_encode(&e, buf, sizeof(buf), &len)) == ADMIN_E_LONG &&
	       cut_longest(n, values))
		;
	if (r != 0) /* a key is not text, or there are too many long ones */
		return refuse(&c->why, "QubesException",
			      "what '%s' has to say does not fit into one event: ask for fewer "
			      "fields",
			      q->name);
	return client_send(c->client, buf, len) ? 0 : -EPIPE;
}

/* Nothing happens between the snapshot and the first event that is heard: all of it is this turn. */
static int snapshot(struct call *c, struct looks *l)
{
	static const struct admin_event settled = {.subject = "", .name = "settled"};
	static struct fields fields;
	const struct model *m = c->d->model;
	uint8_t buf[64];
	size_t len;
	int r = c->client ? find_again(c) : -EPIPE;

	r = r == 0 ? parse_fields(c, ADMIN_MAX_KEYS, &fields) : r;
	if (r != 0)
		return r;
	r = event_begin(c, TOPIC_EVENTS);
	for (size_t i = 0; r == 0 && i < m->n_qubes; i++) {
		const struct qube *q = m->by_name[i];

		if (is_asked_about(c, q))
			r = send_qube(c, q, &fields, l);
	}
	if (r == 0)
		r = fault(admin_event_encode(&settled, buf, sizeof(buf), &len));
	if (r == 0 && c->client && client_send(c->client, buf, len))
		client_allow(c->client);
	return r;
}

static void snapshot_looked(struct call *c, struct looks *l, void *data)
{
	int r = snapshot(c, l);

	(void)data;
	if (r != 0 && r != -EPIPE)
		call_end(c, r);
	else
		call_drop(c);
}

int bulkhead_events(struct call *c)
{
	static struct fields fields;
	int r = parse_fields(c, ADMIN_MAX_KEYS, &fields);

	return r == 0 ? look_first(c, &fields, snapshot_looked) : r;
}

int bulkhead_status(struct call *c)
{
	const struct qubesd *d = c->d;
	struct rusage usage = {0};
	size_t n_qubes = 0, n_running = 0, n_full = 0;
	unsigned percent = 0;
	const char *fullest = room_least(c->d, &percent);

	for (size_t i = 0; i < d->model->n_qubes; i++) {
		n_qubes += d->model->by_name[i]->klass != KLASS_ADMIN;
		n_running += d->model->by_name[i]->power != NULL;
		n_full += power_is_full(d->model->by_name[i]);
	}
	(void)getrusage(RUSAGE_SELF, &usage);
	text_add(
		&c->out,
		"version=%s\npid=%d\nuptime_ms=%" PRIu64 "\ncpu_us=%" PRIu64
		"\nn_qubes=%zu\nn_running=%zu\nn_jobs=%u\nn_jobs_waiting=%u\nn_clients=%u\nn_streams=%u\nfullest_pool=%s\nfullest_percent=%u\nn_full=%zu\nhome=%s\n",
		BULKHEAD_VERSION, getpid(), io_now_ms() - d->started_ms,
		(uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
			(uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec),
		n_qubes, n_running, d->n_jobs, d->n_jobs_waiting, d->n_clients,
		d->n_streams[TOPIC_EVENTS], fullest ? fullest : "", percent, n_full,
		d->paths.state);
	return 0;
}

int bulkhead_quit(struct call *c)
{
	power_autostart_again(c->d);
	return sd_event_exit(c->d->event, 0);
}

int bulkhead_store(struct call *c)
{
	struct stat st;

	/* a pipe would let a client hold us up */
	if (c->fd < 0 || fstat(c->fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size != 0)
		return refuse(&c->why, "ProtocolError",
			      "an empty regular file for the store comes along as a descriptor");
	return store_snapshot(c->d->store, c->fd);
}
