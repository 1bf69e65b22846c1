/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sleep.h"

#include "base/io.h"
#include "base/log.h"
#include "base/program.h"
#include "base/str.h"
#include "loop/child.h"
#include "qubesd.h"

#include <limits.h>
#include <signal.h>

static void on_child(void *data, const struct child_end *end)
{
	struct qubesd *d = data;
	char text[64];

	if (end->signal != 0 || end->code != 0)
		log_warn(NULL, "qubes are not told of the machine's sleep (sleep-watch: %s)",
			 child_end_str(end, text, sizeof(text)));
	child_free(d->sleep_watch);
	d->sleep_watch = NULL;
}

static int start(struct qubesd *d, const char *dir)
{
	char program[PATH_MAX], socket[UNIX_PATH_MAX + 1];
	char *const argv[] = {"sleep-watch", socket, NULL};
	const struct spawn s = {
		.path = program,
		.argv = argv,
		.death_signal = SIGKILL,
		.new_group = true,
		.no_new_privs = true,
	};
	AUTO_CLOSE int pidfd = NO_FD;
	int r = program_find("sleep-watch", program, sizeof(program));

	if (r == 0)
		r = str_format(socket, sizeof(socket), "%s/qubesd.internal.sock", dir);
	if (r == 0)
		r = spawn(&s, NULL, &pidfd);
	if (r == 0)
		r = child_new(d->event, pidfd, on_child, d, &d->sleep_watch);
	if (r == 0)
		(void)take_fd(&pidfd);
	return r;
}

void sleep_begin(struct qubesd *d, const char *dir)
{
	int r = start(d, dir);

	if (r == -ENOENT)
		log_debug(NULL, "sleep-watch is not installed");
	else if (r < 0)
		log_warn(
			NULL,
			"sleep-watch cannot be started, qubes are not told of the machine's sleep: %s",
			log_errno_str(r));
}

void sleep_end(struct qubesd *d)
{
	if (!d->sleep_watch)
		return;
	spawn_signal(child_get_pidfd(d->sleep_watch), SIGKILL);
	child_free(d->sleep_watch);
	d->sleep_watch = NULL;
}
