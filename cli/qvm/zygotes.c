/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qvm-template zygotes: what qubes are forked from */
#include "qvm.h"

#include "base/str.h"
#include "grid.h"
#include "qubesd.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { NAME, TEMPLATE, MEMORY, VCPUS, DISK, MADE, USERS, N_COLUMNS };

static void add_age(struct grid *g, const char *made)
{
	const long long age_s = (long long)time(NULL) - strtoll(made, NULL, 10);

	if (age_s < 120)
		grid_add(g, "%lld s", age_s > 0 ? age_s : 0);
	else if (age_s < 7200)
		grid_add(g, "%lld min", age_s / 60);
	else if (age_s < 172800)
		grid_add(g, "%lld h", age_s / 3600);
	else
		grid_add(g, "%lld d", age_s / 86400);
}

int zygotes_list(const struct args *a, bool raw)
{
	static const char *const titles[] = {"NAME", "TEMPLATE", "MEMORY", "VCPUS",
					     "DISK", "AGE",      "USERS",  NULL};
	AUTO(client_answer_done) struct client_answer answer = {0};
	AUTO(grid_done) struct grid g = {.titles = titles};
	char *rest, *line;

	if (qubesd_call(a, "bulkhead.zygote.List", "dom0", NULL, NULL, &answer) != 0)
		return 1;
	rest = answer.data;
	(void)strsep(&rest, "\n"); /* names of the columns */
	while ((line = strsep(&rest, "\n"))) {
		const char *cells[N_COLUMNS] = {0};

		for (unsigned i = 0; i < N_COLUMNS; i++)
			cells[i] = strsep(&line, "\t");
		if (!cells[USERS])
			break;
		grid_add(&g, "%s", cells[NAME]);
		grid_add(&g, "%s", cells[TEMPLATE]);
		grid_add(&g, raw ? "%s" : "%s MiB", cells[MEMORY]);
		grid_add(&g, "%s", cells[VCPUS]);
		if (raw)
			grid_add(&g, "%s", cells[DISK]);
		else
			grid_add(&g, "%llu MiB", strtoull(cells[DISK], NULL, 10) >> 20);
		if (raw)
			grid_add(&g, "%s", cells[MADE]);
		else
			add_age(&g, cells[MADE]);
		grid_add(&g, "%s", cells[USERS]);
	}
	return grid_put(a, &g, raw ? GRID_RAW : GRID_TABLE);
}
