/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qvm-ls: the table of qubes. Everything comes in one answer of bulkhead.List.
 *
 * With --watch events say when to ask again. The stream stands before the first table is asked for,
 * so no change falls between; what changes without an event (memory, disk) is asked for now and then.
 */
#include "qvm.h"

#include "base/io.h"
#include "base/str.h"
#include "grid.h"
#include "qubesd.h"
#include "ui.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define MAX_FIELDS 160
#define FIELD_SIZE 96
/* --watch: changes that come together are shown together; what tells of no change is looked at */
#define GATHER_MS 100
#define LOOK_MS   2000

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
 * struct column - @unit: the cell is shown divided by this
 * @field:	as bulkhead.List has it
 * @of:		the cell is shown in hundredths of this field
 */
struct column {
	const char *title, *field, *help;
	uint64_t unit;
	const char *of;
};

/* any property may be a column too; these have a name or form of their own */
static const struct column columns[] = {
	{"NAME", "name", "name of the qube", 0, NULL},
	{"STATE", "state", "Running, Halted, Paused, Transient...", 0, NULL},
	{"CLASS", "class", "AppVM, TemplateVM, StandaloneVM, DispVM, AdminVM", 0, NULL},
	{"LABEL", "label", "its colour", 0, NULL},
	{"TEMPLATE", "template", "the template its root volume comes from", 0, NULL},
	{"NETVM", "netvm", "the qube that gives it network", 0, NULL},
	{"QID", "qid", "number in the store", 0, NULL},
	{"XID", "xid", "domain id while it runs", 0, NULL},
	{"UUID", "uuid", "unique for ever", 0, NULL},
	{"FLAGS", "flags",
	 "a letter for each of: class (0atsdr; HVM: capital), power (rtpshd), Updateable, "
	 "provides Network, RPM, internal, Debug, Autostart",
	 0, NULL},
	{"MEMORY", "memory_used", "memory in use, MiB", 1024, NULL},
	{"ASSIGNED", "memory_assigned", "memory it has been given, MiB", 1024, NULL},
	{"DISK", "disk", "disk space of its volumes, MiB", 1u << 20, NULL},
	{"PRIV-CURR", "usage:private", "disk space of private, MiB", 1u << 20, NULL},
	{"PRIV-MAX", "size:private", "room in private, MiB", 1u << 20, NULL},
	{"PRIV-USED", "usage:private", "disk space of private in hundredths of its room", 0,
	 "size:private"},
	{"ROOT-CURR", "usage:root", "disk space of root, MiB", 1u << 20, NULL},
	{"ROOT-MAX", "size:root", "room in root, MiB", 1u << 20, NULL},
	{"ROOT-USED", "usage:root", "disk space of root in hundredths of its room", 0, "size:root"},
	{"CPU-TIME", "cputime", "processor time since its start, seconds", 1000, NULL},
	{"IP", "ip", "its address", 0, NULL},
	{"IPBACK", "gateway", "address of its netvm's side", 0, NULL},
	{"GATEWAY", "visible_gateway", "the gateway it is told", 0, NULL},
	{"KERNEL", "kernel", "kernel it boots", 0, NULL},
	{"KERNELOPTS", "kernelopts", "options of that kernel", 0, NULL},
	{"VCPUS", "vcpus", "processors", 0, NULL},
	{"INITIALMEM", "memory", "memory it starts with, MiB", 0, NULL},
	{"TAGS", "tags", "its tags", 0, NULL},
	{"LAST-UPDATE", "feature:last-update", "when it was last updated", 0, NULL},
};

static const struct {
	const char *name, *fields;
} formats[] = {
	{"simple", "name,state,class,label,template,netvm"},
	{"full", "name,state,class,label,qid,xid,uuid"},
	{"network", "name,state,netvm,ip,ipback,gateway"},
	{"kernel", "name,state,class,template,kernel,kernelopts"},
	{"disk", "name,state,disk,priv-curr,priv-max,priv-used,root-curr,root-max,root-used"},
	{"perf", "name,state,memory,vcpus,cpu-time"},
	{"prefs", "name,label,template,netvm,vcpus,initialmem,maxmem,virt_mode"},
};

void qvm_columns(void)
{
	for (size_t i = 0; i < ARRAY_LEN(columns); i++)
		(void)puts(columns[i].title);
}

void qvm_formats(void)
{
	for (size_t i = 0; i < ARRAY_LEN(formats); i++)
		(void)puts(formats[i].name);
}

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

/* where the fields that are always asked for stand */
enum { F_NAME, F_STATE, F_CLASS, F_LABEL, F_TEMPLATE, F_NETVM };

/* the index of @field, added if it is new; -1 if it cannot be a field */
static int field_index(struct view *v, const char *field)
{
	for (unsigned i = 0; i < v->n_fields; i++) {
		if (str_eq(v->fields[i], field))
			return (int)i;
	}
	if (v->n_fields == MAX_FIELDS || field[0] == '\0' || strpbrk(field, "\n\t ") ||
	    str_format(v->fields[v->n_fields], FIELD_SIZE, "%s", field) < 0)
		return -1;
	return (int)v->n_fields++;
}

static int show_column(struct view *v, const char *word, size_t len)
{
	char field[FIELD_SIZE];
	const char *of = NULL;
	uint64_t unit = 0;
	int index;

	if (v->n_shown == MAX_FIELDS || str_copy(field, sizeof(field), word, len) < 0)
		return -1;
	(void)snprintf(v->shown[v->n_shown].title, FIELD_SIZE, "%s", field);
	for (char *at = v->shown[v->n_shown].title; *at != '\0'; at++) {
		if (*at >= 'a' && *at <= 'z')
			*at -= 'a' - 'A';
	}
	for (char *at = field; *at != '\0'; at++) {
		if (*at >= 'A' && *at <= 'Z')
			*at += 'a' - 'A';
	}
	for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
		if (strcasecmp(columns[i].title, field) != 0)
			continue;
		unit = columns[i].unit;
		of = columns[i].of;
		(void)snprintf(field, sizeof(field), "%s", columns[i].field);
	}
	v->shown[v->n_shown].flags = str_eq(field, "flags");
	if (v->shown[v->n_shown].flags) {
		for (size_t i = 0; i < ARRAY_LEN(flags); i++)
			(void)field_index(v, flags[i].field);
		(void)field_index(v, "virt_mode");
		(void)snprintf(field, sizeof(field), "class");
	}
	index = field_index(v, field);
	if (index < 0)
		return -1;
	v->shown[v->n_shown].of = of ? field_index(v, of) : -1;
	v->shown[v->n_shown].unit = unit;
	v->shown[v->n_shown++].field = (unsigned)index;
	return 0;
}

static int show_columns(struct view *v, const char *list)
{
	for (const char *at = list; *at != '\0';) {
		size_t len = strcspn(at, ",");

		if (len > 0 && show_column(v, at, len) < 0) {
			(void)ui_usage(v->a, "there is no column \"%.*s\"", (int)len, at);
			return 2;
		}
		at += len;
		if (*at == ',')
			at++;
	}
	if (v->n_shown == 0) {
		(void)ui_usage(v->a, "--fields names no column; --help-columns shows them");
		return 2;
	}
	return 0;
}

/* the fields that the filters look at, and whether the options make sense */
static int ask_for_filters(struct view *v)
{
	static const struct {
		int key;
		const char *field;
	} plain[] = {
		{TAGS, "tags"},
		{EXCLUDE_TAGS, "tags"},
		{INTERNAL, "feature:internal"},
		{SERVICEVM, "feature:servicevm"},
		{PENDING_UPDATE, "feature:updates-available"},
	};

	for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
		if (args_has(v->a, plain[i].key))
			(void)field_index(v, plain[i].field);
	}
	for (unsigned i = 0; i < v->a->n_given; i++) {
		const struct args_given *g = &v->a->given[i];
		const char *equals;
		char field[FIELD_SIZE];

		if ((g->key == INTERNAL || g->key == SERVICEVM) && !str_eq(g->value, "y") &&
		    !str_eq(g->value, "n")) {
			(void)ui_usage(v->a, "it is y or n, not %s", g->value);
			return 2;
		}
		if (g->key != FEATURES && g->key != PREFS)
			continue;
		equals = strchr(g->value, '=');
		if (!equals ||
		    str_format(field, sizeof(field), "%s%.*s", g->key == FEATURES ? "feature:" : "",
			       (int)(equals - g->value), g->value) < 0 ||
		    field_index(v, field) < 0) {
			(void)ui_usage(v->a, "NAME=VALUE is what is compared, not %s", g->value);
			return 2;
		}
	}
	return 0;
}

static const char *cell(const struct view *v, unsigned row, const char *field)
{
	for (unsigned i = 0; i < v->n_fields; i++) {
		if (str_eq(v->fields[i], field))
			return table_cell(&v->table, row, i);
	}
	return "";
}

static bool has_word(const char *words, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = words; *at != '\0';) {
		size_t n = strcspn(at, " ");

		if (n == len && memcmp(at, word, len) == 0)
			return true;
		at += n + strspn(at + n, " ");
	}
	return false;
}

/* @key was not given, or one of its values is @cell */
static bool one_of(const struct args *a, int key, const char *value)
{
	return !args_has(a, key) || args_given_is(a, key, value);
}

static bool yes_no_fits(const struct view *v, int key, const char *value)
{
	const char *wanted = args_value(v->a, key);
	bool is = value[0] != '\0' && !str_eq(value, "0");

	return !wanted || is == str_eq(wanted, "y");
}

static bool state_fits(const struct args *a, const char *state)
{
	if (!args_has(a, RUNNING) && !args_has(a, PAUSED) && !args_has(a, HALTED))
		return true;
	return (args_has(a, RUNNING) && !str_eq(state, "Halted") && !str_eq(state, "Paused") &&
		!str_eq(state, "Suspended")) ||
	       (args_has(a, PAUSED) && (str_eq(state, "Paused") || str_eq(state, "Suspended"))) ||
	       (args_has(a, HALTED) && str_eq(state, "Halted"));
}

/* the pairs of --features and --prefs; NAME= and NAME='' both want it empty */
static bool pairs_fit(const struct view *v, unsigned row)
{
	for (unsigned i = 0; i < v->a->n_given; i++) {
		const struct args_given *g = &v->a->given[i];
		char field[FIELD_SIZE];
		const char *equals, *wanted;

		if (g->key != FEATURES && g->key != PREFS)
			continue;
		equals = strchr(g->value, '=');
		(void)snprintf(field, sizeof(field), "%s%.*s", g->key == FEATURES ? "feature:" : "",
			       (int)(equals - g->value), g->value);
		wanted = equals + 1;
		if (str_eq(wanted, "''") || str_eq(wanted, "\"\""))
			wanted = "";
		if (!str_eq(cell(v, row, field), wanted))
			return false;
	}
	return true;
}

static bool tags_fit(const struct view *v, unsigned row)
{
	const char *tags = cell(v, row, "tags");
	bool wanted = !args_has(v->a, TAGS);

	for (unsigned i = 0; i < v->a->n_given; i++) {
		const struct args_given *g = &v->a->given[i];

		if (g->key == TAGS && has_word(tags, g->value))
			wanted = true;
		if (g->key == EXCLUDE_TAGS && has_word(tags, g->value))
			return false;
	}
	return wanted;
}

static bool named(const struct view *v, unsigned row)
{
	const char *name = table_cell(&v->table, row, F_NAME);

	if (v->a->n_words == 0)
		return !args_given_is(v->a, EXCLUDE, name);
	for (unsigned i = 0; i < v->a->n_words; i++) {
		if (str_eq(v->a->words[i], name))
			return true;
	}
	return false;
}

static bool fits(const struct view *v, unsigned row)
{
	const struct args *a = v->a;

	return named(v, row) && state_fits(a, table_cell(&v->table, row, F_STATE)) &&
	       one_of(a, CLASS, table_cell(&v->table, row, F_CLASS)) &&
	       one_of(a, LABEL, table_cell(&v->table, row, F_LABEL)) &&
	       one_of(a, TEMPLATE_SOURCE, table_cell(&v->table, row, F_TEMPLATE)) &&
	       one_of(a, NETVM_IS, table_cell(&v->table, row, F_NETVM)) && tags_fit(v, row) &&
	       yes_no_fits(v, INTERNAL, cell(v, row, "feature:internal")) &&
	       yes_no_fits(v, SERVICEVM, cell(v, row, "feature:servicevm")) &&
	       (!args_has(a, PENDING_UPDATE) ||
		cell(v, row, "feature:updates-available")[0] == '1') &&
	       pairs_fit(v, row);
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
	if (str_eq(cell(v, row, "virt_mode"), "hvm") && to[0] >= 'a')
		to[0] -= 'a' - 'A';
	for (size_t i = 0; i < ARRAY_LEN(states); i++)
		if (str_eq(states[i][0], state))
			to[1] = states[i][1][0];
	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		const char *value = cell(v, row, flags[i].field);

		to[n++] = value[0] != '\0' && !str_eq(value, "False") ? flags[i].letter : '-';
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

static int load(struct view *v)
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	const char *dest = v->a->n_words == 1 ? v->a->words[0] : "dom0";
	char fields[MAX_FIELDS * FIELD_SIZE];
	size_t n = 0;
	int r;

	for (unsigned i = 0; i < v->n_fields; i++)
		n += (size_t)snprintf(fields + n, sizeof(fields) - n, "%s%s", i > 0 ? "\n" : "",
				      v->fields[i]);
	r = table_load(dest, fields, &v->table, &answer);
	if (r == CLIENT_E_EXCEPTION && str_eq(answer.type, "QubesNoSuchPropertyError")) {
		(void)ui_usage(v->a, "%s; --help-columns shows what there is", answer.data);
		return 2;
	}
	if (r == -EINVAL ||
	    (r == CLIENT_E_EXCEPTION && str_eq(answer.type, "QubesVMNotFoundError")))
		return qubesd_no_qube(v->a, dest);
	if (r != 0)
		return qubesd_failed(v->a, NULL, r, &answer);
	for (unsigned i = 0; i < v->a->n_words; i++) {
		if (table_find(&v->table, v->a->words[i]) < 0)
			return qubesd_no_qube(v->a, v->a->words[i]);
	}
	v->rows = calloc(v->table.n_rows + 1, sizeof(*v->rows));
	v->depths = calloc(v->table.n_rows + 1, sizeof(*v->depths));
	if (!v->rows || !v->depths)
		return ui_fail(v->a, "out of memory");
	for (unsigned row = 0; row < v->table.n_rows; row++) {
		if (fits(v, row))
			v->rows[v->n_rows++] = row;
	}
	return 0;
}

/* the last of the options that name a format, or NULL */
static const char *chosen_format(const struct args *a)
{
	for (unsigned i = a->n_given; i-- > 0;) {
		switch (a->given[i].key) {
		case FORMAT:
			return a->given[i].value;
		case DISK:
			return "disk";
		case NETWORK:
			return "network";
		case KERNEL:
			return "kernel";
		default:
			break;
		}
	}
	return NULL;
}

/* a filter that nothing can fit is a mistake, and an empty list would hide it */
static int check_filters(const struct view *v)
{
	static const char *const classes =
		"AdminVM, AppVM, DispVM, RemoteVM, StandaloneVM, TemplateVM";

	for (unsigned i = 0; i < v->a->n_given; i++) {
		AUTO(client_answer_done) struct client_answer answer = {0};
		const struct args_given *g = &v->a->given[i];
		const char *at;

		switch (g->key) {
		case LABEL:
			if (qubesd_call(v->a, "admin.label.Get", "dom0", g->value, NULL, &answer) !=
			    0)
				return 1;
			break;
		case CLASS:
			at = g->value[0] != '\0' ? strstr(classes, g->value) : NULL;
			if (!at || (at != classes && at[-1] != ' ') ||
			    !strchr(",", at[strlen(g->value)]))
				return ui_fail(v->a, "there is no class '%s'; there are: %s",
					       g->value, classes);
			break;
		case TEMPLATE_SOURCE:
		case NETVM_IS:
			if (g->value[0] != '\0' && table_find(&v->table, g->value) < 0)
				return qubesd_no_qube(v->a, g->value);
			break;
		default:
			break;
		}
	}
	return 0;
}

/* what is asked for and shown, from the options */
static int plan(struct view *v)
{
	const char *fields = args_value(v->a, FIELDS);
	const char *format = chosen_format(v->a);
	int r;

	for (const char *at = formats[0].fields; *at != '\0';) {
		char name[16];
		size_t len = strcspn(at, ",");

		if (str_copy(name, sizeof(name), at, len) == 0)
			(void)field_index(v, name);
		at += len + (at[len] == ',');
	}
	if (!fields) {
		size_t i = 0;

		while (format && i < ARRAY_LEN(formats) && !str_eq(formats[i].name, format))
			i++;
		if (i == ARRAY_LEN(formats)) {
			(void)ui_usage(v->a, "there is no format %s; --help-formats shows them",
				       format);
			return 2;
		}
		fields = formats[i].fields;
	}
	r = show_columns(v, fields);
	return r != 0 ? r : ask_for_filters(v);
}

static void forget(struct view *v)
{
	table_done(&v->table);
	free(v->rows);
	free(v->depths);
	v->rows = v->depths = NULL;
	v->n_rows = 0;
}

static int print(struct view *v)
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

static bool same(const struct table *l, const struct table *r)
{
	bool is = l->n_rows == r->n_rows && l->n_fields == r->n_fields;

	for (unsigned i = 0; is && i < l->n_rows * l->n_fields; i++)
		is = str_eq(l->cells[i], r->cells[i]);
	return is;
}

/* is there a column that changes without an event? */
static bool is_restless(const struct view *v)
{
	bool is = false;

	for (unsigned i = 0; i < v->n_shown; i++) {
		const char *field = v->fields[v->shown[i].field];

		is = is || str_starts(field, "memory_") || str_eq(field, "cputime") ||
		     str_eq(field, "disk") || str_starts(field, "usage:");
	}
	return is;
}

/* wait until something may have changed; as client_events_next() where that is none of it */
static int wait_for_change(struct client_events *stream, int timeout_ms)
{
	struct client_event e;
	int r = client_events_next(stream, timeout_ms, &e);

	if (r == -ETIMEDOUT)
		return 0;
	for (uint64_t until = io_now_ms() + GATHER_MS; r == 0;) {
		uint64_t now = io_now_ms();

		r = client_events_next(stream, now < until ? (int)(until - now) : 0, &e);
		if (now >= until)
			break;
	}
	return r == -ETIMEDOUT ? 0 : r;
}

/* a table now and at each change, until we are ended */
static int watch(struct view *v, struct client_events *stream)
{
	AUTO(table_done) struct table before = {0};
	bool screen = isatty(STDOUT_FILENO);
	int timeout_ms = is_restless(v) ? LOOK_MS : -1, r = 0;

	while (r == 0) {
		r = load(v);
		if (r == 0 && !before.data)
			r = check_filters(v);
		if (r != 0)
			return r;
		if (!same(&before, &v->table)) {
			if (screen)
				(void)fputs("\033[H\033[2J\033[3J", stdout);
			else if (before.data)
				(void)putchar('\n');
			r = print(v);
			if (r != 0 || fflush(stdout) != 0)
				return r != 0 ? r : 1;
		}
		table_done(&before);
		before = v->table;
		v->table = (struct table){0};
		forget(v);
		r = wait_for_change(stream, timeout_ms);
	}
	if (r == -ENODATA)
		return ui_fail(v->a,
			       "qubesd has closed the connection; bulkhead status says how it is");
	return qubesd_failed(v->a, NULL, r, NULL);
}

static int run_watch(struct view *v)
{
	struct client_events *stream = NULL;
	AUTO_CLOSE int sock = NO_FD;
	struct client_event first;
	int r = client_open(NULL, "admin.Events", "dom0", NULL, NULL, 0, NO_FD, &sock);

	r = r != 0 ? r : client_events_new(&sock, &stream);
	/* from the first event on nothing is missed */
	r = r != 0 ? r : client_events_next(stream, -1, &first);
	r = r == 0 ? watch(v, stream) : qubesd_failed(v->a, NULL, r, NULL);
	client_events_free(stream);
	return r;
}

static int run(const struct args *a)
{
	AUTO_FREE struct view *v = NULL;
	int r;

	if (args_has(a, HELP_COLUMNS) || str_eq(args_value(a, FIELDS), "?")) {
		for (size_t i = 0; i < ARRAY_LEN(columns); i++)
			(void)printf("%-12s %s\n", columns[i].title, columns[i].help);
		(void)puts("\nAny property can be a column too (qvm-prefs --help-properties), and "
			   "feature:NAME.");
		return 0;
	}
	if (args_has(a, HELP_FORMATS) || str_eq(args_value(a, FORMAT), "?")) {
		for (size_t i = 0; i < ARRAY_LEN(formats); i++)
			(void)printf("%-12s %s\n", formats[i].name, formats[i].fields);
		return 0;
	}
	if (chosen_format(a) && args_has(a, FIELDS)) {
		(void)ui_usage(a, "--format and --fields exclude each other");
		return 2;
	}
	if (args_has(a, EXCLUDE) && (a->n_words > 0 || !args_has(a, ALL))) {
		(void)ui_usage(a, "--exclude goes with --all");
		return 2;
	}
	if (args_has(a, ALL) && a->n_words > 0) {
		(void)ui_usage(a, "name qubes or say --all, not both");
		return 2;
	}
	v = calloc(1, sizeof(*v));
	if (!v)
		return ui_fail(a, "out of memory");
	v->a = a;
	r = plan(v);
	if (r == 0 && args_has(a, WATCH)) {
		r = run_watch(v);
	} else if (r == 0) {
		r = load(v);
		r = r != 0 ? r : check_filters(v);
		r = r != 0 ? r : print(v);
	}
	forget(v);
	return r;
}

static const struct option options[] = {
	{FORMAT, 'o', "format", "FORMAT", "a set of columns; ? lists them, as --help-formats",
	 .words = WORDS_FORMAT},
	{FIELDS, 'O', "fields", "FIELD,...", "these columns; ? lists them, as --help-columns",
	 .words = WORDS_COLUMN},
	/* as old scripts have it; not shown */
	{DISK, 'd', "disk", NULL, NULL},
	{NETWORK, 'n', "network", NULL, NULL},
	{KERNEL, 'k', "kernel", NULL, NULL},
	{TREE, 't', "tree", NULL, "order as the network is connected, each qube below its netvm"},
	{RAW_DATA, 0, "raw-data", NULL, "for programs: no title, cells separated by |"},
	{RAW_LIST, 0, "raw-list", NULL, "only the names, one a line"},
	{JSON, 0, "json", NULL, "for programs: a list of objects"},
	{WATCH, 'w', "watch", NULL, "go on: show it again whenever something has changed"},
	{HELP_COLUMNS, 0, "help-columns", NULL, "list the columns and exit"},
	{HELP_FORMATS, 0, "help-formats", NULL, "list the formats and exit"},
	{ALL, 0, "all", NULL, "all qubes, which is what is listed anyway"},
	{EXCLUDE, 0, "exclude", "QUBE", "with --all, leave this one out (may be repeated)",
	 .words = WORDS_QUBE},
	{RUNNING, 0, "running", NULL, "only qubes that run"},
	{PAUSED, 0, "paused", NULL, "only qubes that are paused"},
	{HALTED, 0, "halted", NULL, "only qubes that are halted"},
	{CLASS, 0, "class", "CLASS", "only qubes of these classes", .many = true,
	 .words = WORDS_CLASS},
	{LABEL, 0, "label", "LABEL", "only qubes with these labels", .many = true,
	 .words = WORDS_LABEL},
	{TAGS, 0, "tags", "TAG", "only qubes with one of these tags", .many = true},
	{EXCLUDE_TAGS, 0, "exclude-tags", "TAG", "no qubes with one of these tags", .many = true},
	{TEMPLATE_SOURCE, 0, "template-source", "TEMPLATE", "only qubes made from these templates",
	 .many = true, .words = WORDS_TEMPLATE},
	{NETVM_IS, 0, "netvm-is", "QUBE", "only qubes connected to these", .many = true,
	 .words = WORDS_QUBE},
	{INTERNAL, 0, "internal", "y|n", "only internal qubes, or none of them"},
	{SERVICEVM, 0, "servicevm", "y|n", "only service qubes, or none of them"},
	{PENDING_UPDATE, 0, "pending-update", NULL, "only qubes with updates to install"},
	{FEATURES, 0, "features", "NAME=VALUE", "only qubes with these features", .many = true},
	{PREFS, 0, "prefs", "NAME=VALUE", "only qubes with these properties", .many = true},
	{SORT, 0, "sort", "COLUMN", "order by this column instead of the name",
	 .words = WORDS_COLUMN},
	{REVERSE, 0, "reverse", NULL, "the other way round"},
	{IGNORE_CASE, 0, "ignore-case", NULL, "order without regard to upper and lower case"},
	{0},
};

const struct command qvm_ls = {
	.name = "ls",
	.summary = "list qubes and what they are",
	.synopses = {"[OPTION]... [QUBE]...", "--help-columns", "--help-formats"},
	.text = "Prints a table of all qubes, or of those named, dom0 included. An empty cell is "
		"shown as \"-\".\n"
		"On a terminal names have the colour of their label.\n\n"
		"With --watch it goes on until it is ended: on a terminal the table is drawn anew, "
		"elsewhere it is\n"
		"printed again behind an empty line.",
	.sections = {{"EXAMPLES", "\tqvm-ls --running\n"
				  "\tqvm-ls --raw-data -O name,memory,vcpus work\n"
				  "\tqvm-ls --class AppVM --label red orange\n"
				  "\tfor q in $(qvm-ls --raw-list --halted); do ... done"}},
	.options = options,
	.words = {WORDS_ANY_QUBE},
	.run = run,
};
