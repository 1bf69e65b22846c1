/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qvm-appmenus and qvm-sync-appmenus: applications of qubes in the menus of the user's desktop. The first makes the
 * entries of what is known of a qube; the second asks a running qube, whose words the service qubes.SyncAppMenus takes,
 * confined, as if the qube had called it.
 */
#include "qvm.h"

#include "base/io.h"
#include "base/log.h"
#include "base/program.h"
#include "base/str.h"
#include "loop/spawn.h"
#include "menus.h"
#include "ui.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* a feature holds what fits a request */
#define LIST_MAX 32768
#define SUFFIX   ".desktop"

enum {
	INIT = OPTION_OWN,
	CREATE,
	REMOVE,
	UPDATE,
	AVAILABLE,
	GET,
	GET_DEFAULT,
	SET,
	SET_DEFAULT,
	SOURCE,
	FORCE,
	FIELD,
	TEMPLATE,
	ALL,
	REGENERATE,
};

/* ---- lists */

/* the lines of a file (or of standard input) as words of a feature's value; to be freed */
static int list_read(const struct args *a, const char *path, char **ret)
{
	AUTO_FREE char *text = NULL, *list = NULL;
	char *rest, *line, *to;
	int r = str_eq(path, "-") ? io_read_all(STDIN_FILENO, LIST_MAX, &text, NULL)
				  : io_read_file(AT_FDCWD, path, LIST_MAX, &text, NULL);

	if (r < 0)
		return ui_fail_errno(a, path, r);
	list = to = malloc(strlen(text) + 2);
	if (!list)
		return ui_fail(a, "out of memory");
	rest = text;
	while ((line = strsep(&rest, "\n"))) {
		size_t len = strlen(line), suffix_len = strlen(SUFFIX);

		while (len > 0 && strchr(" \t\r", line[len - 1]))
			line[--len] = '\0';
		if (len == 0)
			continue;
		if (len <= suffix_len || !str_eq(line + len - suffix_len, SUFFIX) ||
		    !menu_is_name(line, len - suffix_len))
			return ui_fail(a,
				       "\"%s\" is no application: a line is like "
				       "firefox-esr.desktop; --get-available shows them",
				       line);
		if (to > list)
			*to++ = ' ';
		to = stpcpy(to, line);
	}
	/* a list without anything on it is not no list */
	if (to == list)
		*to++ = ' ';
	*to = '\0';
	*ret = take_ptr(&list);
	return 0;
}

static void list_print(const char *list)
{
	for (size_t len; list && *list != '\0'; list += len + (list[len] != '\0')) {
		len = strcspn(list, " ");
		if (len > 0)
			(void)printf("%.*s\n", (int)len, list);
	}
}

static int list_set(const struct args *a, const char *qube, const char *feature, int key,
		    const char *list)
{
	if (!args_has(a, key))
		return 0;
	return qubesd_call(a, "admin.vm.feature.Set", qube, feature, list, NULL);
}

/* ---- what is asked for */

/* the row of a qube that has entries, or < 0, and said why */
static int row_of(const struct menus *m, const char *qube)
{
	int row = table_find(&m->table, qube);

	if (row < 0)
		(void)qubesd_no_qube(m->a, qube);
	else if (str_eq(qube, "dom0")) {
		(void)ui_fail(m->a, "%s is the trusted side itself; this is for qubes", qube);
		row = -1;
	}
	return row;
}

static const char *field_of(const struct offer *o, const char *field)
{
	for (unsigned i = 0; o->entry && i < MENU_KEYS; i++)
		if (str_eq(field, menu_key_name((enum menu_key)i)))
			return o->entry->values[i];
	return !o->entry && str_eq(field, menu_key_name(MENU_TITLE)) ? menus_title(o) : "";
}

static int available(struct menus *m, unsigned row)
{
	AUTO_FREE struct offer *offers = NULL;
	const char *name = args_value(m->a, TEMPLATE);
	int template = name ? row_of(m, name) : -1;
	unsigned n = 0;

	if ((name && template <0) || menus_offers(m, row, template, &offers, &n) != 0)
		return 1;
	for (unsigned i = 0; i < n; i++) {
		const struct offer *o = &offers[i];

		if (!args_has(m->a, FIELD)) {
			(void)printf("%s" SUFFIX " - %s\n", o->name, menus_title(o));
			continue;
		}
		(void)printf("%s" SUFFIX "|%s", o->name, menus_title(o));
		for (unsigned k = 0; k < m->a->n_given; k++)
			if (m->a->given[k].key == FIELD)
				(void)printf("|%s", field_of(o, m->a->given[k].value));
		(void)putchar('\n');
	}
	return 0;
}

/* what a new qube takes over, from @source or from its template */
static int init(struct menus *m, unsigned row)
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	const char *qube = table_cell(&m->table, row, 0), *source = args_value(m->a, SOURCE), *list,
		   *from;
	int at = source ? row_of(m, source) : (int)row, r;

	if (at < 0)
		return 1;
	list = menus_chosen(m, (unsigned)at, &from);
	if (!source)
		return list && !str_eq(from, qube) ? qubesd_call(m->a, "admin.vm.feature.Set", qube,
								 "menu-items", list, NULL)
						   : 0;
	r = qubesd_call(m->a, "bulkhead.vm.menu.Get", source, NULL, NULL, &answer);
	if (r == 0)
		r = qubesd_call(m->a, "bulkhead.vm.menu.Set", qube, NULL, answer.data, NULL);
	if (r == 0 && list && str_eq(from, source))
		r = qubesd_call(m->a, "admin.vm.feature.Set", qube, "menu-items", list, NULL);
	list = menus_default(m, (unsigned)at);
	return r == 0 && list ? qubesd_call(m->a, "admin.vm.feature.Set", qube,
					    "default-menu-items", list, NULL)
			      : r;
}

/* the qube's entries, and with @below those of the qubes that are made from it */
static int put(struct menus *m, const char *qube, bool below)
{
	const struct table *t = &m->table;
	int r = 0;

	for (unsigned row = 0; r == 0 && row < t->n_rows; row++) {
		int at = (int)row;

		for (unsigned depth = 0; at >= 0 && depth < 4; depth++) {
			if (str_eq(table_cell(t, (unsigned)at, 0), qube))
				break;
			at = below ? table_find(t, table_cell(t, (unsigned)at, 2)) : -1;
		}
		if (at < 0 || !str_eq(table_cell(t, (unsigned)at, 0), qube))
			continue;
		r = menus_put(m, row, args_has(m->a, FORCE));
		r = r != 0 ? r : menus_sweep(m, table_cell(t, row, 0));
	}
	return r;
}

static int put_all(struct menus *m)
{
	int r = 0;

	for (unsigned row = 0; r == 0 && row < m->table.n_rows; row++)
		r = menus_put(m, row, args_has(m->a, FORCE));
	return r != 0 ? r : menus_sweep(m, NULL);
}

/* what changes comes before what is read, which is then asked for anew */
static int change(const struct args *a, const char *list, const char *default_list)
{
	AUTO(menus_done) struct menus m = {0};
	int r = menus_open(a, &m);

	for (unsigned i = 0; r == 0 && i < a->n_words; i++) {
		int row = row_of(&m, a->words[i]);

		if (row < 0)
			return 1;
		if (args_has(a, INIT))
			r = init(&m, (unsigned)row);
		r = r != 0 ? r
			   : list_set(a, a->words[i], "default-menu-items", SET_DEFAULT,
				      default_list);
		r = r != 0 ? r : list_set(a, a->words[i], "menu-items", SET, list);
	}
	return r;
}

static int show(const struct args *a)
{
	AUTO(menus_done) struct menus m = {0};
	const char *from;
	int r = menus_open(a, &m);

	if (r == 0 && args_has(a, ALL))
		return put_all(&m);
	for (unsigned i = 0; r == 0 && i < a->n_words; i++) {
		const char *qube = a->words[i];
		int row;

		if (args_has(a, REMOVE)) {
			r = menus_sweep(&m, qube);
			continue;
		}
		row = row_of(&m, qube);
		if (row < 0)
			return 1;
		if (args_has(a, GET))
			list_print(menus_chosen(&m, (unsigned)row, &from));
		if (args_has(a, GET_DEFAULT))
			list_print(menus_default(&m, (unsigned)row));
		if (args_has(a, AVAILABLE))
			r = available(&m, (unsigned)row);
		if (r == 0 && (args_has(a, CREATE) || args_has(a, UPDATE)))
			r = put(&m, qube, args_has(a, UPDATE));
	}
	return r;
}

static int wrong(const struct args *a)
{
	static const int actions[] = {INIT, CREATE,      REMOVE, UPDATE,     AVAILABLE,
				      GET,  GET_DEFAULT, SET,    SET_DEFAULT};
	unsigned n = 0;

	for (size_t i = 0; i < ARRAY_LEN(actions); i++)
		n += args_has(a, actions[i]);
	if (n == 0)
		return ui_usage(a, "say what to do: --update, --get-available, --set-whitelist...");
	if (args_has(a, REMOVE) && n > 1)
		return ui_usage(a, "--remove goes with nothing else");
	if (args_has(a, ALL) && (n > 1 || !args_has(a, UPDATE) || a->n_words > 0))
		return ui_usage(a, "--all goes with --update alone");
	if (!args_has(a, ALL) && a->n_words == 0)
		return ui_usage(a, "name a qube");
	if (args_has(a, SET) && args_has(a, SET_DEFAULT))
		return ui_usage(a,
				"--set-whitelist and --set-default-whitelist exclude each other");
	if (args_has(a, SOURCE) && !args_has(a, INIT))
		return ui_usage(a, "--source goes with --init");
	if ((args_has(a, TEMPLATE) || args_has(a, FIELD)) && !args_has(a, AVAILABLE))
		return ui_usage(a, "--template and --file-field go with --get-available");
	for (unsigned i = 0; i < a->n_words; i++)
		if (!str_is_qube_name(a->words[i], strlen(a->words[i])))
			return ui_usage(a, "\"%s\" is no name of a qube", a->words[i]);
	return 0;
}

static int run(const struct args *a)
{
	AUTO_FREE char *list = NULL, *default_list = NULL;

	if (wrong(a) != 0)
		return 2;
	if ((args_has(a, SET) && list_read(a, args_value(a, SET), &list) != 0) ||
	    (args_has(a, SET_DEFAULT) &&
	     list_read(a, args_value(a, SET_DEFAULT), &default_list) != 0))
		return 1;
	if ((args_has(a, INIT) || list || default_list) && change(a, list, default_list) != 0)
		return 1;
	if (args_has(a, CREATE) || args_has(a, REMOVE) || args_has(a, UPDATE) ||
	    args_has(a, AVAILABLE) || args_has(a, GET) || args_has(a, GET_DEFAULT))
		return show(a);
	return 0;
}

static const struct option options[] = {
	{AVAILABLE, 0, "get-available", NULL,
	 "print what could be in the qube's menu: FILE - NAME"},
	{FIELD, 0, "file-field", "KEY",
	 "with --get-available, another column (may be repeated): FILE|NAME|VALUE...; GenericName, "
	 "Comment, Categories, StartupWMClass"},
	{TEMPLATE, 0, "template", "TEMPLATE",
	 "with --get-available, as if the qube were made from this template",
	 .words = WORDS_TEMPLATE},
	{GET, 0, "get-whitelist", NULL,
	 "print what shall be in it, a FILE a line; nothing: all of it"},
	{SET, 0, "set-whitelist", "PATH", "take that from this file, - is standard input",
	 .words = WORDS_FILE},
	{GET_DEFAULT, 0, "get-default-whitelist", NULL,
	 "print what shall be in the menus of qubes made from this template"},
	{SET_DEFAULT, 0, "set-default-whitelist", "PATH",
	 "take that from this file, - is standard input", .words = WORDS_FILE},
	{UPDATE, 0, "update", NULL,
	 "make the entries of the qube, and of those made from it, anew"},
	{CREATE, 0, "create", NULL, "the same without those made from it"},
	{REMOVE, 0, "remove", NULL, "remove the entries of a qube, which may be gone already"},
	{ALL, 0, "all", NULL, "with --update: of all qubes, and of none that is gone"},
	{FORCE, 0, "force", NULL, "with --update or --create, write also what has not changed"},
	{INIT, 0, "init", NULL,
	 "let a new qube have its template's list, whatever becomes of that"},
	{SOURCE, 0, "source", "QUBE", "with --init: what that qube has said and its lists instead",
	 .words = WORDS_QUBE},
	{OPTION_IGNORED, 0, "i-understand-format-is-unstable", NULL, NULL},
	{0},
};

const struct command qvm_appmenus = {
	.name = "appmenus",
	.summary = "applications of qubes in the menus of the desktop",
	.synopses = {"--get-available [--file-field=KEY]... [--template=TEMPLATE] QUBE...",
		     "--get-whitelist | --get-default-whitelist QUBE...",
		     "--set-whitelist=PATH | --set-default-whitelist=PATH QUBE...",
		     "--update [--all] | --create | --remove [QUBE]...",
		     "--init [--source=QUBE] QUBE..."},
	.text = "Each application of a qube has an entry in the menus of the user's desktop, with the "
		"qube's name before\n"
		"its own and an icon in the colour of its label. It starts the qube if that is needed. An entry "
		"\"Start\"\n"
		"(" MENUS_START
		".desktop) does nothing else. What a template has said counts for the qubes made from it.\n\n"
		"The entries follow by themselves, a second later: when qubes come, go, or get another name, label or\n"
		"template, when one says what it offers (qvm-sync-appmenus), and when the lists change: --update is "
		"needed\n"
		"only where somebody else has been at the files. Which of them a qube's menu has is the feature menu-items "
		"of\n"
		"the qube, otherwise default-menu-items of its template, names of files parted by spaces; otherwise all. An\n"
		"empty list is none. A qube with the feature internal has no entries, nor has a disposable; those of one that\n"
		"disposables are made from start in a new one if its feature appmenus-dispvm is 1.",
	.sections =
		{
			{"FILES",
			 "applications/ and icons/ in the folder that XDG_DATA_HOME names, otherwise ~/.local/share. With "
			 "BULKHEAD_HOME in\n"
			 "its folder share, which a desktop shows if it is in XDG_DATA_DIRS."},
			{"EXAMPLES",
			 "\tqvm-appmenus --get-available work\n"
			 "\tprintf '%s\\n' firefox-esr.desktop | qvm-appmenus --set-whitelist - "
			 "work\n"
			 "\tqvm-features work menu-items --unset"},
		},
	.options = options,
	.words = {WORDS_QUBE},
	.run = run,
};

/* ---- qvm-sync-appmenus */

/** ASK_S - how long a qube may take to say it */
#define ASK_S 120
/** SAID_MAX - bytes of it that are kept until it has ended: more than are heard (dom0/rpc/report.c) */
#define SAID_MAX ((rlim_t)40 << 20)

static int said_bound(void *data)
{
	const struct rlimit l = {SAID_MAX, SAID_MAX};

	(void)data;
	return setrlimit(RLIMIT_FSIZE, &l) < 0 ? fail_errno() : 0;
}

/* run @argv with @in and @out, for @timeout_ms at most. Return: 0; 1, and said why */
static int child(const struct args *a, char *const *argv, int in, int out, int timeout_ms,
		 struct child_end *ret)
{
	const struct spawn_fd fds[] = {{in, STDIN_FILENO}, {out, STDOUT_FILENO}};
	const struct spawn s = {.path = argv[0],
				.argv = argv,
				.fds = fds,
				.n_fds = ARRAY_LEN(fds),
				.death_signal = SIGTERM,
				.prepare = said_bound};
	AUTO_CLOSE int pidfd = NO_FD;
	int r = spawn(&s, NULL, &pidfd);

	if (r < 0)
		return ui_fail_errno(a, argv[0], r);
	r = spawn_wait(pidfd, timeout_ms, ret);
	if (r < 0)
		spawn_signal(pidfd, SIGTERM);
	if (r == -ETIMEDOUT)
		return ui_fail(a, "no answer within %d s, and nothing was changed",
			       timeout_ms / 1000);
	return r < 0 ? ui_fail_errno(a, argv[0], r) : 0;
}

/* Nothing of what it says is taken before it has said all: half of it, or nothing, would take the place of what is known. */
int qvm_sync_menu(const struct args *a, const char *qube)
{
	AUTO_CLOSE int said = memfd_create("menu", MFD_CLOEXEC),
		       null = open("/dev/null", O_RDWR | O_CLOEXEC);
	char client[PATH_MAX], services[PATH_MAX], service[PATH_MAX + 32];
	char *ask[] = {client, "-d", (char *)qube, "DEFAULT:QUBESRPC qubes.GetAppmenus dom0", NULL};
	char *take[] = {service, NULL};
	struct child_end end = {0};
	int r;

	r = program_find("qrexec-client", client, sizeof(client));
	r = r < 0 ? r : program_find_folder("qubes-rpc", services, sizeof(services));
	r = r < 0 ? r : str_format(service, sizeof(service), "%s/qubes.SyncAppMenus", services);
	if (r < 0)
		return ui_fail(a, "programs of dom0 are not installed (%s)", log_errno_str(r));
	if (null < 0 || said < 0 || setenv("QREXEC_REMOTE_DOMAIN", qube, 1) < 0)
		return ui_fail_errno(a, qube, -errno);
	if (child(a, ask, null, said, ASK_S * 1000, &end) != 0)
		return 1;
	if (end.signal == 0 && end.code == 127)
		return ui_fail(a,
			       "%s has no service qubes.GetAppmenus: nothing is known of its "
			       "applications",
			       qube);
	if (end.signal != 0 || end.code != 0)
		return ui_fail(a, "%s could not say what its applications are; its log says why",
			       qube);
	if (lseek(said, 0, SEEK_SET) < 0)
		return ui_fail_errno(a, qube, -errno);
	/* it says why not */
	return child(a, take, said, null, -1, &end) != 0 || end.signal != 0 || end.code != 0;
}

static int sync_run(const struct args *a)
{
	AUTO(choice_done) struct choice choice = {0};
	int r = choice_make(a, &choice);

	for (unsigned i = 0; r == 0 && i < choice.n && !args_has(a, REGENERATE); i++) {
		const char *qube = choice.names[i];

		if (!str_eq(choice_state(&choice, qube), "Running"))
			return ui_fail(a, "%s does not run; first: qvm-start %s", qube, qube);
		r = qvm_sync_menu(a, qube);
	}
	if (r == 0) {
		AUTO(menus_done) struct menus m = {0};

		r = menus_open(a, &m);
		for (unsigned i = 0; r == 0 && i < choice.n; i++)
			r = put(&m, choice.names[i], true);
	}
	return r;
}

static const struct option sync_options[] = {
	{REGENERATE, 0, "regenerate-only", NULL, "do not ask it, only make its entries anew"},
	{OPTION_IGNORED, 0, "force-rpc", NULL, NULL},
	{0},
};

const struct command qvm_sync_appmenus = {
	.name = "sync-appmenus",
	.summary = "ask a running qube for its applications",
	.synopses = {"[--regenerate-only] QUBE..."},
	.text = "Asks the qube, which must run, what applications it has (qubes.GetAppmenus), and makes "
		"their entries in\n"
		"the menus of the user's desktop: its own, and those of the qubes made from it "
		"(qvm-appmenus(1)).\n\n"
		"A template says it by itself when it is installed and after its packages have changed. "
		"What a qube says\n"
		"is not trusted: an entry is named after the qube, starts nothing but an application in that qube, and its\n"
		"words are plain.",
	.options = sync_options,
	.words = {WORDS_RUNNING},
	.run = sync_run,
};
