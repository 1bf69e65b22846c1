/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whose turn it is among jobs. */
#include "job/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MAX 400

struct list {
	struct turn at[MAX];
	unsigned n;
};

static void add(struct list *l, unsigned n, enum lane lane, unsigned source, const char *pool)
{
	for (unsigned i = 0; i < n; i++) {
		struct turn *t = &l->at[l->n];

		assert_true(l->n < MAX);
		*t = (struct turn){.lane = lane, .source = source};
		(void)snprintf(t->pools[0], sizeof(t->pools[0]), "%s", pool);
		if (l->n++ > 0)
			l->at[l->n - 2].next = t;
	}
}

static struct turn *first(struct list *l)
{
	return l->n > 0 ? l->at : NULL;
}

/* how many of @waiting begin beside @running until no more may; *@ret_last is the last of them */
static unsigned begin_all(struct list *running, struct list *waiting, enum lane lane,
			  struct turn *ret_last)
{
	unsigned n = 0;
	struct turn *t;

	while ((t = turn_next(first(running), first(waiting), lane))) {
		if (ret_last)
			*ret_last = *t;
		add(running, 1, t->lane, t->source, t->pools[0]);
		memcpy(running->at[running->n - 1].pools, t->pools, sizeof(t->pools));
		t->lane = lane == LANE_ZYGOTE ? LANE_TELL : LANE_ZYGOTE; /* waits no more here */
		n++;
	}
	return n;
}

static void a_lane_has_its_slots_and_no_more(void **state)
{
	(void)state;
	for (unsigned lane = 0; lane < N_LANES; lane++) {
		struct list running = {0}, waiting = {0};

		add(&waiting, 150, lane, 0, "");
		assert_int_equal(begin_all(&running, &waiting, lane, NULL), turn_slots(lane));
	}
}

static void full_lanes_keep_no_other_waiting(void **state)
{
	struct list running = {0}, waiting = {0};

	(void)state;
	for (unsigned lane = LANE_STOP; lane < N_LANES; lane++)
		add(&running, turn_slots(lane), lane, 0, "");
	add(&waiting, 50, LANE_DISK, 0, "");
	add(&waiting, 1, LANE_START, 0, "");
	assert_null(turn_next(first(&running), first(&waiting), LANE_DISK));
	assert_ptr_equal(turn_next(first(&running), first(&waiting), LANE_START), &waiting.at[50]);
}

static void a_qube_never_has_all_slots(void **state)
{
	struct list running = {0}, waiting = {0};
	unsigned n;

	(void)state;
	add(&waiting, 100, LANE_STREAM, 7, "");
	n = begin_all(&running, &waiting, LANE_STREAM, NULL);
	assert_true(n > 0 && n < turn_slots(LANE_STREAM));
	add(&waiting, 1, LANE_STREAM, 8, "");
	assert_ptr_equal(turn_next(first(&running), first(&waiting), LANE_STREAM),
			 &waiting.at[100]);
	waiting.at[100].source = 0;
	assert_ptr_equal(turn_next(first(&running), first(&waiting), LANE_STREAM),
			 &waiting.at[100]);
}

static void a_pool_that_hangs_keeps_its_own_jobs_waiting(void **state)
{
	struct list running = {0}, waiting = {0};

	(void)state;
	add(&waiting, 100, LANE_LOOK, 0, "far");
	assert_true(begin_all(&running, &waiting, LANE_LOOK, NULL) < turn_slots(LANE_LOOK));
	add(&waiting, 1, LANE_LOOK, 0, "other");
	add(&waiting, 1, LANE_LOOK, 0, "");
	assert_ptr_equal(turn_next(first(&running), first(&waiting), LANE_LOOK), &waiting.at[100]);
	assert_int_equal(begin_all(&running, &waiting, LANE_LOOK, NULL), 2);
}

static void in_two_pools(struct list *l, unsigned n, const char *a, const char *b)
{
	const unsigned from = l->n;

	add(l, n, LANE_START, 0, a);
	for (unsigned i = from; i < l->n; i++)
		(void)snprintf(l->at[i].pools[1], sizeof(l->at[i].pools[1]), "%s", b);
}

static void each_pool_of_a_job_counts(void **state)
{
	struct list running = {0}, waiting = {0};
	unsigned n;

	(void)state;
	in_two_pools(&waiting, 60, "good", "hangs");
	n = begin_all(&running, &waiting, LANE_START, NULL);
	assert_true(n > 0 && n < turn_slots(LANE_START));
	/* none of the same pool, whichever other one it works in */
	in_two_pools(&waiting, 60, "hangs", "");
	in_two_pools(&waiting, 60, "another", "hangs");
	assert_int_equal(begin_all(&running, &waiting, LANE_START, NULL), 0);
	in_two_pools(&waiting, 1, "another", "third");
	assert_int_equal(begin_all(&running, &waiting, LANE_START, NULL), 1);
}

static void who_has_fewest_is_next_and_then_the_oldest(void **state)
{
	struct list running = {0}, waiting = {0};

	(void)state;
	add(&waiting, 1, LANE_DISK, 0, "");
	add(&waiting, 1, LANE_DISK, 7, "");
	assert_ptr_equal(turn_next(NULL, first(&waiting), LANE_DISK), &waiting.at[0]);
	add(&running, 2, LANE_DISK, 0, "");
	add(&running, 1, LANE_DISK, 7, "");
	add(&running, 9, LANE_START, 7, ""); /* of another lane: of no matter */
	assert_ptr_equal(turn_next(first(&running), first(&waiting), LANE_DISK), &waiting.at[1]);
	add(&running, 1, LANE_DISK, 7, "");
	assert_ptr_equal(turn_next(first(&running), first(&waiting), LANE_DISK), &waiting.at[0]);
}

static void queues_that_clients_could_fill_have_an_end(void **state)
{
	static struct list waiting;

	(void)state;
	add(&waiting, 255, LANE_LOOK, 0, "");
	assert_true(turn_may_wait(first(&waiting), LANE_LOOK));
	add(&waiting, 1, LANE_LOOK, 0, "");
	assert_false(turn_may_wait(first(&waiting), LANE_LOOK));
	assert_true(turn_may_wait(first(&waiting), LANE_STREAM));
	for (unsigned i = 0; i < waiting.n; i++)
		waiting.at[i].lane = LANE_STOP;
	assert_true(turn_may_wait(first(&waiting), LANE_STOP));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lane_has_its_slots_and_no_more),
		cmocka_unit_test(full_lanes_keep_no_other_waiting),
		cmocka_unit_test(a_qube_never_has_all_slots),
		cmocka_unit_test(a_pool_that_hangs_keeps_its_own_jobs_waiting),
		cmocka_unit_test(each_pool_of_a_job_counts),
		cmocka_unit_test(who_has_fewest_is_next_and_then_the_oldest),
		cmocka_unit_test(queues_that_clients_could_fill_have_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
