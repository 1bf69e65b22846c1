/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * What a vchand is told on its control socket: the descriptor that comes with a ticket is one
 * stream between this qube and another. The bytes are in doc/protocol/ticket.md.
 */
#include "base/attr.h"

/** TICKET_LEN - bytes of the only message there is, TICKET_ANSWER_LEN of its answer */
#define TICKET_LEN        16
#define TICKET_ANSWER_LEN 4
/** TICKET_DOMID_MAX - largest id of a qube; the smallest is 1 */
#define TICKET_DOMID_MAX 32751
/** TICKET_MAX - that one vchand holds unused at a time */
#define TICKET_MAX 256
/** TICKET_UNUSED_MS - after so long an unused one is void */
#define TICKET_UNUSED_MS 15000
/** TICKET_SILENT_MS - after so long a connection that says nothing is closed */
#ifndef TICKET_SILENT_MS
#define TICKET_SILENT_MS 5000
#endif

/** enum ticket_kind */
enum ticket_kind {
	TICKET_GRANT = 1,  /* with one descriptor: a connected stream socket */
	TICKET_REVOKE = 2, /* without: end the stream, or forget the unused ticket */
	TICKET_VOID = 3,   /* without: forget the unused ticket; a stream goes on */
};

/**
 * struct ticket - which stream
 * @server, @client:	ids of the qubes; one is the qube of the vchand that is told
 */
struct ticket {
	uint8_t kind;
	uint16_t server, client, port;
};

/** enum ticket_outcome */
enum ticket_outcome {
	TICKET_E_FORMAT = 1,
};

/** ticket_decode() - Return: 0; TICKET_E_FORMAT */
MUST_CHECK int ticket_decode(const void *bytes, size_t len, struct ticket *ret);
/** ticket_encode() - write TICKET_LEN bytes at @to. Return: 0; TICKET_E_FORMAT: no such ticket */
MUST_CHECK int ticket_encode(const struct ticket *t, uint8_t *to);
/** ticket_answer_decode() - @ret is 0 or a negative errno. Return: 0; TICKET_E_FORMAT */
MUST_CHECK int ticket_answer_decode(const void *bytes, size_t len, int *ret);
/** ticket_answer_encode() - write TICKET_ANSWER_LEN bytes for result @r (<= 0) at @to */
void ticket_answer_encode(int r, uint8_t *to);
