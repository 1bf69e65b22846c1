/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/ring.h"

#include <string.h>

/* Places in the head, in bytes; doc/protocol/ring.md. */
enum { AT_CARRIER = 64, AT_HINT = 68, AT_HALVES = 64 << 10, HALF_LEN = 64 };

_Static_assert(AT_HALVES + RING_SLOTS * 4 * HALF_LEN <= RING_HEAD_SIZE, "halves overlap");
_Static_assert(RING_HEAD_SIZE + RING_BIG_SLOTS * 2 * RING_BIG +
			       (RING_SLOTS - RING_BIG_SLOTS) * 2 * RING_SMALL <=
		       RING_REGION_SIZE,
	       "the rings do not fit");

/* Words of a half. */
enum { COUNT, WAIT };

static const char magic[16] = "bulkhead rings 1";

void ring_format(void *head)
{
	memcpy(head, magic, sizeof(magic));
}

bool ring_is_formatted(const void *head)
{
	return memcmp(head, magic, sizeof(magic)) == 0;
}

static uint32_t *word_at(void *head, uint32_t at)
{
	return (uint32_t *)(void *)((uint8_t *)head + at);
}

uint32_t *ring_carrier(void *head)
{
	return word_at(head, AT_CARRIER);
}

uint32_t *ring_hint(void *head)
{
	return word_at(head, AT_HINT);
}

uint32_t ring_size(unsigned slot)
{
	return slot < RING_BIG_SLOTS ? RING_BIG : RING_SMALL;
}

uint32_t ring_offset(unsigned slot)
{
	if (slot < RING_BIG_SLOTS)
		return RING_HEAD_SIZE + slot * 2 * RING_BIG;
	return RING_HEAD_SIZE + RING_BIG_SLOTS * 2 * RING_BIG +
	       (slot - RING_BIG_SLOTS) * 2 * RING_SMALL;
}

/* A value is read or written once, whole; what it announces is seen before it. */
static uint32_t load(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void store(uint32_t *word, uint32_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

void ring_open(void *head, uint8_t *pair, unsigned slot, enum ring_half_of half, struct ring *ret)
{
	const bool down = half == RING_DOWN_PUT || half == RING_DOWN_TAKE;
	const bool puts = half == RING_UP_PUT || half == RING_DOWN_PUT;
	uint32_t ring = AT_HALVES + (slot * 4 + (down ? 2 : 0)) * HALF_LEN;
	uint32_t *put = word_at(head, ring), *take = word_at(head, ring + HALF_LEN);

	*ret = (struct ring){.mine = puts ? put : take,
			     .theirs = puts ? take : put,
			     .data = pair + (down ? ring_size(slot) : 0),
			     .size = ring_size(slot),
			     .puts = puts};
	ret->at = load(&ret->mine[COUNT]);
	ret->waits = load(&ret->mine[WAIT]);
	ring_wake(ret);
}

void ring_empty(struct ring *r)
{
	r->at = load(&r->theirs[COUNT]);
	store(&r->mine[COUNT], r->at);
}

/* Bytes that can be put or taken. */
static int available(const struct ring *r, uint32_t *ret)
{
	uint32_t theirs = load(&r->theirs[COUNT]);
	uint32_t held = r->puts ? r->at - theirs : theirs - r->at;

	if (held > r->size)
		return RING_E_COUNT;
	*ret = r->puts ? r->size - held : held;
	return 0;
}

int ring_span(const struct ring *r, uint8_t **ret, uint32_t *ret_len)
{
	uint32_t at = r->at & (r->size - 1), len;

	if (available(r, &len) != 0)
		return RING_E_COUNT;
	*ret = r->data + at;
	*ret_len = len < r->size - at ? len : r->size - at;
	return 0;
}

void ring_moved(struct ring *r, uint32_t len)
{
	r->at += len;
	store(&r->mine[COUNT], r->at);
}

bool ring_wait(struct ring *r)
{
	if (r->waits & 1)
		return false;
	store(&r->mine[WAIT], ++r->waits);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return true;
}

void ring_wake(struct ring *r)
{
	if (r->waits & 1)
		store(&r->mine[WAIT], ++r->waits);
}

bool ring_owes_bell(struct ring *r)
{
	uint32_t wait, len;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	wait = load(&r->theirs[WAIT]);
	if (!(wait & 1) || wait == r->answered || available(r, &len) != 0)
		return false;
	/* what they can do: who takes has something there; who puts has half a ring, so as not to be woken for every byte */
	if (r->puts ? len == r->size : len > r->size / 2)
		return false;
	r->answered = wait;
	return true;
}
