/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Qubes that start with the system (property autostart): all at once, as soon as the first qubesd of a
 * run directory serves. One that is started anew leaves those halted that somebody has shut down; a
 * boot makes a new run directory, and a qubesd that is told to quit while no qube runs forgets.
 */
#include "api/call.h"
#include "base/log.h"
#include "power/power.h"
#include "preload/preload.h"
#include "qubesd.h"
#include "store/property.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

static int marker(const struct qubesd *d, char to[PATH_MAX])
{
	return str_format(to, PATH_MAX, "%s/autostarted", d->paths.run);
}

static void started(void *data, const struct refusal *why)
{
	char *name = data;

	if (why)
		log_warn(name, "was not started with the system: %s", why->text);
	free(name);
}

static int start(struct qubesd *d, struct qube *q)
{
	const struct admin_request none = {.payload = (const uint8_t *)""};
	AUTO_FREE char *name = strdup(q->name);
	int fd = NO_FD, r = -ENOMEM;
	struct call *c = NULL;

	if (name)
		r = call_new(d, NULL, &none, &fd, &c);
	if (r < 0)
		return r;
	c->ended = started;
	c->ended_data = take_ptr(&name);
	r = power_call_start(c, q);
	if (r != CALL_LATER)
		call_end(c, r);
	return 0;
}

void power_autostart(struct qubesd *d)
{
	AUTO_CLOSE int fd = NO_FD;
	const struct model *m = d->model;
	char path[PATH_MAX];
	int r = marker(d, path);

	if (r == 0)
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (r == 0 && fd < 0)
		r = fail_errno();
	if (r == -EEXIST)
		return;
	for (size_t i = 0; r == 0 && i < m->n_qubes; i++)
		if (!m->by_name[i]->hidden && property_bool(m, m->by_name[i], PROP_autostart))
			r = start(d, m->by_name[i]);
	if (r < 0)
		log_err(NULL, "qubes that start with the system: %s", log_errno_str(r));
}

void power_autostart_again(struct qubesd *d)
{
	const struct model *m = d->model;
	char path[PATH_MAX];

	for (size_t i = 0; i < m->n_qubes; i++)
		if (m->by_name[i]->power && !preload_is_idle(m->by_name[i]))
			return;
	if (marker(d, path) == 0)
		(void)unlink(path);
}
