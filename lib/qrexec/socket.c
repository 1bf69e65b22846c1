/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qrexec/socket.h"

#include "base/io.h"
#include "base/str.h"
#include "qrexec/command.h"
#include "qrexec/service.h"

#include <limits.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define TCP_LINK "/dev/tcp"
/** CONNECT_MS - how long a server may take to accept */
#define CONNECT_MS 30000

/* 1..65535 */
static bool is_port(const char *text)
{
	uint64_t n;

	return str_u64(text, 65535, &n) == 0 && n > 0;
}

static bool is_host(const char *text)
{
	return text[0] != '\0' && bytes_are_alnum_or(text, strlen(text), ".-:_");
}

/* PORT behind the last '+' of "HOST+PORT" */
static int argument_split(const char *argument, struct tcp_address *a, const char **ret_port)
{
	const char *plus = strrchr(argument, '+');

	if (!plus || str_copy(a->host, sizeof(a->host), argument, (size_t)(plus - argument)) < 0)
		return SERVICE_E_BROKEN;
	for (char *c = a->host; *c != '\0'; c++)
		if (*c == '+')
			*c = ':';
	*ret_port = plus + 1;
	return 0;
}

int tcp_address_make(const char *link, const char *argument, struct tcp_address *ret)
{
	const char *rest = link + strlen(TCP_LINK), *slash, *port = argument;
	struct tcp_address a = {0};
	int r = 0;

	if (!str_eq(link, TCP_LINK) && !str_starts(link, TCP_LINK "/"))
		return SERVICE_E_BROKEN;
	if (rest[0] == '\0') {
		r = argument ? argument_split(argument, &a, &port) : SERVICE_E_BROKEN;
	} else {
		rest++;
		slash = strchrnul(rest, '/');
		if (str_copy(a.host, sizeof(a.host), rest, (size_t)(slash - rest)) < 0)
			return SERVICE_E_BROKEN;
		if (*slash == '/')
			port = slash + 1; /* an argument is only part of the link's name */
	}
	if (r != 0 || !port || !is_host(a.host) || !is_port(port) ||
	    str_copy(a.port, sizeof(a.port), port, strlen(port)) < 0)
		return SERVICE_E_BROKEN;
	*ret = a;
	return 0;
}

static int tcp_connect_one(const struct addrinfo *i, int *ret_fd)
{
	AUTO_CLOSE int fd =
		socket(i->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, i->ai_protocol);
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int error = 0, n;
	socklen_t len = sizeof(error);

	if (fd < 0)
		return fail_errno();
	if (connect(fd, i->ai_addr, i->ai_addrlen) < 0 && errno != EINPROGRESS)
		return fail_errno();
	n = poll(&p, 1, CONNECT_MS);
	if (n <= 0)
		return n == 0 ? -ETIMEDOUT : fail_errno();
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return fail_errno();
	if (error != 0)
		return -error;
	*ret_fd = take_fd(&fd);
	return 0;
}

static int tcp_connect(const struct service *s, const struct qrexec_command *c, int *ret_fd)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *all = NULL;
	struct tcp_address a;
	char link[PATH_MAX];
	ssize_t n = readlink(s->path, link, sizeof(link) - 1);
	int r;

	if (n < 0)
		return SERVICE_E_BROKEN;
	link[n] = '\0';
	r = tcp_address_make(link, c->argument && c->argument[0] != '\0' ? c->argument : NULL, &a);
	if (r != 0)
		return r;
	if (getaddrinfo(a.host, a.port, &hints, &all) != 0)
		return -EHOSTUNREACH;
	r = -EHOSTUNREACH;
	for (const struct addrinfo *i = all; i && r < 0; i = i->ai_next)
		r = tcp_connect_one(i, ret_fd);
	freeaddrinfo(all);
	return r;
}

static int unix_connect(const struct service *s, int *ret_fd)
{
	const uint64_t until = io_now_ms() + CONNECT_MS;
	int r = io_unix_connect_now(s->path, SOCK_STREAM, ret_fd);

	/* a full queue, which poll() does not wait for */
	while (r == -EAGAIN && io_now_ms() < until) {
		(void)poll(NULL, 0, 20);
		r = io_unix_connect_now(s->path, SOCK_STREAM, ret_fd);
	}
	return r;
}

/* nothing was sent before: it fits */
static int descriptor_send(int fd, const struct qrexec_command *c)
{
	const char *blank = c->target_type[0] != '\0' ? " " : "";
	AUTO_FREE char *text = NULL;
	int n = asprintf(&text, "%s %s%s%s%s%s", c->full_name, c->source, blank, c->target_type,
			 blank, c->target);

	if (n < 0) {
		text = NULL;
		return -ENOMEM;
	}
	return send(fd, text, (size_t)n + 1, MSG_NOSIGNAL) == (ssize_t)n + 1 ? 0 : -EPIPE;
}

int socket_open(const struct service *s, const struct qrexec_command *c, bool descriptor,
		int *ret_fd)
{
	AUTO_CLOSE int fd = NO_FD;
	int r = s->kind == SERVICE_TCP ? tcp_connect(s, c, &fd) : unix_connect(s, &fd);

	if (r == 0 && descriptor)
		r = descriptor_send(fd, c);
	if (r == 0)
		*ret_fd = take_fd(&fd);
	return r;
}
