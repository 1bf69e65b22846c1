/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * The parts of bulkhead-check and what they share.
 *
 *	main.c		the story, and what is told
 *	picture.c	the store as of now, whether qubesd runs or not
 *	volumes.c	the files of each volume that the store knows
 *	leftovers.c	files and processes of qubes that it does not know
 *
 * Told on standard output, a line each, fields parted by tabs:
 *
 *	P PERCENT TEXT				how far it is
 *	F KIND SUBJECT TEXT ADVICE HOW		a finding; HOW is hand, can, stopped, mended or failed
 *
 * KIND is store, volume or leftover. Control characters of names are shown as "_".
 */
#include "base/paths.h"
#include "store/check.h"
#include "store/model.h"
#include "store/store.h"

#include <limits.h>

/** struct picture - a store of our own, or the instance's; picture_done() */
struct picture {
	struct store *store;
	char dir[64]; /* of the copy; "" = the store is the instance's */
};

/**
 * struct check
 * @up:		qubesd runs: it owns the store and the volumes that the store knows
 * @mend:	mend what can be
 * @doubt:	the store has a fault that only a person can mend: whom it does not know may be there all the same
 * @lock_fd:	keeps qubesd away while we look, unless it runs
 */
struct check {
	struct paths paths;
	bool up, mend, doubt;
	int lock_fd;
	unsigned n_left; /* findings that were not mended */
};

/** tell() - a finding; what can be mended and is qubesd's needs it to be stopped while it runs */
void tell(struct check *c, const char *kind, const char *subject, const char *text,
	  const char *advice, enum store_mend how);
void tell_progress(unsigned percent, const char *text);

/**
 * picture_take() - the store as it is now
 * @own:	the instance's own file, to be mended; qubesd must not run
 * @error:	a sentence
 *
 * Return: 0; an outcome of store.h; -errno.
 */
MUST_CHECK int picture_take(const struct check *c, bool own, struct picture *ret, char *error,
			    size_t error_size);
void picture_done(struct picture *p);
/** picture_is_lost() - where there is no store, or an empty one: there was one, for there are volumes, or qubes that ran */
bool picture_is_lost(const struct check *c);
/** picture_of_nothing() - of an instance that has not begun yet; as picture_take() */
MUST_CHECK int picture_of_nothing(struct picture *ret, char *error, size_t error_size);
/** pool_dir() - where a pool of volumes is; false if it holds none that can be checked */
bool pool_dir(const struct check *c, const struct pool *pool, char *to, size_t size);

/** check_volumes() - each volume of each qube; 0 or -errno */
MUST_CHECK int check_volumes(struct check *c, const struct picture *p);
/**
 * check_leftovers() - what no qube owns
 *
 * Looks first and takes a picture of the store then: whatever was made before the look, its qube is in that picture.
 */
MUST_CHECK int check_leftovers(struct check *c, const struct picture *p);
