/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "proto/ring.h"

static uint8_t region[RING_REGION_SIZE] __attribute__((aligned(4096)));

struct ends {
	struct ring put, take;
};

static struct ends ends_of(unsigned slot, bool down)
{
	uint8_t *pair = region + ring_offset(slot);
	struct ends e;

	ring_open(region, pair, slot, down ? RING_DOWN_PUT : RING_UP_PUT, &e.put);
	ring_open(region, pair, slot, down ? RING_DOWN_TAKE : RING_UP_TAKE, &e.take);
	return e;
}

static uint32_t span(const struct ring *r, uint8_t **at)
{
	uint32_t len = 0;

	assert_int_equal(ring_span(r, at, &len), 0);
	return len;
}

static void every_slot_has_memory_of_its_own(void **state)
{
	uint32_t end = RING_HEAD_SIZE;

	(void)state;
	for (unsigned slot = 0; slot < RING_SLOTS; slot++) {
		assert_int_equal(ring_offset(slot), end);
		end += 2 * ring_size(slot);
	}
	assert_true(end <= RING_REGION_SIZE);
	assert_false(ring_is_formatted(region));
	ring_format(region);
	assert_true(ring_is_formatted(region));
}

/* Through the whole ring and around it, with pieces of many lengths; a neighbour sees nothing. */
static void bytes_come_out_as_they_went_in(void **state)
{
	const unsigned slots[] = {0, RING_BIG_SLOTS - 1, RING_BIG_SLOTS, RING_SLOTS - 1};
	uint8_t put = 0, taken = 0;
	uint32_t rng = 1;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(slots); i++)
		for (int down = 0; down < 2; down++) {
			struct ends e = ends_of(slots[i], down), other = ends_of(slots[i], !down);
			uint8_t *nothing;

			ring_empty(&e.put);
			ring_empty(&other.put);
			put = taken = 0;
			for (uint64_t total = 0; total < 5 * (uint64_t)e.put.size;) {
				uint8_t *at;
				uint32_t len = span(&e.put, &at), want;

				rng = rng * 1664525 + 1013904223;
				want = (rng >> 8) % (e.put.size + 1);
				len = want < len ? want : len;
				for (uint32_t k = 0; k < len; k++)
					at[k] = put++;
				ring_moved(&e.put, len);
				rng = rng * 1664525 + 1013904223;
				want = (rng >> 8) % (e.put.size + 1);
				len = span(&e.take, &at);
				len = want < len ? want : len;
				for (uint32_t k = 0; k < len; k++)
					assert_int_equal(at[k], taken++);
				ring_moved(&e.take, len);
				total += len;
			}
			assert_int_equal(span(&other.take, &nothing), 0);
		}
}

static void full_is_full_and_empty_is_empty(void **state)
{
	struct ends e = ends_of(20, false);
	uint8_t *at;

	(void)state;
	ring_empty(&e.put);
	while (span(&e.put, &at) > 0)
		ring_moved(&e.put, span(&e.put, &at));
	assert_int_equal(e.put.at - e.take.at, RING_SMALL);
	while (span(&e.take, &at) > 0)
		ring_moved(&e.take, span(&e.take, &at));
	assert_int_equal(e.put.at, e.take.at);
}

/* A later stream begins empty where its predecessor left bytes, and wherever the counts stood. */
static void a_used_slot_begins_empty(void **state)
{
	struct ends e = ends_of(21, false), later;
	uint8_t *at;

	(void)state;
	ring_moved(&e.put, 1000);
	ring_moved(&e.take, 300);
	ring_wait(&e.take);
	later = ends_of(21, false);
	ring_empty(&later.put);
	assert_int_equal(span(&later.take, &at), 0);
	assert_false(ring_owes_bell(&later.put)); /* the old one's wait is over */
	ring_moved(&later.put, 10);
	assert_int_equal(span(&later.take, &at), 10);
}

static void a_count_that_cannot_be_is_refused(void **state)
{
	struct ends e = ends_of(22, false);
	uint32_t len;
	uint8_t *at;

	(void)state;
	*e.take.theirs = e.take.at + RING_SMALL + 1;
	assert_int_equal(ring_span(&e.take, &at, &len), RING_E_COUNT);
	*e.take.theirs = e.take.at - 1;
	assert_int_equal(ring_span(&e.take, &at, &len), RING_E_COUNT);
	assert_false(ring_owes_bell(&e.take));
	*e.take.theirs = e.take.at + RING_SMALL;
	assert_int_equal(ring_span(&e.take, &at, &len), 0);
	*e.put.theirs = e.put.at + 1; /* took what was never put */
	assert_int_equal(ring_span(&e.put, &at, &len), RING_E_COUNT);
}

static void who_waits_gets_one_bell(void **state)
{
	struct ends e = ends_of(23, true);
	uint8_t *at;

	(void)state;
	ring_moved(&e.put, 1);
	assert_false(ring_owes_bell(&e.put)); /* nobody waits */
	ring_moved(&e.take, 1);
	ring_wait(&e.take);
	assert_false(ring_owes_bell(&e.put)); /* nothing is there */
	ring_moved(&e.put, 1);
	assert_true(ring_owes_bell(&e.put));
	assert_false(ring_owes_bell(&e.put));
	ring_wait(&e.take); /* still the same wait */
	assert_false(ring_owes_bell(&e.put));
	ring_wake(&e.take);
	ring_wait(&e.take);
	assert_true(ring_owes_bell(&e.put));
	ring_wake(&e.take);
	/* who waits for room hears when half of it is free */
	while (span(&e.put, &at) > 0)
		ring_moved(&e.put, span(&e.put, &at));
	ring_wait(&e.put);
	ring_moved(&e.take, RING_SMALL / 2 - 1);
	assert_false(ring_owes_bell(&e.take));
	ring_moved(&e.take, 1);
	assert_true(ring_owes_bell(&e.take));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_slot_has_memory_of_its_own),
		cmocka_unit_test(bytes_come_out_as_they_went_in),
		cmocka_unit_test(full_is_full_and_empty_is_empty),
		cmocka_unit_test(a_used_slot_begins_empty),
		cmocka_unit_test(a_count_that_cannot_be_is_refused),
		cmocka_unit_test(who_waits_gets_one_bell),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
