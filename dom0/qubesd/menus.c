/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "menus.h"

#include "base/log.h"
#include "base/str.h"
#include "qubesd.h"
#include "tool.h"

#include <time.h>

/** SETTLE_S - a script that makes ten qubes changes the menus once */
#define SETTLE_S 1

struct menus {
	struct qubesd *d;
	struct child *child;    /* NULL: none runs */
	sd_event_source *timer; /* NULL: nothing is to be done */
	bool again;             /* something changed while one runs */
};

static void later(struct menus *m);

static void on_child(void *data, const struct child_end *end)
{
	struct menus *m = data;
	char text[64];

	if (end->signal != 0 || end->code != 0)
		log_warn(NULL,
			 "the desktop's menus may not show all applications (qvm-appmenus: %s)",
			 child_end_str(end, text, sizeof(text)));
	child_free(m->child);
	m->child = NULL;
	if (m->again)
		later(m);
	m->again = false;
}

static int on_timer(sd_event_source *s, uint64_t usec, void *data)
{
	static const char *const argv[] = {"qvm-appmenus", "--quiet", "--update", "--all", NULL};
	struct menus *m = data;
	int r;

	(void)s, (void)usec;
	m->timer = sd_event_source_disable_unref(m->timer);
	r = tool_start(m->d, argv, NO_FD, on_child, m, &m->child);
	/* an installation without the tools, or a test's */
	if (r == -ENOENT)
		log_debug(NULL, "qvm-appmenus is not installed: no menus");
	else if (r < 0)
		log_warn(NULL, "qvm-appmenus cannot be started, menus stay as they are: %s",
			 log_errno_str(r));
	return 0;
}

static void later(struct menus *m)
{
	if (!m->timer &&
	    sd_event_add_time_relative(m->d->event, &m->timer, CLOCK_MONOTONIC,
				       SETTLE_S * UINT64_C(1000000), 100000, on_timer, m) < 0)
		log_warn(NULL, "no timer for menus, which stay as they are");
}

void menus_begin(struct qubesd *d)
{
	d->menus = calloc(1, sizeof(*d->menus));
	if (!d->menus)
		return;
	d->menus->d = d;
	later(d->menus);
}

void menus_end(struct qubesd *d)
{
	struct menus *m = take_ptr(&d->menus);

	if (!m)
		return;
	tool_kill(m->child);
	(void)sd_event_source_disable_unref(m->timer);
	free(m);
}

void menus_event(struct qubesd *d, const char *name)
{
	static const char *const shown[] = {
		"domain-add",
		"domain-delete",
		"menu-changed",
		"property-set:label",
		"property-set:template",
		"property-set:template_for_dispvms",
		"property-reset:template_for_dispvms",
		"domain-feature-set:menu-items",
		"domain-feature-delete:menu-items",
		"domain-feature-set:default-menu-items",
		"domain-feature-delete:default-menu-items",
		"domain-feature-set:appmenus-dispvm",
		"domain-feature-delete:appmenus-dispvm",
		"domain-feature-set:internal",
		"domain-feature-delete:internal",
	};
	struct menus *m = d->menus;

	for (size_t i = 0; m && i < ARRAY_LEN(shown); i++) {
		if (!str_eq(name, shown[i]))
			continue;
		if (m->child)
			m->again = true;
		else
			later(m);
	}
}
