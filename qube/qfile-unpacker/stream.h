/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* What the sender sends, through one large buffer, with the checksum of what was taken from it. */
#include "base/attr.h"

/** STREAM_SIZE - bytes of the buffer */
#define STREAM_SIZE (256u << 10)

/** enum - outcome of this header; apart from those of proto/filecopy.h */
enum {
	STREAM_E_ENDED = 64, /* the sender went away */
};

/** struct stream - @buf: STREAM_SIZE bytes, borrowed; [at, len) of it is still to be taken, and up to
 * @summed it is in @crc. Begin with @fd and @buf, the rest zero. */
struct stream {
	int fd;
	uint8_t *buf;
	size_t at, len, summed;
	uint32_t crc;
};

/** stream_read() - exactly @len bytes. Return: 0; STREAM_E_ENDED; -errno */
MUST_CHECK int stream_read(struct stream *s, void *to, size_t len);
/** stream_some() - borrow, until the next call, at least one byte and at most @max. Return: 0;
 * STREAM_E_ENDED; -errno */
MUST_CHECK int stream_some(struct stream *s, uint64_t max, const uint8_t **ret, size_t *ret_len);
/** stream_crc() - of all bytes taken so far */
uint32_t stream_crc(struct stream *s);
