/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qubes.VMShell and qubes.VMRootShell: standard input is a script for the user's shell, and what the
 * script has not taken when a command runs is that command's standard input. So not a byte too many
 * may be read. bash reads like that by itself; other shells read ahead, and get the first line alone
 * from us, which is what dom0's tools send ("COMMAND; exit").
 *
 * runs as the user the call is for (VMRootShell: root, by its configuration).
 */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/** LINE_MAX_LEN - bytes of a command with its end */
#define LINE_MAX_LEN 65536

enum { EXIT_PROBLEM = 125, EXIT_CANNOT = 126, EXIT_ABSENT = 127 };

/* how many of the next bytes belong to the line: up to and with its end; 0 at the end of input */
static ssize_t line_part(char *at, size_t room)
{
	ssize_t n = recv(STDIN_FILENO, at, room, MSG_PEEK);
	const char *end;

	if (n < 0 && errno == ENOTSOCK)
		return 1; /* a pipe cannot be looked into: byte by byte */
	if (n <= 0)
		return n;
	end = memchr(at, '\n', (size_t)n);
	return end ? end - at + 1 : n;
}

static int line_read(char *line)
{
	size_t len = 0;

	while (len < LINE_MAX_LEN - 1) {
		ssize_t part = line_part(line + len, LINE_MAX_LEN - 1 - len);
		ssize_t n = part > 0 ? read(STDIN_FILENO, line + len, (size_t)part) : part;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		len += (size_t)n;
		if (n > 0 && line[len - 1] != '\n')
			continue;
		if (n > 0)
			len--;
		line[len] = '\0';
		return strlen(line) == len ? 0 : -EINVAL;
	}
	return -E2BIG;
}

static const char *shell_get(void)
{
	const char *shell = getenv("SHELL");
	const struct passwd *pw;

	if (shell && shell[0] == '/')
		return shell;
	pw = getpwuid(getuid());
	return pw && pw->pw_shell && pw->pw_shell[0] == '/' ? pw->pw_shell : "/bin/sh";
}

/* @line: NULL if the shell reads its script itself. The '-' makes it a login shell */
static int shell_exec(const char *shell, const char *name, const char *line)
{
	char arg0[64];

	(void)snprintf(arg0, sizeof(arg0), "-%s", name);
	if (line)
		(void)execl(shell, arg0, "-c", line, (char *)NULL);
	else
		(void)execl(shell, arg0, (char *)NULL);
	return errno;
}

int main(void)
{
	static char line[LINE_MAX_LEN];
	const char *shell = shell_get();
	const char *name = strrchr(shell, '/') + 1;
	const int reads_itself = strcmp(name, "bash") == 0;
	int r = reads_itself ? 0 : line_read(line);

	if (r < 0) {
		(void)fprintf(stderr, "qubes.VMShell: no command line on standard input: %s\n",
			      strerrordesc_np(-r));
		return EXIT_PROBLEM;
	}
	r = shell_exec(shell, name, reads_itself ? NULL : line);
	(void)fprintf(stderr, "qubes.VMShell: %s: %s\n", shell, strerrordesc_np(r));
	return r == ENOENT ? EXIT_ABSENT : EXIT_CANNOT;
}
