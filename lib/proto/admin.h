/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * The Admin API's frames: one request, and the answers, exceptions and events that come back. The
 * bytes are in doc/protocol/admin.md. Both sides use this codec: qubesd and whatever talks to it.
 *
 * Decoded strings of a request are copies in the struct; those of answers and events point into the
 * bytes that were decoded. All are NUL-terminated.
 */
#include "base/attr.h"

#define ADMIN_MAX_REQUEST 65536 /* bytes of a whole request */
#define ADMIN_MAX_EVENT   65536 /* bytes of one event */
#define ADMIN_MAX_METHOD  63
#define ADMIN_MAX_ARG     511
#define ADMIN_MAX_NAME    63 /* of a qube as written in a header: a name or uuid:... */
#define ADMIN_MAX_TYPE    63 /* of an exception */
#define ADMIN_MAX_KEYS    32
#define ADMIN_MAX_ARGS    8

/** enum admin_outcome */
enum admin_outcome {
	ADMIN_E_FORMAT = 1, /* no such frame: the connection is closed without an answer */
	ADMIN_E_LONG,       /* a well-formed frame with a field longer than this codec carries */
	ADMIN_E_MORE,       /* the bytes so far are the beginning of a frame */
};

/**
 * struct admin_request - one call
 * @source, @dest:	a qube's name or "uuid:" and 36 characters; `keyword adminvm` has become
 *			"dom0". Printable ASCII without spaces, otherwise unchecked.
 * @payload:		borrowed; any bytes
 */
struct admin_request {
	char method[ADMIN_MAX_METHOD + 1];
	char arg[ADMIN_MAX_ARG + 1];
	char source[ADMIN_MAX_NAME + 1];
	char dest[ADMIN_MAX_NAME + 1];
	const uint8_t *payload;
	size_t payload_len;
};

/** admin_request_decode() - a whole request. Return: 0; ADMIN_E_FORMAT, ADMIN_E_LONG */
MUST_CHECK int admin_request_decode(const void *bytes, size_t len, struct admin_request *ret);

/**
 * admin_request_encode() - write a request to @buf
 *
 * Return: 0 with the length in @ret_len; ADMIN_E_FORMAT if a field holds what a header cannot carry
 * (a space, a control character; '+' in the method); ADMIN_E_LONG if it does not fit @size or
 * ADMIN_MAX_REQUEST.
 */
MUST_CHECK int admin_request_encode(const struct admin_request *q, void *buf, size_t size,
				    size_t *ret_len);

/** enum admin_kind - the first byte of what comes back */
enum admin_kind { ADMIN_OK = '0', ADMIN_EVENT = '1', ADMIN_EXCEPTION = '2' };

/**
 * struct admin_answer - a call's end: a result, or an exception
 * @body:	ADMIN_OK: @body_len result bytes (not NUL-terminated)
 * @type:	ADMIN_EXCEPTION: its name; @format and @args make its text: admin_answer_text()
 */
struct admin_answer {
	enum admin_kind kind;
	const uint8_t *body;
	size_t body_len;
	const char *type, *traceback, *format;
	const char *args[ADMIN_MAX_ARGS];
	unsigned n_args;
};

/**
 * admin_answer_decode() - all bytes up to the end of the connection
 *
 * Return: 0; ADMIN_E_FORMAT (events are not answers, see admin_event_decode()); ADMIN_E_LONG for
 * more than ADMIN_MAX_ARGS arguments or a type longer than ADMIN_MAX_TYPE.
 */
MUST_CHECK int admin_answer_decode(const void *bytes, size_t len, struct admin_answer *ret);

/**
 * admin_answer_text() - an exception's text: its format with the arguments put in
 *
 * %% is a percent sign, %s, %d and %r take the next argument; everything else stays as it is. What
 * does not fit @size is cut. Returns @to.
 */
const char *admin_answer_text(const struct admin_answer *a, char *to, size_t size);

/**
 * admin_exception_encode() - an exception with a finished text, whose percent signs are doubled
 *
 * Return: the length; a text that does not fit @size is cut. @size is at least 128.
 */
size_t admin_exception_encode(const char *type, const char *text, void *buf, size_t size);

/** struct admin_event - one event of a stream: @n keys and their values */
struct admin_event {
	const char *subject, *name;
	const char *keys[ADMIN_MAX_KEYS], *values[ADMIN_MAX_KEYS];
	unsigned n;
};

/**
 * admin_event_decode() - the event that the bytes begin with
 *
 * Return: 0 with its length in @ret_len; ADMIN_E_MORE; ADMIN_E_FORMAT, also for one longer than
 * ADMIN_MAX_EVENT, and for an answer (whose first byte is not ADMIN_EVENT: it ends the stream, take
 * all bytes to the end of the connection to admin_answer_decode()).
 */
MUST_CHECK int admin_event_decode(const void *bytes, size_t len, struct admin_event *ret,
				  size_t *ret_len);

/** admin_event_encode() - Return: 0 with the length in @ret_len; ADMIN_E_LONG; ADMIN_E_FORMAT for
 * an empty key */
MUST_CHECK int admin_event_encode(const struct admin_event *e, void *buf, size_t size,
				  size_t *ret_len);
