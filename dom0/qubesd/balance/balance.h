/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * How much memory each running qube is to have: pure, told what is so and asked again every now and then.
 *
 * A qube may have from @least (what it started with) to @most. It is given BALANCE_FACTOR of what it says that it uses; more at a
 * time when it has nothing left; less once it has been calm for BALANCE_CALM_MS and has far more than that. Between the two
 * it keeps what it has, so nothing goes to and fro. When all together would be more than there is, the one
 * that was active longest ago gives first: what it does not use by that factor, then its margin (a full one has none). What is
 * missing then is shared: each gets what it uses or an equal part beyond its least, whichever is smaller.
 *
 * A guest that fills its memory fast moves some of it to its swap, and has a little left again by the next look. What it moved
 * there since the last one counts as used as well, and where that leaves less than an eighth, it as one that has nothing left;
 * not while it is asked to give some back, which makes it do that.
 *
 * What a qube uses it says itself, and it may lie. It then gets no more than @most, nor more than that equal part when others
 * are short, and nothing more as long as it does not give back what it was asked for; and nobody is ever below what it started with. Memory that is asked back counts as gone only once it has come:
 * what all have, together with what is on its way to them, is never more than there is because of an answer from here.
 *
 * Sizes are KiB, times milliseconds of one clock.
 */
#include "base/attr.h"

/** BALANCE_FACTOR, BALANCE_TIGHT - of what a qube uses, in hundredths: what it gets, what it keeps while others are short */
#define BALANCE_FACTOR  130
#define BALANCE_TIGHT   107
#define BALANCE_CALM_MS 60000
/** BALANCE_STEP - beyond its least a qube is given whole ones of these */
#define BALANCE_STEP 16384
/** BALANCE_OWN - how much the host may count for a qube beyond what it was given: its QEMU's own */
#define BALANCE_OWN 262144
/** BALANCE_PATIENCE_MS - one that owes memory and has not given any back for so long is not waited for */
#define BALANCE_PATIENCE_MS 10000
/** BALANCE_MAX - more than any machine has */
#define BALANCE_MAX (UINT64_C(1) << 50)

/**
 * struct balance_qube - one qube that runs, or is about to
 * @least, @most:	its bounds; where they are the same nothing is to be decided
 * @has:	at this moment
 * @asked:	what it was last told to have
 * @used:	of that, as it says; ignored where not @known
 * @swapped:	what it has moved to its swap since it started, as it says; ignored where not @known
 * @taken:	what the host counts for it; 0 where that is not known
 * @cpu_ms:	processor time it has had in all
 * @seen:	the rows below are of an earlier call
 * @stuck:	out: it does not give back what it was asked for, so others are asked instead of it
 * @target:	out: what to tell it now
 * @lacks:	out: what it moved to its swap since the last call and counts as used
 * @grows:	balance()'s own
 */
struct balance_qube {
	uint64_t least, most, has, asked, used, swapped, taken, cpu_ms;
	bool known;
	bool seen;
	uint64_t seen_ms, last_used, last_swapped, last_cpu_ms; /* at the last call */
	uint64_t active_ms, changed_ms; /* when it last worked; when what it uses last changed */
	uint64_t last_held, owes_ms;    /* what it has and owes: when that last became less */
	bool stuck, grows;
	uint64_t lacks;
	uint64_t target;
};

/**
 * balance() - set the @target of each
 * @room:	what all of them together may have
 */
void balance(struct balance_qube *qubes, size_t n, uint64_t room, uint64_t now_ms);

/** balance_missing() - by how much those @n have more than @room, now that they have what they have; 0 if they do not */
uint64_t balance_missing(const struct balance_qube *qubes, size_t n, uint64_t room);

/** balance_least() - what all of them have at the very least */
uint64_t balance_least(const struct balance_qube *qubes, size_t n);
