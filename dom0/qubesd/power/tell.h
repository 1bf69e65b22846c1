/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * What the qube is told, as entries of its QubesDB: of features, service.NAME is /qubes-service/NAME, 1 or 0, and
 * vm-config.NAME is /vm-config/NAME; of properties, those whose row names an entry (TOLD). It gets them at its start
 * (describe.c); what changes while it runs a job writes, since the daemon that holds the entries reads the qube's bytes and
 * might keep us waiting.
 */
#include "base/attr.h"
#include "proto/qubesdb.h"

struct call;
struct qube;
struct qubesd;
struct tell;

/** TELL_MAX, TELL_LEN_MAX - features of a qube that are told, and their bytes: with its other entries they fit the message
 * that starts it (MONITOR_MAX_QDB, MONITOR_MSG_MAX) */
#define TELL_MAX     200
#define TELL_LEN_MAX 65536

/** tell_path() - the entry of a feature; false: it has none, or its name has no room there */
bool tell_path(const char *feature, char to[QDB_PATH_MAX + 1]);
/** tell_value() - of the entry of @feature, whose value is @value */
const char *tell_value(const char *feature, const char *value);
/** tell_is_told() - @feature is of a kind that becomes an entry, whether or not its name has room */
bool tell_is_told(const char *feature);

/**
 * tell_call() - a feature or property @name of @q has changed: its entry follows
 * @c:		answered with 0 once the qube has been told; also if that fails, which the log says
 *
 * Return: 0: nobody is to be told now; CALL_LATER; -errno.
 */
MUST_CHECK int tell_call(struct call *c, struct qube *q, const char *name);
/** tell_qube() - the same, and nobody waits for it. Return: 0; -errno */
MUST_CHECK int tell_qube(struct qubesd *d, struct qube *q, const char *name);

/* For power.c, which keeps what is to be told with the qube that runs. */

/** tell_go() - @q runs: tell it what has changed since its start was described */
void tell_go(struct qubesd *d, struct qube *q);
/** tell_free() - the qube has ended: whoever waits is answered. May be called with NULL */
void tell_free(struct tell *t);
