/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Whose question is shown next, and whose is not even kept: pure, time comes in.
 *
 * One question is shown at a time. Callers take turns, so one that asks a lot waits behind all
 * others; of one caller the oldest is shown first. A caller holds at most QUEUE_CALLER_MAX
 * questions, all together QUEUE_MAX. Who was refused, or took back what was shown,
 * QUEUE_REFUSALS times within QUEUE_QUIET_MS is refused without being shown for as long.
 */
#include "base/attr.h"
#include "base/str.h"

#define QUEUE_MAX        32
#define QUEUE_CALLER_MAX 4
#define QUEUE_REFUSALS   3
#define QUEUE_QUIET_MS   60000

/** struct queue_entry - one question; its owner embeds it */
struct queue_entry {
	struct queue_entry *next;
	struct queue_caller *caller;
};

/** struct queue_caller - private to queue.c; one without questions and refusals is free */
struct queue_caller {
	char name[QUBE_NAME_MAX + 1];
	unsigned n;                          /* questions held */
	uint64_t shown;                      /* when its last one was, counted in turns */
	uint64_t refused_ms[QUEUE_REFUSALS]; /* the last ones, oldest first; 0 = none */
	uint64_t quiet_until_ms;
};

/** struct queue - zeroed is empty */
struct queue {
	struct queue_entry *first; /* oldest first */
	unsigned n;
	uint64_t turns;
	/* who is quiet is remembered beside those that ask */
	struct queue_caller callers[2 * QUEUE_MAX];
};

enum queue_outcome {
	QUEUE_E_FULL = 1, /* too many questions in all */
	QUEUE_E_CALLER,   /* too many of this caller */
	QUEUE_E_QUIET,    /* it was refused too often */
};

/** queue_add() - Return: 0; an outcome, and then @e is not in it */
MUST_CHECK int queue_add(struct queue *q, struct queue_entry *e, const char *caller,
			 uint64_t now_ms);
/** queue_remove() - answered or taken back */
void queue_remove(struct queue *q, struct queue_entry *e);
/** queue_show() - whose turn it is, which counts as its caller's; NULL if there is none */
struct queue_entry *queue_show(struct queue *q);
/** queue_refused() - @e was shown and not allowed, or taken back. Return: its caller is quiet from now on */
bool queue_refused(struct queue *q, const struct queue_entry *e, uint64_t now_ms);
