/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * What goes to the receiver: gathered in one large buffer, small files with their headers, so that
 * one write carries many; the checksum is taken where the buffer leaves. The receiver's answer ends
 * it whenever it comes.
 */
#include "base/attr.h"

/** SINK_SIZE - bytes of the buffer */
#define SINK_SIZE (256u << 10)

/** enum - outcome of this header */
enum {
	SINK_E_ANSWERED = 64, /* the receiver has answered, or takes no more */
};

/** struct sink - @buf: SINK_SIZE bytes, borrowed; @sent: bytes so far. Begin with the descriptors and
 * @buf, the rest zero; @out_fd does not block. @told: called after each part that has left, may be
 * NULL. */
struct sink {
	int out_fd, answer_fd;
	uint8_t *buf;
	size_t len;
	uint32_t crc;
	uint64_t sent;
	void (*told)(uint64_t sent);
};

/* All of these return 0; SINK_E_ANSWERED; -errno. */

MUST_CHECK int sink_add(struct sink *s, const void *bytes, size_t len);
/** sink_room() - where the next bytes may be put, at least one; sink_grew() says how many were */
MUST_CHECK int sink_room(struct sink *s, uint8_t **ret, size_t *ret_size);
void sink_grew(struct sink *s, size_t len);
/** sink_flush() - all that was added has left */
MUST_CHECK int sink_flush(struct sink *s);
