/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qvm-copy and its kin: qfile-agent measures first, so that the progress has a whole and names that
 * need it are asked for (qubes.Filecopy+allow-all-names), then sends. What is moved is removed when
 * the receiver has all of it on its disk, and not before.
 */
#include "qvm.h"

#include "base/io.h"
#include "base/log.h"
#include "base/str.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

/* qfile-agent's exit code for names that a receiver takes only if it is asked to */
#define NEEDS_ALL_NAMES 2

struct copy {
	const struct command *c;
	bool moves, progress, ignore_links, all_names;
	const char *target;
	char **files;
	char agent[PATH_MAX];
	char *size; /* bytes, as text */
};

/* qfile-agent and its words; free(); NULL without memory */
static const char **agent_argv(const struct copy *p, const char *option)
{
	const char **argv, **at;
	size_t n = 0;

	while (p->files[n])
		n++;
	argv = calloc(n + 5, sizeof(*argv));
	if (!argv)
		return NULL;
	at = argv;
	*at++ = p->agent;
	if (option)
		*at++ = option;
	if (p->ignore_links)
		*at++ = "--ignore-symlinks";
	*at++ = "--";
	memcpy(at, p->files, n * sizeof(*at));
	return argv;
}

static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return EXIT_FAILED;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int measure(struct copy *p)
{
	AUTO_CLOSE int from = NO_FD;
	char *end;
	int pipe_fds[2], code;
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return complain(p->c, p->agent, log_errno_str(errno));
	from = pipe_fds[0];
	pid = fork();
	if (pid == 0) {
		const char **argv = agent_argv(p, "--measure");

		if (argv && dup2(pipe_fds[1], STDOUT_FILENO) >= 0)
			(void)execv(argv[0], (char *const *)argv);
		_exit(complain(p->c, p->agent, log_errno_str(errno)));
	}
	(void)close(pipe_fds[1]);
	if (pid < 0 || io_read_all(from, 64, &p->size, NULL) < 0)
		return complain(p->c, p->agent, "it cannot be run");
	code = wait_for(pid);
	if (code != 0 && code != NEEDS_ALL_NAMES)
		return EXIT_FAILED;
	p->all_names = code == NEEDS_ALL_NAMES;
	/* "SIZE LEFT-OUT" */
	end = strchr(p->size, ' ');
	if (!end)
		return complain(p->c, p->agent, "it cannot be used");
	*end = '\0';
	if (p->moves && strcmp(end + 1, "0\n") != 0)
		return complain(p->c, p->files[0],
				"there is something that is no file, folder or link: it would be "
				"lost; nothing was moved");
	return 0;
}

static int send_all(const struct copy *p)
{
	const char **argv = agent_argv(p, NULL);
	int code;

	if (!argv || setenv("PROGRESS_TYPE", p->progress ? "console" : "none", 1) < 0 ||
	    setenv("FILECOPY_TOTAL_SIZE", p->size, 1) < 0)
		return complain(p->c, p->agent, log_errno_str(ENOMEM));
	code = client_exec(p->c, p->target,
			   p->all_names ? "qubes.Filecopy+allow-all-names" : "qubes.Filecopy",
			   argv);
	free(argv);
	return code;
}

static int remove_all(const struct copy *p)
{
	int code = 0;

	for (char **file = p->files; *file; file++) {
		int r = io_remove_tree(AT_FDCWD, *file);

		if (r < 0)
			code = complain(p->c, *file, log_errno_str(r));
	}
	return code;
}

/* a folder that we or others stand in cannot be removed by these names */
static bool ends_in_dots(const char *path)
{
	size_t len = strlen(path);

	while (len > 0 && path[len - 1] == '/')
		len--;
	if (len == 0 || path[len - 1] != '.')
		return len == 0;
	len--;
	len -= len > 0 && path[len - 1] == '.';
	return len == 0 || path[len - 1] == '/';
}

static int move_all(const struct copy *p)
{
	pid_t pid = fork();
	int code;

	if (pid == 0)
		_exit(send_all(p));
	if (pid < 0)
		return complain(p->c, "qrexec-client-vm", log_errno_str(errno));
	code = wait_for(pid);
	return code == 0 ? remove_all(p) : code;
}

int copy_run(const struct command *c, const char *options, char **words)
{
	const bool names_target =
		str_eq(c->name, "qvm-copy-to-vm") || str_eq(c->name, "qvm-move-to-vm");
	struct copy p = {.c = c,
			 .moves = str_starts(c->name, "qvm-move"),
			 .progress = !strchr(options, 'p'),
			 .ignore_links = strchr(options, 'i') != NULL,
			 .target = names_target ? words[0] : "@default",
			 .files = words + (names_target ? 1 : 0)};
	int code;

	if (p.moves && p.ignore_links)
		return usage_error(c, "what is moved is moved whole");
	for (char **file = p.files; p.moves && *file; file++)
		if (ends_in_dots(*file))
			return complain(c, *file, "move it by its name");
	if (helper_path("qfile-agent", p.agent, sizeof(p.agent)) < 0)
		return complain(c, "qfile-agent", log_errno_str(ENAMETOOLONG));
	code = measure(&p);
	if (code == 0)
		code = p.moves ? move_all(&p) : send_all(&p);
	free(p.size);
	return code;
}
