/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "balance/balance.h"

/* a share of what it has that counts as change: of what it uses, as 1/N */
#define CHANGE_PART 16
/* what it moved to its swap since the last look counts from here, of what it has, as 1/N */
#define SWAP_PART 64
/* processor time that counts as work, of the time that went by, as 1/N */
#define WORK_PART 20
/* it is short when it uses more than this of what it has, and has nothing left above the other; hundredths */
#define SHORT 87
#define FULL  94
/* far more than it needs: by a quarter and this */
#define FAR_MORE 65536

static uint64_t min_of(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max_of(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* numbers of a qube may be anything */
static uint64_t sane(uint64_t v)
{
	return min_of(v, BALANCE_MAX);
}

static uint64_t least_of(const struct balance_qube *q)
{
	return sane(q->least);
}

static uint64_t most_of(const struct balance_qube *q)
{
	return max_of(sane(q->most), least_of(q));
}

static uint64_t clamp(const struct balance_qube *q, uint64_t v)
{
	return min_of(max_of(v, least_of(q)), most_of(q));
}

/* whole steps beyond its least, or all it may have */
static uint64_t round_up(const struct balance_qube *q, uint64_t v)
{
	const uint64_t least = least_of(q);

	if (v <= least)
		return least;
	return clamp(q, least + (v - least + BALANCE_STEP - 1) / BALANCE_STEP * BALANCE_STEP);
}

static uint64_t round_down(const struct balance_qube *q, uint64_t v)
{
	const uint64_t least = least_of(q);

	if (v <= least)
		return least;
	return v >= most_of(q) ? most_of(q) : least + (v - least) / BALANCE_STEP * BALANCE_STEP;
}

/* a qube cannot use what it has not got */
static uint64_t used_of(const struct balance_qube *q)
{
	return min_of(sane(q->used), sane(q->has));
}

static uint64_t hundredths(uint64_t v, unsigned of)
{
	return v * of / 100;
}

/* and what it would have used if it had had it */
static uint64_t needs(const struct balance_qube *q)
{
	return used_of(q) + q->lacks;
}

static uint64_t preferred(const struct balance_qube *q)
{
	return round_up(q, hundredths(needs(q), BALANCE_FACTOR));
}

/* what it has, whoever says so; one that does not give back has it still */
static uint64_t held(const struct balance_qube *q)
{
	const uint64_t taken = sane(q->taken);

	return max_of(max_of(sane(q->has), least_of(q)),
		      taken > BALANCE_OWN ? taken - BALANCE_OWN : 0);
}

static uint64_t distance(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

/* does it give back what it was asked for? */
static void look_at_debt(struct balance_qube *q, uint64_t now_ms)
{
	const uint64_t has = held(q);
	const bool owes = q->seen && has > max_of(sane(q->asked), least_of(q)) + BALANCE_STEP;

	if (!owes || !q->owes_ms || has + BALANCE_STEP <= q->last_held) {
		q->owes_ms = owes ? max_of(now_ms, 1) : 0;
		q->last_held = has;
	}
	q->stuck = owes && now_ms > q->owes_ms && now_ms - q->owes_ms >= BALANCE_PATIENCE_MS;
}

/* what did not fit into its memory since the last look; no more than as much again as it has */
static void look_at_swap(struct balance_qube *q)
{
	const uint64_t has = sane(q->has);
	const uint64_t moved = q->swapped > q->last_swapped ? q->swapped - q->last_swapped : 0;
	const bool gives = held(q) > max_of(sane(q->asked), least_of(q));

	q->lacks = 0;
	if (q->known && q->seen && !gives && moved > 0 && moved >= has / SWAP_PART)
		q->lacks = min_of(moved, has);
	q->last_swapped = q->swapped;
}

static void look(struct balance_qube *q, uint64_t now_ms)
{
	const uint64_t used = used_of(q), part = max_of(sane(q->has) / CHANGE_PART, 1);
	const uint64_t passed = q->seen && now_ms > q->seen_ms ? now_ms - q->seen_ms : 0;

	look_at_debt(q, now_ms);
	look_at_swap(q);
	if (q->lacks > 0)
		q->active_ms = q->changed_ms = now_ms;
	if (!q->seen) {
		q->active_ms = q->changed_ms = now_ms;
		q->last_used = used;
	}
	if (distance(used, q->last_used) >= part) {
		q->active_ms = q->changed_ms = now_ms;
		q->last_used = used;
	}
	if (q->seen && q->cpu_ms > q->last_cpu_ms &&
	    q->cpu_ms - q->last_cpu_ms >= passed / WORK_PART)
		q->active_ms = now_ms;
	q->seen = true;
	q->seen_ms = now_ms;
	q->last_cpu_ms = q->cpu_ms;
}

/* it has nothing left, and may need any amount */
static bool is_full(const struct balance_qube *q)
{
	const uint64_t has = sane(q->has);

	return q->known && (used_of(q) > hundredths(has, FULL) ||
			    (q->lacks > 0 && needs(q) > hundredths(has, SHORT)));
}

/* if it were alone */
static uint64_t wanted(const struct balance_qube *q, uint64_t now_ms)
{
	const uint64_t has = sane(q->has), used = used_of(q), like = preferred(q);
	const uint64_t calm_ms = now_ms > q->changed_ms ? now_ms - q->changed_ms : 0;

	if (!q->known)
		return round_down(q, sane(q->asked));
	if (is_full(q))
		return max_of(like, round_up(q, has + has / 2));
	if (used > hundredths(has, SHORT))
		return max_of(like, round_down(q, sane(q->asked)));
	if (calm_ms >= BALANCE_CALM_MS && sane(q->asked) > like + like / 4 + FAR_MORE)
		return like;
	return round_down(q, sane(q->asked));
}

/* as long as others are short, one that does not give back what it was asked for keeps at most that, whatever it says it needs */
static void hold_to_debts(struct balance_qube *qubes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (qubes[i].stuck)
			qubes[i].target = min_of(qubes[i].target,
						 round_down(&qubes[i], sane(qubes[i].asked)));
}

/* what is gone for the others if it gets its target */
static uint64_t charge(const struct balance_qube *q)
{
	return q->stuck ? max_of(q->target, held(q)) : q->target;
}

static uint64_t sum_of_charges(const struct balance_qube *qubes, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += charge(&qubes[i]);
	return sum;
}

/* the one that was active longest ago, of those that have something to give; NULL */
static struct balance_qube *laziest(struct balance_qube *qubes, size_t n,
				    uint64_t (*keeps)(const struct balance_qube *))
{
	struct balance_qube *first = NULL;

	for (size_t i = 0; i < n; i++)
		if (!qubes[i].stuck && qubes[i].target > keeps(&qubes[i]) &&
		    (!first || qubes[i].active_ms < first->active_ms))
			first = &qubes[i];
	return first;
}

/* one that has not said what it uses is not believed to use nothing */
static uint64_t keeps_factor(const struct balance_qube *q)
{
	return q->known ? preferred(q) : min_of(q->target, clamp(q, sane(q->has)));
}

/* What a full one would grow by is no margin: the others would keep all they say they use, and it come to its part in minutes. One
 * with no more than this margin is not full, or it would be given more and asked for it again for ever. */
static uint64_t keeps_tight(const struct balance_qube *q)
{
	return q->known && !is_full(q) ? round_up(q, hundredths(needs(q), BALANCE_TIGHT))
				       : keeps_factor(q);
}
_Static_assert(BALANCE_TIGHT *FULL > 100 * 100, "one that is held to that is not full");

/* the least active gives first, down to what @keeps says. Return: how much is missing still */
static uint64_t collect(struct balance_qube *qubes, size_t n, uint64_t missing,
			uint64_t (*keeps)(const struct balance_qube *))
{
	struct balance_qube *q;

	while (missing > 0 && (q = laziest(qubes, n, keeps))) {
		const uint64_t gives = min_of(q->target - keeps(q), missing);
		const uint64_t target = max_of(keeps(q), round_down(q, q->target - gives));

		missing -= min_of(missing, q->target - target);
		q->target = target;
	}
	return missing;
}

/* what all have beyond their least if nobody has more of it than @level */
static uint64_t sum_at(const struct balance_qube *qubes, size_t n, uint64_t level)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += qubes[i].stuck ? charge(&qubes[i]) - least_of(&qubes[i])
				      : min_of(qubes[i].target - least_of(&qubes[i]), level);
	return sum;
}

/* all use more than there is: each gets what it says it uses or an equal part beyond its least, whichever is smaller */
static void share(struct balance_qube *qubes, size_t n, uint64_t room)
{
	const uint64_t least = balance_least(qubes, n);
	const uint64_t spare = room > least ? room - least : 0;
	uint64_t low = 0, high = BALANCE_MAX;

	while (low < high) {
		const uint64_t level = low + (high - low + 1) / 2;

		if (sum_at(qubes, n, level) <= spare)
			low = level;
		else
			high = level - 1;
	}
	for (size_t i = 0; i < n; i++) {
		struct balance_qube *q = &qubes[i];

		if (!q->stuck && q->target - least_of(q) > low)
			q->target = round_down(q, least_of(q) + low);
	}
}

/* Who is to grow next: those that were told so and are on their way, then the most active. NULL */
static struct balance_qube *next_to_grow(struct balance_qube *qubes, size_t n)
{
	struct balance_qube *first = NULL;
	bool first_comes = false;

	for (size_t i = 0; i < n; i++) {
		const bool comes = sane(qubes[i].asked) > held(&qubes[i]);

		if (!qubes[i].grows)
			continue;
		if (!first || comes > first_comes ||
		    (comes == first_comes && qubes[i].active_ms > first->active_ms)) {
			first = &qubes[i];
			first_comes = comes;
		}
	}
	return first;
}

/* what is asked back has not come yet: nobody grows into it */
static void hold_back(struct balance_qube *qubes, size_t n, uint64_t room)
{
	struct balance_qube *q;
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++) {
		qubes[i].grows = qubes[i].target > held(&qubes[i]);
		sum += held(&qubes[i]);
	}
	while ((q = next_to_grow(qubes, n))) {
		const uint64_t free_now = room > sum ? room - sum : 0, has = held(q);

		q->grows = false;
		q->target = min_of(q->target, max_of(round_down(q, has + free_now), has));
		sum += q->target - has;
	}
}

void balance(struct balance_qube *qubes, size_t n, uint64_t room, uint64_t now_ms)
{
	uint64_t sum, missing;

	room = sane(room);
	for (size_t i = 0; i < n; i++) {
		look(&qubes[i], now_ms);
		qubes[i].target = wanted(&qubes[i], now_ms);
	}
	if (sum_of_charges(qubes, n) > room)
		hold_to_debts(qubes, n);
	sum = sum_of_charges(qubes, n);
	missing = sum > room ? sum - room : 0;
	missing = collect(qubes, n, missing, keeps_factor);
	missing = collect(qubes, n, missing, keeps_tight);
	if (missing > 0)
		share(qubes, n, room);
	hold_back(qubes, n, room);
}

uint64_t balance_missing(const struct balance_qube *qubes, size_t n, uint64_t room)
{
	uint64_t sum = 0;

	room = sane(room);
	for (size_t i = 0; i < n; i++)
		sum += held(&qubes[i]);
	return sum > room ? sum - room : 0;
}

uint64_t balance_least(const struct balance_qube *qubes, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += least_of(&qubes[i]);
	return sum;
}
