/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * A job: a long operation, as qubesd executed again (`qubesd --job KIND`) with its request and
 * nothing else: no client, no store, no descriptor but those named. It ends with qubesd, and what
 * it had begun is finished or undone at the next start from the operation in the store.
 */
#include "base/attr.h"

#include "job/request.h"

struct qubesd;

/** struct job_end - how it went: @type "" = well, else an exception's type and a sentence */
struct job_end {
	char type[64];
	char text[768];
};

struct job_events {
	/* may be NULL */
	void (*progress)(void *data, const char *stage, const char *text, uint64_t done,
			 uint64_t total);
	void (*done)(void *data, const struct job_end *end);
};

/**
 * job_start() - start a job; @events->done is called exactly once if this returns 0
 * @request:	borrowed; its descriptors are handed to the job
 */
MUST_CHECK int job_start(struct qubesd *d, const char *kind, struct request *request,
			 const struct job_events *events, void *data);
/** jobs_done() - qubesd ends: so do they */
void jobs_done(struct qubesd *d);
