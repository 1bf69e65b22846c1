/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * A store looked at as a whole: is the file sound, does every row belong to a qube, does every reference lead somewhere.
 * qubesd itself refuses what would break these; damage comes from disks, and from hands.
 */
#include "base/attr.h"

struct store;

/** enum store_mend - what can be done about a finding */
enum store_mend {
	MEND_HAND,  /* nothing by itself: @advice says what the person can do */
	MEND_CAN,   /* @advice says what mending does */
	MEND_DONE,  /* it was mended */
	MEND_FAILED /* mending did not work */
};

/** store_check_fn - a finding: about what (a qube's name, or "store"), what is wrong, what to do */
typedef void (*store_check_fn)(void *data, const char *subject, const char *text,
			       const char *advice, enum store_mend mend);

/**
 * store_check() - report each finding to @fn
 * @mend:	mend what can be, each finding durably and on its own; the model is then out of date: open the store
 * again
 *
 * A reference to a qube that is not there becomes "none", never the default: a qube without network stays without.
 * Return: 0; an outcome of store.h; -errno.
 */
MUST_CHECK int store_check(struct store *s, bool mend, store_check_fn fn, void *data);
