/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * One call of the Admin API: who asks, what, about whom; and its answer.
 *
 * A handler returns 0: answered, the result is in @out; REFUSED: @why says it; CALL_LATER: somebody
 * will call call_end(); < 0: a fault, told to the client as such. A call whose client has gone goes
 * on: what was begun is finished.
 */
#include "api/text.h"
#include "base/attr.h"
#include "proto/admin.h"
#include "store/refusal.h"
#include "store/store.h"

enum { CALL_LATER = 2 };

struct client;
struct qubesd;
struct method;

struct call {
	struct qubesd *d;
	struct client *client; /* NULL: gone */
	const struct method *method;
	struct admin_request q; /* its payload is a copy: @payload, NUL-terminated */
	char *payload;
	struct qube *source, *dest; /* for handlers, not for later: qubes come and go */
	unsigned dest_qid;
	unsigned source_qid; /* 0 also if it is qubesd's own, and nobody's wish */
	char dest_name[QUBE_NAME_MAX + 1];
	int fd; /* that came along, or NO_FD */
	struct text out;
	struct refusal why;
	struct call *next; /* in a list of whoever will answer it */
	bool changed;      /* something that decisions may depend on */
	uint32_t serial;   /* while policyd_holds() it, with @result */
	int result;
	void (*ended)(void *data,
		      const struct refusal *why); /* of qubesd's own, without a client */
	void (*abandoned)(void *ended_data); /* its client has gone; the call may be freed in it */
	void *ended_data;
};

MUST_CHECK int call_new(struct qubesd *d, struct client *client, const struct admin_request *q,
			int *fd, struct call **ret);
/** call_run() - look at it and hand it to its handler; answers it unless that is for later */
void call_run(struct call *c);
/** call_end() - answer with a handler's result (0, REFUSED, < 0) and free it; what it changed is
 * known to policyd before */
void call_end(struct call *c, int r);
/** call_finish() - the same without waiting for policyd */
void call_finish(struct call *c, int r);
/** call_drop() - no answer will come: its client, if there, is on its own; frees the call */
void call_drop(struct call *c);
/** call_abandon() - its client has gone */
void call_abandon(struct call *c);
/** call_progress() - an event "progress" on the call's own stream; nothing for calls without one */
void call_progress(struct call *c, const char *stage, const char *text, uint64_t done,
		   uint64_t total);
/** call_refuse_many() - it is a job, and too many wait already (JOB_E_MANY) */
int call_refuse_many(struct call *c);
/** call_apply() - store_apply(), with what goes wrong made a refusal */
MUST_CHECK int call_apply(struct call *c, struct changes *changes);
