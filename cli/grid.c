/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "grid.h"

#include "base/str.h"
#include "ui.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static unsigned n_columns(const struct grid *g)
{
	unsigned n = 0;

	while (g->titles[n])
		n++;
	assert(n > 0);
	return n;
}

void grid_add(struct grid *g, const char *format, ...)
{
	va_list list;
	int r;

	if (g->n_cells == g->room) {
		size_t room = g->room == 0 ? 64 : 2 * g->room;
		char **cells = reallocarray(g->cells, room, sizeof(*cells));

		if (!cells) {
			g->full = true;
			return;
		}
		g->cells = cells;
		g->room = room;
	}
	va_start(list, format);
	r = vasprintf(&g->cells[g->n_cells], format, list);
	va_end(list);
	if (r < 0)
		g->full = true;
	else
		g->n_cells++;
}

void grid_done(struct grid *g)
{
	for (size_t i = 0; i < g->n_cells; i++)
		free(g->cells[i]);
	free((void *)g->cells);
	*g = (struct grid){0};
}

void json_put_text(const char *text)
{
	(void)putchar('"');
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			(void)printf("\\%c", *text);
		else if ((unsigned char)*text < 0x20)
			(void)printf("\\u%04x", (unsigned char)*text);
		else
			(void)putchar(*text);
	}
	(void)putchar('"');
}

void json_put(const char *text)
{
	uint64_t n;

	if (text[0] == '\0')
		(void)fputs("null", stdout);
	else if (str_eq(text, "True") || str_eq(text, "False"))
		(void)fputs(text[0] == 'T' ? "true" : "false", stdout);
	else if (str_u64(text + (text[0] == '-'), INT64_MAX, &n) == 0)
		(void)fputs(text, stdout);
	else
		json_put_text(text);
}

static void put_json(const struct grid *g, unsigned columns)
{
	(void)puts("[");
	for (size_t i = 0; i < g->n_cells; i++) {
		unsigned c = (unsigned)(i % columns);

		(void)fputs(c == 0 ? " {" : ", ", stdout);
		json_put_text(g->titles[c]);
		(void)fputs(": ", stdout);
		if (g->cells[i][0] == '\0')
			(void)fputs("null", stdout);
		else
			json_put_text(g->cells[i]);
		if (c + 1 == columns)
			(void)puts(i + 1 < g->n_cells ? "}," : "}");
	}
	(void)puts("]");
}

static const char *shown(const char *cell)
{
	return cell[0] == '\0' ? "-" : cell;
}

static void put_row(const char *const *cells, const size_t *widths, unsigned columns)
{
	for (unsigned c = 0; c < columns; c++)
		(void)printf("%-*s%s", c + 1 < columns ? (int)widths[c] : 0, shown(cells[c]),
			     c + 1 < columns ? "  " : "\n");
}

static int put_table(const struct args *a, const struct grid *g)
{
	unsigned columns = n_columns(g);
	AUTO_FREE size_t *widths = calloc(columns + 1, sizeof(*widths));

	assert(columns > 0);
	if (!widths)
		return ui_fail(a, "out of memory");
	for (unsigned c = 0; c < columns; c++)
		widths[c] = strlen(g->titles[c]);
	for (size_t i = 0; i < g->n_cells; i++) {
		size_t len = strlen(shown(g->cells[i]));

		if (len > widths[i % columns])
			widths[i % columns] = len;
	}
	put_row(g->titles, widths, columns);
	for (size_t i = 0; i + columns <= g->n_cells; i += columns)
		put_row((const char *const *)g->cells + i, widths, columns);
	return 0;
}

int grid_put(const struct args *a, const struct grid *g, enum grid_form form)
{
	unsigned columns = n_columns(g);

	if (g->full)
		return ui_fail(a, "out of memory");
	if (form == GRID_TABLE)
		return put_table(a, g);
	if (form == GRID_JSON)
		put_json(g, columns);
	else
		for (size_t i = 0; i < g->n_cells; i++)
			(void)printf("%s%c", shown(g->cells[i]),
				     (i + 1) % columns == 0 ? '\n' : '|');
	return 0;
}
