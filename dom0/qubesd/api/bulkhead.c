/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What Bulkhead adds to the Admin API; doc/protocol/admin.md. */
#include "api/call.h"
#include "api/method.h"
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

#define MAX_FIELDS 64

/* A column of bulkhead.List. */
struct field {
	enum {
		FIELD_PROPERTY,
		FIELD_STATE,
		FIELD_TAGS,
		FIELD_MEMORY,
		FIELD_DISK,
		FIELD_FEATURE
	} kind;
	const struct property *property;
	const char *feature;
};

static int parse_field(struct call *c, const char *name, struct field *ret)
{
	static const struct {
		const char *name;
		struct field field;
	} others[] = {
		{"state", {.kind = FIELD_STATE}},
		{"tags", {.kind = FIELD_TAGS}},
		{"memory_used", {.kind = FIELD_MEMORY}},
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

static uint64_t disk_usage(const struct qubesd *d, const struct qube *q)
{
	struct volume_place place;
	struct storage_volume v;
	uint64_t sum = 0, one;

	for (unsigned i = 0; i < N_DISKS; i++)
		if (volume_for_storage(d, q, (enum disk)i, &place, &v) &&
		    storage_usage(&v, &one) == 0)
			sum += one;
	return sum;
}

static void put_field(struct call *c, const struct qube *q, const struct field *f)
{
	const struct pair *feature;
	char buf[PROPERTY_BUF];

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
	case FIELD_FEATURE:
		feature = pair_find(q->features, f->feature);
		text_add(&c->out, "%s", feature ? feature->value : "");
		break;
	}
}

int bulkhead_list(struct call *c)
{
	static const char default_fields[] = "name\nstate\nklass\nlabel\ntemplate\nnetvm";
	AUTO_FREE char *names = strdup(c->q.payload_len > 0 ? c->payload : default_fields);
	struct field fields[MAX_FIELDS];
	char *rest = names, *name;
	const struct model *m = c->d->model;
	unsigned n = 0;
	int r;

	if (!names)
		return -ENOMEM;
	while ((name = strsep(&rest, "\n"))) {
		if (name[0] == '\0' && !rest)
			break; /* the last line may be ended */
		if (n == MAX_FIELDS)
			return refuse(&c->why, "ProtocolError", "a list has at most %u fields",
				      MAX_FIELDS);
		r = parse_field(c, name, &fields[n]);
		if (r != 0)
			return r;
		text_add(&c->out, "%s%s", n > 0 ? "\t" : "", name);
		n++;
	}
	text_add(&c->out, "\n");
	for (size_t i = 0; i < m->n_qubes; i++) {
		const struct qube *q = m->by_name[i];

		if (q->hidden || (c->dest->qid != 0 && q != c->dest))
			continue;
		for (unsigned k = 0; k < n; k++) {
			if (k > 0)
				text_bytes(&c->out, "\t", 1);
			put_field(c, q, &fields[k]);
		}
		text_bytes(&c->out, "\n", 1);
	}
	return 0;
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
	return sd_event_exit(c->d->event, 0);
}
