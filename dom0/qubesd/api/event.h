/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Telling subscribers what happened. Nothing here fails: who cannot be told loses the stream. */
#include "base/attr.h"

#include "api/client.h"

struct call;
struct qube;
struct qubesd;

/**
 * event_emit() - an event about a qube (NULL = the system)
 *
 * Behind @name come keys and values in turn, then NULL; a key whose value is NULL is left out, and
 * so are the longest ones of an event that would be too long.
 */
void event_emit(struct qubesd *d, const struct qube *q, const char *name, ...)
	__attribute__((sentinel));

/** event_begin() - the call becomes a stream; what follows is sent to its client, which may be gone. Return: 0;
 * -errno */
MUST_CHECK int event_begin(struct call *c, enum topic topic);
/** event_stream() - the call becomes a stream about its destination, and has no answer; CALL_LATER */
MUST_CHECK int event_stream(struct call *c, enum topic topic);
