/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bulkhead check: what bulkhead-check finds, shown to the person or to a program, and mended if that is wanted.
 *
 * bulkhead-check does the work and tells in lines (dom0/qubesd/check/check.h); nothing here touches the instance.
 */
#include "bulkhead.h"

#include "base/io.h"
#include "base/log.h"
#include "base/program.h"
#include "base/str.h"
#include "loop/spawn.h"
#include "ui.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { REPAIR = OPTION_OWN, JSON };

#define N_FIELDS 5

/** struct look - one run of bulkhead-check */
struct look {
	const struct args *args;
	struct ui_progress progress;
	char doing[128];
	unsigned percent;
	unsigned n_found, n_mended, n_can, n_stopped;
	char buf[16384];
	size_t len;
};

static void put_json(const struct look *l, char *const *f)
{
	static const char *const names[N_FIELDS] = {"kind", "subject", "text", "advice", "state"};

	(void)printf("%s\n {", l->n_found > 1 ? "," : "");
	for (unsigned i = 0; i < N_FIELDS; i++) {
		(void)printf("%s\"%s\": \"", i ? ", " : "", names[i]);
		print_json_text(f[i], (int)strlen(f[i]));
		(void)putchar('"');
	}
	(void)putchar('}');
}

static void put_text(char *const *f)
{
	const char *how = f[4];

	(void)printf("%s %s: %s\n  %s%s%s\n", f[0], f[1], f[2],
		     str_eq(how, "mended")   ? "mended: "
		     : str_eq(how, "failed") ? "could not be mended: "
					     : "",
		     f[3],
		     str_eq(how, "stopped") ? " (once qubesd is stopped: bulkhead stop)" : "");
}

static void on_line(struct look *l, char *line)
{
	char *f[N_FIELDS + 1], *rest = line;
	unsigned n = 0;

	while (n < ARRAY_LEN(f) && (f[n] = strsep(&rest, "\t")))
		n++;
	if (n == 3 && str_eq(f[0], "P")) {
		l->percent = (unsigned)strtoul(f[1], NULL, 10);
		(void)snprintf(l->doing, sizeof(l->doing), "%.127s", f[2]);
		return;
	}
	if (n != N_FIELDS + 1 || !str_eq(f[0], "F"))
		return;
	l->n_found++;
	l->n_mended += str_eq(f[5], "mended");
	l->n_can += str_eq(f[5], "can");
	l->n_stopped += str_eq(f[5], "stopped");
	ui_progress_end(&l->progress);
	if (args_has(l->args, JSON))
		put_json(l, f + 1);
	else
		put_text(f + 1);
}

/* what has come; whole lines are worked off. False at the end */
static bool take(struct look *l, int fd)
{
	ssize_t n = read(fd, l->buf + l->len, sizeof(l->buf) - 1 - l->len);
	char *at = l->buf, *end;

	if (n <= 0)
		return n < 0 && errno == EINTR;
	l->len += (size_t)n;
	l->buf[l->len] = '\0';
	for (; (end = strchr(at, '\n')); at = end + 1) {
		*end = '\0';
		on_line(l, at);
	}
	l->len -= (size_t)(at - l->buf);
	memmove(l->buf, at, l->len);
	return l->len < sizeof(l->buf) - 1;
}

/* its exit code; -errno */
static int look(struct look *l, bool repair)
{
	char program[PATH_MAX];
	char *argv[] = {program, repair ? (char *)"--repair" : NULL, NULL};
	AUTO_CLOSE int pidfd = NO_FD;
	AUTO_CLOSE int out = NO_FD;
	AUTO_CLOSE int in = NO_FD;
	struct child_end end;
	int ends[2];
	int r = program_find("bulkhead-check", program, sizeof(program));

	if (r < 0)
		return r;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return fail_errno();
	in = ends[0];
	out = ends[1];
	r = spawn(
		&(struct spawn){
			.path = program,
			.argv = argv,
			.fds = (const struct spawn_fd[]){{out, STDOUT_FILENO},
							 {STDERR_FILENO, STDERR_FILENO}},
			.n_fds = 2,
			.death_signal = SIGTERM,
		},
		NULL, &pidfd);
	if (r < 0)
		return r;
	close_fd(&out);
	for (;;) {
		struct pollfd p = {.fd = in, .events = POLLIN};

		if (poll(&p, 1, 200) > 0 && !take(l, in))
			break;
		ui_progress(&l->progress, (int)l->percent, "%s", l->doing);
	}
	ui_progress_end(&l->progress);
	r = spawn_wait(pidfd, -1, &end);
	return r < 0 ? r : end.signal == 0 && end.code <= 1 ? end.code : -EIO;
}

static int show(const struct args *a, struct look *l, bool repair)
{
	bool json = args_has(a, JSON);
	int r;

	*l = (struct look){.args = a, .progress = {.args = a}};
	if (json)
		(void)putchar('[');
	r = look(l, repair);
	if (json)
		(void)printf("%s]\n", l->n_found ? "\n" : "");
	if (r < 0)
		return ui_fail(
			a,
			"the check did not come to its end; what it found so far is all that it says");
	if (r == 0 && l->n_found == 0 && !json && a->verbose >= 0)
		(void)puts("nothing found: store, volumes and runtime files are as they should be");
	return r;
}

static int run(const struct args *a)
{
	AUTO_FREE struct look *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return ui_fail(a, "out of memory");
	if (a->n_words > 0) {
		(void)ui_usage(a, "it takes no arguments, but got '%s'", a->words[0]);
		return 2;
	}
	r = show(a, l, args_has(a, REPAIR));
	if (r == 0 || args_has(a, REPAIR) || l->n_can == 0)
		return r;
	if (args_has(a, JSON))
		return r;
	if (!isatty(STDIN_FILENO)) {
		ui_note(a, "%u of %u findings can be mended: bulkhead check --repair", l->n_can,
			l->n_found);
		return r;
	}
	if (!ui_confirm("Mend %u of these %u?", l->n_can, l->n_found))
		return r;
	return show(a, l, true);
}

static const struct option options[] = {
	{REPAIR, 'y', "repair,yes", NULL, "mend what can be mended, without asking"},
	{JSON, 0, "json", NULL, "for programs: a list of findings"},
	{0},
};

const struct command bulkhead_check = {
	.name = "check",
	.summary = "look for damage and leftovers, and mend them",
	.synopses = {"[--repair] [--json]"},
	.text = "Looks at the store (is its file sound, does each row belong to a qube, does each reference lead to one), at the\n"
		"volumes (are they there, is each image and what it rests on sound, do sizes agree) and for what no qube owns:\n"
		"volumes, runtime files, sockets, processes. Each finding says what can be done about it. Looking changes nothing.\n"
		"\n"
		"On a terminal it asks before it mends; --repair mends without asking. Nothing that a qube has written is deleted:\n"
		"volumes without a qube are put into the folder lost/ of their pool, a damaged file stays beside its volume as\n"
		"N.damaged. It may be interrupted at any moment and run again. While the store has a fault that only you can\n"
		"mend, what no qube seems to own is left as it is.\n"
		"\n"
		"It works whether qubesd runs or not. While it runs, only leftovers are mended, for it owns the rest; while it does\n"
		"not, it cannot be started until the check is over. Volumes of running qubes are looked at, not mended.\n"
		"\n"
		"With --json each finding has kind (store, volume, leftover), subject, text, advice and state: can (be mended),\n"
		"stopped (can, once qubesd is stopped), hand (only by you), mended, failed.\n"
		"\n"
		"Exit status 0 if nothing is left to be done, 1 if there are findings.",
	.options = options,
	.run = run,
};
