/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "power/memory.h"

#include "base/io.h"
#include "base/log.h"
#include "base/machine.h"
#include "job/request.h"
#include "power/power.h"
#include "qubesd.h"
#include "store/model.h"
#include "store/property.h"
#include "vmm/vmm.h"
#include "zygote/zygotes.h"

#include <inttypes.h>
#include <string.h>

#define LOOK_MS     2000
#define HURRY_MS    200             /* while a start waits */
#define PATIENCE_MS UINT64_C(15000) /* a start waits so long for what was asked back */
#define OWN_KIB     65536           /* of QEMU and dom0's daemons, for each qube */
/* left for the host's own programs: a part of its memory, within bounds */
#define RESERVE_PART      16
#define RESERVE_LEAST_KIB (UINT64_C(128) << 10)
#define RESERVE_MOST_KIB  (UINT64_C(1024) << 10)
#define PAGE_KIB          4096 /* what is asked for is a multiple of this */
#define LOUD_KIB          65536

struct memory {
	sd_event_source *timer;
};

/* Qubes that run, then those whose start waits, in the order in which they came. */
struct look {
	struct balance_qube *at;
	struct qube **qubes;
	size_t n, n_running;
	uint64_t room, bound; /* @bound: what the user set; 0: nothing */
	bool balances;
};

static void look_done(struct look *l)
{
	free(l->at);
	free(l->qubes);
}

static uint64_t user_bound_kib(const struct model *m)
{
	char buf[PROPERTY_BUF];
	uint64_t mib;

	return str_u64(global_text(m, GLOBAL_qubes_maxmem, buf), UINT32_MAX, &mib) < 0 ? 0
										       : mib * 1024;
}

static uint64_t clamp(uint64_t v, uint64_t least, uint64_t most)
{
	return v < least ? least : v > most ? most : v;
}

/* what the machine could give to all qubes: what is free, and what they have of it by now */
static uint64_t machine_room(const struct look *l)
{
	struct machine_memory host;
	uint64_t sum, keep;

	if (machine_memory(&host) < 0)
		return BALANCE_MAX;
	sum = host.available_kib;
	keep = clamp(host.total_kib / RESERVE_PART, RESERVE_LEAST_KIB, RESERVE_MOST_KIB) +
	       l->n * OWN_KIB;
	for (size_t i = 0; i < l->n; i++)
		sum += l->at[i].taken;
	return sum > keep ? sum - keep : 0;
}

static uint64_t property_kib(const struct qubesd *d, const struct qube *q, enum property_id id)
{
	const int64_t mib = property_int(d->model, q, id);

	return mib > 0 ? (uint64_t)mib * 1024 : 0;
}

/* one that cannot be given more or less, for the time being */
static void fix(struct balance_qube *b, uint64_t kib)
{
	b->least = b->most = b->has = b->asked = kib;
	b->known = false;
}

/* Return: it has a device for more */
static bool fill(const struct qubesd *d, const struct qube *q, struct power_memory *pm)
{
	const uint64_t maxmem = property_kib(d, q, PROP_maxmem);
	const struct vmm *v = power_vmm(q);
	struct balance_qube *b = &pm->is;
	struct vmm_usage usage = {0};
	struct vmm_memory m;

	if (v && vmm_get_usage(v, &usage) < 0)
		usage = (struct vmm_usage){0};
	b->taken = usage.memory_kib;
	b->cpu_ms = usage.cputime_ms;
	pm->is_balanced = false;
	if (!v || !vmm_get_memory(v, &m)) {
		/* one that an earlier qubesd started says it, but for the time until that is heard; without a machine it waits for
		 * its netvm, and has nothing yet */
		if (v && m.base > 0)
			pm->start_kib = m.base / 1024;
		else if (v && pm->start_kib == 0)
			pm->start_kib = property_kib(d, q, PROP_memory);
		fix(b, pm->start_kib);
		return false;
	}
	pm->start_kib = m.base / 1024;
	b->has = (m.base + m.has) / 1024;
	b->asked = (m.base + m.asked) / 1024;
	/* one that stands still gives nothing and takes nothing */
	if (maxmem == 0 || !str_eq(power_state_name(q), "Running")) {
		const uint64_t asked = b->asked;

		fix(b, b->has);
		b->least = b->most = asked > b->has ? asked : b->has;
		b->asked = asked;
		return true;
	}
	pm->is_balanced = true;
	b->least = pm->start_kib;
	b->most = clamp(maxmem, b->least, b->least + m.most / 1024);
	b->known = m.available != UINT64_MAX;
	b->swapped = m.swapped_out / 1024;
	b->used = b->known && m.available / 1024 < b->has ? b->has - m.available / 1024 : 0;
	return true;
}

static int compare_waiting(const void *a, const void *b)
{
	const struct power_memory *x = power_memory(*(struct qube *const *)a);
	const struct power_memory *y = power_memory(*(struct qube *const *)b);

	return (x->waits_until_ms > y->waits_until_ms) - (x->waits_until_ms < y->waits_until_ms);
}

static int look_at_all(const struct qubesd *d, struct look *ret)
{
	const struct model *m = d->model;
	size_t n_waiting = 0;

	ret->at = calloc(m->n_qubes, sizeof(*ret->at));
	ret->qubes = calloc(m->n_qubes, sizeof(struct qube *));
	if (!ret->at || !ret->qubes)
		return -ENOMEM;
	for (size_t pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < m->n_qubes; i++) {
			const struct power_memory *pm = power_memory(m->by_name[i]);

			if (pm && (pm->waits_until_ms > 0) == (pass == 1))
				ret->qubes[ret->n++] = m->by_name[i];
			if (pass == 0)
				ret->n_running = ret->n;
		}
	n_waiting = ret->n - ret->n_running;
	if (n_waiting > 1)
		qsort(ret->qubes + ret->n_running, n_waiting, sizeof(struct qube *),
		      compare_waiting);
	for (size_t i = 0; i < ret->n; i++) {
		struct power_memory *pm = power_memory(ret->qubes[i]);

		/* also one that is left alone now: it may go on, or have another maxmem, at any time */
		if (fill(d, ret->qubes[i], pm))
			ret->balances = true;
		ret->at[i] = pm->is;
	}
	ret->bound = user_bound_kib(m);
	ret->room = machine_room(ret);
	if (ret->bound > 0 && ret->bound < ret->room)
		ret->room = ret->bound;
	return 0;
}

static void say_change(const struct qube *q, struct power_memory *pm, const struct balance_qube *b,
		       uint64_t target, const struct look *l)
{
	static const char format[] =
		"memory %" PRIu64 " -> %" PRIu64 " MiB: it uses %" PRIu64 " of %" PRIu64
		", moved %" PRIu64 " to its swap just now, all qubes may have %" PRIu64;
	const uint64_t change = target > b->asked ? target - b->asked : b->asked - target;

	pm->said.interval_s = 60;
	pm->said.burst = 10;
	if (change >= LOUD_KIB && log_allowed(&pm->said, q->name))
		log_info(q->name, format, b->asked / 1024, target / 1024, b->used / 1024,
			 b->has / 1024, b->lacks / 1024, l->room / 1024);
	else
		log_debug(q->name, format, b->asked / 1024, target / 1024, b->used / 1024,
			  b->has / 1024, b->lacks / 1024, l->room / 1024);
}

static void carry_out(struct qube *q, const struct balance_qube *b, const struct look *l)
{
	struct power_memory *pm = power_memory(q);
	uint64_t target;
	int r;

	if (!pm->is_balanced) {
		pm->is = *b;
		return;
	}
	if (b->stuck && !pm->told_stuck)
		log_warn(q->name,
			 "gives no memory back: it has %" PRIu64 " MiB and was left %" PRIu64
			 "; if others need it, shut it down or kill it",
			 (b->taken > b->has + BALANCE_OWN ? b->taken : b->has) / 1024,
			 b->asked / 1024);
	pm->told_stuck = b->stuck;
	target = pm->start_kib + (b->target - pm->start_kib) / PAGE_KIB * PAGE_KIB;
	if (target != b->asked) {
		r = vmm_memory(power_vmm(q), (target - pm->start_kib) * 1024);
		if (r < 0)
			log_debug(q->name, "cannot be told of its memory now: %s",
				  log_errno_str(r));
		else
			say_change(q, pm, b, target, l);
	}
	pm->is = *b;
}

/* @kept_kib: what the others cannot be without */
static int refuse_for_want(const struct look *l, const struct qube *q, uint64_t kept_kib,
			   struct refusal *why)
{
	return refuse(
		why, "QubesMemoryError",
		"Not enough memory to start '%s': it needs %" PRIu64 " MiB, and %" PRIu64
		" of the %" PRIu64
		" MiB that qubes may have together (qubes-prefs qubes_maxmem) are in use. Shut "
		"down another qube, or give it less (qvm-prefs %s memory NUMBER)",
		q->name, power_memory(q)->start_kib / 1024, kept_kib / 1024, l->bound / 1024,
		q->name);
}

/* Those that wait go on as soon as there is room for them and all that came before them: one at a time, since what it leads to
 * may change all that we look at. Return: one did */
static bool serve_waiting(const struct look *l, uint64_t now_ms)
{
	for (size_t i = l->n_running; i < l->n; i++) {
		struct power_memory *pm = power_memory(l->qubes[i]);
		const bool fits = balance_missing(l->at, i + 1, l->room) == 0;
		struct refusal why;

		if (!fits && now_ms < pm->waits_until_ms && !power_is_unwanted(l->qubes[i]))
			continue;
		pm->waits_until_ms = 0;
		/* where only the machine sets a bound, the job looks for itself what it can have */
		if (!fits && l->bound > 0 && l->room == l->bound) {
			(void)refuse_for_want(l, l->qubes[i],
					      balance_missing(l->at, l->n_running, 0), &why);
			power_go_on(l->qubes[i], &why);
		} else {
			power_go_on(l->qubes[i], NULL);
		}
		return true;
	}
	return false;
}

static int on_time(sd_event_source *s, uint64_t usec, void *data);

static void timer_set(struct qubesd *d, uint64_t ms)
{
	int r;

	d->memory->timer = sd_event_source_disable_unref(d->memory->timer);
	r = sd_event_add_time_relative(d->event, &d->memory->timer, CLOCK_MONOTONIC, ms * 1000,
				       ms * 100, on_time, d);
	if (r < 0)
		log_err(NULL, "memory is not balanced any more: %s", log_errno_str(r));
}

/* one look: who is to have what. Return: when to look again, in ms; 0 = there is nothing to do */
static uint64_t look(struct qubesd *d)
{
	struct look AUTO(look_done) l = {0};
	const uint64_t now_ms = io_now_ms();

	if (look_at_all(d, &l) < 0)
		return LOOK_MS;
	balance(l.at, l.n, l.room, now_ms);
	for (size_t i = 0; i < l.n; i++)
		carry_out(l.qubes[i], &l.at[i], &l);
	if (l.n > l.n_running)
		return serve_waiting(&l, now_ms) ? 1 : HURRY_MS;
	return l.balances ? LOOK_MS : 0;
}

static int on_time(sd_event_source *s, uint64_t usec, void *data)
{
	struct qubesd *d = data;
	uint64_t ms;

	(void)s, (void)usec;
	ms = look(d);
	if (ms > 0)
		timer_set(d, ms);
	else
		d->memory->timer = sd_event_source_disable_unref(d->memory->timer);
	return 0;
}

static int timer_start(struct qubesd *d, uint64_t ms)
{
	if (!d->memory)
		d->memory = calloc(1, sizeof(*d->memory));
	if (!d->memory)
		return -ENOMEM;
	timer_set(d, ms);
	return 0;
}

int memory_wait(struct qubesd *d, struct qube *q, struct refusal *why)
{
	struct look AUTO(look_done) l = {0};
	struct power_memory *pm = power_memory(q);
	int r;

	pm->start_kib = property_kib(d, q, PROP_memory);
	pm->waits_until_ms = io_now_ms() + PATIENCE_MS;
	r = look_at_all(d, &l);
	if (r == 0 && balance_missing(l.at, l.n, l.room) > 0 && zygotes_let_go(d)) {
		look_done(&l);
		l = (struct look){0};
		r = look_at_all(d, &l);
	}
	if (r == 0 && balance_missing(l.at, l.n, l.room) > 0 &&
	    balance_least(l.at, l.n) <= l.room) {
		r = timer_start(d, 1);
		if (r == 0)
			return MEMORY_WAITS;
	}
	pm->waits_until_ms = 0;
	/* what no asking back would help against: where only the machine sets a bound, the job says it */
	if (r == 0 && l.bound > 0 && l.room == l.bound && balance_least(l.at, l.n) > l.room)
		return refuse_for_want(&l, q, balance_least(l.at, l.n) - pm->start_kib, why);
	return r;
}

bool memory_has_room(const struct qubesd *d, uint64_t kib)
{
	struct look AUTO(look_done) l = {0};

	return look_at_all(d, &l) == 0 && l.room >= kib + OWN_KIB &&
	       balance_missing(l.at, l.n, l.room - kib - OWN_KIB) == 0;
}

void memory_watch(struct qubesd *d)
{
	if ((!d->memory || !d->memory->timer) && timer_start(d, LOOK_MS) < 0)
		log_err(NULL, "memory is not balanced: %s", log_errno_str(-ENOMEM));
}

void memory_done(struct qubesd *d)
{
	if (!d->memory)
		return;
	sd_event_source_disable_unref(d->memory->timer);
	free(d->memory);
	d->memory = NULL;
}

/* ---- what others want to know ---- */

bool memory_figures(const struct qubesd *d, const struct qube *q, struct memory_figures *ret)
{
	struct vmm_memory m;

	if (!power_memory(q))
		return false;
	if (!power_vmm(q) || !vmm_get_memory(power_vmm(q), &m)) {
		const uint64_t kib =
			power_vmm(q) && m.base > 0 ? m.base / 1024 : power_memory(q)->start_kib;

		*ret = (struct memory_figures){
			.assigned = kib > 0 ? kib : property_kib(d, q, PROP_memory)};
		ret->most = ret->assigned;
		return true;
	}
	*ret = (struct memory_figures){.assigned = (m.base + m.has) / 1024,
				       .known = m.available <= m.base + m.has};
	ret->most = clamp(property_kib(d, q, PROP_maxmem), ret->assigned, (m.base + m.most) / 1024);
	ret->used = ret->known ? ret->assigned - m.available / 1024 : 0;
	return true;
}

void memory_describe(const struct qubesd *d, const struct qube *q, struct request *r)
{
	const int64_t memory = property_int(d->model, q, PROP_memory);
	const int64_t maxmem = property_int(d->model, q, PROP_maxmem);
	const int64_t more = maxmem > memory ? maxmem - memory : 0;

	request_put(r, "memory", "%" PRId64, memory);
	request_put(r, "more_memory", "%" PRId64,
		    (more + VMM_MORE_UNIT_MIB - 1) / VMM_MORE_UNIT_MIB * VMM_MORE_UNIT_MIB);
}
