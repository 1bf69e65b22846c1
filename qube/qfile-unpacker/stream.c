/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stream.h"

#include "base/crc32.h"

#include <string.h>

uint32_t stream_crc(struct stream *s)
{
	s->crc = crc32_add(s->crc, s->buf + s->summed, s->at - s->summed);
	s->summed = s->at;
	return s->crc;
}

static int stream_fill(struct stream *s)
{
	ssize_t n;

	(void)stream_crc(s);
	s->at = s->len = s->summed = 0;
	do
		n = read(s->fd, s->buf, STREAM_SIZE);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return fail_errno();
	s->len = (size_t)n;
	return n > 0 ? 0 : STREAM_E_ENDED;
}

int stream_some(struct stream *s, uint64_t max, const uint8_t **ret, size_t *ret_len)
{
	int r = s->at < s->len ? 0 : stream_fill(s);

	if (r != 0)
		return r;
	*ret = s->buf + s->at;
	*ret_len = s->len - s->at < max ? s->len - s->at : (size_t)max;
	s->at += *ret_len;
	return 0;
}

int stream_read(struct stream *s, void *to, size_t len)
{
	uint8_t *at = to;

	while (len > 0) {
		const uint8_t *some;
		size_t n;
		int r = stream_some(s, len, &some, &n);

		if (r != 0)
			return r;
		memcpy(at, some, n);
		at += n;
		len -= n;
	}
	return 0;
}
