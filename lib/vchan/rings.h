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
 * rings_allow() - open what a claim for the stream that @sock leads to will need; a program that then becomes another
 * user can still make the claim
 * @ret_claim_fd:	owned by the caller
 *
 * Return: 0; -ENOTCONN: @sock does not lead to the qube's vchand; -errno: there is no such memory, or it is not for us.
 */
MUST_CHECK int rings_allow(int sock, int *ret_claim_fd);
/** rings_claim() - take a free slot; @claim_fd, of rings_allow(), is taken on success. Return: 0; -EBUSY: no slot is
 * free; -errno */
MUST_CHECK int rings_claim(int *claim_fd, struct rings *ret);
/** rings_unclaim() - give back a slot that nobody was told of; @claim_fd is as before the claim */
void rings_unclaim(struct rings *r, int *claim_fd);
/** rings_close() - let go; the slot is free when all others who hold a copy of @claim_fd have closed it, too */
void rings_close(struct rings *r);
