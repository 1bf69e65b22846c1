/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Balancing memory: cases as tables, then worlds of qubes that live, idle, lie and refuse, in which the promises of the header
 * are looked at after each step. */
#include "balance/balance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB(n) ((uint64_t)(n)*1024)
#define S      UINT64_C(1000)

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static struct balance_qube qube(unsigned least, unsigned most, unsigned has, unsigned used)
{
	return (struct balance_qube){.least = MIB(least),
				     .most = MIB(most),
				     .has = MIB(has),
				     .asked = MIB(has),
				     .used = MIB(used),
				     .known = true};
}

/* what was asked for has come */
static void obey(struct balance_qube *q)
{
	q->asked = q->has = q->target;
}

static void one_qube_gets_what_it_uses_and_a_third(void **state)
{
	static const struct {
		unsigned least, most, has, used;
		unsigned first, calm; /* MiB: at once, and after a calm minute */
	} rows[] = {
		{400, 4000, 400, 100, 400, 400}, /* its least */
		{400, 4000, 400, 340, 400, 400}, /* enough left: 15 of 100 */
		{400, 4000, 400, 355, 464, 464}, /* short: 1.3 times, in steps */
		{400, 4000, 400, 380, 608, 608}, /* nothing left: half as much again */
		{400, 4000, 400, 400, 608, 608}, /* the same */
		{400, 500, 400, 400, 500, 500},  /* no more than its most */
		{400, 4000, 1000, 700, 1000,
		 1000}, /* neither short nor far too much (a whole step) */
		{400, 4000, 2000, 500, 2000, 656},   /* far too much */
		{400, 400, 400, 400, 400, 400},      /* not balanced */
		{400, 4000, 4000, 4000, 4000, 4000}, /* as much as there is */
		{400, 4000, 400, 9999, 608, 608},    /* a lie beyond what it has */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct balance_qube q =
			qube(rows[i].least, rows[i].most, rows[i].has, rows[i].used);
		const uint64_t slack = BALANCE_STEP; /* what it has may be no whole step */

		balance(&q, 1, MIB(100000), 1 * S);
		if (q.target > MIB(rows[i].first) || q.target + slack <= MIB(rows[i].first))
			fail_msg("row %zu: first %llu", i, (unsigned long long)q.target / 1024);
		balance(&q, 1, MIB(100000), 62 * S);
		if (q.target > MIB(rows[i].calm) || q.target + slack <= MIB(rows[i].calm))
			fail_msg("row %zu: calm %llu", i, (unsigned long long)q.target / 1024);
	}
}

static void what_went_to_the_swap_counts_as_used(void **state)
{
	/* has 256 of 4000 MiB; two looks, between which it moved something to its swap */
	static const struct {
		unsigned asked, used, before, after, target; /* MiB */
		bool unknown;
	} rows[] = {
		{256, 200, 0, 0, 256, false},       {256, 200, 500, 500, 256, false}, /* long ago */
		{256, 200, 0, 3, 256, false},       /* next to nothing */
		{256, 150, 0, 60, 256, false},      /* there is room for it by now */
		{256, 200, 0, 40, 384, false},      /* as one that has nothing left */
		{256, 200, 0, 200, 528, false},     /* 1.3 times what it would have used */
		{256, 9999, 0, 999999, 672, false}, /* a lie */
		{256, 200, 500, 100, 256, false},   /* another */
		{256, 200, 0, 200, 256, true},      /* it says nothing */
		{200, 150, 0, 200, 200, false},     /* it is giving some back */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct balance_qube q = qube(100, 4000, 256, rows[i].used);

		q.known = !rows[i].unknown;
		q.swapped = MIB(rows[i].before);
		q.used = MIB(150);
		balance(&q, 1, MIB(100000), 1 * S);
		q.asked = MIB(rows[i].asked);
		q.used = MIB(rows[i].used);
		q.swapped = MIB(rows[i].after);
		balance(&q, 1, MIB(100000), 3 * S);
		if (q.target > MIB(rows[i].target) + BALANCE_STEP ||
		    q.target + BALANCE_STEP < MIB(rows[i].target))
			fail_msg("row %zu: %llu", i, (unsigned long long)q.target / 1024);
	}
}

static void a_burst_into_the_swap_ends_with_memory_for_it(void **state)
{
	struct balance_qube q = qube(256, 768, 256, 40);
	uint64_t now = 1 * S, needed = MIB(40);

	(void)state;
	for (unsigned i = 0; i < 10; i++, now += 2 * S) {
		if (i > 0 && needed < MIB(600)) {
			/* what does not fit goes out; its kernel keeps an eighth free, so it never looks full */
			needed += MIB(150);
			q.used = min(needed, q.has - q.has / 8);
			q.swapped += needed > q.used ? min(needed - q.used, MIB(150)) : 0;
		}
		balance(&q, 1, MIB(100000), now);
		obey(&q);
	}
	assert_true(q.has >= MIB(700));
}

static void one_that_swaps_is_asked_for_less_than_an_idle_one(void **state)
{
	struct balance_qube q[2] = {qube(400, 4000, 1000, 500), qube(400, 4000, 1000, 500)};

	(void)state;
	balance(q, 2, MIB(2000), 1 * S);
	q[1].swapped = MIB(300);
	balance(q, 2, MIB(1600), 3 * S);
	assert_true(q[0].target < MIB(700));
	assert_true(q[1].target >= MIB(900));
}

static void one_that_says_nothing_keeps_what_it_has(void **state)
{
	struct balance_qube q = qube(400, 4000, 800, 0);

	(void)state;
	q.known = false;
	for (unsigned i = 0; i < 10; i++) {
		balance(&q, 1, MIB(100000), 30 * S * i);
		assert_int_equal(q.target, MIB(800));
	}
}

static void the_least_active_gives_first(void **state)
{
	struct balance_qube q[3] = {qube(400, 4000, 2000, 800), qube(400, 4000, 2000, 800),
				    qube(400, 4000, 400, 390)};

	(void)state;
	balance(q, 3, MIB(10000), 1 * S);
	/* the second worked a moment ago, the first did not */
	q[1].cpu_ms = q[2].cpu_ms = 5000;
	balance(q, 3, MIB(4500), 10 * S);
	assert_true(q[0].target < MIB(2000));
	assert_int_equal(q[1].target, MIB(2000));
	assert_int_equal(q[2].target, MIB(496)); /* what was free; the rest when it has come */
	obey(&q[0]);
	obey(&q[1]);
	obey(&q[2]);
	q[1].cpu_ms = q[2].cpu_ms = 6000;
	q[2].used = MIB(480);
	balance(q, 3, MIB(4500), 12 * S);
	assert_true(q[2].target >= MIB(590));
}

static void memory_that_has_not_come_is_not_given(void **state)
{
	struct balance_qube q[2] = {qube(400, 4000, 2000, 500), qube(400, 4000, 400, 400)};

	(void)state;
	q[1].cpu_ms = 1;
	balance(q, 2, MIB(2400), 1 * S);
	assert_int_equal(q[1].target, MIB(400));
	assert_true(q[0].target <= MIB(1800));
	assert_int_equal(balance_missing(q, 2, MIB(2400)), 0);
	assert_int_equal(balance_missing(q, 2, MIB(2000)), MIB(400));
	q[0].asked = q[0].target;
	q[0].has = MIB(1900); /* half of it came */
	balance(q, 2, MIB(2400), 2 * S);
	assert_true(q[1].target > MIB(400) && q[1].target <= MIB(500));
}

static void one_that_gives_nothing_back_is_not_waited_for(void **state)
{
	struct balance_qube q[3] = {qube(400, 4000, 2000, 500), qube(400, 4000, 1000, 500),
				    qube(400, 4000, 400, 400)};
	uint64_t now = 1 * S;

	(void)state;
	for (unsigned i = 0; i < 20; i++, now += 2 * S) {
		q[1].cpu_ms += 1000;
		q[2].cpu_ms += 1000;
		q[2].used = q[2].has;
		balance(q, 3, MIB(3400), now);
		q[0].asked = q[0].target; /* and it stays where it is */
		obey(&q[1]);
		obey(&q[2]);
		assert_true(q[0].has + q[1].has + q[2].has <= MIB(3400));
	}
	assert_true(q[0].stuck);
	assert_true(q[2].has >= MIB(600)); /* the second gave */
	assert_true(q[1].has >= MIB(525)); /* but not what it uses */
	q[0].has = MIB(600);
	balance(q, 3, MIB(3400), now);
	assert_false(q[0].stuck);
}

static void one_that_gives_nothing_back_and_says_it_is_full_gets_no_more(void **state)
{
	struct balance_qube q[2] = {qube(400, 4000, 2000, 2000), qube(400, 4000, 400, 400)};
	uint64_t now = 1 * S, asked = 0;

	(void)state;
	for (unsigned i = 0; i < 30; i++, now += 2 * S) {
		q[1].used = q[1].has;
		balance(q, 2, MIB(2600), now);
		if (i >= 10) {
			assert_true(q[0].stuck);
			assert_true(q[0].target <= asked);
		}
		q[0].asked = asked = q[0].target; /* and it stays where it is */
		obey(&q[1]);
		assert_true(q[0].has + q[1].has <= MIB(2600));
	}
	assert_true(asked < MIB(2000));
	assert_true(q[1].has >= MIB(580)); /* all that it left */
	/* nobody else needs it any more: it may have what it says it needs */
	balance(q, 1, MIB(10000), now);
	assert_true(q[0].target >= MIB(2900));
}

static void a_liar_gets_no_more_than_its_share(void **state)
{
	struct balance_qube q[3] = {qube(400, 4000, 400, 350), qube(400, 4000, 400, 350),
				    qube(400, 4000, 400, 350)};
	uint64_t now = 1 * S;

	(void)state;
	for (unsigned i = 0; i < 200; i++, now += 2 * S) {
		/* the first always claims all it has, and works all the time */
		q[0].used = UINT64_MAX;
		q[0].cpu_ms += 2000;
		/* the others come to use a gigabyte each in the middle */
		for (unsigned k = 1; k < 3; k++)
			q[k].used = i < 50 ? MIB(300) : min(q[k].has, MIB(1000));
		balance(q, 3, MIB(4000), now);
		for (unsigned k = 0; k < 3; k++)
			obey(&q[k]);
		if (i == 49)
			assert_true(q[0].has >= MIB(3000)); /* while nobody else wants it */
	}
	assert_true(q[1].has >= MIB(1050) && q[2].has >= MIB(1050));
	assert_true(q[0].has >= MIB(1500) && q[0].has <= MIB(2000));
}

static void one_that_grows_beside_a_full_one_comes_to_its_part_soon(void **state)
{
	struct balance_qube q[2] = {qube(400, 4000, 3200, 3200), qube(400, 4000, 400, 400)};
	unsigned looks = 0;

	(void)state;
	for (; looks < 50 && q[1].has < MIB(1700); looks++) {
		for (unsigned k = 0; k < 2; k++)
			q[k].used = q[k].has;
		balance(q, 2, MIB(3600), S + 2 * S * looks);
		for (unsigned k = 0; k < 2; k++)
			obey(&q[k]);
		assert_true(q[0].has + q[1].has <= MIB(3600));
	}
	assert_true(looks <= 20); /* a third more in two looks: 400 to 1800 MiB takes 12 */
}

/* and one that does not, but has no margin, neither gives nor takes */
static void beside_a_full_one_nothing_goes_to_and_fro(void **state)
{
	(void)state;
	for (unsigned used = 405; used < 1600; used += 7) {
		struct balance_qube q[2] = {qube(400, 4000, 3200, 3200),
					    qube(400, 4000, 400, used)};
		unsigned moves = 0;

		for (unsigned i = 0; i < 100; i++) {
			q[0].used = q[0].has;
			q[1].used = min(q[1].has, MIB(used));
			balance(q, 2, MIB(3600), S + 2 * S * i);
			for (unsigned k = 0; k < 2; k++) {
				moves += i >= 50 && q[k].target != q[k].asked;
				obey(&q[k]);
			}
		}
		assert_true(q[1].has >= MIB(used));
		if (moves > 0)
			fail_msg("%u MiB: %u moves", used, moves);
	}
}

static void a_qube_that_takes_what_it_was_not_given_is_counted(void **state)
{
	struct balance_qube q[2] = {qube(400, 4000, 400, 100), qube(400, 4000, 400, 400)};

	(void)state;
	q[0].taken = MIB(3000) + BALANCE_OWN;
	balance(q, 2, MIB(3500), 1 * S);
	assert_int_equal(q[0].target, MIB(400));
	assert_int_equal(q[1].target, MIB(496)); /* there is no more */
}

static void what_does_not_change_is_left_alone(void **state)
{
	struct balance_qube q[4];
	unsigned moves = 0;

	(void)state;
	for (unsigned k = 0; k < 4; k++)
		q[k] = qube(400, 4000, 400, 350 + 100 * k);
	for (unsigned i = 0; i < 400; i++) {
		uint64_t sum = 0;

		for (unsigned k = 0; k < 4; k++) { /* about so much, and never more than it has */
			q[k].used = min(q[k].has, MIB(600 + 300 * k + (i * 7 + k) % 9));
			q[k].cpu_ms += (uint64_t)(i + k) % 3 * 500;
		}
		balance(q, 4, MIB(6000), S + 2 * S * i);
		for (unsigned k = 0; k < 4; k++) {
			moves += i >= 100 && q[k].target != q[k].asked;
			obey(&q[k]);
			sum += q[k].has;
		}
		assert_true(sum <= MIB(6000));
	}
	assert_true(moves <= 4); /* at most what a calm minute makes smaller */
}

/* ---- worlds ---- */

#define N_QUBES 12

static uint64_t random_state;

static unsigned roll(unsigned n)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(random_state >> 33) % n;
}

enum kind { HONEST, LIAR, SILENT, REFUSES, FIXED, RANDOM, N_KINDS };

struct being {
	enum kind kind;
	uint64_t needs;
};

static void live(struct balance_qube *q, struct being *b)
{
	if (roll(20) == 0)
		b->needs = MIB(100 + roll(3000));
	q->cpu_ms += roll(3) == 0 ? 1500 : 0;
	switch (b->kind) {
	case HONEST:
	case REFUSES:
	case FIXED:
		q->used = min(b->needs, q->has);
		break;
	case LIAR:
		q->used = q->has;
		q->swapped += MIB(roll(2000));
		break;
	case SILENT:
		q->known = false;
		break;
	case RANDOM:
		q->used = (uint64_t)roll(UINT32_MAX) << roll(40);
		q->swapped = (uint64_t)roll(UINT32_MAX) << roll(40);
		q->cpu_ms = roll(UINT32_MAX);
		break;
	case N_KINDS:
		break;
	}
}

/* some of what was asked for comes */
static void follow(struct balance_qube *q, const struct being *b)
{
	const uint64_t to = q->target;

	q->asked = to;
	if (b->kind == REFUSES && to < q->has)
		return;
	if (roll(3) == 0)
		q->has = q->has < to ? q->has + (to - q->has) / 2 : q->has - (q->has - to) / 2;
	else
		q->has = to;
}

static void check_promises(const struct balance_qube *q, const struct balance_qube *before,
			   size_t n, uint64_t room)
{
	uint64_t had = 0, may_have = 0;

	for (size_t i = 0; i < n; i++) {
		assert_true(q[i].target >= q[i].least);
		assert_true(q[i].target <= q[i].most);
		had += before[i].has;
		may_have += q[i].target > before[i].has ? q[i].target : before[i].has;
	}
	/* no answer of ours makes it more than there is */
	assert_true(may_have <= (had > room ? had : room));
}

/* nobody honest is without what it uses while somebody else has more than an equal part of it */
static void check_nobody_starves(const struct balance_qube *q, const struct being *b, size_t n,
				 uint64_t room, unsigned seed)
{
	const uint64_t least = balance_least(q, n);
	const uint64_t part = room > least ? (room - least) / n : 0;

	for (size_t i = 0; i < n; i++) {
		const uint64_t fair = q[i].least + part, cap = min(q[i].most, fair);

		if (b[i].kind == HONEST && q[i].target + BALANCE_STEP < min(b[i].needs, cap))
			fail_msg("seed %u, qube %zu: %llu of %llu, fair %llu", seed, i,
				 (unsigned long long)q[i].target / 1024,
				 (unsigned long long)b[i].needs / 1024,
				 (unsigned long long)fair / 1024);
	}
}

static void worlds_keep_the_promises(void **state)
{
	const unsigned n_seeds = getenv("BULKHEAD_TEST_FULL") ? 20000 : 1000;

	(void)state;
	for (unsigned seed = 1; seed <= n_seeds; seed++) {
		struct balance_qube q[N_QUBES], before[N_QUBES];
		struct being b[N_QUBES];
		size_t n = 1 + seed % N_QUBES;
		uint64_t room, now = 1;
		bool refuses = false;

		random_state = seed;
		for (size_t i = 0; i < n; i++) {
			b[i] = (struct being){roll(N_KINDS), MIB(100 + roll(2000))};
			q[i] = qube(100 + roll(400), 500 + roll(4000), 0, 0);
			if (b[i].kind == FIXED)
				q[i].most = q[i].least;
			q[i].has = q[i].asked = q[i].least;
			refuses |= b[i].kind == REFUSES;
		}
		room = balance_least(q, n) + MIB(roll(8000));
		for (unsigned step = 0; step < 150; step++, now += 2 * S) {
			bool calm = step >= 100; /* nothing changes any more */

			for (size_t i = 0; i < n; i++) {
				if (!calm)
					live(&q[i], &b[i]);
				else if (b[i].kind == HONEST)
					q[i].used = min(b[i].needs, q[i].has);
			}
			if (!calm && roll(40) == 0)
				room = balance_least(q, n) + MIB(roll(8000));
			memcpy(before, q, sizeof(q));
			balance(q, n, room, now);
			check_promises(q, before, n, room);
			if (step == 149 && !refuses)
				check_nobody_starves(q, b, n, room, seed);
			for (size_t i = 0; i < n; i++)
				follow(&q[i], &b[i]);
		}
	}
}

static void numbers_at_their_ends_do_no_harm(void **state)
{
	static const uint64_t ends[] = {0, 1, MIB(400), UINT64_MAX / 2, UINT64_MAX - 1, UINT64_MAX};

	(void)state;
	random_state = 7;
	for (unsigned i = 0; i < 20000; i++) {
		struct balance_qube q[3];

		for (unsigned k = 0; k < 3; k++) {
			q[k] = (struct balance_qube){.least = ends[roll(6)],
						     .most = ends[roll(6)],
						     .has = ends[roll(6)],
						     .asked = ends[roll(6)],
						     .used = ends[roll(6)],
						     .swapped = ends[roll(6)],
						     .last_swapped = ends[roll(6)],
						     .taken = ends[roll(6)],
						     .known = roll(2),
						     .seen = roll(2),
						     .seen_ms = ends[roll(6)],
						     .active_ms = ends[roll(6)],
						     .changed_ms = ends[roll(6)],
						     .owes_ms = ends[roll(6)],
						     .last_held = ends[roll(6)]};
		}
		balance(q, 3, ends[roll(6)], ends[roll(6)]);
		for (unsigned k = 0; k < 3; k++)
			assert_true(q[k].target <= BALANCE_MAX);
		(void)balance_missing(q, 3, ends[roll(6)]);
	}
	balance(NULL, 0, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_qube_gets_what_it_uses_and_a_third),
		cmocka_unit_test(what_went_to_the_swap_counts_as_used),
		cmocka_unit_test(a_burst_into_the_swap_ends_with_memory_for_it),
		cmocka_unit_test(one_that_swaps_is_asked_for_less_than_an_idle_one),
		cmocka_unit_test(one_that_says_nothing_keeps_what_it_has),
		cmocka_unit_test(the_least_active_gives_first),
		cmocka_unit_test(memory_that_has_not_come_is_not_given),
		cmocka_unit_test(one_that_gives_nothing_back_is_not_waited_for),
		cmocka_unit_test(one_that_gives_nothing_back_and_says_it_is_full_gets_no_more),
		cmocka_unit_test(a_liar_gets_no_more_than_its_share),
		cmocka_unit_test(one_that_grows_beside_a_full_one_comes_to_its_part_soon),
		cmocka_unit_test(beside_a_full_one_nothing_goes_to_and_fro),
		cmocka_unit_test(a_qube_that_takes_what_it_was_not_given_is_counted),
		cmocka_unit_test(what_does_not_change_is_left_alone),
		cmocka_unit_test(worlds_keep_the_promises),
		cmocka_unit_test(numbers_at_their_ends_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
