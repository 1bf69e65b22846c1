/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qvm-ls: the table of qubes. Everything comes in one answer of bulkhead.List.
 *
 * With --watch events say when to ask again. The stream stands before the first table is asked for,
 * so no change falls between; what changes without an event (memory, disk) is asked for now and then.
 */
#include "ls.h"

#include "base/io.h"
#include "base/str.h"
#include "ui.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* --watch: changes that come together are shown together; what tells of no change is looked at */
#define GATHER_MS 100
#define LOOK_MS   2000

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

int ls_field(struct view *v, const char *field)
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

const char *ls_cell(const struct view *v, unsigned row, const char *field)
{
	for (unsigned i = 0; i < v->n_fields; i++) {
		if (str_eq(v->fields[i], field))
			return table_cell(&v->table, row, i);
	}
	return "";
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
		ls_flags_ask(v);
		(void)snprintf(field, sizeof(field), "class");
	}
	index = ls_field(v, field);
	if (index < 0)
		return -1;
	v->shown[v->n_shown].of = of ? ls_field(v, of) : -1;
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
		if (ls_fits(v, row))
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
			(void)ls_field(v, name);
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
	return r != 0 ? r : ls_fit_ask(v);
}

static void forget(struct view *v)
{
	table_done(&v->table);
	free(v->rows);
	free(v->depths);
	v->rows = v->depths = NULL;
	v->n_rows = 0;
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
			r = ls_fit_check(v);
		if (r != 0)
			return r;
		if (!same(&before, &v->table)) {
			if (screen)
				(void)fputs("\033[H\033[2J\033[3J", stdout);
			else if (before.data)
				(void)putchar('\n');
			r = ls_show(v);
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
		r = r != 0 ? r : ls_fit_check(v);
		r = r != 0 ? r : ls_show(v);
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
