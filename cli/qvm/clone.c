/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qvm-clone: a new qube like another, whole or not at all.
 *
 * What is told of the source is asked for anew here, call by call, as any client would; a change to
 * the source meanwhile may or may not be in the copy. Volumes that the new qube's class does not
 * keep are not copied: it gets them from its template.
 */
#include "qvm.h"

#include "base/str.h"
#include "pairs.h"
#include "qubesd.h"
#include "ui.h"

#include <stdio.h>
#include <string.h>

enum { CLASS = OPTION_OWN, POOL, POOLS, IGNORE_ERRORS };

struct clone {
	const struct args *a;
	const char *from, *to;
	struct table table;                   /* name, class, label, template of all qubes */
	const char *class, *label, *template; /* of the new qube */
};

enum { F_NAME, F_CLASS, F_LABEL, F_TEMPLATE };

/* a step that may be left out with --ignore-errors has failed: the exit code so far */
static int minor(const struct clone *c, int r)
{
	if (r == 0 || !args_has(c->a, IGNORE_ERRORS))
		return r;
	ui_note(c->a, "%s goes on without that", c->to);
	return 0;
}

/* each line of @text in turn, ended; false at the end */
static bool next_line(char **at, char **line)
{
	size_t len = strcspn(*at, "\n");

	if (**at == '\0')
		return false;
	*line = *at;
	*at += len + ((*at)[len] == '\n');
	(*line)[len] = '\0';
	return true;
}

/* does the volume of @qube keep what is written to it? */
static int volume_info(const struct clone *c, const char *qube, const char *volume, bool *ret_kept,
		       char pool[128])
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	char value[16];

	if (qubesd_call(c->a, "admin.vm.volume.Info", qube, volume, NULL, &answer) != 0)
		return 1;
	*ret_kept = str_eq(pairs_get(answer.data, "save_on_stop", value, sizeof(value)), "True");
	(void)pairs_get(answer.data, "pool", pool, 128);
	return 0;
}

/* the volumes of @qube's class that keep what is written */
static int kept_volumes(const struct clone *c, const char *qube, char kept[8][32], unsigned *ret_n)
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	char *at, *line;
	char pool[128];
	bool is_kept;

	*ret_n = 0;
	if (qubesd_call(c->a, "admin.vm.volume.List", qube, NULL, NULL, &answer) != 0)
		return 1;
	for (at = answer.data; next_line(&at, &line) && *ret_n < 8;) {
		if (volume_info(c, qube, line, &is_kept, pool) != 0)
			return 1;
		if (is_kept && str_format(kept[*ret_n], 32, "%s", line) == 0)
			++*ret_n;
	}
	return 0;
}

/* where the new volumes shall be: as the options say, otherwise beside those of the source */
static int add_pools(const struct clone *c, char *payload, size_t size)
{
	size_t n = strlen(payload);
	char kept[8][32], pool[128];
	unsigned n_kept = 0;
	bool is_kept;

	if (args_has(c->a, POOL) || args_has(c->a, POOLS))
		return qvm_pools(c->a, POOL, POOLS, payload, size);
	/* of another class other volumes are kept: the system's default pools */
	if (!str_eq(c->class,
		    table_cell(&c->table, (unsigned)table_find(&c->table, c->from), F_CLASS)))
		return 0;
	if (kept_volumes(c, c->from, kept, &n_kept) != 0)
		return 1;
	for (unsigned i = 0; i < n_kept && n < size; i++) {
		if (volume_info(c, c->from, kept[i], &is_kept, pool) != 0)
			return 1;
		n += (size_t)snprintf(payload + n, size - n, " pool:%s=%s", kept[i], pool);
	}
	return n < size ? 0 : ui_fail(c->a, "too long");
}

static int create(const struct clone *c)
{
	char payload[4096], method[64];
	bool has_template = str_eq(c->class, "AppVM") || str_eq(c->class, "DispVM");
	int r;

	(void)snprintf(payload, sizeof(payload), "name=%s label=%s", c->to, c->label);
	r = add_pools(c, payload, sizeof(payload));
	if (r != 0)
		return r;
	(void)snprintf(method, sizeof(method), "admin.vm.Create%s.%s",
		       strstr(payload, " pool") ? "InPool" : "", c->class);
	return qubesd_call(c->a, method, "dom0", has_template ? c->template : NULL, payload, NULL);
}

/* is @word one of the @n? */
static bool among(const char *word, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (str_eq(word, list[i]))
			return true;
	}
	return false;
}

/* a property as it was set on the source */
struct setting {
	char *name, *value;
};

/* a line of GetAll, taken apart; false if the copy does not take that over */
static bool read_setting(char *line, struct setting *ret)
{
	/* given at its creation, or its own for ever */
	static const char *const own[] = {"name",
					  "qid",
					  "uuid",
					  "label",
					  "template",
					  "klass",
					  "dispid",
					  "installed_by_rpm",
					  "backup_timestamp"};
	char *rest = strchr(line, ' '), *value;

	if (!rest || !str_starts(rest, " default=False "))
		return false;
	*rest++ = '\0';
	value = strchr(rest + strlen("default=False "), ' ');
	if (!value || among(line, own, ARRAY_LEN(own)))
		return false;
	qvm_property_unescape(++value);
	*ret = (struct setting){line, value};
	return true;
}

/* @ret_refused: that property is not taken, and it was not said; NULL: it is said. Return: the exit code so far */
static int set_property(const struct clone *c, const struct setting *s, bool *ret_refused)
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	int r = client_call(NULL, "admin.vm.property.Set", c->to, s->name, s->value,
			    strlen(s->value), NO_FD, &answer);

	if (r == CLIENT_E_EXCEPTION && str_eq(answer.type, "QubesNoSuchPropertyError"))
		return 0; /* its class has none of that name */
	if (r == CLIENT_E_EXCEPTION && ret_refused) {
		*ret_refused = true;
		return 0;
	}
	return r != 0 ? minor(c, qubesd_failed(c->a, c->to, r, &answer)) : 0;
}

/* What was set on the source, and the new qube's class has too. One property may be refused until another is set (maxmem,
 * less than the memory of a new qube): what was refused is tried once more after the rest. */
static int copy_properties(const struct clone *c)
{
	AUTO(client_answer_done) struct client_answer all = {0};
	struct setting one, refused[64];
	unsigned n = 0;
	char *at, *line;
	int r = 0;

	if (qubesd_call(c->a, "admin.vm.property.GetAll", c->from, NULL, NULL, &all) != 0)
		return 1;
	for (at = all.data; r == 0 && next_line(&at, &line);) {
		bool is_refused = false;

		if (!read_setting(line, &one))
			continue;
		r = set_property(c, &one, n < ARRAY_LEN(refused) ? &is_refused : NULL);
		if (is_refused)
			refused[n++] = one;
	}
	for (unsigned i = 0; r == 0 && i < n; i++)
		r = set_property(c, &refused[i], NULL);
	return r;
}

static int copy_tags(const struct clone *c)
{
	AUTO(client_answer_done) struct client_answer all = {0};
	char *at, *line;

	if (qubesd_call(c->a, "admin.vm.tag.List", c->from, NULL, NULL, &all) != 0)
		return 1;
	for (at = all.data; next_line(&at, &line);) {
		/* who made the source has not made this */
		if (str_starts(line, "created-by-") || str_starts(line, "disp-created-by-"))
			continue;
		if (minor(c, qubesd_call(c->a, "admin.vm.tag.Set", c->to, line, NULL, NULL)) != 0)
			return 1;
	}
	return 0;
}

static int copy_features(const struct clone *c)
{
	AUTO(client_answer_done) struct client_answer all = {0};
	char *at, *line;

	if (qubesd_call(c->a, "admin.vm.feature.List", c->from, NULL, NULL, &all) != 0)
		return 1;
	for (at = all.data; next_line(&at, &line);) {
		AUTO(client_answer_done) struct client_answer value = {0};
		int r;

		/* states of the source, not wishes about it */
		if (str_eq(line, "deferred-netvm-original") || str_eq(line, "preload-dispvm"))
			continue;
		r = qubesd_call(c->a, "admin.vm.feature.Get", c->from, line, NULL, &value);
		if (r == 0)
			r = qubesd_call(c->a, "admin.vm.feature.Set", c->to, line, value.data,
					NULL);
		if (minor(c, r) != 0)
			return 1;
	}
	return 0;
}

/* what @get says of @from is set by @set; @unless: as every new qube has it */
static int copy_text(const struct clone *c, const char *from, const char *get, const char *set,
		     const char *unless)
{
	AUTO(client_answer_done) struct client_answer text = {0};
	int r = client_call(NULL, get, from, NULL, NULL, 0, NO_FD, &text);

	if (r != 0)
		return minor(c, qubesd_failed(c->a, from, r, &text));
	if (str_eq(text.data, unless))
		return 0;
	return minor(c, qubesd_call(c->a, set, c->to, NULL, text.data, NULL));
}

/* the volume, from the source or, where that keeps none, from what the source gets it from */
static int copy_volume(const struct clone *c, const char *volume)
{
	AUTO(client_answer_done) struct client_answer token = {0};
	int row = table_find(&c->table, c->from);
	const char *template = table_cell(&c->table, (unsigned)row, F_TEMPLATE), *from = c->from;
	struct calls calls = {
		.args = c->a, .method = "admin.vm.volume.CloneTo", .verb = "copying to"};
	struct call call = {.qube = c->to};
	char pool[128];
	bool kept;

	if (volume_info(c, from, volume, &kept, pool) != 0)
		return 1;
	if (!kept && template[0] == '\0')
		return 0;
	if (!kept)
		from = template;
	if (qubesd_call(c->a, "admin.vm.volume.CloneFrom", from, volume, NULL, &token) != 0)
		return 1;
	calls.arg = volume;
	calls.payload = token.data;
	calls.list = &call;
	calls.n = 1;
	return calls_finish(&calls, calls_run(&calls), NULL, 0);
}

static int copy_volumes(const struct clone *c)
{
	char kept[8][32];
	unsigned n = 0;

	if (kept_volumes(c, c->to, kept, &n) != 0)
		return 1;
	for (unsigned i = 0; i < n; i++) {
		if (copy_volume(c, kept[i]) != 0)
			return 1;
	}
	return 0;
}

/* whose root the copy has for its own: with that come its applications */
static const char *root_owner(const struct clone *c)
{
	const char *template =
		table_cell(&c->table, (unsigned)table_find(&c->table, c->from), F_TEMPLATE);
	const bool own_root = str_eq(c->class, "StandaloneVM") || str_eq(c->class, "TemplateVM");

	return own_root && template[0] != '\0' ? template : c->from;
}

static int copy(const struct clone *c)
{
	int r = copy_properties(c);

	r = r != 0 ? r : copy_tags(c);
	r = r != 0 ? r : copy_features(c);
	r = r != 0 ? r : copy_text(c, c->from, "admin.vm.notes.Get", "admin.vm.notes.Set", "");
	r = r != 0 ? r
		   : copy_text(c, c->from, "admin.vm.firewall.Get", "admin.vm.firewall.Set",
			       "action=accept\n");
	r = r != 0 ? r
		   : copy_text(c, root_owner(c), "bulkhead.vm.menu.Get", "bulkhead.vm.menu.Set",
			       "");
	return r != 0 ? r : copy_volumes(c);
}

/* look at it all before anything is done */
static int plan(struct clone *c)
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	const struct args *a = c->a;
	int row, r;

	if (!str_is_qube_name(c->to, strlen(c->to)))
		return qvm_no_name(a, c->to);
	r = table_load("dom0", "name\nclass\nlabel\ntemplate", &c->table, &answer);
	if (r != 0)
		return qubesd_failed(a, NULL, r, &answer);
	row = table_find(&c->table, c->from);
	if (row < 0)
		return qubesd_no_qube(a, c->from);
	if (str_eq(table_cell(&c->table, (unsigned)row, F_CLASS), "AdminVM"))
		return ui_fail(a, "%s is the trusted side itself; this is for qubes", c->from);
	c->class = args_value(a, CLASS);
	c->class = c->class ? c->class : table_cell(&c->table, (unsigned)row, F_CLASS);
	c->label = table_cell(&c->table, (unsigned)row, F_LABEL);
	c->template = table_cell(&c->table, (unsigned)row, F_TEMPLATE);
	if (c->template[0] == '\0')
		c->template = NULL;
	if (str_eq(c->class, "AppVM") &&
	    str_eq(table_cell(&c->table, (unsigned)row, F_CLASS), "TemplateVM"))
		c->template = c->from;
	return 0;
}

static int wrong(const struct args *a)
{
	if (a->n_words != 2)
		return ui_usage(a, a->n_words < 2 ? "name the qube and the copy"
						  : "one copy at a time");
	return 0;
}

static int run(const struct args *a)
{
	AUTO(client_answer_done) struct client_answer gone = {0};
	struct clone c = {.a = a};
	int r;

	if (wrong(a) != 0)
		return 2;
	c.from = a->words[0];
	c.to = a->words[1];
	r = plan(&c);
	r = r != 0 ? r : create(&c);
	if (r == 0) {
		r = copy(&c);
		/* whole or not at all */
		if (r != 0 && qubesd_remove(c.to, &gone) != 0)
			(void)ui_fail(a,
				      "%s stays behind unfinished; remove it with: qvm-remove %s",
				      c.to, c.to);
	}
	table_done(&c.table);
	return r;
}

static const struct option options[] = {
	{CLASS, 'C', "class", "CLASS", "make the copy a qube of this class", .words = WORDS_CLASS},
	{POOL, 'P', "pool-all", "POOL", "keep its volumes in this pool", .words = WORDS_POOL},
	{POOLS, 'p', "pool", "VOLUME=POOL", "keep this volume in this pool (may be repeated)"},
	{IGNORE_ERRORS, 0, "ignore-errors", NULL,
	 "go on if a property, tag, feature, the notes, firewall or menu cannot be copied"},
	{0},
};

const struct command qvm_clone = {
	.name = "clone",
	.summary = "make a copy of a qube",
	.synopses = {"[OPTION]... QUBE NEW"},
	.text = "Makes a qube NEW like QUBE: its class, label and template, the properties that were "
		"set, tags,\n"
		"features, notes, firewall rules, and what its volumes hold. If anything fails, no "
		"NEW is left.\n\n"
		"Of a qube that runs, the volumes are as they were before it started. With "
		"--class StandaloneVM the\n"
		"copy has a root volume of its own, as the template's is now; --class AppVM of a "
		"template makes a qube\n"
		"from it. Without a pool each volume is kept where the other's is.",
	.sections = {{"EXAMPLES", "\tqvm-clone work work-2\n"
				  "\tqvm-clone -C StandaloneVM debian-12 builder\n"
				  "\tqvm-clone debian-12 debian-12-office"}},
	.options = options,
	.words = {WORDS_QUBE, WORDS_TEXT},
	.run = run,
};
