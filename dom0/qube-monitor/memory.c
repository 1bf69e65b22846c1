/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory of a qube that has a device for more: what it has, what it says that it could still use, and who is told.
 *
 * QEMU tells by itself what the guest has; what the guest says of itself is asked for every POLL_US. All may be lies:
 * sizes are held within what there can be at most, and decide nothing here.
 */
#include "qube-monitor.h"

#include "base/log.h"

#define POLL_US     (UINT64_C(2) * 1000 * 1000)
#define TELL_GAP_US (UINT64_C(200) * 1000)
/* a change that is smaller, as a part of what it started with, nobody is told of */
#define SMALL_PART 64

static int on_gap_end(sd_event_source *source, uint64_t usec, void *data)
{
	struct monitor *m = data;

	(void)source, (void)usec;
	m->memory.gap = sd_event_source_disable_unref(m->memory.gap);
	if (m->memory.untold)
		memory_changed(m);
	return 0;
}

void memory_changed(struct monitor *m)
{
	struct memory *mem = &m->memory;

	mem->untold = true;
	if (mem->gap || sd_event_add_time_relative(m->event, &mem->gap, CLOCK_MONOTONIC,
						   TELL_GAP_US, 0, on_gap_end, m) < 0)
		return;
	mem->untold = false;
	mem->told_available = mem->now.available;
	mem->told_swapped_out = mem->now.swapped_out;
	clients_tell_memory(m);
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static uint64_t min_of(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void set_available(struct memory *mem)
{
	mem->now.available = mem->used == MONITOR_UNKNOWN
				     ? MONITOR_UNKNOWN
				     : less(mem->now.base + mem->now.has, mem->used);
}

void memory_has(struct monitor *m, uint64_t bytes)
{
	struct memory *mem = &m->memory;

	mem->now.has = min_of(bytes, mem->now.most);
	set_available(mem);
	if (mem->now.most > 0)
		memory_changed(m);
}

/* What it used when it spoke: by the memory that it had then, since what QEMU says of that may be seconds newer. A guest that does
 * not say how much it had is taken to have had what it has. A guest without the driver has said nothing, which is all ones. */
static uint64_t used_of(struct memory *mem, const struct qmp_msg *msg)
{
	const uint64_t all = mem->now.base + mem->now.has, most = mem->now.base + mem->now.most;

	if (msg->available == UINT64_MAX)
		return MONITOR_UNKNOWN;
	if (msg->total == 0 || msg->total == UINT64_MAX)
		return less(all, msg->available);
	if (mem->used == MONITOR_UNKNOWN)
		mem->hidden = less(all, msg->total);
	return min_of(mem->hidden + min_of(less(msg->total, msg->available), most), most);
}

void memory_said(struct monitor *m, const struct qmp_msg *msg)
{
	struct memory *mem = &m->memory;
	struct monitor_memory *now = &mem->now;
	const uint64_t told = mem->told_available;
	uint64_t moved;

	mem->used = used_of(mem, msg);
	set_available(mem);
	if (msg->swapped_out != UINT64_MAX && msg->swapped_out > now->swapped_out)
		now->swapped_out = msg->swapped_out;
	moved = told > now->available ? told - now->available : now->available - told;
	if (moved > now->base / SMALL_PART ||
	    now->swapped_out - mem->told_swapped_out > now->base / SMALL_PART)
		memory_changed(m);
}

static int on_poll(sd_event_source *source, uint64_t usec, void *data)
{
	struct monitor *m = data;

	(void)source, (void)usec;
	if (m->stage == MONITOR_READY && m->state == MONITOR_RUNNING)
		qemu_ask_memory(m);
	m->memory.poll = sd_event_source_disable_unref(m->memory.poll);
	return memory_serve(m);
}

int memory_serve(struct monitor *m)
{
	if (m->memory.now.most == 0)
		return 0;
	return sd_event_add_time_relative(m->event, &m->memory.poll, CLOCK_MONOTONIC, POLL_US,
					  POLL_US / 4, on_poll, m);
}

void memory_done(struct monitor *m)
{
	m->memory.poll = sd_event_source_disable_unref(m->memory.poll);
	m->memory.gap = sd_event_source_disable_unref(m->memory.gap);
}
