/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Zygotes, as qubesd sees them: which are wanted, one being made at a time while nothing starts, and their memory in copies,
 * one for each label. The files are the jobs' business (zygote/zygote.h), who tell what qubesd is to hear as progress:
 *
 *	zygote-wanted NAME	a start found none: make it when there is time
 *	zygote-used NAME	a start is a fork of it
 *	zygote-unused NAME	the copy of the memory is of no use: forget it
 *	zygote-short TEXT	there is not the memory for a copy; the qube boots now
 *	zygote-failed		the fork did not answer; the qube boots now, and for some time after
 *
 * A copy is a memfd: empty when we hand it to a start job, which fills and seals it. We hold it so that the next qube of that
 * label shares it, and nobody else does: not another label, and not who writes (it is mapped privately).
 */
#include "base/attr.h"

struct qube;
struct qubesd;
struct request;
struct call;

/** zygotes_describe() - what the job that starts @q needs to fork it; nothing if it is not to be forked */
void zygotes_describe(struct qubesd *d, const struct qube *q, struct request *request);
/** zygotes_news() - progress @stage of the start of @q; false: it is not about zygotes */
bool zygotes_news(struct qubesd *d, const struct qube *q, const char *stage, const char *text);
/** zygotes_template_changed() - @t has been put away: those made of it are made anew, if any was ever wanted */
void zygotes_template_changed(struct qubesd *d, const struct qube *t);
/** zygotes_xid() - domain id of the one that is being made; 0: none is */
unsigned zygotes_xid(const struct qubesd *d);
/** zygotes_let_go() - memory is short: copies that no running qube shares are given back. Return: there were any */
bool zygotes_let_go(struct qubesd *d);
void zygotes_done(struct qubesd *d);

/** zygote_api_list() - bulkhead.zygote.List (doc/protocol/admin.md) */
MUST_CHECK int zygote_api_list(struct call *c);
