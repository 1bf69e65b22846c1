/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Rings in the memory that dom0 and a qube share: where bulk bytes of a stream go while its frames
 * (proto/vmux.h) only carry news of them. The layout is in doc/protocol/ring.md.
 *
 * Whoever owns a half of a ring keeps its own count to itself and writes it to the shared memory
 * for the other side to see; of the other side's half it believes nothing but what fits the ring.
 */
#include "base/attr.h"

/** RING_REGION_SIZE - bytes of the shared memory; a power of two, as a PCI region must be */
#define RING_REGION_SIZE (32u << 20)
/** RING_SLOTS - pairs of rings in it; the first RING_BIG_SLOTS have large ones */
#define RING_SLOTS     256u
#define RING_BIG_SLOTS 16u
/** RING_BIG, RING_SMALL - bytes of one ring */
#define RING_BIG   (512u << 10)
#define RING_SMALL (32u << 10)
/** RING_HEAD_SIZE - bytes before the first ring: magic, counters */
#define RING_HEAD_SIZE (128u << 10)

/** RINGS_CLAIMS - what the name of the file of claims has behind that of the memory, in a qube: a lock on
 * byte N of it is slot N's owner's */
#define RINGS_CLAIMS "-claims"

/** enum ring_outcome */
enum ring_outcome {
	RING_E_COUNT = 1, /* the other side's count cannot be */
};

/** enum ring_half_of - which half of which ring: "up" leads from the qube to dom0 */
enum ring_half_of { RING_UP_PUT, RING_UP_TAKE, RING_DOWN_PUT, RING_DOWN_TAKE };

/**
 * struct ring - one side's end of one ring
 * @mine, @theirs:	the halves' words in shared memory
 * @at:		bytes we ever put or took, modulo 2^32
 * @answered:	value of their wait word that was answered with a bell
 * @waits:	our own wait word
 */
struct ring {
	uint32_t *mine, *theirs;
	uint8_t *data;
	uint32_t size, at, answered, waits;
	bool puts;
};

/** ring_format() - dom0: write the magic into fresh (zero) shared memory */
void ring_format(void *head);
/** ring_is_formatted() - the magic is there: this memory is what we mean */
bool ring_is_formatted(const void *head);
/** ring_carrier() - the qube's own word: its carrier's pid; dom0 never reads it */
uint32_t *ring_carrier(void *head);
/** ring_hint() - the qube's own word: where to begin to look for a free slot. Any value will do: all slots are looked at */
uint32_t *ring_hint(void *head);

/** ring_size() - bytes of each of @slot's two rings; ring_offset() - of both together, in the region */
uint32_t ring_size(unsigned slot);
uint32_t ring_offset(unsigned slot);

/**
 * ring_open() - take an end; goes on from where this half's count stands
 * @head:	the first RING_HEAD_SIZE bytes of the region
 * @pair:	the 2 * ring_size(@slot) bytes at ring_offset(@slot)
 */
void ring_open(void *head, uint8_t *pair, unsigned slot, enum ring_half_of half, struct ring *ret);
/** ring_empty() - the qube, before a stream uses the slot: our count becomes theirs */
void ring_empty(struct ring *r);

/**
 * ring_span() - bytes that can be put or taken now, in one piece
 *
 * The bytes are shared with the other side, which may change them meanwhile: they may only be copied.
 * Return: 0 with the length, maybe 0, in @ret_len and the place in @ret; RING_E_COUNT.
 */
MUST_CHECK int ring_span(const struct ring *r, uint8_t **ret, uint32_t *ret_len);
/** ring_moved() - @len bytes of the span were put or taken: the other side sees it now */
void ring_moved(struct ring *r, uint32_t len);

/** ring_wait(), ring_wake() - ask for a bell when there is something to do, or no longer. When
 * ring_wait() says that it did not ask before, look at ring_span() once more before sleeping. */
bool ring_wait(struct ring *r);
void ring_wake(struct ring *r);
/** ring_owes_bell() - the other side waits, there is something for it, and this wait has had no bell
 * yet: send one */
bool ring_owes_bell(struct ring *r);
