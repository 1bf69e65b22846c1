/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qvm-template: the templates that are there, and those that can be. */
#include "template.h"

#include "base/str.h"
#include "ui.h"

#include <fnmatch.h>
#include <stdio.h>

/* one line of a list; @status "installed" or "available" */
struct entry {
	const char *status, *name, *repo, *summary, *time, *disk;
	char evr[96];
};

static bool wanted(const struct args *a, const char *name)
{
	for (unsigned i = 1; i < a->n_words; i++) {
		if (fnmatch(a->words[i], name, 0) == 0)
			return true;
	}
	return a->n_words < 2;
}

static unsigned entries_make(const struct args *a, const struct table *t, struct entry *list)
{
	bool all = !args_has(a, INSTALLED) && !args_has(a, AVAILABLE);
	unsigned n = 0;

	for (unsigned row = 0; row < t->n_rows && (all || args_has(a, INSTALLED)); row++) {
		struct entry *e = &list[n];

		if (!str_eq(table_cell(t, row, T_CLASS), "TemplateVM") ||
		    !wanted(a, table_cell(t, row, T_NAME)))
			continue;
		*e = (struct entry){.status = "installed",
				    .name = table_cell(t, row, T_NAME),
				    .repo = table_cell(t, row, T_REPO),
				    .summary = table_cell(t, row, T_SUMMARY),
				    .time = table_cell(t, row, T_TIME),
				    .disk = table_cell(t, row, T_DISK)};
		if (table_cell(t, row, T_VERSION)[0] != '\0')
			(void)snprintf(e->evr, sizeof(e->evr), "%s:%s-%s",
				       table_cell(t, row, T_EPOCH), table_cell(t, row, T_VERSION),
				       table_cell(t, row, T_RELEASE));
		n++;
	}
	for (const struct installable *i = template_installables();
	     i->name && (all || args_has(a, AVAILABLE)); i++) {
		struct entry *e = &list[n];

		if (!wanted(a, i->name))
			continue;
		*e = (struct entry){.status = "available",
				    .name = i->name,
				    .repo = "bulkhead",
				    .summary = i->summary,
				    .time = "",
				    .disk = ""};
		(void)snprintf(e->evr, sizeof(e->evr), "0:%s", i->version);
		n++;
	}
	return n;
}

static const char *or_dash(const char *text)
{
	return text[0] != '\0' ? text : "-";
}

/* @status's part of the JSON document */
static void print_json(const struct entry *list, unsigned n, const char *status, bool more)
{
	const char *between = "";

	(void)printf(" \"%s\": [", status);
	for (unsigned i = 0; i < n; i++) {
		if (!str_eq(list[i].status, status))
			continue;
		(void)printf("%s\n  {\"name\": \"%s\", \"evr\": \"%s\", \"reponame\": \"%s\"}",
			     between, list[i].name, list[i].evr, list[i].repo);
		between = ",";
	}
	(void)printf("]%s\n", more ? "," : "");
}

static void print_list(const struct entry *list, unsigned n, bool info)
{
	const char *status = "";

	for (unsigned i = 0; i < n; i++) {
		const struct entry *e = &list[i];

		if (info) {
			(void)printf(
				"%sName         %s\nStatus       %s\nVersion      %s\nRepository   "
				"%s\nInstalled    %s\nSummary      %s\n",
				i > 0 ? "\n" : "", e->name, e->status, or_dash(e->evr),
				or_dash(e->repo), or_dash(e->time), or_dash(e->summary));
			continue;
		}
		if (!str_eq(status, e->status))
			(void)printf("%s Templates\n",
				     str_eq(e->status, "installed") ? "Installed" : "Available");
		status = e->status;
		(void)printf("  %-24s %-24s %s\n", e->name, or_dash(e->evr), or_dash(e->repo));
	}
}

static unsigned n_installables(void)
{
	unsigned n = 0;

	while (template_installables()[n].name)
		n++;
	return n;
}

int template_list(const struct args *a)
{
	AUTO(table_done) struct table t = {0};
	AUTO_FREE struct entry *entries = NULL;
	bool info = str_eq(a->words[0], "info");
	unsigned n;
	int r;

	r = template_load(a, &t);
	if (r != 0)
		return r;
	entries = calloc(t.n_rows + n_installables() + 1, sizeof(*entries));
	if (!entries)
		return ui_fail(a, "out of memory");
	n = entries_make(a, &t, entries);
	if (n == 0 && a->n_words > 1)
		return ui_fail(a, "no template matches; qvm-template list shows all");
	if (args_has(a, MACHINE_JSON)) {
		(void)puts("{");
		print_json(entries, n, "installed", true);
		print_json(entries, n, "available", false);
		(void)puts("}");
	} else if (args_has(a, MACHINE)) {
		for (unsigned i = 0; i < n; i++)
			(void)printf("%s|%s|%s|%s\n", entries[i].status, entries[i].name,
				     entries[i].evr, entries[i].repo);
	} else {
		print_list(entries, n, info);
	}
	return 0;
}
