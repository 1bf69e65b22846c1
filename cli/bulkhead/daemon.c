/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A daemon of the instance in the background, its log below the state folder. */
#include "bulkhead.h"

#include "base/io.h"
#include "base/program.h"
#include "base/str.h"
#include "loop/spawn.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define LOG_KEEP (4 << 20) /* bytes of a log before the next start begins a new one */

/* the log to append to; one that has grown too long is put aside */
static int open_log(const char *path, off_t *ret_len)
{
	char old[PATH_MAX];
	struct stat st;

	if (stat(path, &st) == 0 && st.st_size > LOG_KEEP &&
	    str_format(old, sizeof(old), "%s.old", path) == 0 && rename(path, old) < 0)
		return fail_errno();
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_errno();
	*ret_len = st.st_size;
	return take_fd(&fd);
}

int daemon_spawn(const struct paths *paths, const char *name, const char *log, const char *option,
		 struct daemon *ret)
{
	char program[PATH_MAX];
	char *argv[] = {program, (char *)option, NULL};
	int fd, r;

	*ret = (struct daemon){.pidfd = NO_FD};
	r = str_format(ret->log, sizeof(ret->log), "%s/log", paths->state);
	r = r < 0 ? r : io_mkdirs(ret->log, 0700);
	r = r < 0 ? r : str_format(ret->log, sizeof(ret->log), "%s/log/%s", paths->state, log);
	if (r < 0)
		return r;
	fd = open_log(ret->log, &ret->log_len);
	AUTO_CLOSE int log_fd = fd;
	if (fd < 0)
		return fd;
	r = program_find(name, program, sizeof(program));
	if (r < 0)
		return r;
	return spawn(
		&(struct spawn){
			.path = program,
			.argv = argv,
			.fds = (const struct spawn_fd[]){{log_fd, STDERR_FILENO}},
			.n_fds = 1,
			/* no signal of a terminal reaches it, but it weighs as one with what else the person does there */
			.new_group = true,
		},
		NULL, &ret->pidfd);
}

void daemon_done(struct daemon *d)
{
	close_fd(&d->pidfd);
}
