/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Qubes that are made together, all or none: what bulkhead.Import asks for (doc/protocol/import.md).
 *
 * It is planned on a model of its own (store_trial()), which is the state after the import: each record is judged there by
 * the checks of its call. The plan is two transactions, and between them a job for each qube's volumes.
 */
#include "api/text.h"
#include "base/attr.h"
#include "store/refusal.h"

struct import;
struct qubesd;

/**
 * import_plan() - judge all records
 * @bytes:	@len of them, NUL behind; taken (free) in any case
 * @ret:	owned by the caller
 *
 * Return: 0; REFUSED; -errno.
 */
MUST_CHECK int import_plan(struct qubesd *d, char *bytes, size_t len, struct import **ret,
			   struct refusal *why);
/** import_left_out() - a line for each record that was refused by itself */
const struct text *import_left_out(const struct import *im);
/** import_free() - of a plan that is not carried out; may be called with NULL */
void import_free(struct import *im);

/**
 * import_begin() - carry it out
 * @im:		taken if this returns 0
 * @progress:	a job has begun: the qube it is for, how many are done, of how many
 * @done:	called once; @why NULL: all of it is there, else nothing
 *
 * Return: 0; REFUSED; -errno; and then nothing has changed.
 */
struct import_events {
	void (*progress)(void *data, const char *qube, unsigned n, unsigned of);
	void (*done)(void *data, const struct refusal *why);
};
MUST_CHECK int import_begin(struct import *im, const struct import_events *events, void *data,
			    struct refusal *why);
