/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qubes.OpenInVM: another qube's file is opened here, in a folder of its own that goes with us, and
 * goes back if it was changed. doc/protocol/open.md has the bytes.
 *
 * runs as the user the call is for, once per call;
 * holds the caller's streams;
 * trusts nothing of the file: it is for the program that opens it, which is why it is opened here;
 * needs to run qubes-open.
 */
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "proto/open.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { EXIT_FAILED = 1, EXIT_PROBLEM = 125 };

/** struct opened - @folder: ours, removed at the end; @path: the file in it */
struct opened {
	struct open_header header;
	char folder[64], path[64 + OPEN_HEADER_LEN];
	struct stat before;
};

static int told(const char *what, int r)
{
	(void)fprintf(stderr, "qubes.OpenInVM: %s: %s\n", what, log_errno_str(r));
	return r;
}

static int folder_make(struct opened *o)
{
	const char *source = getenv("QREXEC_REMOTE_DOMAIN");

	if (!source || !str_is_qube_name(source, strlen(source)))
		return told("$QREXEC_REMOTE_DOMAIN does not name a qube", -EINVAL);
	if (str_format(o->folder, sizeof(o->folder), "/tmp/%s.XXXXXX", source) < 0 ||
	    !mkdtemp(o->folder)) {
		o->folder[0] = '\0';
		return told("/tmp", fail_errno());
	}
	return str_format(o->path, sizeof(o->path), "%s/%s", o->folder, o->header.name);
}

static int copy(int from, int to)
{
	static uint8_t buf[1 << 16];

	for (;;) {
		ssize_t n = read(from, buf, sizeof(buf));
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? fail_errno() : 0;
		r = io_write_full(to, buf, (size_t)n);
		if (r < 0)
			return r;
	}
}

static int file_take(struct opened *o)
{
	AUTO_CLOSE int fd =
		open(o->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r = fd < 0 ? fail_errno() : copy(STDIN_FILENO, fd);

	if (r == 0 && ((o->header.view_only && fchmod(fd, 0400) < 0) || fstat(fd, &o->before) < 0))
		r = fail_errno();
	return r == 0 ? 0 : told(o->header.name, r);
}

/* what it prints is no part of the file */
static int file_open(const struct opened *o)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

		if (null >= 0 && dup2(null, STDIN_FILENO) >= 0 &&
		    dup2(STDERR_FILENO, STDOUT_FILENO) >= 0)
			(void)execlp("qubes-open", "qubes-open", o->path, (char *)NULL);
		(void)told("qubes-open", fail_errno());
		_exit(127);
	}
	if (pid < 0)
		return told("qubes-open", fail_errno());
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return told("qubes-open", fail_errno());
	if (status == 0)
		return 0;
	(void)fputs("qubes.OpenInVM: the file could not be opened\n", stderr);
	return -ECHILD;
}

static int file_give_back(const struct opened *o)
{
	AUTO_CLOSE int fd = open(o->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat now;

	/* removed, or replaced by something else: nothing to give back */
	if (fd < 0 || fstat(fd, &now) < 0 || !S_ISREG(now.st_mode))
		return 0;
	if (now.st_ino == o->before.st_ino && now.st_size == o->before.st_size &&
	    now.st_mtim.tv_sec == o->before.st_mtim.tv_sec &&
	    now.st_mtim.tv_nsec == o->before.st_mtim.tv_nsec)
		return 0;
	int r = copy(fd, STDOUT_FILENO);

	return r == 0 ? 0 : told(o->header.name, r);
}

int main(void)
{
	uint8_t bytes[OPEN_HEADER_LEN];
	struct opened o = {0};
	int r;

	(void)signal(SIGPIPE, SIG_IGN);
	if (io_read_full(STDIN_FILENO, bytes, sizeof(bytes)) < 0 ||
	    open_header_decode(bytes, sizeof(bytes), &o.header) != 0) {
		(void)fputs("qubes.OpenInVM: no file has such a name\n", stderr);
		return EXIT_PROBLEM;
	}
	r = folder_make(&o);
	r = r < 0 ? r : file_take(&o);
	r = r < 0 ? r : file_open(&o);
	if (r == 0 && !o.header.view_only)
		r = file_give_back(&o);
	if (o.folder[0] != '\0')
		(void)!io_remove_tree(AT_FDCWD, o.folder);
	return r == 0 ? 0 : EXIT_FAILED;
}
