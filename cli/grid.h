/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Rows on their way out: aligned columns for a person, cells parted by | or a list of JSON objects
 * for a program. An empty cell is shown as "-", in JSON as null.
 */
#include "base/attr.h"

struct args;

/** struct grid - @titles ends with NULL; grid_done() frees the rest, which begins as zero */
struct grid {
	const char *const *titles;
	char **cells;
	size_t n_cells, room;
	bool full; /* there was no memory for a cell */
};

enum grid_form { GRID_TABLE, GRID_RAW, GRID_JSON };

/** grid_add() - the next cell; rows are as long as there are titles */
void grid_add(struct grid *g, const char *format, ...) PRINTF_LIKE(2, 3);
/** grid_put() - print all; returns 0, or 1, the exit code, and said why */
int grid_put(const struct args *a, const struct grid *g, enum grid_form form);
void grid_done(struct grid *g);

/** json_put_text() - a JSON string, quotes included, to standard output */
void json_put_text(const char *text);
/** json_put() - @text as what it looks like: a number, true, false, null if empty; else a string */
void json_put(const char *text);
