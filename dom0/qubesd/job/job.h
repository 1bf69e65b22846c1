/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * A job: a long operation, as qubesd executed again (`qubesd --job KIND`) with its request and
 * nothing else: no client, no store, no descriptor but those named. It ends with qubesd, and what
 * it had begun is finished or undone at the next start from the operation in the store.
 *
 * There are so many at once; others wait for their turn (job/turn.h). What only looks at a file system is not waited for
 * without end: after a while its client hears so, and the process is left to itself.
 */
#include "base/attr.h"

#include "job/request.h"

struct qubesd;

/** struct job_end - how it went: @type "" = well, else an exception's type and a sentence. @cut_off: it was killed, and can be
 * done again */
struct job_end {
	bool cut_off;
	char type[64];
	char text[768];
};

struct job_events {
	/* may be NULL */
	void (*progress)(void *data, const char *stage, const char *text, uint64_t done,
			 uint64_t total);
	void (*done)(void *data, const struct job_end *end);
};

/** enum job_outcome */
enum job_outcome {
	JOB_E_MANY = 1, /* so many imports or looks wait already that this one is not taken */
};

/**
 * job_start() - start a job, or have it wait for its turn; @events->done is called exactly once if this returns 0, and not
 * before it has returned
 * @request:	borrowed; its descriptors are handed to the job. If it has to wait, it is taken, and empty afterwards
 *
 * Return: 0; JOB_E_MANY, for imports and looks only; -EINVAL: no such kind; -errno.
 */
MUST_CHECK int job_start(struct qubesd *d, const char *kind, struct request *request,
			 const struct job_events *events, void *data);
/** job_waits() - is one with this @data waiting for its turn? */
bool job_waits(const struct qubesd *d, const void *data);
/** job_withdraw() - if so, it never begins: its @events->done is called with a failure; false: there was none */
bool job_withdraw(struct qubesd *d, const void *data);
/** job_abandon() - nobody wants to know any more what the one with this @data looks for: its @events->done is called now, and it
 * ends. For those that change nothing */
void job_abandon(struct qubesd *d, const void *data);
/** jobs_done() - qubesd ends: so do they */
void jobs_done(struct qubesd *d);
