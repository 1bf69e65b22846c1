/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/stats.h"

#include "api/call.h"
#include "api/event.h"
#include "api/method.h"
#include "base/io.h"
#include "base/log.h"
#include "base/machine.h"
#include "power/memory.h"
#include "power/power.h"
#include "qubesd.h"
#include "store/property.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct sample {
	uint64_t cpu_ms, at_ms; /* @at_ms 0: none yet */
	unsigned xid;           /* of that start */
};

struct stats {
	sd_event_source *timer;
	struct sample last[QID_MAX + 1];
};

/* what this machine's programs use, QEMU's too: dom0 is all of it */
static void measure_dom0(uint64_t *memory_kib, uint64_t *cpu_ms)
{
	AUTO_FREE char *stat = NULL;
	struct machine_memory host;
	const char *at;
	uint64_t ticks = 0;

	*memory_kib = 0;
	*cpu_ms = 0;
	if (machine_memory(&host) == 0)
		*memory_kib = host.total_kib - host.available_kib;
	if (io_read_file(AT_FDCWD, "/proc/stat", 1 << 20, &stat, NULL) < 0 ||
	    !str_starts(stat, "cpu "))
		return;
	at = stat + strlen("cpu ");
	for (unsigned i = 0; i < 7; i++) {
		char *end;
		uint64_t n = strtoull(at, &end, 10);

		at = end;
		if (i != 3 && i != 4) /* idle, and waiting for disks */
			ticks += n;
	}
	*cpu_ms = ticks * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

static unsigned usage_percent(struct sample *last, unsigned xid, uint64_t cpu_ms, uint64_t now_ms,
			      uint64_t n_cpus)
{
	uint64_t percent = 0;

	if (last->at_ms > 0 && last->xid == xid && now_ms > last->at_ms && cpu_ms > last->cpu_ms)
		percent = (cpu_ms - last->cpu_ms) * 100 / (now_ms - last->at_ms) / n_cpus;
	*last = (struct sample){cpu_ms, now_ms, xid};
	return percent < 100 ? (unsigned)percent : 100;
}

static void tell(struct qubesd *d, const struct qube *q, uint64_t now_ms)
{
	const struct model *m = d->model;
	static const char *const keys[] = {"memory_kb",
					   "memory_assigned_total",
					   "memory_assigned_usable",
					   "memory_with_swap_used",
					   "cpu_time",
					   "cpu_usage",
					   "online_vcpus"};
	struct admin_event e = {.subject = q->name, .name = "vm-stats", .n = ARRAY_LEN(keys)};
	uint64_t memory_kib = power_memory_kib(q), cpu_ms = power_cputime_ms(q), n_cpus;
	struct memory_figures f = {0};
	char values[ARRAY_LEN(keys)][24];
	uint8_t buf[512];
	size_t len;

	(void)memory_figures(d, q, &f);
	n_cpus = (uint64_t)property_int(m, q, PROP_vcpus);
	if (q->qid == 0) {
		measure_dom0(&memory_kib, &cpu_ms);
		f.assigned = m->machine.memory_mib * 1024;
		n_cpus = m->machine.n_cpus;
	}
	if (n_cpus == 0)
		n_cpus = 1;
	const uint64_t numbers[ARRAY_LEN(keys)] = {
		memory_kib, f.assigned,
		f.assigned, f.known ? f.used : memory_kib,
		cpu_ms,     usage_percent(&d->stats->last[q->qid], q->xid, cpu_ms, now_ms, n_cpus),
		n_cpus};
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		(void)snprintf(values[i], sizeof(values[i]), "%" PRIu64, numbers[i]);
		e.keys[i] = keys[i];
		e.values[i] = values[i];
	}
	if (admin_event_encode(&e, buf, sizeof(buf), &len) == 0)
		clients_publish(d, TOPIC_STATS, q, buf, len);
}

static int on_time(sd_event_source *s, uint64_t usec, void *data);

static int timer_set(struct qubesd *d, uint64_t seconds)
{
	d->stats->timer = sd_event_source_disable_unref(d->stats->timer);
	return sd_event_add_time_relative(d->event, &d->stats->timer, CLOCK_MONOTONIC,
					  seconds * 1000000, 1000, on_time, d);
}

static int on_time(sd_event_source *s, uint64_t usec, void *data)
{
	struct qubesd *d = data;
	const struct model *m = d->model;
	const uint64_t now_ms = io_now_ms();
	char buf[PROPERTY_BUF];
	uint64_t seconds;
	int r;

	(void)s, (void)usec;
	if (d->n_streams[TOPIC_STATS] == 0) {
		stats_done(d);
		return 0;
	}
	for (size_t i = 0; i < m->n_qubes; i++)
		if (!m->by_name[i]->hidden &&
		    (m->by_name[i]->qid == 0 || str_eq(power_state_name(m->by_name[i]), "Running")))
			tell(d, m->by_name[i], now_ms);
	if (str_u64(global_text(m, GLOBAL_stats_interval, buf), INT32_MAX, &seconds) < 0)
		seconds = 3;
	r = timer_set(d, seconds);
	if (r < 0)
		log_err(NULL, "what qubes use is not told any more: %s", log_errno_str(r));
	return 0;
}

void stats_done(struct qubesd *d)
{
	if (!d->stats)
		return;
	sd_event_source_disable_unref(d->stats->timer);
	free(d->stats);
	d->stats = NULL;
}

int stats_subscribe(struct call *c)
{
	int r = 0;

	if (!c->d->stats) {
		c->d->stats = calloc(1, sizeof(*c->d->stats));
		r = c->d->stats ? timer_set(c->d, 0) : -ENOMEM;
	}
	return r < 0 ? r : event_stream(c, TOPIC_STATS);
}
