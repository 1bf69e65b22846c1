/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "menus.h"

#include "base/io.h"
#include "base/paths.h"
#include "base/str.h"
#include "ui.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#define PREFIX "org.qubes-os.vm._"
#define SUFFIX ".desktop"
/* a qube's template, and that one's: no chain is longer */
#define CHAIN_MAX  4
#define ENTRY_MAX  (1u << 16)
#define OFFERS_MAX (CHAIN_MAX * MENU_ENTRIES_MAX + 1)

static const char fields[] =
	"name\nclass\ntemplate\nlabel\nauto_cleanup\ntemplate_for_dispvms\nmenu\n"
	"feature:internal\nfeature:appmenus-dispvm\nfeature:menu-items\n"
	"feature:default-menu-items";
enum {
	F_NAME,
	F_CLASS,
	F_TEMPLATE,
	F_LABEL,
	F_CLEANUP,
	F_FOR_DISP,
	F_MENU,
	F_INTERNAL,
	F_IN_DISP,
	F_ITEMS,
	F_DEFAULT
};

static const char *cell(const struct menus *m, unsigned row, unsigned field)
{
	return table_cell(&m->table, row, field);
}

/* ---- what is here */

static int places_find(struct menus *m)
{
	struct paths paths = {0};
	const char *home = getenv("BULKHEAD_HOME");
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", m->bin, sizeof(m->bin) - 1);
	int r = n < 0 ? fail_errno() : 0;

	if (r == 0) {
		m->bin[n] = '\0';
		*strrchr(m->bin, '/') = '\0';
		r = paths_data(&m->data);
	}
	if (r == 0 && home && home[0] != '\0') {
		m->home = realpath(home, NULL);
		r = m->home ? 0 : fail_errno();
	}
	if (r == 0)
		r = paths_init(&paths, false);
	if (r < 0)
		return r;
	r = str_format(path, sizeof(path), "%s/menus.lock", paths.state);
	paths_done(&paths);
	if (r < 0)
		return r;
	m->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (m->lock < 0)
		return fail_errno();
	while (flock(m->lock, LOCK_EX) < 0)
		if (errno != EINTR)
			return fail_errno();
	return 0;
}

int menus_open(const struct args *a, struct menus *ret)
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	int r;

	*ret = (struct menus){.a = a, .lock = NO_FD};
	r = places_find(ret);
	/* without a run directory there is no instance to ask, which the next says better */
	if (r < 0 && r != -ENOENT)
		return ui_fail_errno(a, "the folder of the desktop's menus", r);
	r = table_load("dom0", fields, &ret->table, &answer);
	if (r != 0)
		return qubesd_failed(a, NULL, r, &answer);
	if (!ret->data || ret->lock < 0)
		return ui_fail(a, "there is no folder for the desktop's menus: neither HOME nor "
				  "XDG_DATA_HOME says where");
	ret->own = calloc(ret->table.n_rows + 1, sizeof(*ret->own));
	return ret->own ? 0 : ui_fail(a, "out of memory");
}

void menus_done(struct menus *m)
{
	for (unsigned i = 0; m->own && i < m->table.n_rows; i++)
		free(m->own[i]);
	free((void *)m->own);
	for (unsigned i = 0; i < m->n_kept; i++)
		free(m->kept[i]);
	free((void *)m->kept);
	table_done(&m->table);
	free(m->data);
	free(m->home);
	close_fd(&m->lock);
}

/* what the qube itself has said; *@ret NULL: nothing */
static int own_get(struct menus *m, unsigned row, const struct menu **ret)
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	AUTO_FREE struct menu *menu = NULL;
	int r;

	*ret = m->own[row];
	if (*ret || cell(m, row, F_MENU)[0] == '\0')
		return 0;
	r = client_call(NULL, "bulkhead.vm.menu.Get", cell(m, row, F_NAME), NULL, NULL, 0, NO_FD,
			&answer);
	if (r == CLIENT_E_EXCEPTION && str_eq(answer.type, "QubesVMNotFoundError"))
		return 0; /* it has gone meanwhile */
	if (r != 0)
		return qubesd_failed(m->a, cell(m, row, F_NAME), r, &answer);
	menu = calloc(1, sizeof(*menu));
	if (!menu)
		return ui_fail(m->a, "out of memory");
	if (menu_decode(answer.data, answer.len, menu) != 0)
		return ui_fail(m->a, "%s: qubesd's answer cannot be understood",
			       cell(m, row, F_NAME));
	*ret = m->own[row] = take_ptr(&menu);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct offer *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static bool is_offered(const struct offer *list, unsigned n, const char *name)
{
	for (unsigned i = 0; i < n; i++)
		if (str_eq(list[i].name, name))
			return true;
	return false;
}

int menus_offers(struct menus *m, unsigned row, int template, struct offer **ret, unsigned *ret_n)
{
	AUTO_FREE struct offer *list = calloc(OFFERS_MAX, sizeof(*list));
	const struct menu *menu;
	int at = (int)row;
	unsigned n = 0;

	if (!list)
		return ui_fail(m->a, "out of memory");
	list[n++].name = MENUS_START;
	for (unsigned depth = 0; at >= 0 && depth < CHAIN_MAX; depth++) {
		if (own_get(m, (unsigned)at, &menu) != 0)
			return 1;
		/* the nearest of a name counts */
		for (unsigned i = 0; menu && i < menu->n; i++)
			if (!is_offered(list, n, menu->entries[i].name))
				list[n++] =
					(struct offer){menu->entries[i].name, &menu->entries[i]};
		at = depth == 0 && template >= 0
			     ? template
			     : table_find(&m->table, cell(m, (unsigned)at, F_TEMPLATE));
	}
	qsort(list, n, sizeof(*list), by_name);
	*ret = take_ptr(&list);
	*ret_n = n;
	return 0;
}

const char *menus_title(const struct offer *o)
{
	return o->entry ? o->entry->values[MENU_TITLE] : "Start";
}

const char *menus_default(const struct menus *m, unsigned row)
{
	const char *list = cell(m, row, F_DEFAULT);

	return list[0] != '\0' ? list : NULL;
}

const char *menus_chosen(const struct menus *m, unsigned row, const char **ret_from)
{
	int at = (int)row;

	*ret_from = cell(m, row, F_NAME);
	if (cell(m, row, F_ITEMS)[0] != '\0')
		return cell(m, row, F_ITEMS);
	for (unsigned depth = 1; depth < CHAIN_MAX; depth++) {
		at = table_find(&m->table, cell(m, (unsigned)at, F_TEMPLATE));
		if (at < 0)
			break;
		*ret_from = cell(m, (unsigned)at, F_NAME);
		if (menus_default(m, (unsigned)at))
			return menus_default(m, (unsigned)at);
	}
	*ret_from = NULL;
	return NULL;
}

/* is NAME.desktop among the words of @list? */
static bool is_chosen(const char *list, const char *name)
{
	const size_t name_len = strlen(name);

	for (size_t len; list && *list != '\0'; list += len + (list[len] != '\0')) {
		len = strcspn(list, " ");
		if (len == name_len + strlen(SUFFIX) && memcmp(list, name, name_len) == 0 &&
		    memcmp(list + name_len, SUFFIX, strlen(SUFFIX)) == 0)
			return true;
	}
	return !list;
}

/* has it a menu at all? */
static bool is_shown(const struct menus *m, unsigned row)
{
	const char *class = cell(m, row, F_CLASS);

	return !str_eq(class, "AdminVM") && !str_eq(class, "RemoteVM") &&
	       cell(m, row, F_INTERNAL)[0] == '\0' && !str_eq(cell(m, row, F_CLEANUP), "True");
}

/* ---- one entry */

struct body {
	char at[ENTRY_MAX];
	size_t len;
	bool full;
};

static void put(struct body *b, const char *format, ...) PRINTF_LIKE(2, 3);
static void put(struct body *b, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(b->at + b->len, sizeof(b->at) - b->len, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= sizeof(b->at) - b->len)
		b->full = true;
	else
		b->len += (size_t)n;
}

/* A word of Exec, in quotes: what those give a meaning to gets a backslash, which a desktop entry wants doubled (and one for
 * itself, so four); a percent sign is doubled. Freedesktop's Desktop Entry Specification, "The Exec key". */
static void put_word(struct body *b, const char *word)
{
	put(b, " \"");
	for (; *word != '\0'; word++) {
		if (*word == '\\')
			put(b, "\\\\\\\\");
		else if (strchr("\"`$", *word))
			put(b, "\\\\%c", *word);
		else if ((unsigned char)*word < ' ')
			b->full = true; /* it cannot be said */
		else
			put(b, *word == '%' ? "%%%%" : "%c", *word);
	}
	put(b, "\"");
}

/* a text with the qube's name before it */
static void put_titled(struct body *b, const char *key, const char *qube, const char *text)
{
	if (text[0] != '\0')
		put(b, "%s=%s: %s\n", key, qube, text);
}

static void put_exec(struct body *b, const struct menus *m, const char *tool)
{
	char word[PATH_MAX];

	put(b, "Exec=env");
	if (m->home && str_format(word, sizeof(word), "BULKHEAD_HOME=%s", m->home) == 0)
		put_word(b, word);
	if (str_format(word, sizeof(word), "%s/%s", m->bin, tool) == 0)
		put_word(b, word);
}

static void describe(struct body *b, const struct menus *m, unsigned row, const struct offer *o)
{
	const char *qube = cell(m, row, F_NAME);
	const struct menu_entry *e = o->entry;
	/* one that other qubes are made from as disposables, and that is meant to be used so */
	const bool in_disposable =
		cell(m, row, F_IN_DISP)[0] != '\0' && str_eq(cell(m, row, F_FOR_DISP), "True");

	b->len = 0;
	b->full = false;
	put(b,
	    "[Desktop Entry]\nVersion=1.0\nType=Application\nTerminal=false\n"
	    "X-Qubes-VmName=%s\nX-Qubes-AppName=%s\nIcon=%s/icons/bulkhead-%s.svg\n",
	    qube, o->name, m->data, cell(m, row, F_LABEL));
	put_titled(b, "Name", qube, menus_title(o));
	if (e) {
		put_titled(b, "GenericName", qube, e->values[MENU_GENERIC]);
		if (e->values[MENU_COMMENT][0] != '\0')
			put(b, "Comment=%s\n", e->values[MENU_COMMENT]);
		if (e->values[MENU_CLASS][0] != '\0')
			put(b, "StartupWMClass=%s:%s\n", qube, e->values[MENU_CLASS]);
	}
	put(b, "Categories=%sX-Qubes-VM;\n", e ? e->values[MENU_CATEGORIES] : "");
	if (!e) {
		put_exec(b, m, "qvm-start");
		put(b, " --quiet --skip-if-running -- %s\n", qube);
		return;
	}
	put_exec(b, m, "qvm-run");
	put(b,
	    in_disposable ? " --quiet --service --dispvm=%s -- qubes.StartApp+%s\n"
			  : " --quiet --service -- %s qubes.StartApp+%s\n",
	    qube, e->name);
}

/* ---- files */

/* parts of a desktop's file name are parted by dots, so a qube's name has none there */
static void qube_part(const char *name, char *to)
{
	static const struct {
		char from, to;
	} pairs[] = {{'_', 'u'}, {'-', 'd'}, {'.', 'p'}};

	for (; *name != '\0'; name++) {
		char c = *name;

		for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
			if (c == pairs[i].from) {
				*to++ = '_';
				c = pairs[i].to;
				break;
			}
		}
		*to++ = c;
	}
	*to = '\0';
}

static int keep(struct menus *m, const char *file)
{
	if (m->n_kept == m->max_kept) {
		unsigned more = m->max_kept > 0 ? 2 * m->max_kept : 64;
		char **list = reallocarray((void *)m->kept, more, sizeof(*list));

		if (!list)
			return -ENOMEM;
		m->kept = list;
		m->max_kept = more;
	}
	m->kept[m->n_kept] = strdup(file);
	return m->kept[m->n_kept] ? (int)(m->n_kept++, 0) : -ENOMEM;
}

static int folder_open(const struct menus *m, const char *name, int *ret_fd)
{
	char path[PATH_MAX];
	int r = str_format(path, sizeof(path), "%s/%s", m->data, name);

	if (r == 0)
		r = io_mkdirs(path, 0755);
	if (r < 0)
		return r;
	*ret_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret_fd < 0 ? fail_errno() : 0;
}

/* a file that is so already stays */
static int file_put(int dir, const char *name, const char *bytes, size_t len, bool force)
{
	AUTO_FREE char *had = NULL;
	size_t had_len;

	if (!force && io_read_file(dir, name, ENTRY_MAX, &had, &had_len) == 0 && had_len == len &&
	    memcmp(had, bytes, len) == 0)
		return 0;
	return io_write_file(dir, name, bytes, len, 0644);
}

/* a square in the colour of the label; one of a label that is gone does no harm */
static int icon_put(struct menus *m, const char *label)
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	AUTO_CLOSE int dir = NO_FD;
	char name[128], body[256];
	unsigned long colour;
	char *end;
	int r;

	for (unsigned i = 0; i < m->n_labels; i++)
		if (str_eq(m->labels[i], label))
			return 0;
	r = str_format(name, sizeof(name), "bulkhead-%s.svg", label);

	if (r == 0)
		r = folder_open(m, "icons", &dir);
	if (r < 0)
		return r;
	if (client_call(NULL, "admin.label.Get", "dom0", label, NULL, 0, NO_FD, &answer) != 0 ||
	    !str_starts(answer.data, "0x"))
		return 0;
	colour = strtoul(answer.data, &end, 16);
	if (*end != '\0' || colour > 0xffffff)
		return 0;
	(void)snprintf(
		body, sizeof(body),
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 48 48\"><rect x=\"4\" "
		"y=\"4\" width=\"40\" height=\"40\" rx=\"8\" fill=\"#%06lx\"/></svg>\n",
		colour);
	r = file_put(dir, name, body, strlen(body), false);
	if (r == 0 && m->n_labels < ARRAY_LEN(m->labels))
		m->labels[m->n_labels++] = label;
	return r;
}

int menus_put(struct menus *m, unsigned row, bool force)
{
	static struct body body;
	AUTO_FREE struct offer *offers = NULL;
	AUTO_CLOSE int dir = NO_FD;
	const char *from, *list;
	char part[2 * 64 + 1], file[NAME_MAX + 1];
	unsigned n = 0, n_written = 0;
	int r = 0;

	if (!is_shown(m, row))
		return 0;
	if (menus_offers(m, row, -1, &offers, &n) != 0)
		return 1;
	list = menus_chosen(m, row, &from);
	qube_part(cell(m, row, F_NAME), part);
	r = folder_open(m, "applications", &dir);
	for (unsigned i = 0; r == 0 && i < n; i++) {
		if (!is_chosen(list, offers[i].name))
			continue;
		describe(&body, m, row, &offers[i]);
		r = body.full ? -EINVAL
			      : str_format(file, sizeof(file), PREFIX "%s.%s" SUFFIX, part,
					   offers[i].name);
		r = r < 0 ? r : file_put(dir, file, body.at, body.len, force);
		r = r < 0 ? r : keep(m, file);
		n_written++;
	}
	if (r == 0 && n_written > 0)
		r = icon_put(m, cell(m, row, F_LABEL));
	return r < 0 ? ui_fail_errno(m->a, "the folder of the desktop's menus", r) : 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_entry(const char *file, const char *prefix)
{
	const size_t len = strlen(file), suffix_len = strlen(SUFFIX);

	return str_starts(file, prefix) && len > suffix_len &&
	       str_eq(file + len - suffix_len, SUFFIX);
}

int menus_sweep(struct menus *m, const char *qube)
{
	char path[PATH_MAX], part[2 * 64 + 1], prefix[sizeof(PREFIX) + sizeof(part)] = PREFIX;
	const struct dirent *e;
	DIR *dir;
	int r = 0;

	if (qube) {
		qube_part(qube, part);
		(void)snprintf(prefix, sizeof(prefix), PREFIX "%s.", part);
	}
	if (m->n_kept > 0)
		qsort((void *)m->kept, m->n_kept, sizeof(*m->kept), by_text);
	if (str_format(path, sizeof(path), "%s/applications", m->data) < 0)
		return ui_fail(m->a, "too long");
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? 0 : ui_fail_errno(m->a, path, -errno);
	while (r == 0 && (e = readdir(dir))) {
		const char *file = e->d_name;

		if (is_entry(file, prefix) &&
		    !(m->n_kept > 0 && bsearch((const void *)&file, (void *)m->kept, m->n_kept,
					       sizeof(*m->kept), by_text)) &&
		    unlinkat(dirfd(dir), file, 0) < 0 && errno != ENOENT)
			r = ui_fail_errno(m->a, file, -errno);
	}
	(void)closedir(dir);
	return r;
}
