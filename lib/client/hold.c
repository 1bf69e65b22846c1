/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/hold.h"

#include "base/io.h"
#include "base/log.h"
#include "base/paths.h"
#include "base/str.h"
#include "client/client.h"
#include "proto/admin.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define METHOD   "bulkhead.vm.Disposable"
#define AGAIN_MS 300 /* between attempts to reach qubesd */

struct hold {
	enum hold_state state;
	char socket[UNIX_PATH_MAX + 1];
	char source[ADMIN_MAX_NAME + 1];
	char dest[ADMIN_MAX_NAME + 1]; /* the template, then the disposable */
	struct client_events *events;  /* NULL: not connected */
	uint64_t again_ms;             /* then it is tried to connect */
	char name[64], uuid[64];
	char why[512];
};

static const char bad_name[] = "qubesd gives it a name that is none";

static void disconnect(struct hold *h)
{
	client_events_free(h->events);
	h->events = NULL;
}

static void end(struct hold *h, const char *why)
{
	disconnect(h);
	h->again_ms = 0;
	h->state = HOLD_ENDED;
	(void)snprintf(h->why, sizeof(h->why), "%s", why);
}

/* the request is far smaller than what a new socket takes */
static int request_send(const struct hold *h, int fd)
{
	struct admin_request q = {.method = METHOD, .payload = (const uint8_t *)""};
	char bytes[512];
	size_t len;
	int r;

	memcpy(q.source, h->source, sizeof(q.source));
	memcpy(q.dest, h->dest, sizeof(q.dest));
	r = admin_request_encode(&q, bytes, sizeof(bytes), &len);
	if (r != 0)
		return -EINVAL;
	r = io_write_full(fd, bytes, len);
	if (r == 0 && shutdown(fd, SHUT_WR) < 0)
		r = fail_errno();
	return r;
}

/* 0: connected, or tried again later; else it cannot be */
static int connect_it(struct hold *h)
{
	AUTO_CLOSE int fd = NO_FD;
	int r = io_unix_connect_now(h->socket, SOCK_STREAM, &fd);

	h->again_ms = io_now_ms() + AGAIN_MS;
	if (r == -EAGAIN)
		return 0;
	/* what comes is read when it is there, or to its end */
	if (r == 0)
		r = io_set_nonblock(fd, false);
	if (r == 0)
		r = request_send(h, fd);
	if (r == 0)
		r = client_events_new(&fd, &h->events);
	if (r == 0)
		h->again_ms = 0;
	return r;
}

static int copy(char *to, size_t size, const char *text)
{
	return str_copy(to, size, text, strlen(text));
}

static int find_socket(struct hold *h, const char *socket)
{
	AUTO(paths_done) struct paths paths = {0};
	int r;

	if (socket)
		return copy(h->socket, sizeof(h->socket), socket);
	r = paths_init(&paths, false);
	return r < 0 ? r : str_format(h->socket, sizeof(h->socket), "%s/qubesd.sock", paths.run);
}

int hold_new(const char *socket, const char *source, const char *template, struct hold **ret)
{
	struct hold *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return -ENOMEM;
	r = find_socket(h, socket);
	if (r == 0 && (copy(h->source, sizeof(h->source), source) < 0 ||
		       copy(h->dest, sizeof(h->dest), template) < 0))
		r = -EINVAL;
	if (r == 0)
		r = connect_it(h);
	if (r < 0) {
		hold_free(h);
		return r;
	}
	*ret = h;
	return 0;
}

void hold_free(struct hold *h)
{
	if (!h)
		return;
	disconnect(h);
	free(h);
}

int hold_fd(const struct hold *h)
{
	return h->events ? client_events_fd(h->events) : NO_FD;
}

int hold_timeout_ms(const struct hold *h)
{
	const uint64_t now = io_now_ms();

	if (h->again_ms == 0)
		return -1;
	return h->again_ms > now ? (int)(h->again_ms - now) : 0;
}

/* from now on it is this one that is held, also after qubesd was away */
static void note(struct hold *h, const struct client_event *e)
{
	const char *name = client_event_value(e, "name"), *uuid = client_event_value(e, "uuid");
	const char *made = client_event_value(e, "text");

	if (str_eq(e->name, "progress") && made &&
	    str_eq(client_event_value(e, "stage"), "created")) {
		if (copy(h->dest, sizeof(h->dest), made) < 0)
			end(h, bad_name);
		return;
	}
	if (!str_eq(e->name, "disposable") || !name || !uuid)
		return;
	if (copy(h->name, sizeof(h->name), name) < 0 || copy(h->uuid, sizeof(h->uuid), uuid) < 0 ||
	    copy(h->dest, sizeof(h->dest), name) < 0)
		end(h, bad_name);
	else
		h->state = HOLD_RUNNING;
}

static void take_answer(struct hold *h)
{
	AUTO(client_answer_done) struct client_answer a = {0};
	int r = client_events_answer(h->events, &a);

	end(h, r == CLIENT_E_EXCEPTION ? a.data : "qubesd gave no answer");
}

/* @h->events: what has come of them */
static void listen_to(struct hold *h)
{
	struct client_event e;
	int r = 0;

	while (r == 0 && h->events) {
		r = client_events_next(h->events, 0, &e);
		if (r == 0)
			note(h, &e);
	}
	if (r == -ETIMEDOUT || !h->events)
		return;
	if (r == CLIENT_E_ANSWER) {
		take_answer(h);
		return;
	}
	if (r != -ENODATA) {
		end(h, r < 0 ? log_errno_str(r) : "qubesd says what nobody understands");
		return;
	}
	/* qubesd has gone, the disposable need not have */
	disconnect(h);
	h->again_ms = io_now_ms() + AGAIN_MS;
}

enum hold_state hold_turn(struct hold *h)
{
	int r = 0;

	if (h->again_ms > 0 && h->again_ms <= io_now_ms())
		r = connect_it(h);
	if (r < 0 && r != -ENOENT && r != -ECONNREFUSED && r != -EPIPE)
		end(h, log_errno_str(r));
	if (h->events)
		listen_to(h);
	return h->state;
}

const char *hold_name(const struct hold *h)
{
	return h->name;
}

const char *hold_uuid(const struct hold *h)
{
	return h->uuid;
}

const char *hold_why(const struct hold *h)
{
	return h->why;
}
