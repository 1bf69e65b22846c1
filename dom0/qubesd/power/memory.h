/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Memory of running qubes: looked at every other second, balanced (balance/balance.h), asked back before a start that would not
 * fit. Nothing here waits: qubes are told what to have, and what came of it is seen at the next look.
 */
#include "balance/balance.h"
#include "base/log.h"
#include "store/refusal.h"

struct qube;
struct qubesd;
struct request;

/**
 * struct power_memory - of a qube that is not halted
 * @start_kib:	what it starts with
 * @waits_until_ms: its start waits so long for memory at most; 0: it does not wait
 * @is_balanced:	it can be told what to have, and is to be
 */
struct power_memory {
	struct balance_qube is;
	uint64_t start_kib, waits_until_ms;
	struct log_limit said;
	bool is_balanced, told_stuck;
};

/** struct memory_figures - KiB; @known: the qube has said what it uses */
struct memory_figures {
	uint64_t assigned, most, used;
	bool known;
};
/** memory_figures() - of a running qube; false: it does not run */
bool memory_figures(const struct qubesd *d, const struct qube *q, struct memory_figures *ret);

/** memory_describe() - what the job "start" is told of memory */
void memory_describe(const struct qubesd *d, const struct qube *q, struct request *r);

/** enum memory_outcome - of memory_wait() */
enum memory_outcome { MEMORY_WAITS = 2 };
/**
 * memory_wait() - is there memory for @q, which is to start?
 *
 * Return: 0 there is; MEMORY_WAITS: others are asked for theirs, and power_go_on() is called; REFUSED with @why.
 */
MUST_CHECK int memory_wait(struct qubesd *d, struct qube *q, struct refusal *why);
/** memory_has_room() - so much more is free, without anything being asked back. False also where that is not known */
bool memory_has_room(const struct qubesd *d, uint64_t kib);
/** memory_watch() - a qube runs: look after it from now on */
void memory_watch(struct qubesd *d);
void memory_done(struct qubesd *d);
