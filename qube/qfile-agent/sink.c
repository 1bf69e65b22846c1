/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sink.h"

#include "base/crc32.h"

#include <poll.h>
#include <string.h>

/* until there is room; the answer, or its end, comes first */
static int sink_wait(const struct sink *s)
{
	struct pollfd p[2] = {{.fd = s->answer_fd, .events = POLLIN},
			      {.fd = s->out_fd, .events = POLLOUT}};

	while (poll(p, 2, -1) < 0)
		if (errno != EINTR)
			return fail_errno();
	return p[0].revents != 0 ? SINK_E_ANSWERED : 0;
}

int sink_flush(struct sink *s)
{
	const uint8_t *at = s->buf;
	size_t left = s->len;

	s->crc = crc32_add(s->crc, s->buf, s->len);
	while (left > 0) {
		int r = sink_wait(s);
		ssize_t n;

		if (r != 0)
			return r;
		n = write(s->out_fd, at, left);
		if (n < 0 && errno == EPIPE)
			return SINK_E_ANSWERED;
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return fail_errno();
		if (n > 0) {
			at += n;
			left -= (size_t)n;
		}
	}
	s->sent += s->len;
	s->len = 0;
	if (s->told)
		s->told(s->sent);
	return 0;
}

int sink_room(struct sink *s, uint8_t **ret, size_t *ret_size)
{
	int r = s->len < SINK_SIZE ? 0 : sink_flush(s);

	if (r != 0)
		return r;
	*ret = s->buf + s->len;
	*ret_size = SINK_SIZE - s->len;
	return 0;
}

void sink_grew(struct sink *s, size_t len)
{
	s->len += len;
}

int sink_add(struct sink *s, const void *bytes, size_t len)
{
	const uint8_t *from = bytes;

	while (len > 0) {
		uint8_t *room;
		size_t n;
		int r = sink_room(s, &room, &n);

		if (r != 0)
			return r;
		n = n < len ? n : len;
		memcpy(room, from, n);
		sink_grew(s, n);
		from += n;
		len -= n;
	}
	return 0;
}
