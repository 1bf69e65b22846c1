/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bulkhead start: qubesd in the background, and wait until it answers */
#include "bulkhead.h"

#include "base/io.h"
#include "base/log.h"
#include "base/paths.h"
#include "base/str.h"
#include "client/client.h"
#include "loop/spawn.h"
#include "ui.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

enum { ANEW = OPTION_OWN };

#define ANSWER_MS UINT64_C(60000) /* a store of many qubes on a busy machine takes its time */
#define LOG_TAIL  2000

bool daemon_answers(void)
{
	AUTO(client_answer_done) struct client_answer answer;

	return client_call(NULL, "bulkhead.Status", "dom0", NULL, NULL, 0, NO_FD, &answer) == 0;
}

/* what was logged since this start began, the end of it */
static void show_log(const char *path, off_t from)
{
	AUTO_FREE char *text = NULL;
	size_t len;

	if (io_read_file(AT_FDCWD, path, 64u << 20, &text, &len) < 0 || (off_t)len <= from)
		return;
	if ((off_t)len - from > LOG_TAIL)
		from = (off_t)len - LOG_TAIL;
	(void)fputs(text + from, stderr);
}

/* 0 once it answers; the exit code, and said why */
static int wait_for_answer(const struct args *a, const struct daemon *d)
{
	struct ui_progress progress = {.args = a};
	uint64_t end = io_now_ms() + ANSWER_MS;
	struct child_end how;
	unsigned pause_us = 2000;
	char text[64];

	while (!daemon_answers()) {
		if (spawn_reap(d->pidfd, &how) == 0) {
			ui_progress_end(&progress);
			show_log(d->log, d->log_len);
			return ui_fail(a, "qubesd ended at once (%s); its log: %s",
				       child_end_str(&how, text, sizeof(text)), d->log);
		}
		if (io_now_ms() > end) {
			ui_progress_end(&progress);
			return ui_fail(a, "qubesd does not answer; its log: %s", d->log);
		}
		ui_progress(&progress, -1, "waiting for qubesd");
		(void)usleep(pause_us);
		pause_us = pause_us < 100000 ? pause_us * 2 : pause_us;
	}
	ui_progress_end(&progress);
	return 0;
}

static int start(const struct args *a, const struct paths *paths)
{
	struct daemon AUTO(daemon_done) qubesd = {.pidfd = NO_FD};
	char lock_path[PATH_MAX];
	int r = str_format(lock_path, sizeof(lock_path), "%s/start.lock", paths->run);

	if (r < 0)
		return ui_fail_errno(a, paths->run, r);
	/* two at the same time start one daemon */
	AUTO_CLOSE int lock = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (lock < 0 || flock(lock, LOCK_EX) < 0)
		return ui_fail_errno(a, lock_path, -errno);
	if (daemon_answers() && args_has(a, ANEW))
		return ui_fail(a, "it is running; stop it first: bulkhead stop");
	if (daemon_answers()) {
		ui_note(a, "running already");
		return 0;
	}
	r = daemon_spawn(paths, "qubesd", "qubesd.log", args_has(a, ANEW) ? "--begin-anew" : NULL,
			 &qubesd);
	if (r < 0)
		return ui_fail(a, "qubesd cannot be started (%s); its log: %s", log_errno_str(r),
			       qubesd.log);
	r = wait_for_answer(a, &qubesd);
	if (r == 0 && a->verbose >= 0)
		(void)printf("Bulkhead is running (%s)\n", paths->state);
	return r;
}

static int run(const struct args *a)
{
	struct paths paths;
	int r;

	if (a->n_words > 0) {
		(void)ui_usage(a, "it takes no arguments, but got '%s'", a->words[0]);
		return 2;
	}
	r = paths_init(&paths, true);
	if (r == -EPERM)
		return ui_fail(
			a, "the run directory belongs to another user; unset XDG_RUNTIME_DIR or "
			   "remove that directory");
	if (r < 0)
		return ui_fail_errno(a, "the instance's folders", r);
	r = start(a, &paths);
	if (r == 0)
		prompt_start(a, &paths);
	paths_done(&paths);
	return r;
}

static const struct option options[] = {
	{ANEW, 0, "begin-anew", NULL,
	 "begin with a new store, without the qubes there were; the old one is put aside"},
	{0},
};

const struct command bulkhead_start = {
	.name = "start",
	.summary = "start the daemons of the instance",
	.synopses = {"[OPTION]..."},
	.text = "Starts qubesd in the background unless it runs, and waits until it answers. Qubes "
		"that "
		"were running\n"
		"when it last ended are taken back. Where there is a display, bulkhead-prompt is "
		"started too, which\n"
		"asks you about calls that the policy says to ask about; without it they are denied.\n"
		"\n"
		"A store that is missing, empty or has lost its rows while qubes run or volumes are "
		"there is not replaced\n"
		"by a new one: put it back from a backup, or start once with --begin-anew. Then "
		"qubes that still run are\n"
		"ended; what is left of the old store stays beside the new one as store.db.N, and "
		"volumes stay where\n"
		"they are until bulkhead check puts them aside.",
	.options = options,
	.run = run,
};
