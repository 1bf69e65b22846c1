/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qvm-top: which qubes take processor and memory, again and again.
 *
 * Every look is one request. CPU% is what a qube has used between two looks, in hundredths of one
 * processor; the first look therefore has none. On a terminal keys change what is shown; elsewhere
 * it is a table per look.
 */
#include "qvm.h"

#include "base/io.h"
#include "base/str.h"
#include "grid.h"
#include "qubesd.h"
#include "ui.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <termios.h>

enum {
	ALL = OPTION_OWN,
	EXCLUDE,
	SHOW_HALTED,
	FILTER,
	COLUMNS,
	FORMAT,
	HELP_COLUMNS,
	HELP_FORMATS,
	SORT,
	REVERSE,
	NO_COLOUR,
	DELAY,
	NUMBER,
	JSON,
};

static const char fields[] =
	"name\nstate\nclass\nlabel\nmemory_used\nmemory_assigned\ncputime\nvcpus";
enum { F_NAME, F_STATE, F_CLASS, F_LABEL, F_USED, F_ASSIGNED, F_CPUTIME, F_VCPUS };

enum column { NAME, STATE, CPU, CPU_TIME, USED, MOST, USAGE, VCPUS, N_COLUMNS };
static const struct {
	const char *name, *title, *help;
	int width; /* negative: to the left */
} columns[N_COLUMNS] = {
	[NAME] = {"name", "NAME", "name of the qube", -20},
	[STATE] = {"state", "STATE", "its power state", -10},
	[CPU] = {"cpu_usage", "CPU%", "processor time since the last look, 100 = one processor", 6},
	[CPU_TIME] = {"cpu_time", "CPUsec", "processor time since its start, seconds", 8},
	[USED] = {"memory_used", "MU", "memory in use, MiB", 7},
	[MOST] = {"memory_max", "MM", "memory it has been given, MiB", 7},
	[USAGE] = {"memory_usage_used", "MU/MM",
		   "memory in use of what it has been given, in hundredths", 6},
	[VCPUS] = {"online_vcpus", "VC", "processors", 3},
};

static const struct {
	const char *name, *columns;
} formats[] = {
	{"default", "name,state,cpu_usage,cpu_time,memory_used,memory_max,memory_usage_used"},
	{"min", "name,cpu_usage,memory_used"},
	{"max",
	 "name,state,cpu_usage,cpu_time,memory_used,memory_max,memory_usage_used,online_vcpus"},
};

/* a qube of one look; numbers are -1 where there is nothing to know */
struct row {
	char name[64], state[16], label[64];
	bool up;
	int64_t value[N_COLUMNS];
	int64_t cpu_ms;
};

struct look {
	struct row *rows;
	size_t n;
	uint64_t at_ms;
};

struct top {
	const struct args *a;
	enum column shown[N_COLUMNS];
	unsigned n_shown;
	enum column sort;
	bool reverse, halted, colours;
	char filter[128];
	uint64_t delay_ms;
	struct look before, now;
	unsigned scroll;
	char keys[32]; /* read and not looked at: from @key_at on */
	unsigned n_keys, key_at;
};

static int64_t number(const char *text)
{
	uint64_t n;

	return str_u64(text, INT64_MAX, &n) == 0 ? (int64_t)n : -1;
}

/* processor time since the last look; -1 if it was not up then */
static int64_t cpu_percent(const struct top *t, const struct row *row, uint64_t now_ms)
{
	uint64_t passed = now_ms - t->before.at_ms;

	if (row->cpu_ms < 0 || passed == 0)
		return -1;
	for (size_t i = 0; i < t->before.n; i++) {
		const struct row *had = &t->before.rows[i];

		/* less than before: it was started anew */
		if (str_eq(had->name, row->name) && had->cpu_ms >= 0 && had->cpu_ms <= row->cpu_ms)
			return (row->cpu_ms - had->cpu_ms) * 100 / (int64_t)passed;
	}
	return -1;
}

static void take_row(const struct top *t, const struct table *table, unsigned i, uint64_t now_ms,
		     struct row *ret)
{
	const int64_t used = number(table_cell(table, i, F_USED));
	const int64_t assigned = number(table_cell(table, i, F_ASSIGNED));

	(void)snprintf(ret->name, sizeof(ret->name), "%s", table_cell(table, i, F_NAME));
	(void)snprintf(ret->state, sizeof(ret->state), "%s", table_cell(table, i, F_STATE));
	(void)snprintf(ret->label, sizeof(ret->label), "%s", table_cell(table, i, F_LABEL));
	ret->up = !str_eq(ret->state, "Halted") && !str_eq(ret->state, "NA");
	ret->cpu_ms = ret->up ? number(table_cell(table, i, F_CPUTIME)) : -1;
	ret->value[CPU] = cpu_percent(t, ret, now_ms);
	ret->value[CPU_TIME] = ret->cpu_ms < 0 ? -1 : ret->cpu_ms / 1000;
	ret->value[USED] = ret->up && used >= 0 ? used / 1024 : -1;
	ret->value[MOST] = assigned >= 0 ? assigned / 1024 : -1;
	ret->value[USAGE] = ret->value[USED] >= 0 && ret->value[MOST] > 0
				    ? ret->value[USED] * 100 / ret->value[MOST]
				    : -1;
	ret->value[VCPUS] = number(table_cell(table, i, F_VCPUS));
}

static int look(struct top *t)
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	AUTO(table_done) struct table table = {0};
	struct look now = {.at_ms = io_now_ms()};
	int r = table_load("dom0", fields, &table, &answer);

	if (r != 0)
		return qubesd_failed(t->a, NULL, r, &answer);
	for (unsigned i = 0; i < t->a->n_words; i++) {
		if (table_find(&table, t->a->words[i]) < 0 && !t->now.rows)
			return qubesd_no_qube(t->a, t->a->words[i]);
	}
	now.rows = calloc(table.n_rows + 1, sizeof(*now.rows));
	if (!now.rows)
		return ui_fail(t->a, "out of memory");
	free(t->before.rows);
	t->before = t->now;
	for (unsigned i = 0; i < table.n_rows; i++)
		take_row(t, &table, i, now.at_ms, &now.rows[now.n++]);
	t->now = now;
	return 0;
}

/* does the name have one of the filter's words in it? */
static bool filter_fits(const char *filter, const char *name)
{
	bool any = false;

	for (const char *at = filter; *at != '\0';) {
		char word[128];
		size_t len = strcspn(at, ",");

		if (len > 0 && str_copy(word, sizeof(word), at, len) == 0) {
			any = true;
			if (strstr(name, word))
				return true;
		}
		at += len + (at[len] == ',');
	}
	return !any;
}

static bool fits(const struct top *t, const struct row *row)
{
	bool named = t->a->n_words == 0;

	for (unsigned i = 0; i < t->a->n_words; i++)
		named = named || str_eq(t->a->words[i], row->name);
	return named && (t->halted || row->up) && !args_given_is(t->a, EXCLUDE, row->name) &&
	       filter_fits(t->filter, row->name);
}

static int compare(const void *left, const void *right, void *data)
{
	const struct row *const *l = left, *const *r = right;
	const struct top *t = data;
	int c = 0;

	/* the most comes first, of words the first */
	if (t->sort == STATE)
		c = strcmp((*l)->state, (*r)->state);
	else if (t->sort != NAME && (*l)->value[t->sort] != (*r)->value[t->sort])
		c = (*l)->value[t->sort] > (*r)->value[t->sort] ? -1 : 1;
	if (c == 0)
		c = strcmp((*l)->name, (*r)->name);
	return t->reverse ? -c : c;
}

/* the rows that are shown, in order; NULL without memory */
static const struct row **choose(struct top *t, size_t *ret_n)
{
	const struct row **list = calloc(t->now.n + 1, sizeof(*list));

	*ret_n = 0;
	if (!list)
		return NULL;
	for (size_t i = 0; i < t->now.n; i++) {
		if (fits(t, &t->now.rows[i]))
			list[(*ret_n)++] = &t->now.rows[i];
	}
	qsort_r((void *)list, *ret_n, sizeof(*list), compare, t);
	return list;
}

static const char *cell(const struct row *row, enum column c, char to[32])
{
	if (c == NAME)
		return row->name;
	if (c == STATE)
		return row->state;
	if (row->value[c] < 0)
		return "";
	(void)snprintf(to, 32, "%lld", (long long)row->value[c]);
	return to;
}

/* one look as a table or as JSON */
static int put(struct top *t)
{
	const char *titles[N_COLUMNS + 1] = {NULL};
	AUTO(grid_done) struct grid g = {.titles = titles};
	bool json = args_has(t->a, JSON);
	const struct row **list;
	char made[32];
	size_t n;

	for (unsigned i = 0; i < t->n_shown; i++)
		titles[i] = json ? columns[t->shown[i]].name : columns[t->shown[i]].title;
	list = choose(t, &n);
	if (!list)
		return ui_fail(t->a, "out of memory");
	for (size_t i = 0; i < n; i++) {
		for (unsigned c = 0; c < t->n_shown; c++)
			grid_add(&g, "%s", cell(list[i], t->shown[c], made));
	}
	free((void *)list);
	return grid_put(t->a, &g, json ? GRID_JSON : GRID_TABLE);
}

static volatile sig_atomic_t ended, resized;

static void on_signal(int sig)
{
	if (sig == SIGWINCH)
		resized = 1;
	else
		ended = 1;
}

static void screen_size(unsigned *ret_rows, unsigned *ret_columns)
{
	struct winsize size = {0};

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_row < 3 || size.ws_col < 20)
		size = (struct winsize){.ws_row = 24, .ws_col = 80};
	*ret_rows = size.ws_row;
	*ret_columns = size.ws_col;
}

/* one line of the screen, cut at its right edge */
static void put_line(const char *before, const char *text, unsigned width)
{
	(void)printf("%s%.*s\033[0m\033[K\r\n", before, (int)width - 1, text);
}

static void append(char *line, size_t size, int width, bool last, const char *text)
{
	size_t n = strlen(line);

	(void)snprintf(line + n, size - n, "%*s%s", width, text, last ? "" : "  ");
}

static int draw(struct top *t, const char *asking)
{
	unsigned height, width;
	const struct row **list;
	char line[512] = "", made[32];
	size_t n;

	screen_size(&height, &width);
	list = choose(t, &n);
	if (!list)
		return ui_fail(t->a, "out of memory");
	if (t->scroll + 1 > n)
		t->scroll = n > 0 ? (unsigned)n - 1 : 0;
	(void)fputs("\033[H", stdout);
	for (unsigned c = 0; c < t->n_shown; c++) {
		(void)snprintf(made, sizeof(made), "%s%s", columns[t->shown[c]].title,
			       t->shown[c] == t->sort ? (t->reverse ? "^" : "v") : "");
		append(line, sizeof(line), columns[t->shown[c]].width, c + 1 == t->n_shown, made);
	}
	put_line(t->colours ? "\033[7m" : "", line, width);
	for (size_t i = t->scroll; i < n && i - t->scroll + 2 < height; i++) {
		const char *colour = t->colours ? qvm_label_colour(list[i]->label) : NULL;

		line[0] = '\0';
		for (unsigned c = 0; c < t->n_shown; c++) {
			const char *text = cell(list[i], t->shown[c], made);

			append(line, sizeof(line), columns[t->shown[c]].width, c + 1 == t->n_shown,
			       text[0] == '\0' ? "-" : text);
		}
		put_line(colour ? colour : "", line, width);
	}
	free((void *)list);
	(void)fputs("\033[J", stdout);
	(void)snprintf(
		line, sizeof(line), "%s%s",
		asking ? asking : "q ends  <> column  r reverse  S halted  / filter: ", t->filter);
	(void)printf("\033[%u;1H%.*s\033[K", height, (int)width - 1, line);
	return fflush(stdout) == 0 ? 0 : 1;
}

static void sort_beside(struct top *t, bool right)
{
	unsigned at = 0;

	while (at + 1 < t->n_shown && t->shown[at] != t->sort)
		at++;
	if (right && at + 1 < t->n_shown)
		at++;
	else if (!right && at > 0)
		at--;
	t->sort = t->shown[at];
}

/* keys beside those that are letters */
enum { KEY_END = -1, KEY_UP = 256, KEY_DOWN, KEY_RIGHT, KEY_LEFT };

/* the next key, waiting for it; an arrow comes as three bytes at once */
static int take_key(struct top *t)
{
	if (t->key_at == t->n_keys) {
		ssize_t n = read(STDIN_FILENO, t->keys, sizeof(t->keys));

		if (n <= 0)
			return KEY_END;
		t->n_keys = (unsigned)n;
		t->key_at = 0;
	}
	if (t->n_keys - t->key_at >= 3 && memcmp(t->keys + t->key_at, "\033[", 2) == 0) {
		char arrow = t->keys[t->key_at + 2];

		t->key_at += 3;
		return arrow >= 'A' && arrow <= 'D' ? KEY_UP + (arrow - 'A') : 0;
	}
	return (unsigned char)t->keys[t->key_at++];
}

/* the words of a filter, typed in the last line; a redraw shows each letter */
static void ask_filter(struct top *t)
{
	char had[sizeof(t->filter)];

	memcpy(had, t->filter, sizeof(had));
	while (draw(t, "/") == 0 && !ended) {
		size_t n = strlen(t->filter);
		int key = take_key(t);
		char letter = (char)key;

		if (key == '\r' || key == '\n' || (key == KEY_END && !resized))
			return;
		if (key == 0x1b || key == 0x03) {
			memcpy(t->filter, had, sizeof(had));
			return;
		}
		if (key == 0x7f || key == 0x08)
			t->filter[n > 0 ? n - 1 : 0] = '\0';
		else if (key > 0 && key < 0x7f && n + 1 < sizeof(t->filter) &&
			 bytes_are_alnum_or(&letter, 1, "_.-,"))
			(void)snprintf(t->filter + n, sizeof(t->filter) - n, "%c", letter);
		resized = 0;
	}
}

/* what was typed; false ends it */
static bool take_keys(struct top *t)
{
	do {
		switch (take_key(t)) {
		case KEY_UP:
		case 'k':
			t->scroll -= t->scroll > 0;
			break;
		case KEY_DOWN:
		case 'j':
			t->scroll++;
			break;
		case KEY_RIGHT:
		case 'l':
			sort_beside(t, true);
			break;
		case KEY_LEFT:
		case 'h':
			sort_beside(t, false);
			break;
		case 'r':
			t->reverse = !t->reverse;
			break;
		case 'S':
			t->halted = !t->halted;
			break;
		case '/':
			ask_filter(t);
			break;
		case 'q':
		case 'Q':
		case 0x03:
		case 0x1b:
			return false;
		case KEY_END:
			return resized != 0;
		default:
			break;
		}
	} while (t->key_at < t->n_keys);
	return true;
}

static int live_loop(struct top *t)
{
	uint64_t next_ms = 0;

	while (!ended) {
		struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
		uint64_t now = io_now_ms();
		int r;

		if (now >= next_ms) {
			r = look(t);
			if (r != 0)
				return r;
			next_ms = now + t->delay_ms;
		}
		if (draw(t, NULL) != 0)
			return 1;
		resized = 0;
		r = poll(&input, 1, (int)(next_ms - now));
		if (r < 0 && errno != EINTR)
			return ui_fail_errno(t->a, NULL, -errno);
		if (r > 0 && !take_keys(t))
			return 0;
	}
	return 0;
}

/* on a terminal, which is as it was afterwards */
static int live(struct top *t)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct termios had, raw;
	int r;

	if (tcgetattr(STDIN_FILENO, &had) < 0)
		return ui_fail_errno(t->a, "the terminal", -errno);
	/* what can fail at once is said on the screen that stays */
	r = look(t);
	if (r != 0)
		return r;
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	(void)sigaction(SIGHUP, &action, NULL);
	(void)sigaction(SIGWINCH, &action, NULL);
	raw = had;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	(void)fputs("\033[?1049h\033[?25l", stdout);
	r = live_loop(t);
	(void)fputs("\033[?25h\033[?1049l", stdout);
	(void)fflush(stdout);
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &had);
	return r;
}

/* @n looks, each a table; the one that only CPU% needs is not shown */
static int batch(struct top *t, uint64_t n)
{
	for (uint64_t i = 0; i <= n; i++) {
		int r = look(t);

		if (r != 0)
			return r;
		if (i > 0) {
			if (i > 1 && !args_has(t->a, JSON))
				(void)putchar('\n');
			r = put(t);
			if (r != 0 || fflush(stdout) != 0)
				return 1;
		}
		if (i < n)
			(void)poll(NULL, 0, (int)t->delay_ms);
	}
	return 0;
}

/* a column by its name or title; -1 if there is none */
static int find_column(const char *word, size_t len)
{
	for (unsigned i = 0; i < N_COLUMNS; i++) {
		if ((strlen(columns[i].name) == len &&
		     strncasecmp(columns[i].name, word, len) == 0) ||
		    (strlen(columns[i].title) == len &&
		     strncasecmp(columns[i].title, word, len) == 0))
			return (int)i;
	}
	return -1;
}

static int show_columns(struct top *t, const char *list)
{
	for (const char *at = list; *at != '\0';) {
		size_t len = strcspn(at, ",");
		int c = find_column(at, len);

		if (len > 0 && (c < 0 || t->n_shown == N_COLUMNS))
			return ui_usage(t->a,
					"there is no column \"%.*s\"; --help-columns shows them",
					(int)len, at);
		if (len > 0)
			t->shown[t->n_shown++] = (enum column)c;
		at += len + (at[len] == ',');
	}
	return t->n_shown > 0 ? 0 : ui_usage(t->a, "--columns names none");
}

static int plan(struct top *t, uint64_t *ret_n)
{
	const struct args *a = t->a;
	const char *list = args_value(a, COLUMNS), *format = args_value(a, FORMAT);
	const char *sort = args_value(a, SORT), *delay = args_value(a, DELAY);
	const char *times = args_value(a, NUMBER), *filter = args_value(a, FILTER);
	int c;

	if (list && format)
		return ui_usage(a, "--columns and --format exclude each other");
	for (size_t i = 0; i < ARRAY_LEN(formats) && !list; i++) {
		if (str_eq(formats[i].name, format ? format : "default"))
			list = formats[i].columns;
	}
	if (!list)
		return ui_usage(a, "there is no format %s; --help-formats shows them", format);
	if (show_columns(t, list) != 0)
		return ARGS_E_USAGE;
	c = sort ? find_column(sort, strlen(sort)) : (int)CPU;
	if (c < 0)
		return ui_usage(a, "there is no column %s; --help-columns shows them", sort);
	t->sort = (enum column)c;
	if (delay && (str_u64(delay, 3600, &t->delay_ms) < 0 || t->delay_ms == 0))
		return ui_usage(a, "--delay wants seconds, 1 to 3600, not %s", delay);
	t->delay_ms = delay ? t->delay_ms * 1000 : 1000;
	if (times && (str_u64(times, UINT32_MAX, ret_n) < 0 || *ret_n == 0))
		return ui_usage(a, "--number wants a number above 0, not %s", times);
	if (args_has(a, ALL) && a->n_words > 0)
		return ui_usage(a, "name qubes or say --all, not both");
	if (args_has(a, EXCLUDE) && a->n_words > 0)
		return ui_usage(a, "--exclude goes with --all");
	if (filter && str_format(t->filter, sizeof(t->filter), "%s", filter) < 0)
		return ui_usage(a, "--filter is too long");
	return 0;
}

static int run(const struct args *a)
{
	struct top t = {.a = a,
			.reverse = args_has(a, REVERSE),
			.halted = args_has(a, SHOW_HALTED),
			.colours = ui_colours() && !args_has(a, NO_COLOUR)};
	uint64_t n = 1;
	int r;

	if (args_has(a, HELP_COLUMNS)) {
		for (unsigned i = 0; i < N_COLUMNS; i++)
			(void)printf("%-18s %-7s %s\n", columns[i].name, columns[i].title,
				     columns[i].help);
		return 0;
	}
	if (args_has(a, HELP_FORMATS)) {
		for (size_t i = 0; i < ARRAY_LEN(formats); i++)
			(void)printf("%-8s %s\n", formats[i].name, formats[i].columns);
		return 0;
	}
	if (plan(&t, &n) != 0)
		return 2;
	if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && !args_has(a, NUMBER) &&
	    !args_has(a, JSON))
		r = live(&t);
	else
		r = batch(&t, n);
	free(t.before.rows);
	free(t.now.rows);
	return r;
}

static const struct option options[] = {
	{ALL, 0, "all", NULL, "all qubes, as without names"},
	{EXCLUDE, 0, "exclude", "QUBE", "leave this one out (may be repeated)",
	 .words = WORDS_ANY_QUBE},
	{SHOW_HALTED, 'S', "show-halted", NULL, "halted qubes too"},
	{FILTER, 'f', "filter", "WORD,...", "only qubes with one of these in their name"},
	{COLUMNS, 'C', "columns", "COLUMN,...", "these columns: see --help-columns"},
	{FORMAT, 'F', "format", "FORMAT", "a set of columns: see --help-formats"},
	{HELP_COLUMNS, 0, "help-columns", NULL, "list the columns and exit"},
	{HELP_FORMATS, 0, "help-formats", NULL, "list the formats and exit"},
	{SORT, 'k', "sort-column", "COLUMN", "order by this column (otherwise cpu_usage)"},
	{REVERSE, 'r', "reverse", NULL, "the other way round"},
	{NO_COLOUR, 0, "no-color,no-colour", NULL, "no colours"},
	{DELAY, 'd', "delay", "SECONDS", "look again after this time (otherwise 1)"},
	{NUMBER, 'n', "number", "NUMBER", "print so many tables instead of filling the screen"},
	{JSON, 0, "json", NULL, "for programs: lists of objects instead of tables"},
	{0},
};

const struct command qvm_top = {
	.name = "top",
	.summary = "watch processor and memory of qubes",
	.synopses = {"[OPTION]... [QUBE]...", "--help-columns", "--help-formats"},
	.text = "Shows the qubes that are up and what they use, most processor time first, until it "
		"is ended. Where\n"
		"input and output are no terminal it prints a table and ends; --number says how "
		"many.",
	.sections =
		{
			{"KEYS",
			 "\tq, Escape, ^C        end\n"
			 "\tUp, Down, k, j       scroll\n"
			 "\tLeft, Right, h, l    order by the column beside\n"
			 "\tr                    the other way round\n"
			 "\tS                    halted qubes too, or no longer\n"
			 "\t/                    only names with one of these words; Enter ends it"},
			{"EXAMPLES", "\tqvm-top\n"
				     "\tqvm-top -n 1 -k memory_used\n"
				     "\tqvm-top -n 1 --json | jq -r '.[0].name'"},
		},
	.options = options,
	.words = {WORDS_ANY_QUBE},
	.run = run,
};
