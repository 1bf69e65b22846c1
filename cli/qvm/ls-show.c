/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qvm-ls: the table in its order, as text, JSON or raw data. */
#include "ls.h"

#include "base/str.h"
#include "grid.h"
#include "ui.h"

#include <stdio.h>
#include <string.h>

/* what FLAGS is made of, a letter each where the value is "True" or a feature that is set */
static const struct {
	const char *field;
	char letter;
} flags[] = {
	{"updateable", 'U'},
	{"provides_network", 'N'},
	{"installed_by_rpm", 'R'},
	{"feature:internal", 'i'},
	{"debug", 'D'},
	{"autostart", 'A'},
};

void ls_flags_ask(struct view *v)
{
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		(void)ls_field(v, flags[i].field);
	(void)ls_field(v, "virt_mode");
}

static uint64_t as_number(const char *text)
{
	uint64_t n;

	return str_u64(text, UINT64_MAX, &n) == 0 ? n : 0;
}

/* "tr-U------": class, power, and what is so */
static const char *make_flags(const struct view *v, unsigned row, char to[32])
{
	static const char *const classes[][2] = {
		{"AdminVM", "0"},      {"AppVM", "a"},      {"DispVM", "d"},
		{"StandaloneVM", "s"}, {"TemplateVM", "t"}, {"RemoteVM", "e"},
	};
	static const char states[][2][10] = {
		{"Running", "r"}, {"Transient", "t"}, {"Paused", "p"},  {"Suspended", "s"},
		{"Halting", "h"}, {"Dying", "d"},     {"Crashed", "c"}, {"Halted", "-"},
	};
	const char *class = table_cell(&v->table, row, F_CLASS);
	const char *state = table_cell(&v->table, row, F_STATE);
	size_t n = 2;

	to[0] = to[1] = '?';
	for (size_t i = 0; i < ARRAY_LEN(classes); i++)
		if (str_eq(classes[i][0], class))
			to[0] = classes[i][1][0];
	if (str_eq(ls_cell(v, row, "virt_mode"), "hvm") && to[0] >= 'a')
		to[0] -= 'a' - 'A';
	for (size_t i = 0; i < ARRAY_LEN(states); i++)
		if (str_eq(states[i][0], state))
			to[1] = states[i][1][0];
	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		const char *value = ls_cell(v, row, flags[i].field);

		to[n] = flags[i].letter;
		if (value[0] == '\0' || str_eq(value, "False"))
			to[n] = '-';
		n++;
	}
	to[n] = '\0';
	return to;
}

/* a cell as it is shown; @to holds what had to be made */
static const char *shown_cell(const struct view *v, unsigned row, unsigned column, char to[32])
{
	const char *text = table_cell(&v->table, row, v->shown[column].field);

	if (v->shown[column].flags)
		return make_flags(v, row, to);
	if (text[0] == '\0')
		return "-";
	if (v->shown[column].of >= 0) {
		uint64_t all = as_number(table_cell(&v->table, row, (unsigned)v->shown[column].of));

		(void)snprintf(to, 32, "%llu",
			       (unsigned long long)(all == 0 ? 0 : as_number(text) * 100 / all));
		return to;
	}
	if (v->shown[column].unit == 0)
		return text;
	(void)snprintf(to, 32, "%llu",
		       (unsigned long long)(as_number(text) / v->shown[column].unit));
	return to;
}

/* for qsort_r */
struct order {
	const struct view *v;
	unsigned field;
	bool reverse, ignore_case;
};

static int compare(const void *left, const void *right, void *data)
{
	const unsigned *l = left, *r = right;
	const struct order *o = data;
	const char *a = table_cell(&o->v->table, *l, o->field);
	const char *b = table_cell(&o->v->table, *r, o->field);
	uint64_t m, n;
	int c;

	if (str_u64(a, UINT64_MAX, &m) == 0 && str_u64(b, UINT64_MAX, &n) == 0)
		c = m < n ? -1 : m > n;
	else
		c = o->ignore_case ? strcasecmp(a, b) : strcmp(a, b);
	if (c == 0)
		c = strcmp(table_cell(&o->v->table, *l, F_NAME),
			   table_cell(&o->v->table, *r, F_NAME));
	return o->reverse ? -c : c;
}

static int sort_rows(struct view *v)
{
	const char *by = args_value(v->a, SORT);
	struct order o = {v, F_NAME, args_has(v->a, REVERSE), args_has(v->a, IGNORE_CASE)};

	if (by) {
		unsigned i = 0;

		while (i < v->n_shown && strcasecmp(v->shown[i].title, by) != 0)
			i++;
		if (i == v->n_shown) {
			(void)ui_usage(
				v->a, "--sort wants one of the columns that are shown, not %s", by);
			return 2;
		}
		o.field = v->shown[i].field;
	}
	qsort_r(v->rows, v->n_rows, sizeof(*v->rows), compare, &o);
	return 0;
}

/* put the qubes that use @netvm behind it, each deeper; @from: rows in their order */
static void grow(struct view *v, const unsigned *from, unsigned n, const char *netvm,
		 unsigned depth)
{
	for (unsigned i = 0; i < n && depth < n; i++) {
		const char *above = table_cell(&v->table, from[i], F_NETVM);
		bool here = str_eq(above, netvm);

		/* a netvm that is not shown leaves its qubes at the root */
		if (depth == 0 && !here) {
			here = true;
			for (unsigned k = 0; k < n; k++)
				here = here &&
				       !str_eq(table_cell(&v->table, from[k], F_NAME), above);
		}
		if (!here || v->n_rows == n)
			continue;
		v->rows[v->n_rows] = from[i];
		v->depths[v->n_rows++] = depth;
		grow(v, from, n, table_cell(&v->table, from[i], F_NAME), depth + 1);
	}
}

static int make_tree(struct view *v)
{
	AUTO_FREE unsigned *from = calloc(v->n_rows + 1, sizeof(*from));
	unsigned n = v->n_rows;

	if (!from)
		return ui_fail(v->a, "out of memory");
	memcpy(from, v->rows, n * sizeof(*from));
	v->n_rows = 0;
	grow(v, from, n, "", 0);
	return 0;
}

const char *qvm_label_colour(const char *label)
{
	static const char *const colours[][2] = {
		{"red", "\033[31m"},    {"orange", "\033[38;5;208m"}, {"yellow", "\033[33m"},
		{"green", "\033[32m"},  {"gray", "\033[90m"},         {"blue", "\033[94m"},
		{"purple", "\033[35m"},
	};

	for (size_t i = 0; i < ARRAY_LEN(colours); i++) {
		if (str_eq(label, colours[i][0]))
			return colours[i][1];
	}
	return NULL;
}

static void print_json(const struct view *v)
{
	char made[32];

	(void)puts("[");
	for (unsigned i = 0; i < v->n_rows; i++) {
		(void)fputs(" {", stdout);
		for (unsigned c = 0; c < v->n_shown; c++) {
			const char *text = shown_cell(v, v->rows[i], c, made);

			(void)fputs(c > 0 ? ", " : "", stdout);
			json_put_text(v->shown[c].title);
			(void)fputs(": ", stdout);
			if (table_cell(&v->table, v->rows[i], v->shown[c].field)[0] == '\0')
				(void)fputs("null", stdout);
			else
				json_put_text(text);
		}
		(void)puts(i + 1 < v->n_rows ? "}," : "}");
	}
	(void)puts("]");
}

static void print_raw(const struct view *v)
{
	char made[32];

	for (unsigned i = 0; i < v->n_rows; i++) {
		for (unsigned c = 0; c < v->n_shown; c++)
			(void)printf("%s%s", c > 0 ? "|" : "", shown_cell(v, v->rows[i], c, made));
		(void)putchar('\n');
	}
}

static void print_table(const struct view *v)
{
	AUTO_FREE size_t *widths = calloc(v->n_shown + 1, sizeof(*widths));
	bool colours = ui_colours();
	char made[32];

	if (!widths)
		return;
	for (unsigned c = 0; c < v->n_shown; c++) {
		widths[c] = strlen(v->shown[c].title);
		for (unsigned i = 0; i < v->n_rows; i++) {
			size_t n = strlen(shown_cell(v, v->rows[i], c, made));

			if (v->shown[c].field == F_NAME)
				n += 2 * (size_t)v->depths[i];
			widths[c] = n > widths[c] ? n : widths[c];
		}
	}
	for (unsigned c = 0; c < v->n_shown; c++)
		(void)printf("%-*s", c + 1 < v->n_shown ? (int)widths[c] + 2 : 0,
			     v->shown[c].title);
	(void)putchar('\n');
	for (unsigned i = 0; i < v->n_rows; i++) {
		const char *colour =
			colours ? qvm_label_colour(table_cell(&v->table, v->rows[i], F_LABEL))
				: NULL;

		for (unsigned c = 0; c < v->n_shown; c++) {
			const char *text = shown_cell(v, v->rows[i], c, made);
			unsigned field = v->shown[c].field;
			unsigned indent = field == F_NAME ? 2 * v->depths[i] : 0;
			bool coloured = colour && (field == F_NAME || field == F_LABEL);
			int width = c + 1 < v->n_shown ? (int)(widths[c] + 2 - indent) : 0;

			(void)printf("%*s%s%-*s%s", (int)indent, "", coloured ? colour : "", width,
				     text, coloured ? "\033[0m" : "");
		}
		(void)putchar('\n');
	}
}

int ls_show(struct view *v)
{
	int r = sort_rows(v);

	if (r == 0 && args_has(v->a, TREE))
		r = make_tree(v);
	if (r != 0)
		return r;
	if (args_has(v->a, RAW_LIST)) {
		for (unsigned i = 0; i < v->n_rows; i++)
			(void)puts(table_cell(&v->table, v->rows[i], F_NAME));
	} else if (args_has(v->a, JSON)) {
		print_json(v);
	} else if (args_has(v->a, RAW_DATA)) {
		print_raw(v);
	} else {
		print_table(v);
	}
	return 0;
}
