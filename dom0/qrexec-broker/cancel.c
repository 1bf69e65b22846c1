/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A callee whose caller is gone. One that had connected has seen the end of its channel, and ends soon. One that had not
 * would wait for its caller as long as it waits for any, and its port with it; so we stand in for the caller and say a
 * HELLO that nobody can agree to: version 0.
 *
 * And a caller whose callee is gone. One that has got it sees the end of its channel, and whatever came before. One that
 * waits for it still would do so for a minute: it gets a channel that ends.
 */
#include "broker.h"

#include "base/str.h"
#include "qrexec/peer.h"
#include "vchan/vchan.h"

#include <sys/socket.h>

static size_t hello_make(uint8_t *to, size_t size)
{
	const struct qrexec_msg m = {.type = QREXEC_HELLO, .version = 0};

	return qrexec_msg_encode(&m, to, size);
}

/* a stream that begins with it; our end stays open, for the callee says HELLO too before it looks */
static int stream_make(int *ret_its, int *ret_ours)
{
	uint8_t hello[QREXEC_HEADER_LEN + 4];
	const size_t len = hello_make(hello, sizeof(hello));
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return fail_errno();
	*ret_its = pair[0];
	*ret_ours = pair[1];
	return write(pair[1], hello, len) == (ssize_t)len ? 0 : -EIO;
}

void cancel_start(struct broker *b, struct call *c)
{
	AUTO_CLOSE int fd = NO_FD;
	int r;

	c->again_ms = 0;
	if (tickets_are_anothers(b, c))
		return;
	if (!b->run_dir) {
		r = vchan_server_new(b->vchan_dir, b->domid, c->domid, c->port, &c->stand_in);
	} else {
		tickets_revoke(b, c);
		r = stream_make(&fd, &c->fd);
		if (r == 0)
			r = tickets_replace(b, c, fd);
	}
	if (r < 0)
		close_fd(&c->fd);
	if (r == -EAGAIN)
		c->again_ms = io_now_ms() + CANCEL_MS;
	else if (r < 0 && log_allowed(&b->noise, b->name))
		log_warn(b->name, "%s waits for a caller that is gone: %s", c->callee_name,
			 log_errno_str(r));
}

void cancel_caller(struct broker *b, struct call *c)
{
	struct vchan *v = NULL;
	bool again;
	int r;

	c->again_ms = 0;
	if (tickets_are_anothers(b, c))
		return;
	if (b->run_dir) {
		r = tickets_void(b, c);
		again = r == -EAGAIN;
	} else {
		/* where nobody listens it has got its callee, or is not told yet */
		r = vchan_client_new(b->vchan_dir, c->domid, b->domid, c->port, 0, &v);
		again = r < 0;
		vchan_free(v);
	}
	if (again && io_now_ms() < c->over_ms + ANSWER_MS)
		c->again_ms = io_now_ms() + CANCEL_MS;
}

void cancel_turn(struct call *c)
{
	uint8_t hello[QREXEC_HEADER_LEN + 4];
	const size_t len = hello_make(hello, sizeof(hello));

	if (vchan_accept(c->stand_in) == -EAGAIN)
		return;
	/* a stream that is new takes it; one that failed has ended its callee too. It stays until the callee's end */
	(void)!vchan_write_full(c->stand_in, hello, len);
}
