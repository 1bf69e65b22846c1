/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Talking to qubesd (doc/protocol/admin.md): one request, one answer, blocking; and event streams
 * by descriptor.
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
 * Return: 0 or an outcome, @ret filled; -ENOENT or -ECONNREFUSED when qubesd is not running;
 * -errno.
 */
MUST_CHECK int client_call(const char *socket, const char *method, const char *dest,
			   const char *arg, const void *payload, size_t payload_len, int fd,
			   struct client_answer *ret);

/** client_open() - send a call and hand over the connected socket, for streams; owned by the caller
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
struct client_events;
/** client_events_new() - a reader of the stream on *@fd, which it takes */
MUST_CHECK int client_events_new(int *fd, struct client_events **ret);
/** client_events_next() - the next event, waiting up to @timeout_ms (-1: for ever); -ETIMEDOUT;
 * -ENODATA at the end */
MUST_CHECK int client_events_next(struct client_events *e, int timeout_ms,
				  struct client_event *ret);
void client_events_free(struct client_events *e);
