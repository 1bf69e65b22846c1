/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What Bulkhead adds to the Admin API; doc/protocol/admin.md. */
#include "api/call.h"
#include "api/event.h"
#include "api/method.h"
#include "base/log.h"
#include "power/power.h"
#include "qubesd.h"
#include "store/property.h"
#include "version.h"
#include "volume.h"

#include "base/io.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define MAX_FIELDS 64

/* A column of bulkhead.List. */
struct field {
	enum {
		FIELD_PROPERTY,
		FIELD_STATE,
		FIELD_TAGS,
		FIELD_MEMORY,
		FIELD_CPUTIME,
		FIELD_DISK,
		FIELD_SIZE,
		FIELD_USAGE,
		FIELD_FEATURE
	} kind;
	const struct property *property;
	const char *feature;
	enum disk disk; /* of FIELD_SIZE and FIELD_USAGE */
};

static int parse_field(struct call *c, const char *name, struct field *ret)
{
	static const struct {
		const char *name;
		struct field field;
	} others[] = {
		{"state", {.kind = FIELD_STATE}},        {"tags", {.kind = FIELD_TAGS}},
		{"memory_used", {.kind = FIELD_MEMORY}}, {"cputime", {.kind = FIELD_CPUTIME}},
		{"disk", {.kind = FIELD_DISK}},
	};

	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (strcmp(others[i].name, name) == 0) {
			*ret = others[i].field;
			return 0;
		}
	if (str_starts(name, "feature:")) {
		*ret = (struct field){.kind = FIELD_FEATURE, .feature = name + strlen("feature:")};
		return 0;
	}
	for (unsigned i = 0; i < N_DISKS; i++) {
		const char *colon = strchr(name, ':');

		if (!colon || strcmp(colon + 1, disk_name((enum disk)i)) != 0)
			continue;
		if (str_starts(name, "size:") || str_starts(name, "usage:")) {
			*ret = (struct field){.kind = name[0] == 's' ? FIELD_SIZE : FIELD_USAGE,
					      .disk = (enum disk)i};
			return 0;
		}
	}
	if (strcmp(name, "class") == 0)
		name = "klass";
	for (unsigned i = 0; i < N_PROPERTIES; i++)
		if (strcmp(property_at(false, i)->name, name) == 0) {
			*ret = (struct field){.kind = FIELD_PROPERTY,
					      .property = property_at(false, i)};
			return 0;
		}
	return refuse(&c->why, "QubesNoSuchPropertyError", "'%s' is no field of a list", name);
}

static bool volume_usage(const struct qubesd *d, const struct qube *q, enum disk disk,
			 uint64_t *ret)
{
	struct volume_place place;
	struct storage_volume v;

	return volume_for_storage(d, q, disk, &place, &v) && storage_usage(&v, ret) == 0;
}

static uint64_t disk_usage(const struct qubesd *d, const struct qube *q)
{
	uint64_t sum = 0, one;

	for (unsigned i = 0; i < N_DISKS; i++)
		if (volume_usage(d, q, (enum disk)i, &one))
			sum += one;
	return sum;
}

static void put_field(struct call *c, const struct qube *q, const struct field *f)
{
	const struct pair *feature;
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
	case FIELD_DISK:
		if (q->qid != 0)
			text_add(&c->out, "%" PRIu64, disk_usage(c->d, q));
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
		if (volume_usage(c->d, q, f->disk, &usage))
			text_add(&c->out, "%" PRIu64, usage);
		break;
	case FIELD_FEATURE:
		feature = pair_find(q->features, f->feature);
		text_add(&c->out, "%s", feature ? feature->value : "");
		break;
	}
}

/* The columns a call asks for, a line each. @text holds @names. */
struct fields {
	struct field at[MAX_FIELDS];
	const char *names[MAX_FIELDS];
	unsigned n;
	char *text;
};

static void fields_done(struct fields *f)
{
	free(f->text);
}

static int parse_fields(struct call *c, unsigned max, struct fields *ret)
{
	static const char default_fields[] = "name\nstate\nklass\nlabel\ntemplate\nnetvm";
	char *rest, *name;
	int r;

	ret->text = strdup(c->q.payload_len > 0 ? c->payload : default_fields);
	if (!ret->text)
		return -ENOMEM;
	rest = ret->text;
	while ((name = strsep(&rest, "\n"))) {
		if (name[0] == '\0' && !rest)
			break; /* the last line may be ended */
		if (ret->n == max)
			return refuse(&c->why, "ProtocolError", "at most %u fields can be had",
				      max);
		r = parse_field(c, name, &ret->at[ret->n]);
		if (r != 0)
			return r;
		ret->names[ret->n++] = name;
	}
	return 0;
}

int bulkhead_list(struct call *c)
{
	struct fields AUTO(fields_done) fields = {0};
	const struct model *m = c->d->model;
	int r = parse_fields(c, MAX_FIELDS, &fields);

	if (r != 0)
		return r;
	for (unsigned i = 0; i < fields.n; i++)
		text_add(&c->out, "%s%s", i > 0 ? "\t" : "", fields.names[i]);
	text_add(&c->out, "\n");
	for (size_t i = 0; i < m->n_qubes; i++) {
		const struct qube *q = m->by_name[i];

		if (q->hidden || (c->dest->qid != 0 && q != c->dest))
			continue;
		for (unsigned k = 0; k < fields.n; k++) {
			if (k > 0)
				text_bytes(&c->out, "\t", 1);
			put_field(c, q, &fields.at[k]);
		}
		text_bytes(&c->out, "\n", 1);
	}
	return 0;
}

/* the event "qube": how @q is now */
static int send_qube(struct call *c, const struct qube *q, const struct fields *f)
{
	static uint8_t buf[ADMIN_MAX_EVENT];
	struct admin_event e = {.subject = q->name, .name = "qube", .n = f->n};
	size_t at[ADMIN_MAX_KEYS], len;

	if (!c->client)
		return -EPIPE;
	c->out.len = 0;
	for (unsigned i = 0; i < f->n; i++) {
		at[i] = c->out.len;
		put_field(c, q, &f->at[i]);
		text_bytes(&c->out, "", 1);
	}
	if (c->out.failed)
		return -ENOMEM;
	for (unsigned i = 0; i < f->n; i++) {
		e.keys[i] = f->names[i];
		e.values[i] = c->out.at + at[i];
	}
	if (admin_event_encode(&e, buf, sizeof(buf), &len) != 0)
		return -E2BIG;
	return client_send(c->client, buf, len) ? 0 : -EPIPE;
}

/* Nothing happens between the snapshot and the first event that is heard: all of it is this turn. */
int bulkhead_events(struct call *c)
{
	static const struct admin_event settled = {.subject = "", .name = "settled"};
	struct fields AUTO(fields_done) fields = {0};
	const struct model *m = c->d->model;
	uint8_t buf[64];
	size_t len;
	int r = parse_fields(c, ADMIN_MAX_KEYS, &fields);

	if (r != 0)
		return r;
	r = event_begin(c, TOPIC_EVENTS);
	for (size_t i = 0; r == 0 && i < m->n_qubes; i++) {
		const struct qube *q = m->by_name[i];

		if (!q->hidden && (c->dest->qid == 0 || q == c->dest))
			r = send_qube(c, q, &fields);
	}
	if (r == 0)
		r = fault(admin_event_encode(&settled, buf, sizeof(buf), &len));
	if (r == 0 && c->client && client_send(c->client, buf, len))
		client_allow(c->client);
	if (r < 0 && r != -EPIPE)
		log_warn(NULL, "a snapshot of the qubes was not sent: %s", log_errno_str(r));
	call_drop(c);
	return CALL_LATER;
}

int bulkhead_status(struct call *c)
{
	const struct qubesd *d = c->d;
	struct rusage usage = {0};
	size_t n_qubes = 0, n_running = 0;

	for (size_t i = 0; i < d->model->n_qubes; i++) {
		n_qubes += d->model->by_name[i]->klass != KLASS_ADMIN;
		n_running += d->model->by_name[i]->power != NULL;
	}
	(void)getrusage(RUSAGE_SELF, &usage);
	text_add(&c->out,
		 "version=%s\npid=%d\nuptime_ms=%" PRIu64 "\ncpu_us=%" PRIu64
		 "\nn_qubes=%zu\nn_running=%zu\nn_jobs=%u\nn_clients=%u\nn_streams=%u\nhome=%s\n",
		 BULKHEAD_VERSION, getpid(), io_now_ms() - d->started_ms,
		 (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
			 (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec),
		 n_qubes, n_running, d->n_jobs, d->n_clients, d->n_streams[TOPIC_EVENTS],
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
