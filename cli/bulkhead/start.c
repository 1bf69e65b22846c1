/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bulkhead start: qubesd in the background, and wait until it answers */
#include "bulkhead.h"

#include "base/io.h"
#include "base/log.h"
#include "base/paths.h"
#include "base/program.h"
#include "base/str.h"
#include "client/client.h"
#include "loop/spawn.h"
#include "ui.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define ANSWER_MS UINT64_C(60000) /* a store of many qubes on a busy machine takes its time */
#define LOG_KEEP  (4 << 20)       /* bytes of qubesd's log before the next start begins a new one */
#define LOG_TAIL  2000

bool daemon_answers(void)
{
	AUTO(client_answer_done) struct client_answer answer;

	return client_call(NULL, "bulkhead.Status", "dom0", NULL, NULL, 0, NO_FD, &answer) == 0;
}

/* the log to append to; one that has grown too long is put aside */
static int open_log(const char *path)
{
	char old[PATH_MAX];
	struct stat st;

	if (stat(path, &st) == 0 && st.st_size > LOG_KEEP &&
	    str_format(old, sizeof(old), "%s.old", path) == 0 && rename(path, old) < 0)
		return fail_errno();
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	return fd < 0 ? fail_errno() : fd;
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
static int wait_for_answer(const struct args *a, int pidfd, const char *log, off_t log_len)
{
	struct ui_progress progress = {.args = a};
	uint64_t end = io_now_ms() + ANSWER_MS;
	struct child_end how;
	unsigned pause_us = 2000;
	char text[64];

	while (!daemon_answers()) {
		if (spawn_reap(pidfd, &how) == 0) {
			ui_progress_end(&progress);
			show_log(log, log_len);
			return ui_fail(a, "qubesd ended at once (%s); its log: %s",
				       child_end_str(&how, text, sizeof(text)), log);
		}
		if (io_now_ms() > end) {
			ui_progress_end(&progress);
			return ui_fail(a, "qubesd does not answer; its log: %s", log);
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
	char program[PATH_MAX], log[PATH_MAX], lock_path[PATH_MAX];
	char *argv[] = {program, NULL};
	int pidfd_raw = NO_FD, fd, r;
	struct stat st;

	r = str_format(log, sizeof(log), "%s/log", paths->state);
	r = r < 0 ? r : io_mkdirs(log, 0700);
	r = r < 0 ? r : str_format(log, sizeof(log), "%s/log/qubesd.log", paths->state);
	r = r < 0 ? r : str_format(lock_path, sizeof(lock_path), "%s/start.lock", paths->run);
	if (r < 0)
		return ui_fail_errno(a, paths->state, r);
	/* two at the same time start one daemon */
	AUTO_CLOSE int lock = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (lock < 0 || flock(lock, LOCK_EX) < 0)
		return ui_fail_errno(a, lock_path, -errno);
	if (daemon_answers()) {
		ui_note(a, "running already");
		return 0;
	}
	r = program_find("qubesd", program, sizeof(program));
	if (r < 0)
		return ui_fail(a, "the program qubesd is not installed (%s)", log_errno_str(r));
	fd = open_log(log);
	if (fd < 0)
		return ui_fail_errno(a, log, fd);
	AUTO_CLOSE int log_fd = fd;
	if (fstat(log_fd, &st) < 0)
		return ui_fail_errno(a, log, -errno);
	r = spawn(
		&(struct spawn){
			.path = program,
			.argv = argv,
			.fds = (const struct spawn_fd[]){{log_fd, STDERR_FILENO}},
			.n_fds = 1,
			.new_session = true,
		},
		NULL, &pidfd_raw);
	AUTO_CLOSE int pidfd = pidfd_raw;
	if (r < 0)
		return ui_fail_errno(a, program, r);
	r = wait_for_answer(a, pidfd, log, st.st_size);
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
		r = prompt_start(a, &paths);
	paths_done(&paths);
	return r;
}

const struct command bulkhead_start = {
	.name = "start",
	.summary = "start the daemons of the instance",
	.synopses = {"[OPTION]..."},
	.text = "Starts qubesd in the background unless it runs, and waits until it answers. Qubes "
		"that "
		"were running\n"
		"when it last ended are taken back. Where there is a display, bulkhead-prompt is "
		"started too, which\n"
		"asks you about calls that the policy says to ask about; without it they are denied.",
	.run = run,
};
