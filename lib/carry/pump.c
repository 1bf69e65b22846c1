/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "carry/pump.h"

#include "base/io.h"

#include <sys/socket.h>

/** SHARE - bytes of one ring in one turn */
#define SHARE (256u << 10)
/** STILL_MS - without bytes before bells are asked for: longer than a program needs to come round to one of hundreds of
 * streams, since with a bell for every write it would come round later still */
#define STILL_MS 100
/** SURE_MS - after asking, until one last look: a processor that is emulated alone in its machine orders nothing between
 * its store of a count and its look at who waits, so that it may miss that we just began to */
#define SURE_MS 2

void pump_begin(struct pump *p, uint8_t *region, unsigned slot, uint64_t now_ms)
{
	uint8_t *pair = region + ring_offset(slot);

	*p = (struct pump){.slot = slot, .moved_ms = now_ms};
	ring_open(region, pair, slot, RING_UP_TAKE, &p->up);
	ring_open(region, pair, slot, RING_DOWN_PUT, &p->down);
}

int pump_up(struct pump *p, int fd, size_t *moved)
{
	for (size_t total = 0; total < SHARE;) {
		uint32_t len;
		uint8_t *at;
		ssize_t n;

		if (ring_span(&p->up, &at, &len) != 0)
			return -EPROTO;
		if (len == 0)
			break;
		n = fd < 0 ? (ssize_t)len : send(fd, at, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -EAGAIN : -EPIPE;
		ring_moved(&p->up, (uint32_t)n);
		total += (size_t)n;
		*moved += (size_t)n;
	}
	return 0;
}

bool pump_up_empty(const struct pump *p)
{
	uint32_t len;
	uint8_t *at;

	return ring_span(&p->up, &at, &len) != 0 || len == 0;
}

int pump_down(struct pump *p, int fd, size_t *moved)
{
	for (size_t total = 0; total < SHARE;) {
		uint32_t len;
		uint8_t *at;
		ssize_t n;

		if (ring_span(&p->down, &at, &len) != 0)
			return -EPROTO;
		if (len == 0)
			break;
		n = recv(fd, at, len, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return -EAGAIN;
		if (n <= 0)
			return -ENODATA;
		ring_moved(&p->down, (uint32_t)n);
		total += (size_t)n;
		*moved += (size_t)n;
	}
	return 0;
}

bool pump_owes_bell(struct pump *p)
{
	bool up = ring_owes_bell(&p->up), down = ring_owes_bell(&p->down);

	return up || down;
}

bool pump_rest(struct pump *p, size_t moved, bool wants_room, uint64_t now_ms)
{
	if (moved > 0) {
		p->moved_ms = now_ms;
		p->armed_ms = 0;
		ring_wake(&p->up);
		ring_wake(&p->down);
		return true;
	}
	if (p->armed_ms == 0) {
		if (now_ms - p->moved_ms < STILL_MS)
			return true;
		(void)ring_wait(&p->up);
		p->armed_ms = now_ms;
	}
	if (wants_room && ring_wait(&p->down))
		p->armed_ms = now_ms; /* the room may have come just before we asked */
	return now_ms - p->armed_ms < SURE_MS;
}
