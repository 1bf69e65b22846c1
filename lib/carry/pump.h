/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Dom0's end of a stream that uses rings: moves bytes between the rings and a local socket.
 *
 * While bytes flow the rings are looked at again and again after short sleeps, since waking one another
 * costs more than looking; when they have been still for a while the pump asks for bells and sleeps.
 */
#include "proto/ring.h"

/** PUMP_LOOK_US, PUMP_IDLE_US - between two looks at rings in use; the latter when none moved for PUMP_BUSY_MS */
#define PUMP_LOOK_US 200
#define PUMP_IDLE_US 1000
#define PUMP_BUSY_MS 5

/**
 * struct pump - one; embedded
 * @moved_ms:	when bytes last moved
 * @armed_ms:	since when we ask for bells; 0 = we do not
 */
struct pump {
	struct ring up, down;
	unsigned slot;
	uint64_t moved_ms, armed_ms;
};

/** pump_begin() - on @region, RING_REGION_SIZE bytes */
void pump_begin(struct pump *p, uint8_t *region, unsigned slot, uint64_t now_ms);

/**
 * pump_up() - from the qube's ring to the socket @fd; NO_FD: to nowhere
 *
 * Adds what moved to @moved, at most a fair share at once. Return: 0; -EAGAIN: the socket takes no more now; -EPIPE:
 * the socket's other end is gone; -EPROTO: the qube's count cannot be.
 */
MUST_CHECK int pump_up(struct pump *p, int fd, size_t *moved);
/** pump_up_empty() - the qube has put nothing that was not taken (a count that cannot be is nothing) */
bool pump_up_empty(const struct pump *p);
/** pump_down() - from the socket to the ring. Return: 0; -EAGAIN: nothing is there; -ENODATA: the socket's end;
 * -EPROTO */
MUST_CHECK int pump_down(struct pump *p, int fd, size_t *moved);

/** pump_owes_bell() - the qube waits for what there is now */
bool pump_owes_bell(struct pump *p);
/**
 * pump_rest() - after a look at which @moved bytes moved
 * @wants_room:	there is something to put as soon as the ring has room
 *
 * Return: whether the rings are to be looked at again without a bell.
 */
bool pump_rest(struct pump *p, size_t moved, bool wants_room, uint64_t now_ms);
