/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * A qube being made or removed.
 *
 * It is made in three steps: it stands in the store, hidden, with the operation "create"; a job
 * makes its volumes; the operation ends and everybody sees it. Cut off in between, the next start
 * of qubesd rolls it back. Removing goes the other way and is finished rather than rolled back.
 */
#include "base/attr.h"

#include "store/model.h"

struct operation;
struct qubesd;
struct refusal;

/**
 * struct wish - what is to be made
 * @template:	of an AppVM or a DispVM, which gets this one's settings, features, tags and firewall
 * @creator:	whose tag created-by-... it gets
 * @dispid:	of a DispVM
 * @cleanup:	a DispVM for one use: it is removed once it is halted
 * @held:	and somebody holds it (disposable.h): the operation "hold" stands in the store
 * @preload:	NULL, or what it is made like: nobody has asked for it (preload/preload.h), and the operation "preload" stands in the store
 */
struct wish {
	enum klass klass;
	char name[QUBE_NAME_MAX + 1];
	unsigned label;
	const struct qube *template, *creator;
	char pools[N_DISKS][64];
	unsigned dispid;
	bool cleanup, held;
	const char *preload;
};

/** struct making_events - @progress may be NULL; @done is called once, @q NULL: it is not there */
struct making_events {
	void (*progress)(void *data, const char *stage, const char *text, uint64_t done,
			 uint64_t total);
	void (*done)(void *data, struct qube *q, const struct refusal *why);
};

/**
 * making_create() - a new qube
 * @ret:	the qube, hidden until @events->done
 *
 * Return: 0: @events->done will be called (a failure may have called it already); REFUSED; -errno.
 */
MUST_CHECK int making_create(struct qubesd *d, const struct wish *w,
			     const struct making_events *events, void *data, struct qube **ret,
			     struct refusal *why);
/**
 * making_remove() - remove @q, which must be halted and nowhere in use
 * @source:	qid of who wants that; 0: dom0, or nobody
 * @traces:	its console's log too
 * @events:	NULL: nobody waits
 *
 * Return: as making_create(); after 0 it is hidden.
 */
MUST_CHECK int making_remove(struct qubesd *d, struct qube *q, unsigned source, bool traces,
			     const struct making_events *events, void *data, struct refusal *why);
/** making_finish() - at start: roll a "create" back, carry a "remove" out */
MUST_CHECK int making_finish(struct qubesd *d, const struct operation *op);
/**
 * making_undo() - remove @q, of which there may be anything on disk; its operation is "create" or "remove"
 * @unseen:	nobody has heard of it: no event tells that it goes
 *
 * Return: 0: @events->done will be called, @q NULL; -errno.
 */
MUST_CHECK int making_undo(struct qubesd *d, struct qube *q, bool unseen,
			   const struct making_events *events, void *data);

/* For import.c, which makes many at once. */
struct changes;
struct request;

/** making_uuid() - a new one into UUID_LEN + 1 bytes; 0 or -errno */
MUST_CHECK int making_uuid(char *to);
/** making_add_volumes() - those of a new qube of @w's class, in @w's pools */
void making_add_volumes(struct changes *changes, const struct wish *w, unsigned qid,
			const char *uuid);
/** making_put_volumes() - for the jobs "create" and "remove" */
void making_put_volumes(struct request *request, const struct qubesd *d, const struct qube *q);
/** making_pools() - in which pools new volumes are made unless somebody says otherwise */
void making_pools(const struct model *m, char pools[N_DISKS][64]);
/** making_show() - @q is whole: everybody sees it, and hears of it */
void making_show(struct qubesd *d, struct qube *q);
