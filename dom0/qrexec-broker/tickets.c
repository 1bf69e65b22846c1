/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between two qubes no stream exists but one made here: a socket pair, of which each vchand gets one end (doc/protocol/
 * ticket.md). Where qubes have no vchand, as in tests, the vchan's socket itself is the stream.
 */
#include "broker.h"

#include "base/str.h"
#include "proto/ticket.h"

#include <string.h>
#include <sys/socket.h>

static int control_connect(const struct broker *b, unsigned domid, int *ret_fd)
{
	char path[UNIX_PATH_MAX + 1];
	int r = str_format(path, sizeof(path), "%s/q/%u/vchand.sock", b->run_dir, domid);

	return r == 0 ? io_unix_connect_now(path, SOCK_SEQPACKET, ret_fd) : r;
}

/* our qube's program is the server, the callee's the client */
static int ticket_send(const struct broker *b, const struct call *c, enum ticket_kind kind, int fd,
		       int stream)
{
	const struct ticket t = {.kind = (uint8_t)kind,
				 .server = (uint16_t)b->domid,
				 .client = (uint16_t)c->domid,
				 .port = (uint16_t)c->port};
	uint8_t bytes[TICKET_LEN];

	if (ticket_encode(&t, bytes) != 0)
		return -EINVAL;
	return io_send_msg(fd, bytes, sizeof(bytes), &stream, stream >= 0 ? 1 : 0);
}

void tickets_grant(struct broker *b, struct call *c)
{
	const unsigned domids[2] = {b->domid, c->domid};
	int pair[2] = {NO_FD, NO_FD}, r = 0;

	if (!b->run_dir) {
		call_connect_caller(b, c);
		return;
	}
	close_fd(&c->tickets[0]);
	close_fd(&c->tickets[1]);
	c->state = CALL_TICKETS; /* from here on a refusal revokes what one of them may have */
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		r = fail_errno();
	for (unsigned i = 0; i < 2 && r == 0; i++) {
		r = control_connect(b, domids[i], &c->tickets[i]);
		if (r == 0)
			r = ticket_send(b, c, TICKET_GRANT, c->tickets[i], pair[i]);
	}
	close_fd(&pair[0]);
	close_fd(&pair[1]);
	if (r == -EAGAIN) {
		call_retry(c); /* one that has its ticket gets another one in its place */
		return;
	}
	if (r < 0) {
		call_refuse(b, c, "no stream to it can be made: %s", log_errno_str(r));
		return;
	}
	c->until_ms = io_now_ms() + ANSWER_MS;
}

void tickets_turn(struct broker *b, struct call *c, const short revents[2])
{
	for (unsigned i = 0; i < 2; i++) {
		uint8_t bytes[TICKET_ANSWER_LEN + 1];
		size_t len, n_fds;
		int r, result;

		if (c->tickets[i] < 0 || !revents[i])
			continue;
		r = io_recv_msg(c->tickets[i], bytes, sizeof(bytes), &len, NULL, 0, &n_fds);
		if (r == -EAGAIN)
			continue;
		if (r == 0 && ticket_answer_decode(bytes, len, &result) != 0)
			r = -EPROTO;
		if (r == 0)
			r = result;
		close_fd(&c->tickets[i]);
		if (r < 0) {
			call_refuse(b, c, "a vchand takes no ticket: %s", log_errno_str(r));
			return;
		}
	}
	if (c->tickets[0] < 0 && c->tickets[1] < 0)
		call_connect_caller(b, c);
}

bool tickets_are_anothers(const struct broker *b, const struct call *c)
{
	for (const struct call *o = b->calls; o; o = o->next)
		if (o != c && o->domid == c->domid && o->port == c->port &&
		    o->state >= CALL_TICKETS && o->state <= CALL_LIVE)
			return true;
	return false;
}

/* nobody waits for the answer */
static int tell(const struct broker *b, const struct call *c, unsigned domid, enum ticket_kind kind)
{
	AUTO_CLOSE int fd = NO_FD;
	int r = control_connect(b, domid, &fd);

	return r == 0 ? ticket_send(b, c, kind, fd, NO_FD) : r;
}

void tickets_revoke(const struct broker *b, const struct call *c)
{
	if (!b->run_dir || tickets_are_anothers(b, c))
		return;
	/* a vchand that is gone has no streams */
	(void)!tell(b, c, b->domid, TICKET_REVOKE);
	(void)!tell(b, c, c->domid, TICKET_REVOKE);
}

int tickets_void(const struct broker *b, const struct call *c)
{
	return tell(b, c, c->domid, TICKET_VOID);
}

int tickets_replace(const struct broker *b, struct call *c, int fd)
{
	int r = control_connect(b, c->domid, &c->tickets[1]);

	return r == 0 ? ticket_send(b, c, TICKET_GRANT, c->tickets[1], fd) : r;
}
