/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qopen-in-vm: sends a file to another qube's qubes.OpenInVM on standard output, and puts what comes
 * back from standard input in its place. qrexec-client-vm starts it. doc/protocol/open.md has the
 * bytes.
 *
 * runs as the user whose file it is;
 * holds standard streams;
 * trusts that the user wants the other qube's version of this file;
 * needs to read the file, and to write in its folder.
 */
#include "base/io.h"
#include "base/log.h"
#include "proto/open.h"

#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { EXIT_FAILED = 1, EXIT_PROBLEM = 125 };

static const char usage[] = "usage: qopen-in-vm [--view-only] FILE\n"
			    "Send FILE to qubes.OpenInVM on standard output; take it back from\n"
			    "standard input if it was changed. qvm-open-in-vm runs it.\n";

static int failed(const char *path, int r)
{
	char quoted[1024];

	(void)fprintf(stderr, "qopen-in-vm: %s: %s\n",
		      log_quote(quoted, sizeof(quoted), path, strlen(path)), log_errno_str(r));
	return EXIT_FAILED;
}

/* how many bytes went, or -errno; @to NO_FD: nowhere */
static int64_t copy(int from, int to)
{
	static uint8_t buf[1 << 16];
	int64_t done = 0;

	for (;;) {
		ssize_t n = read(from, buf, sizeof(buf));
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? fail_errno() : done;
		r = to == NO_FD ? 0 : io_write_full(to, buf, (size_t)n);
		if (r < 0)
			return r;
		done += n;
	}
}

static int file_send(const char *path, bool view_only, mode_t *ret_mode)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct open_header h = {.view_only = view_only};
	const char *slash = strrchr(path, '/');
	uint8_t bytes[OPEN_HEADER_LEN];
	struct stat st;
	int64_t n;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_errno();
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	open_header_name(&h, slash ? slash + 1 : path);
	r = fault(open_header_encode(&h, bytes));
	r = r < 0 ? r : io_write_full(STDOUT_FILENO, bytes, sizeof(bytes));
	n = r < 0 ? r : copy(fd, STDOUT_FILENO);
	*ret_mode = st.st_mode & 0777;
	return n < 0 ? (int)n : 0;
}

/* beside the file at first, so that it is the old one or the new one whatever happens */
static int file_take_back(const char *path, mode_t mode)
{
	char beside[PATH_MAX];
	const char *slash = strrchr(path, '/');
	int64_t n = 0;
	int fd, r = 0;

	(void)snprintf(beside, sizeof(beside), "%.*s.qopen-in-vm.XXXXXX",
		       slash ? (int)(slash - path) + 1 : 0, path);
	fd = mkostemp(beside, O_CLOEXEC);
	if (fd < 0) {
		r = fail_errno();
		/* the other side may still be at work: only a change is worth a word */
		n = copy(STDIN_FILENO, NO_FD);
		return n == 0 ? 0 : r;
	}
	n = copy(STDIN_FILENO, fd);
	if (n < 0)
		r = (int)n;
	else if (n > 0 && (fchmod(fd, mode) < 0 || fsync(fd) < 0 || rename(beside, path) < 0))
		r = fail_errno();
	if (n <= 0 || r < 0)
		(void)unlink(beside);
	(void)close(fd);
	return r;
}

int main(int argc, char **argv)
{
	enum { VIEW_ONLY = 256, HELP, VERSION };
	static const struct option options[] = {
		{"view-only", no_argument, NULL, VIEW_ONLY},
		{"help", no_argument, NULL, HELP},
		{"version", no_argument, NULL, VERSION},
		{0},
	};
	bool view_only = false;
	mode_t mode = 0600;
	const char *path;
	int c, r;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case VIEW_ONLY:
			view_only = true;
			break;
		case HELP:
			(void)fputs(usage, stdout);
			return 0;
		case VERSION:
			(void)puts("qopen-in-vm " BULKHEAD_VERSION);
			return 0;
		default:
			(void)fputs(usage, stderr);
			return EXIT_PROBLEM;
		}
	}
	if (optind + 1 != argc) {
		(void)fputs(usage, stderr);
		return EXIT_PROBLEM;
	}
	path = argv[optind];
	(void)signal(SIGPIPE, SIG_IGN);
	r = file_send(path, view_only, &mode);
	if (r < 0)
		return failed(path, r);
	/* the end of the file */
	(void)close(STDOUT_FILENO);
	if (view_only)
		(void)copy(STDIN_FILENO, NO_FD);
	else
		r = file_take_back(path, mode);
	return r < 0 ? failed(path, r) : 0;
}
