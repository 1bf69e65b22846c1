/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/client.h"

#include "base/io.h"
#include "base/paths.h"
#include "base/str.h"
#include "proto/admin.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define ANSWER_MAX (64u << 20) /* bytes; the longest real answers are some hundred KiB */
#define TEXT_MAX   4096        /* of an exception, as shown */
#define STEP       16384

void client_answer_done(struct client_answer *a)
{
	free(a->data);
	*a = (struct client_answer){0};
}

static int own_socket(char *to, size_t size)
{
	struct paths paths;
	int r;

	r = paths_init(&paths, false);
	if (r < 0)
		return r;
	r = str_format(to, size, "%s/qubesd.sock", paths.run);
	paths_done(&paths);
	return r;
}

/* @fd goes with the first bytes. A peer that stops reading may still have answered: no error. */
static int send_all(int sock, const char *bytes, size_t len, int fd)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {0};
	size_t done = 0;

	while (done < len) {
		struct iovec part = {(void *)(bytes + done), len - done};
		struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};
		ssize_t n;

		if (done == 0 && fd != NO_FD) {
			m.msg_control = control.room;
			m.msg_controllen = sizeof(control.room);
			control.header.cmsg_level = SOL_SOCKET;
			control.header.cmsg_type = SCM_RIGHTS;
			control.header.cmsg_len = CMSG_LEN(sizeof(int));
			memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
		}
		n = sendmsg(sock, &m, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EPIPE || errno == ECONNRESET ? 0 : fail_errno();
		done += (size_t)n;
	}
	return 0;
}

int client_open(const char *socket, const char *method, const char *dest, const char *arg,
		const void *payload, size_t payload_len, int fd, int *ret_fd)
{
	struct admin_request q = {.source = "dom0", .payload = payload, .payload_len = payload_len};
	AUTO_FREE char *bytes = malloc(ADMIN_MAX_REQUEST);
	AUTO_CLOSE int sock = NO_FD;
	char path[UNIX_PATH_MAX + 1];
	size_t len;
	int r;

	if (!bytes)
		return -ENOMEM;
	r = str_format(q.method, sizeof(q.method), "%s", method);
	r = r < 0 ? r : str_format(q.dest, sizeof(q.dest), "%s", dest);
	r = r < 0 ? r : str_format(q.arg, sizeof(q.arg), "%s", arg ? arg : "");
	if (r < 0)
		return -E2BIG;
	r = admin_request_encode(&q, bytes, ADMIN_MAX_REQUEST, &len);
	if (r > 0)
		return r == ADMIN_E_LONG ? -E2BIG : -EINVAL;
	if (!socket) {
		r = own_socket(path, sizeof(path));
		if (r < 0)
			return r;
		socket = path;
	}
	r = io_unix_connect(socket, SOCK_STREAM, &sock);
	if (r < 0)
		return r;
	r = send_all(sock, bytes, len, fd);
	if (r < 0)
		return r;
	if (shutdown(sock, SHUT_WR) < 0 && errno != ENOTCONN)
		return fail_errno();
	*ret_fd = take_fd(&sock);
	return 0;
}

/* The bytes from @at to @end are received and not given out; an event's strings point below @at. */
struct client_events {
	int fd;
	char *buf;
	size_t at, end, size;
	bool eof;
};

int client_events_new(int *fd, struct client_events **ret)
{
	struct client_events *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->fd = take_fd(fd);
	*ret = e;
	return 0;
}

void client_events_free(struct client_events *e)
{
	if (!e)
		return;
	close_fd(&e->fd);
	free(e->buf);
	free(e);
}

int client_events_fd(const struct client_events *e)
{
	return e->fd;
}

const char *client_event_value(const struct client_event *e, const char *key)
{
	for (unsigned i = 0; i < e->n; i++) {
		if (str_eq(e->keys[i], key))
			return e->values[i];
	}
	return NULL;
}

/* read once; -ETIMEDOUT, -ENODATA at the end of file */
static int fill(struct client_events *e, int timeout_ms)
{
	struct pollfd p = {.fd = e->fd, .events = POLLIN};
	ssize_t n;
	int r;

	if (e->eof)
		return -ENODATA;
	if (e->at > 0) {
		memmove(e->buf, e->buf + e->at, e->end - e->at);
		e->end -= e->at;
		e->at = 0;
	}
	if (e->size - e->end < STEP) {
		size_t size = e->size == 0 ? STEP : 2 * e->size;
		char *buf;

		if (size > ANSWER_MAX)
			return -EMSGSIZE;
		buf = realloc(e->buf, size);
		if (!buf)
			return -ENOMEM;
		e->buf = buf;
		e->size = size;
	}
	if (timeout_ms >= 0) {
		do
			r = poll(&p, 1, timeout_ms);
		while (r < 0 && errno == EINTR);
		if (r <= 0)
			return r < 0 ? fail_errno() : -ETIMEDOUT;
	}
	do
		n = read(e->fd, e->buf + e->end, e->size - e->end);
	while (n < 0 && errno == EINTR);
	/* reset: qubesd closed while more of the request was on its way */
	if (n < 0 && errno != ECONNRESET)
		return fail_errno();
	if (n <= 0) {
		e->eof = true;
		return -ENODATA;
	}
	e->end += (size_t)n;
	return 0;
}

int client_events_next(struct client_events *e, int timeout_ms, struct client_event *ret)
{
	struct admin_event event;
	size_t len;
	int r;

	for (;;) {
		if (e->end > e->at && e->buf[e->at] != ADMIN_EVENT)
			return CLIENT_E_ANSWER;
		r = e->end > e->at
			    ? admin_event_decode(e->buf + e->at, e->end - e->at, &event, &len)
			    : ADMIN_E_MORE;
		if (r == 0)
			break;
		if (r != ADMIN_E_MORE)
			return CLIENT_E_FORMAT;
		r = fill(e, timeout_ms);
		if (r == -EMSGSIZE)
			return CLIENT_E_FORMAT;
		if (r == -ENODATA && e->end > e->at)
			return CLIENT_E_FORMAT; /* cut off */
		if (r < 0)
			return r;
	}
	*ret = (struct client_event){.subject = event.subject, .name = event.name, .n = event.n};
	for (unsigned i = 0; i < event.n; i++) {
		ret->keys[i] = event.keys[i];
		ret->values[i] = event.values[i];
	}
	e->at += len;
	return 0;
}

int client_events_answer(struct client_events *e, struct client_answer *ret)
{
	struct client_answer a = {0};
	struct admin_answer answer;
	int r;

	*ret = a;
	do
		r = fill(e, -1);
	while (r == 0);
	if (r == -EMSGSIZE)
		return CLIENT_E_FORMAT;
	if (r != -ENODATA)
		return r;
	if (e->at == e->end)
		return CLIENT_E_EMPTY;
	if (admin_answer_decode(e->buf + e->at, e->end - e->at, &answer) != 0)
		return CLIENT_E_FORMAT;
	a.len = answer.kind == ADMIN_OK ? answer.body_len : TEXT_MAX;
	a.data = calloc(1, a.len + 1);
	if (!a.data)
		return -ENOMEM;
	if (answer.kind == ADMIN_OK) {
		if (a.len > 0)
			memcpy(a.data, answer.body, a.len);
		*ret = a;
		return 0;
	}
	(void)admin_answer_text(&answer, a.data, a.len + 1);
	a.len = strlen(a.data);
	if (str_format(a.type, sizeof(a.type), "%s", answer.type) < 0)
		a.type[0] = '\0';
	*ret = a;
	return CLIENT_E_EXCEPTION;
}

int client_call(const char *socket, const char *method, const char *dest, const char *arg,
		const void *payload, size_t payload_len, int fd, struct client_answer *ret)
{
	struct client_events *e = NULL;
	AUTO_CLOSE int sock = NO_FD;
	struct client_event event;
	int r;

	*ret = (struct client_answer){0};
	r = client_open(socket, method, dest, arg, payload, payload_len, fd, &sock);
	if (r < 0)
		return r;
	r = client_events_new(&sock, &e);
	if (r < 0)
		return r;
	do
		r = client_events_next(e, -1, &event);
	while (r == 0);
	if (r == CLIENT_E_ANSWER)
		r = client_events_answer(e, ret);
	else if (r == -ENODATA)
		r = CLIENT_E_EMPTY;
	client_events_free(e);
	return r;
}
