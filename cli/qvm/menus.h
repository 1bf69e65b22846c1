/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Entries of qubes' applications in the menus of the user's desktop: what each qube offers, by what it and its templates
 * have said (doc/protocol/menu.md), and the files that desktops read, one for each entry, which this keeps in step.
 */
#include "base/attr.h"
#include "proto/menu.h"
#include "qubesd.h"

/** MENUS_START - the entry that only starts the qube; no application can take its place */
#define MENUS_START "qubes-start"

/** struct offer - one of a qube's possible entries; @entry NULL: MENUS_START */
struct offer {
	const char *name;
	const struct menu_entry *entry;
};

/** struct menus - zero-initialise; @table has a row for each qube, its first field the name */
struct menus {
	const struct args *a;
	struct table table;
	struct menu **own; /* by row, of those that have said something; loaded when asked for */
	char *data, *home; /* the desktop's folder; BULKHEAD_HOME, or NULL */
	char bin[4096];    /* where qvm-run is */
	char **kept;       /* names of files that are as they shall be */
	unsigned n_kept, max_kept;
	const char *labels[16]; /* whose icons are as they shall be */
	unsigned n_labels;
	int lock;
};

/** menus_open() - as all is now; who else changes entries waits until menus_done(). Return: 0; 1, and said why */
MUST_CHECK int menus_open(const struct args *a, struct menus *ret);
void menus_done(struct menus *m);

/**
 * menus_offers() - what there could be in the menu of the qube in @row, sorted by name
 * @template:	its template instead of its own; -1
 * @ret:	to be freed; what it points to is @m's
 *
 * Return: 0; 1, and said why.
 */
MUST_CHECK int menus_offers(struct menus *m, unsigned row, int template, struct offer **ret,
			    unsigned *ret_n);
/** menus_title() - of an offer */
const char *menus_title(const struct offer *o);

/**
 * menus_chosen() - the names of files that the qube's menu shall have
 * @ret_from:	whose list it is; NULL: nobody has said, all of them
 */
const char *menus_chosen(const struct menus *m, unsigned row, const char **ret_from);
/** menus_default() - the list for the qubes of this template; NULL: none */
const char *menus_default(const struct menus *m, unsigned row);

/** menus_put() - write the entries of a qube; @force: also those that are as they shall be. Return: 0; 1, and said why */
MUST_CHECK int menus_put(struct menus *m, unsigned row, bool force);
/**
 * menus_sweep() - remove the entries of @qube, or of every qube if NULL, that menus_put() has not written
 *
 * Return: 0; 1, and said why.
 */
MUST_CHECK int menus_sweep(struct menus *m, const char *qube);
