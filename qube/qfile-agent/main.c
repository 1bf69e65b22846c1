/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qfile-agent: sends files, folders and links to another qube's qubes.Filecopy, on standard output,
 * and takes its answer from standard input. qrexec-client-vm starts it with both.
 *
 * runs as the user whose files they are;
 * holds standard streams;
 * trusts nothing of the answer;
 * needs to read what it shall send, and when the answer's first byte is read nothing but the standard streams.
 */
#include "answer.h"
#include "measure.h"
#include "send.h"
#include "sink.h"

#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "sandbox/sandbox.h"

#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

enum { EXIT_FAILED = 1, EXIT_NEEDS_ALL_NAMES = 2, EXIT_PROBLEM = 125 };

/** PROGRESS_STEP - bytes between two lines of progress */
#define PROGRESS_STEP (1u << 20)

static const char usage[] =
	"usage: qfile-agent [--ignore-symlinks] FILE...\n"
	"       qfile-agent --measure [--ignore-symlinks] FILE...\n"
	"Send files and folders (qubes.Filecopy) on standard output and take the\n"
	"receiver's answer from standard input. qvm-copy runs it.\n\n"
	"  --ignore-symlinks   leave links out\n"
	"  --measure           send nothing: print how many bytes there are, and how many\n"
	"                      things that are no files; exit code 2 if the receiver must\n"
	"                      allow all names\n"
	"  --help, --version\n\n"
	"PROGRESS_TYPE=console writes progress to standard error, out of\n"
	"FILECOPY_TOTAL_SIZE bytes if that is set.\n";

static uint64_t progress_total, progress_told;

static void progress_tell(uint64_t sent)
{
	char line[96];

	if (sent < progress_told + PROGRESS_STEP)
		return;
	progress_told = sent;
	if (progress_total > 0)
		(void)snprintf(line, sizeof(line), "sent %llu/%llu KB\r",
			       (unsigned long long)sent >> 10,
			       (unsigned long long)progress_total >> 10);
	else
		(void)snprintf(line, sizeof(line), "sent %llu KB\r",
			       (unsigned long long)sent >> 10);
	(void)!write(STDERR_FILENO, line, strlen(line));
}

static bool progress_wanted(void)
{
	const char *type = getenv("PROGRESS_TYPE"), *total = getenv("FILECOPY_TOTAL_SIZE");

	if (!type || strcmp(type, "console") != 0)
		return false;
	if (!total || str_u64(total, UINT64_MAX, &progress_total) < 0)
		progress_total = 0;
	return true;
}

/* what is wrong with @w->name, or where there is none yet with @path, to standard error */
static void walk_blame(const struct walk *w, const char *path, int r)
{
	char quoted[1024];
	const char *name = w->name_len > 0 ? w->name : path;
	const char *why = r == -ESTALE           ? "it changed while it was read"
			  : r == -EINVAL         ? "it has no name to be sent by"
			  : r == FILECOPY_E_LINK ? "a link that leads elsewhere"
			  : r == FILECOPY_E_TOO_LONG || r == -ENAMETOOLONG
				  ? "its name, with its folders', is too long"
			  : r < 0 ? log_errno_str(r)
				  : "it cannot be sent";

	(void)fprintf(stderr, "qfile-agent: %s: %s\n",
		      log_quote(quoted, sizeof(quoted), name, strlen(name)), why);
}

static int walk_all(struct walk *w, char **paths)
{
	for (; *paths; paths++) {
		int r = walk_path(w, *paths);

		if (r != 0 && r != SINK_E_ANSWERED)
			walk_blame(w, *paths, r);
		if (r != 0)
			return r;
	}
	return 0;
}

static int measure(struct walk *w, char **paths)
{
	static struct measure m = {.all_shown = true};

	w->visitor = &measure_visitor;
	w->context = &m;
	if (walk_all(w, paths) != 0)
		return EXIT_FAILED;
	(void)printf("%llu %u\n", (unsigned long long)m.size, w->n_passed_over);
	return m.all_shown ? 0 : EXIT_NEEDS_ALL_NAMES;
}

/* Whose files are sent is more than the receiver shall get: its bytes are read behind a wall. */
static bool is_confined(void)
{
	int r = sandbox_calls_only(NULL, 0);

	if (r < 0)
		(void)fprintf(stderr, "qfile-agent: cannot confine itself: %s\n", log_errno_str(r));
	return r == 0;
}

static int copy(struct walk *w, char **paths)
{
	static uint8_t buf[SINK_SIZE];
	static struct sink s = {.out_fd = STDOUT_FILENO, .answer_fd = STDIN_FILENO, .buf = buf};
	const bool tells = progress_wanted();
	bool arrived = false;
	int r;

	if (isatty(STDOUT_FILENO)) {
		(void)fputs("qfile-agent: not to a terminal; qvm-copy runs it\n", stderr);
		return EXIT_PROBLEM;
	}
	if (io_set_nonblock(STDOUT_FILENO, true) < 0)
		return EXIT_PROBLEM;
	(void)fcntl(STDOUT_FILENO, F_SETPIPE_SZ, 1 << 20);
	s.told = tells ? progress_tell : NULL;
	w->visitor = &send_visitor;
	w->context = &s;
	r = walk_all(w, paths);
	if (r == 0 && w->n_passed_over > 0)
		(void)fprintf(stderr, "qfile-agent: left out %u that are no files\n",
			      w->n_passed_over);
	if (r == 0)
		r = send_end(&s);
	if ((r == 0 || r == SINK_E_ANSWERED) && !is_confined())
		return EXIT_PROBLEM;
	if (r == 0 || r == SINK_E_ANSWERED)
		arrived = answer_read(STDIN_FILENO, s.crc, r != 0);
	if (tells)
		(void)!write(STDERR_FILENO, "\n", 1);
	(void)!io_set_nonblock(STDOUT_FILENO, false);
	return arrived ? 0 : EXIT_FAILED;
}

int main(int argc, char **argv)
{
	static struct walk w;
	enum { IGNORE = 256, MEASURE, HELP, VERSION };
	static const struct option options[] = {
		{"ignore-symlinks", no_argument, NULL, IGNORE},
		{"measure", no_argument, NULL, MEASURE},
		{"help", no_argument, NULL, HELP},
		{"version", no_argument, NULL, VERSION},
		{0},
	};
	bool measures = false;
	struct rlimit files;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case IGNORE:
			w.ignore_links = true;
			break;
		case MEASURE:
			measures = true;
			break;
		case HELP:
			(void)fputs(usage, stdout);
			return 0;
		case VERSION:
			(void)puts("qfile-agent " BULKHEAD_VERSION);
			return 0;
		default:
			(void)fputs(usage, stderr);
			return EXIT_PROBLEM;
		}
	}
	if (optind >= argc) {
		(void)fputs(usage, stderr);
		return EXIT_PROBLEM;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	/* a folder on the way stays open: as deep as we may */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	return measures ? measure(&w, argv + optind) : copy(&w, argv + optind);
}
