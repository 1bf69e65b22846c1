/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qrexec/peer.h"

#include "base/io.h"
#include "vchan/vchan.h"

#include <limits.h>
#include <poll.h>
#include <string.h>

/* INLINE_LEN - messages up to this long need no allocation: all but commands and services */
#define INLINE_LEN 64

struct qrexec_peer {
	struct vchan *vchan;
	enum qrexec_way in;
	uint32_t own_version, version; /* version: 0 before HELLO */

	uint8_t head[QREXEC_HEADER_LEN];
	struct qrexec_header header;
	uint8_t small_in[INLINE_LEN],
		*payload; /* payload: small_in or allocated; NULL = no header */
	size_t n_in;      /* bytes of the header, then of the payload */
	bool delivered;

	uint8_t small_out[INLINE_LEN], *message; /* NULL = nothing on its way */
	size_t n_out, message_len;
};

int qrexec_peer_new(struct vchan **v, enum qrexec_way in, uint32_t version,
		    struct qrexec_peer **ret)
{
	const struct qrexec_msg hello = {.type = QREXEC_HELLO, .version = version};
	struct qrexec_peer *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	p->in = in;
	p->own_version = version;
	r = qrexec_peer_send(p, &hello);
	if (r < 0) {
		free(p);
		return r;
	}
	p->vchan = *v;
	*v = NULL;
	*ret = p;
	return 0;
}

static void payload_forget(struct qrexec_peer *p)
{
	if (p->payload != p->small_in)
		free(p->payload);
	p->payload = NULL;
	p->n_in = 0;
	p->delivered = false;
}

static void message_forget(struct qrexec_peer *p)
{
	if (p->message != p->small_out)
		free(p->message);
	p->message = NULL;
	p->n_out = p->message_len = 0;
}

void qrexec_peer_free(struct qrexec_peer *p)
{
	if (!p)
		return;
	payload_forget(p);
	message_forget(p);
	vchan_free(p->vchan);
	free(p);
}

int qrexec_peer_fd(const struct qrexec_peer *p)
{
	return vchan_fd(p->vchan);
}

short qrexec_peer_events(const struct qrexec_peer *p)
{
	return p->message ? POLLOUT : POLLIN;
}

uint32_t qrexec_peer_version(const struct qrexec_peer *p)
{
	return p->version;
}

bool qrexec_peer_idle(const struct qrexec_peer *p)
{
	return !p->message;
}

/* 0 once @to holds @want bytes; -ENODATA at the end */
static int fill(struct qrexec_peer *p, uint8_t *to, size_t want)
{
	while (p->n_in < want) {
		size_t n;
		int r = vchan_read(p->vchan, to + p->n_in, want - p->n_in, &n);

		if (r < 0)
			return r == -ECONNRESET ? -ENODATA : r;
		if (n == 0)
			return -ENODATA;
		p->n_in += n;
	}
	return 0;
}

static int header_receive(struct qrexec_peer *p)
{
	const uint32_t version = p->version ? p->version : QREXEC_VERSION_MIN;
	int r = fill(p, p->head, sizeof(p->head));

	if (r < 0)
		return r;
	r = qrexec_header_decode(p->in, version, p->head, &p->header);
	if (r != 0)
		return r;
	/* HELLO is the first message and no other */
	if ((p->header.type == QREXEC_HELLO) != (p->version == 0))
		return QREXEC_E_TYPE;
	p->payload = p->header.len <= INLINE_LEN ? p->small_in : malloc(p->header.len);
	if (!p->payload)
		return -ENOMEM;
	p->n_in = 0;
	return 0;
}

int qrexec_peer_receive(struct qrexec_peer *p, struct qrexec_msg *ret)
{
	int r = 0;

	if (p->delivered)
		payload_forget(p);
	if (!p->payload)
		r = header_receive(p);
	if (r == 0)
		r = fill(p, p->payload, p->header.len);
	if (r == 0)
		r = qrexec_payload_decode(p->in, p->version ? p->version : QREXEC_VERSION_MIN,
					  &p->header, p->payload, ret);
	if (r != 0)
		return r;
	p->delivered = true;
	if (ret->type == QREXEC_HELLO) {
		p->version = qrexec_version_agree(p->own_version, ret->version);
		if (p->version == 0)
			return QREXEC_E_FORMAT;
	}
	return 0;
}

int qrexec_peer_send(struct qrexec_peer *p, const struct qrexec_msg *m)
{
	size_t size = 256 + m->command_len + m->service_len + m->data_len;
	uint8_t *to;

	if (p->message)
		return -EAGAIN;
	p->message_len = qrexec_msg_encode(m, p->small_out, sizeof(p->small_out));
	p->message = p->small_out;
	if (p->message_len == 0) {
		to = malloc(size);
		p->message_len = to ? qrexec_msg_encode(m, to, size) : 0;
		p->message = to;
	}
	p->n_out = 0;
	if (p->message_len == 0) {
		message_forget(p);
		return -ENOMEM;
	}
	return p->vchan ? qrexec_peer_flush(p) : 0;
}

int qrexec_peer_flush(struct qrexec_peer *p)
{
	while (p->message) {
		size_t n;
		int r = vchan_write(p->vchan, p->message + p->n_out, p->message_len - p->n_out, &n);

		if (r == -EAGAIN)
			return 0;
		if (r < 0)
			return r == -ECONNRESET ? -EPIPE : r;
		p->n_out += n;
		if (p->n_out == p->message_len)
			message_forget(p);
	}
	return 0;
}

static int wait_readable(int fd, uint64_t until_ms)
{
	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		uint64_t now = io_now_ms();
		int left = -1, n;

		if (until_ms > 0)
			left = until_ms <= now ? 0 : (int)(until_ms - now);
		n = poll(&p, 1, left);
		if (n > 0)
			return 0;
		if (n == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return fail_errno();
	}
}

/* exactly @len bytes, waiting */
static int read_until(struct vchan *v, uint8_t *to, size_t len, uint64_t until_ms)
{
	while (len > 0) {
		size_t n = 0;
		int r = vchan_read(v, to, len, &n);

		if (r == -EAGAIN)
			r = wait_readable(vchan_fd(v), until_ms);
		else if (r == 0 && n == 0)
			r = -ENODATA;
		if (r < 0)
			return r == -ECONNRESET ? -ENODATA : r;
		to += n;
		len -= n;
	}
	return 0;
}

int qrexec_handshake(struct vchan *v, enum qrexec_way in, unsigned timeout_ms,
		     uint32_t *ret_version)
{
	const struct qrexec_msg hello = {.type = QREXEC_HELLO, .version = QREXEC_VERSION};
	const uint64_t until = timeout_ms > 0 ? io_now_ms() + timeout_ms : 0;
	uint8_t bytes[QREXEC_HEADER_LEN + 4];
	struct qrexec_header h;
	struct qrexec_msg m;
	int r = vchan_write_full(v, bytes, qrexec_msg_encode(&hello, bytes, sizeof(bytes)));

	if (r < 0)
		return r;
	/* the header alone may be the end: what it announces need not come */
	r = read_until(v, bytes, QREXEC_HEADER_LEN, until);
	if (r == 0)
		r = qrexec_header_decode(in, QREXEC_VERSION_MIN, bytes, &h);
	if (r == 0 && h.type != QREXEC_HELLO)
		r = QREXEC_E_TYPE;
	if (r == 0)
		r = read_until(v, bytes + QREXEC_HEADER_LEN, h.len, until);
	if (r != 0)
		return r;
	r = qrexec_payload_decode(in, QREXEC_VERSION_MIN, &h, bytes + QREXEC_HEADER_LEN, &m);
	if (r != 0)
		return r;
	*ret_version = qrexec_version_agree(QREXEC_VERSION, m.version);
	return *ret_version == 0 ? QREXEC_E_FORMAT : 0;
}
