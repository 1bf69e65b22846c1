/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * A program's way to the memory that its qube shares with dom0 (doc/protocol/ring.md). Root's only: who may
 * open the memory sees all streams in it.
 */
#include "proto/ring.h"

/**
 * struct rings - the two rings of one stream, in a qube
 * @up, @down:	towards dom0, from dom0
 * @pair:	their memory, 2 * up.size bytes
 * @claim_fd:	holds the lock that makes the slot ours; whoever else gets a copy keeps the slot taken as long
 */
struct rings {
	unsigned slot;
	struct ring up, down;
	uint8_t *pair;
	int claim_fd;
};

/**
 * rings_claim() - take a free slot for the stream that @sock leads to
 *
 * Return: 0; -ENOTCONN: @sock does not lead to the qube's vchand; -EBUSY: no slot is free; -errno: there is no such
 * memory, or it is not for us.
 */
MUST_CHECK int rings_claim(int sock, struct rings *ret);
/** rings_close() - let go; the slot is free when all others who hold a copy of @claim_fd have closed it, too */
void rings_close(struct rings *r);
