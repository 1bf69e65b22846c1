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
 */
struct rings {
	unsigned slot;
	struct ring up, down;
	uint8_t *pair;
};

/**
 * rings_claim() - take a free slot for the stream that @sock leads to
 *
 * Return: 0; -ENOTCONN: @sock does not lead to the qube's vchand; -EBUSY: no slot is free; -errno: there is no such
 * memory, or it is not for us.
 */
MUST_CHECK int rings_claim(int sock, struct rings *ret);
/** rings_unclaim() - give back a slot that nobody was told of, and let go of it */
void rings_unclaim(struct rings *r);
/** rings_close() - let go; the carrier gives the slot back when the stream has ended */
void rings_close(struct rings *r);
