/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Talking to qubesd (doc/protocol/admin.md): one request per connection. client_call() waits for
 * the answer; a stream gives the events that come before it, and its descriptor to poll.
 */
#include "base/attr.h"

/** struct client_answer - of one call; client_answer_done() frees it */
struct client_answer {
	char *data; /* result bytes, or the exception's text; NUL-terminated */
	size_t len;
	char type[64]; /* exception: "QubesVMNotFoundError"...; empty on success */
};
void client_answer_done(struct client_answer *a);

/** enum client_outcome */
enum client_outcome {
	CLIENT_E_EXCEPTION = 1, /* qubesd refused: type and text are in the answer */
	CLIENT_E_EMPTY,         /* closed without an answer */
	CLIENT_E_FORMAT,        /* an answer that is none */
	CLIENT_E_ANSWER,        /* a stream has come to its answer */
};

/**
 * client_call() - one Admin API call as dom0
 * @socket:	path of qubesd.sock; NULL = this instance's
 * @method:	"admin.vm.Start"
 * @dest:	qube name, or "dom0"
 * @arg:	may be NULL
 * @payload:	@payload_len bytes; may be NULL
 * @fd:		a descriptor to send along (bulkhead.* methods only) or NO_FD; borrowed
 *
 * Events that come before the answer are skipped. Return: 0 or CLIENT_E_EXCEPTION, @ret filled;
 * CLIENT_E_EMPTY, CLIENT_E_FORMAT; -ENOENT or -ECONNREFUSED when qubesd is not running; -EINVAL for
 * a request that cannot be written down (a space in @dest); -E2BIG for one that is too long;
 * -errno. @ret needs client_answer_done() in any case.
 */
MUST_CHECK int client_call(const char *socket, const char *method, const char *dest,
			   const char *arg, const void *payload, size_t payload_len, int fd,
			   struct client_answer *ret);

/**
 * client_open() - send a call and hand over the connected socket, owned by the caller
 *
 * As client_call(), without the answer.
 */
MUST_CHECK int client_open(const char *socket, const char *method, const char *dest,
			   const char *arg, const void *payload, size_t payload_len, int fd,
			   int *ret_fd);

/**
 * struct client_event - one event of a stream; pointers into the reader's buffer, valid until the
 * next call
 * @keys, @values: @n of them
 */
struct client_event {
	const char *subject, *name;
	const char *keys[32], *values[32];
	unsigned n;
};

/** client_event_value() - the value of @key, or NULL */
const char *client_event_value(const struct client_event *e, const char *key);

struct client_events;
/** client_events_new() - a reader of the stream on *@fd, which it takes on success */
MUST_CHECK int client_events_new(int *fd, struct client_events **ret);
/** client_events_fd() - to poll for POLLIN; drain with a timeout of 0 afterwards */
int client_events_fd(const struct client_events *e);
/**
 * client_events_next() - the next event, waiting up to @timeout_ms (-1: for ever)
 *
 * Return: 0; CLIENT_E_ANSWER: all events have come, client_events_answer() has the rest;
 * CLIENT_E_FORMAT; -ETIMEDOUT; -ENODATA at the end of a stream without an answer; -errno.
 */
MUST_CHECK int client_events_next(struct client_events *e, int timeout_ms,
				  struct client_event *ret);
/**
 * client_events_answer() - the answer that ended the stream, after CLIENT_E_ANSWER; once
 *
 * Return: as client_call().
 */
MUST_CHECK int client_events_answer(struct client_events *e, struct client_answer *ret);
void client_events_free(struct client_events *e);
