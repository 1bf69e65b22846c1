/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "queue.h"

#define NOW UINT64_C(1000000)

static struct queue q;
static struct queue_entry e[QUEUE_MAX + 1];

static int begin(void **state)
{
	(void)state;
	memset(&q, 0, sizeof(q));
	memset(e, 0, sizeof(e));
	return 0;
}

static void a_caller_holds_a_few_and_all_together_not_many(void **state)
{
	char name[16];
	unsigned n = 0;

	(void)state;
	for (unsigned i = 0; i < QUEUE_CALLER_MAX; i++)
		assert_int_equal(queue_add(&q, &e[n++], "loud", NOW), 0);
	assert_int_equal(queue_add(&q, &e[n], "loud", NOW), QUEUE_E_CALLER);
	while (n < QUEUE_MAX) {
		(void)snprintf(name, sizeof(name), "q%u", n);
		assert_int_equal(queue_add(&q, &e[n++], name, NOW), 0);
	}
	assert_int_equal(queue_add(&q, &e[n], "other", NOW), QUEUE_E_FULL);
	queue_remove(&q, &e[0]);
	assert_int_equal(queue_add(&q, &e[n], "loud", NOW), 0);
}

static void callers_take_turns_and_each_is_shown_its_oldest_first(void **state)
{
	static const struct {
		const char *caller;
		unsigned turn; /* when it is shown */
	} asked[] = {{"loud", 0}, {"loud", 3}, {"loud", 4}, {"a", 1}, {"b", 2}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(asked); i++)
		assert_int_equal(queue_add(&q, &e[i], asked[i].caller, NOW), 0);
	for (unsigned turn = 0; turn < ARRAY_LEN(asked); turn++) {
		struct queue_entry *shown = queue_show(&q);

		assert_non_null(shown);
		assert_int_equal(asked[shown - e].turn, turn);
		queue_remove(&q, shown);
	}
	assert_null(queue_show(&q));
	/* one that was shown already does not come before one that never was */
	assert_int_equal(queue_add(&q, &e[0], "loud", NOW), 0);
	assert_int_equal(queue_add(&q, &e[1], "new", NOW), 0);
	assert_ptr_equal(queue_show(&q), &e[1]);
}

/* as if asked, shown and refused at @now_ms */
static bool refuse(const char *caller, uint64_t now_ms)
{
	bool quiet;

	assert_int_equal(queue_add(&q, &e[0], caller, now_ms), 0);
	assert_ptr_equal(queue_show(&q), &e[0]);
	quiet = queue_refused(&q, &e[0], now_ms);
	queue_remove(&q, &e[0]);
	return quiet;
}

static void who_is_refused_often_is_quiet_for_a_while(void **state)
{
	(void)state;
	for (unsigned i = 1; i < QUEUE_REFUSALS; i++)
		assert_false(refuse("loud", NOW + i));
	assert_true(refuse("loud", NOW + 100));
	assert_int_equal(queue_add(&q, &e[0], "loud", NOW + 100), QUEUE_E_QUIET);
	assert_int_equal(queue_add(&q, &e[0], "loud", NOW + 99 + QUEUE_QUIET_MS), QUEUE_E_QUIET);
	/* others are not, and it may ask again when its time is over */
	assert_false(refuse("other", NOW + 100));
	assert_false(refuse("loud", NOW + 100 + QUEUE_QUIET_MS));
}

static void refusals_far_apart_quiet_nobody(void **state)
{
	(void)state;
	for (unsigned i = 1; i < 5 * QUEUE_REFUSALS; i++)
		assert_false(refuse("calm", NOW + (uint64_t)i * QUEUE_QUIET_MS / 2));
}

/* however many names come by, those that are quiet stay so while there is room to remember them */
static void quiet_ones_are_remembered_among_many_callers(void **state)
{
	char name[16];

	(void)state;
	for (unsigned i = 0; i < QUEUE_REFUSALS; i++)
		(void)refuse("loud", NOW + i);
	for (unsigned i = 0; i < 1000; i++) {
		(void)snprintf(name, sizeof(name), "q%u", i);
		assert_int_equal(queue_add(&q, &e[1], name, NOW + 10), 0);
		assert_ptr_equal(queue_show(&q), &e[1]);
		queue_remove(&q, &e[1]);
	}
	assert_int_equal(queue_add(&q, &e[0], "loud", NOW + 10), QUEUE_E_QUIET);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_caller_holds_a_few_and_all_together_not_many, begin),
		cmocka_unit_test_setup(callers_take_turns_and_each_is_shown_its_oldest_first,
				       begin),
		cmocka_unit_test_setup(who_is_refused_often_is_quiet_for_a_while, begin),
		cmocka_unit_test_setup(refusals_far_apart_quiet_nobody, begin),
		cmocka_unit_test_setup(quiet_ones_are_remembered_among_many_callers, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
