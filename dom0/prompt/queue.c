/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "queue.h"

#include <assert.h>
#include <string.h>

static bool is_recent(uint64_t then_ms, uint64_t now_ms)
{
	return then_ms != 0 && now_ms - then_ms < QUEUE_QUIET_MS;
}

/* nothing of it needs to be remembered */
static bool is_free(const struct queue_caller *c, uint64_t now_ms)
{
	return c->n == 0 && now_ms >= c->quiet_until_ms &&
	       !is_recent(c->refused_ms[QUEUE_REFUSALS - 1], now_ms);
}

/* by name; else one that is free, or, where all are remembered, the one longest without a turn
 * that asks nothing: at most QUEUE_MAX do */
static struct queue_caller *find(struct queue *q, const char *name, uint64_t now_ms)
{
	struct queue_caller *best = NULL;

	for (size_t i = 0; i < ARRAY_LEN(q->callers); i++) {
		struct queue_caller *c = &q->callers[i];

		if (str_eq(c->name, name))
			return c;
		if (c->n > 0)
			continue;
		if (!best || (is_free(c, now_ms) && !is_free(best, now_ms)) ||
		    (is_free(c, now_ms) == is_free(best, now_ms) && c->shown < best->shown))
			best = c;
	}
	assert(best); /* there are as many places as questions, and we have come for one more */
	*best = (struct queue_caller){0};
	if (str_copy(best->name, sizeof(best->name), name, strlen(name)) < 0)
		best->name[0] = '\0'; /* no name of a qube is longer */
	return best;
}

int queue_add(struct queue *q, struct queue_entry *e, const char *caller, uint64_t now_ms)
{
	struct queue_entry **last = &q->first;
	struct queue_caller *c;

	if (q->n >= QUEUE_MAX)
		return QUEUE_E_FULL;
	c = find(q, caller, now_ms);
	if (now_ms < c->quiet_until_ms)
		return QUEUE_E_QUIET;
	if (c->n >= QUEUE_CALLER_MAX)
		return QUEUE_E_CALLER;
	while (*last)
		last = &(*last)->next;
	*last = e;
	e->next = NULL;
	e->caller = c;
	c->n++;
	q->n++;
	return 0;
}

void queue_remove(struct queue *q, struct queue_entry *e)
{
	struct queue_entry **p = &q->first;

	while (*p && *p != e)
		p = &(*p)->next;
	if (!*p)
		return;
	*p = e->next;
	e->caller->n--;
	e->caller = NULL;
	q->n--;
}

struct queue_entry *queue_show(struct queue *q)
{
	struct queue_entry *best = q->first;

	for (struct queue_entry *e = q->first; e; e = e->next)
		if (e->caller->shown < best->caller->shown)
			best = e;
	if (best)
		best->caller->shown = ++q->turns;
	return best;
}

bool queue_refused(struct queue *q, const struct queue_entry *e, uint64_t now_ms)
{
	struct queue_caller *c = e->caller;

	(void)q;
	memmove(c->refused_ms, c->refused_ms + 1, sizeof(c->refused_ms) - sizeof(c->refused_ms[0]));
	c->refused_ms[QUEUE_REFUSALS - 1] = now_ms;
	if (!is_recent(c->refused_ms[0], now_ms))
		return false;
	c->quiet_until_ms = now_ms + QUEUE_QUIET_MS;
	memset(c->refused_ms, 0, sizeof(c->refused_ms));
	return true;
}
