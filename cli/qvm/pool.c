/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qvm-pool: where volumes are kept */
#include "qvm.h"

#include "base/str.h"
#include "grid.h"
#include "pairs.h"
#include "qubesd.h"
#include "ui.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { OPTION = OPTION_OWN, JSON, LIST, DRIVERS, INFO, ADD, REMOVE, SET };

/* how full it is, as df says it; nothing of one that has no room of its own, or whose file system does not answer */
static void add_used(struct grid *g, const char *info)
{
	char text[32];
	uint64_t size = 0, used = 0;

	if (str_u64(pairs_get(info, "size", text, sizeof(text)), INT64_MAX, &size) < 0 ||
	    str_u64(pairs_get(info, "usage", text, sizeof(text)), INT64_MAX, &used) < 0 ||
	    size == 0)
		grid_add(g, "%s", "");
	else
		/* rounded up: 100 is full */
		grid_add(g, "%" PRIu64 "%%", (used / 1024 * 100 + size / 1024) / (size / 1024 + 1));
}

static int list(const struct args *a)
{
	static const char *const titles[] = {"NAME", "DRIVER", "USED", NULL};
	AUTO(client_answer_done) struct client_answer names = {0};
	AUTO(grid_done) struct grid g = {.titles = titles};

	if (qubesd_call(a, "admin.pool.List", "dom0", NULL, NULL, &names) != 0)
		return 1;
	for (char *at = names.data, *next; *at != '\0'; at = next) {
		AUTO(client_answer_done) struct client_answer info = {0};
		size_t len = strcspn(at, "\n");
		char driver[128];

		next = at + len + (at[len] == '\n');
		at[len] = '\0';
		if (qubesd_call(a, "admin.pool.Info", "dom0", at, NULL, &info) != 0)
			return 1;
		grid_add(&g, "%s", at);
		grid_add(&g, "%s", pairs_get(info.data, "driver", driver, sizeof(driver)));
		add_used(&g, info.data);
	}
	return grid_put(a, &g, args_has(a, JSON) ? GRID_JSON : GRID_TABLE);
}

static int drivers(const struct args *a)
{
	static const char *const titles[] = {"DRIVER", "OPTIONS", NULL};
	AUTO(client_answer_done) struct client_answer lines = {0};
	AUTO(grid_done) struct grid g = {.titles = titles};

	if (qubesd_call(a, "admin.pool.ListDrivers", "dom0", NULL, NULL, &lines) != 0)
		return 1;
	for (const char *at = lines.data; *at != '\0';) {
		size_t len = strcspn(at, "\n"), name = strcspn(at, " \n");

		grid_add(&g, "%.*s", (int)name, at);
		grid_add(&g, "%.*s", name < len ? (int)(len - name - 1) : 0, at + name + 1);
		at += len + (at[len] == '\n');
	}
	return grid_put(a, &g, args_has(a, JSON) ? GRID_JSON : GRID_TABLE);
}

static int info(const struct args *a, const char *pool)
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	int r = qubesd_call(a, "admin.pool.Info", "dom0", pool, NULL, &answer);

	if (r == 0)
		pairs_put(answer.data, args_has(a, JSON));
	return r;
}

static int add(const struct args *a, const char *name, const char *driver)
{
	char payload[8192];
	int n = snprintf(payload, sizeof(payload), "name=%s\n", name);

	for (unsigned i = 0; i < a->n_given && n >= 0 && (size_t)n < sizeof(payload); i++) {
		if (a->given[i].key == OPTION)
			n += snprintf(payload + n, sizeof(payload) - (size_t)n, "%s\n",
				      a->given[i].value);
	}
	if (n < 0 || (size_t)n >= sizeof(payload))
		return ui_fail(a, "too long");
	return qubesd_call(a, "admin.pool.Add", "dom0", driver, payload, NULL);
}

static int set(const struct args *a, const char *pool)
{
	for (unsigned i = 0; i < a->n_given; i++) {
		const char *pair = a->given[i].value, *equals;
		char method[128];

		if (a->given[i].key != OPTION)
			continue;
		equals = strchr(pair, '=');
		if (str_format(method, sizeof(method), "admin.pool.Set.%.*s", (int)(equals - pair),
			       pair) < 0 ||
		    (!str_eq(method, "admin.pool.Set.revisions_to_keep") &&
		     !str_eq(method, "admin.pool.Set.ephemeral_volatile")))
			return ui_fail(a,
				       "%s: what can be set are revisions_to_keep and "
				       "ephemeral_volatile",
				       pair);
		if (qubesd_call(a, method, "dom0", pool, equals + 1, NULL) != 0)
			return 1;
	}
	return 0;
}

static int remove_pools(const struct args *a, const char *const *pools, unsigned n)
{
	int result = 0;

	for (unsigned i = 0; i < n; i++) {
		if (qubesd_call(a, "admin.pool.Remove", "dom0", pools[i], NULL, NULL) != 0)
			result = 1;
	}
	return result;
}

/* a word of the command line, or an option of old scripts */
static int parse_verb(const struct args *a)
{
	static const struct {
		const char *word;
		int verb;
	} verbs[] = {
		{"list", LIST},       {"ls", LIST},       {"l", LIST},    {"info", INFO},
		{"i", INFO},          {"add", ADD},       {"a", ADD},     {"set", SET},
		{"s", SET},           {"remove", REMOVE}, {"rm", REMOVE}, {"r", REMOVE},
		{"drivers", DRIVERS}, {"d", DRIVERS},
	};

	for (size_t i = 0; i < ARRAY_LEN(verbs) && a->n_words > 0; i++) {
		if (str_eq(a->words[0], verbs[i].word))
			return verbs[i].verb;
	}
	return a->n_words == 0 ? LIST : -1;
}

static int old_verb(const struct args *a)
{
	for (int verb = LIST; verb <= SET; verb++) {
		if (args_has(a, verb))
			return verb;
	}
	return -1;
}

static int wrong(const struct args *a, int verb, unsigned n)
{
	static const struct {
		int verb;
		unsigned least, most;
		const char *text;
	} rules[] = {
		{LIST, 0, 0, "list takes no name: info shows one pool"},
		{DRIVERS, 0, 0, "drivers takes no name"},
		{INFO, 1, 1, "name a pool"},
		{ADD, 2, 2, "name the new pool and its driver (qvm-pool drivers)"},
		{SET, 1, 1, "name a pool"},
		{REMOVE, 1, UINT32_MAX, "name a pool"},
	};
	bool has_options = args_has(a, OPTION);

	if (verb < 0)
		return ui_usage(a, "it is list, info, drivers, add, set or remove, not %s",
				a->words[0]);
	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		if (rules[i].verb == verb && (n < rules[i].least || n > rules[i].most))
			return ui_usage(a, "%s", rules[i].text);
	}
	for (unsigned i = 0; i < a->n_given; i++) {
		if (a->given[i].key == OPTION && strcspn(a->given[i].value, "=\n") > 0 &&
		    a->given[i].value[strcspn(a->given[i].value, "=\n")] == '=')
			continue;
		if (a->given[i].key == OPTION)
			return ui_usage(a, "--option wants NAME=VALUE, not %s", a->given[i].value);
	}
	if (has_options && verb != ADD && verb != SET)
		return ui_usage(a, "--option goes with add and set");
	if (!has_options && verb == SET)
		return ui_usage(a, "say what to set: -o revisions_to_keep=2");
	return 0;
}

static int run(const struct args *a)
{
	int verb = old_verb(a);
	unsigned skip = verb < 0 && a->n_words > 0 ? 1 : 0, n = a->n_words - skip;
	const char *const *words = a->words + skip;

	verb = verb < 0 ? parse_verb(a) : verb;
	if (wrong(a, verb, n) != 0)
		return 2;
	switch (verb) {
	case DRIVERS:
		return drivers(a);
	case INFO:
		return info(a, words[0]);
	case ADD:
		return add(a, words[0], words[1]);
	case SET:
		return set(a, words[0]);
	case REMOVE:
		return remove_pools(a, words, n);
	default:
		return list(a);
	}
}

static const struct option options[] = {
	{OPTION, 'o', "option", "NAME=VALUE", "with add and set: this option (may be repeated)"},
	{JSON, 0, "json", NULL, "for programs: list, info and drivers as JSON"},
	/* as old scripts have it; not shown */
	{LIST, 'l', "list", NULL, NULL},
	{DRIVERS, 0, "help-drivers", NULL, NULL},
	{INFO, 'i', "info", NULL, NULL},
	{ADD, 'a', "add", NULL, NULL},
	{REMOVE, 'r', "remove", NULL, NULL},
	{SET, 's', "set", NULL, NULL},
	{0},
};

const struct command qvm_pool = {
	.name = "pool",
	.summary = "show and set up the places where volumes are kept",
	.synopses = {"[list]", "info POOL", "drivers", "add POOL DRIVER [-o NAME=VALUE]...",
		     "set POOL -o NAME=VALUE...", "remove POOL..."},
	.text = "A pool is a place with volumes. list (or ls, l) prints the pools and how full "
		"their disks are,\n"
		"info (i) what is known about one, drivers (d) which kinds of pools there can be and "
		"their options:\n"
		"qcow2 keeps volumes on any file system, reflink on one that shares blocks between files "
		"(Btrfs,\n"
		"XFS).\n\n"
		"add (a) makes a pool: qvm-create --pool puts volumes of a new qube there. set (s) "
		"changes\n"
		"revisions_to_keep, how many revisions new volumes keep, and ephemeral_volatile. "
		"remove (rm, r) forgets\n"
		"a pool in which there are no volumes.",
	.sections = {{"EXAMPLES", "\tqvm-pool info default\n"
				  "\tqvm-pool add fast reflink -o dir_path=/mnt/btrfs/qubes\n"
				  "\tqvm-pool set default -o revisions_to_keep=3"}},
	.options = options,
	.words = {WORDS_TEXT},
	.verbs = "list info:pool drivers add:text set:pool remove:pool",
	.run = run,
};
