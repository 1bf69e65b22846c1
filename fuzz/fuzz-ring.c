/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rings with a peer that writes anything into the shared memory between our steps: no span leaves its ring, and what
 * cannot be is said. Input: slot, then steps of five bytes {what, u32}.
 */
#include "fuzz.h"

#include "proto/ring.h"

#include <string.h>

static uint8_t head[RING_HEAD_SIZE] __attribute__((aligned(64)));
static uint8_t pair[2 * RING_BIG];

static void look(struct ring *r, uint32_t want)
{
	const uint8_t *first = r->data, *end = r->data + r->size;
	uint32_t len;
	uint8_t *at;

	if (ring_span(r, &at, &len) != 0)
		return;
	FUZZ_CHECK(at >= first && at < end && len <= (size_t)(end - at));
	if (want < len)
		len = want;
	if (r->puts)
		memset(at, 0x55, len);
	ring_moved(r, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ring up, down;
	unsigned slot;

	if (size == 0)
		return 0;
	slot = data[0];
	memset(head, 0, sizeof(head));
	ring_format(head);
	FUZZ_CHECK(ring_is_formatted(head));
	FUZZ_CHECK(ring_offset(slot) + 2 * ring_size(slot) <= RING_REGION_SIZE);
	ring_open(head, pair, slot, RING_UP_TAKE, &up);
	ring_open(head, pair, slot, RING_DOWN_PUT, &down);
	for (size_t at = 1; at + 5 <= size; at += 5) {
		uint32_t v;

		memcpy(&v, data + at + 1, sizeof(v));
		switch (data[at] % 8) {
		case 0:
			up.theirs[0] = v;
			break;
		case 1:
			down.theirs[0] = v;
			break;
		case 2:
			up.theirs[1] = v;
			break;
		case 3:
			down.theirs[1] = v;
			break;
		case 4:
			look(&up, v);
			break;
		case 5:
			look(&down, v);
			break;
		case 6:
			(void)ring_owes_bell(&up);
			FUZZ_CHECK(!ring_owes_bell(&up)); /* one bell a wait */
			break;
		default:
			if (v & 1)
				ring_wait(&down);
			else
				ring_wake(&down);
			break;
		}
	}
	return 0;
}
