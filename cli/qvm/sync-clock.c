/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qvm-sync-clock: dom0's time to running qubes, all at once, by their service qubes.SetDateTime. Nobody is asked for the
 * time: dom0's own clock is right, or the user's to set.
 */
#include "qvm.h"

#include "base/io.h"
#include "base/log.h"
#include "base/program.h"
#include "base/str.h"
#include "loop/spawn.h"
#include "qubesd.h"
#include "ui.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { TIMEOUT = OPTION_OWN };

/* for one that is busy; a clock that is set later is off by that much */
#define TIMEOUT_S 30
#define SERVICE   "DEFAULT:QUBESRPC qubes.SetDateTime+ dom0"
/* an exact time would tell whose machine it is (the default policy denies them qubes.GetDate as well) */
#define ANONYMOUS "anon-vm"

struct clock {
	const char *qube;
	int pidfd;
	int r; /* of its start */
	struct child_end end;
};

/* a file that holds the time as it is now, to be read once */
static int time_file(int *ret_fd)
{
	AUTO_CLOSE int fd = memfd_create("time", MFD_CLOEXEC);
	const time_t now = time(NULL);
	char text[64];
	struct tm tm;
	size_t len;
	int r;

	if (fd < 0)
		return fail_errno();
	len = gmtime_r(&now, &tm) ? strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S+00:00\n", &tm)
				  : 0;
	r = len > 0 ? io_write_full(fd, text, len) : -EOVERFLOW;
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = fail_errno();
	if (r == 0)
		*ret_fd = take_fd(&fd);
	return r;
}

static int begin(const char *client, struct clock *c)
{
	char *argv[] = {(char *)client, "-d", (char *)c->qube, SERVICE, NULL};
	AUTO_CLOSE int fd = NO_FD;
	int r = time_file(&fd);

	/* what a qube says of an error is not for our terminal */
	AUTO_CLOSE int null = r == 0 ? open("/dev/null", O_WRONLY | O_CLOEXEC) : NO_FD;
	if (r < 0)
		return r;
	if (null < 0)
		return fail_errno();
	return spawn(
		&(struct spawn){
			.path = client,
			.argv = argv,
			.fds = (const struct spawn_fd[]){{fd, STDIN_FILENO}, {null, STDERR_FILENO}},
			.n_fds = 2,
			.death_signal = SIGTERM,
		},
		NULL, &c->pidfd);
}

static int failed(const struct args *a, const struct clock *c, int waited)
{
	if (c->r < 0)
		return ui_fail_errno(a, c->qube, c->r);
	if (waited < 0)
		return ui_fail(a, "%s does not answer, and its clock is as it was", c->qube);
	if (c->end.signal == 0 && c->end.code == 127)
		return ui_fail(a, "%s has no service qubes.SetDateTime", c->qube);
	return c->end.signal != 0 || c->end.code != 0
		       ? ui_fail(a, "%s could not set its clock; its log says why", c->qube)
		       : 0;
}

static int finish(const struct args *a, struct clock *list, unsigned n, uint64_t timeout_ms)
{
	const uint64_t until_ms = io_now_ms() + timeout_ms;
	struct ui_progress progress = {.args = a};
	int result = 0;

	for (unsigned i = 0; i < n; i++) {
		struct clock *c = &list[i];
		int r = -ETIMEDOUT;

		while (c->r == 0 && r == -ETIMEDOUT) {
			r = spawn_wait(c->pidfd, 200, &c->end);
			if (r == -ETIMEDOUT && io_now_ms() >= until_ms)
				break;
			ui_progress(&progress, (int)(i * 100 / n), "setting the clock of %s",
				    c->qube);
		}
		if (c->r == 0 && r < 0)
			spawn_signal(c->pidfd, SIGTERM);
		ui_progress_end(&progress);
		if (failed(a, c, r) != 0)
			result = 1;
		close_fd(&c->pidfd);
	}
	return result;
}

static bool has_tag(const char *tags, const char *tag)
{
	const size_t tag_len = strlen(tag);

	for (size_t len; *tags != '\0'; tags += len + (tags[len] == ' ')) {
		len = strcspn(tags, " ");
		if (len == tag_len && memcmp(tags, tag, len) == 0)
			return true;
	}
	return false;
}

enum { F_NAME, F_STATE, F_CLASS, F_TAGS };

/* those that are named, or all that run but the anonymous; 0 or the exit code */
static int choose(const struct args *a, const struct table *t, struct clock *list, unsigned *ret_n)
{
	unsigned n = 0;

	for (unsigned i = 0; i < a->n_words; i++) {
		int row = table_find(t, a->words[i]);

		if (row < 0)
			return qubesd_no_qube(a, a->words[i]);
		if (str_eq(table_cell(t, (unsigned)row, F_CLASS), "AdminVM"))
			return ui_fail(a, "%s is where the time comes from; this is for qubes",
				       a->words[i]);
		if (!str_eq(table_cell(t, (unsigned)row, F_STATE), "Running"))
			return ui_fail(a, "%s does not run; it gets the time when it starts",
				       a->words[i]);
		list[n++].qube = a->words[i];
	}
	for (unsigned row = 0; a->n_words == 0 && row < t->n_rows; row++) {
		const char *qube = table_cell(t, row, F_NAME);

		if (str_eq(table_cell(t, row, F_CLASS), "AdminVM") ||
		    !str_eq(table_cell(t, row, F_STATE), "Running"))
			continue;
		if (has_tag(table_cell(t, row, F_TAGS), ANONYMOUS)) {
			if (a->verbose > 0)
				ui_note(a, "%s is anonymous and is not told", qube);
			continue;
		}
		list[n++].qube = qube;
	}
	*ret_n = n;
	return 0;
}

static int run(const struct args *a)
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	AUTO(table_done) struct table t = {0};
	AUTO_FREE struct clock *list = NULL;
	uint64_t timeout_s = TIMEOUT_S;
	char client[PATH_MAX];
	unsigned n = 0;
	int r = qvm_timeout(a, TIMEOUT, &timeout_s);

	if (r != 0)
		return 2;
	r = table_load("dom0", "name\nstate\nclass\ntags", &t, &answer);
	if (r != 0)
		return qubesd_failed(a, NULL, r, &answer);
	list = calloc(t.n_rows + a->n_words + 1, sizeof(*list));
	if (!list)
		return ui_fail(a, "out of memory");
	r = choose(a, &t, list, &n);
	if (r != 0)
		return r;
	r = program_find("qrexec-client", client, sizeof(client));
	if (r < 0)
		return ui_fail(a, "the program qrexec-client is not installed (%s)",
			       log_errno_str(r));
	for (unsigned i = 0; i < n; i++) {
		list[i].pidfd = NO_FD;
		list[i].r = begin(client, &list[i]);
	}
	return finish(a, list, n, timeout_s * 1000);
}

static const struct option options[] = {
	{TIMEOUT, 0, "timeout", "SECONDS", "how long a qube may take (otherwise 30)",
	 .words = WORDS_TEXT},
	{0},
};

const struct command qvm_sync_clock = {
	.name = "sync-clock",
	.summary = "set the clocks of running qubes to dom0's",
	.synopses = {"[--timeout=SECONDS] [QUBE]..."},
	.text = "Tells the time to the qubes named, otherwise to all that run, at once; each sets its clock if it is off "
		"by\n"
		"three seconds or more (qubes.SetDateTime). Nobody outside is asked: the time is dom0's.\n\n"
		"Qubes with the tag " ANONYMOUS
		" are told only if they are named: an exact time can tell one machine from another.\n"
		"After the machine has slept this is done by itself, if it is told of that.",
	.sections = {{"EXIT STATUS",
		      "0 all were told; 1 some were not, and which; 2 called wrongly."}},
	.options = options,
	.words = {WORDS_RUNNING},
	.run = run,
};
