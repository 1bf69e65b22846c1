/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* qvm-ls: what its parts have in common. ls.c asks and follows, ls-fit.c chooses among qubes, ls-show.c prints. */
#include "qubesd.h"
#include "qvm.h"

#define MAX_FIELDS 160
#define FIELD_SIZE 96

/* its options */
enum {
	ALL = OPTION_OWN,
	EXCLUDE,
	FORMAT,
	FIELDS,
	TREE,
	RAW_DATA,
	RAW_LIST,
	JSON,
	WATCH,
	DISK,
	NETWORK,
	KERNEL,
	HELP_COLUMNS,
	HELP_FORMATS,
	CLASS,
	LABEL,
	TAGS,
	EXCLUDE_TAGS,
	RUNNING,
	PAUSED,
	HALTED,
	TEMPLATE_SOURCE,
	NETVM_IS,
	INTERNAL,
	SERVICEVM,
	PENDING_UPDATE,
	FEATURES,
	PREFS,
	SORT,
	REVERSE,
	IGNORE_CASE,
};

/**
 * struct view - what is asked of qubesd and what is shown
 * @fields:	asked for, in order; the first six are those of "simple"
 * @shown:	indexes into @fields, with their titles
 * @rows:	of the table, filtered and in order; @depth of each in the tree
 */
struct view {
	const struct args *a;
	char fields[MAX_FIELDS][FIELD_SIZE];
	unsigned n_fields;
	struct {
		unsigned field;
		uint64_t unit;
		int of; /* index into @fields; -1 none */
		bool flags;
		char title[FIELD_SIZE];
	} shown[MAX_FIELDS];
	unsigned n_shown;
	struct table table;
	unsigned *rows, *depths, n_rows;
};

/* where the fields that are always asked for stand */
enum { F_NAME, F_STATE, F_CLASS, F_LABEL, F_TEMPLATE, F_NETVM };

/** ls_field() - the index of @field, added if it is new; -1 if it cannot be a field */
int ls_field(struct view *v, const char *field);
/** ls_cell() - what @row has as @field, by its name; "" if it was not asked for */
const char *ls_cell(const struct view *v, unsigned row, const char *field);

/** ls_fit_ask() - the fields that the filters look at, and whether the options make sense; 0; 2 with the mistake said */
MUST_CHECK int ls_fit_ask(struct view *v);
/** ls_fit_check() - a filter that nothing can fit is a mistake, and an empty list would hide it; 0; 1 with it said */
MUST_CHECK int ls_fit_check(const struct view *v);
/** ls_fits() - the qube of @row is one of those that are wanted */
bool ls_fits(const struct view *v, unsigned row);

/** ls_flags_ask() - the fields that FLAGS is made of */
void ls_flags_ask(struct view *v);
/** ls_show() - sort @v's rows and print them as the options have it; 0; an exit code with the failure said */
MUST_CHECK int ls_show(struct view *v);
