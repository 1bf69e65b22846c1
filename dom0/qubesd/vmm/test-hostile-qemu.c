/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A QEMU that its guest has taken over: it has QEMU's descriptors and says on them what it likes.
 * BULKHEAD_HOSTILE chooses what.
 */
#include "base/attr.h"
#include "base/str.h"
#include "proto/monitor.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static char block[65536];

static void say(const char *s)
{
	if (write(MONITOR_FD_QMP, s, strlen(s)) < 0)
		_exit(0);
}

static void flood(int fd, const char *with)
{
	size_t len = strlen(with), whole = sizeof(block) / len * len;

	for (size_t i = 0; i < whole; i++)
		block[i] = with[i % len];
	while (write(fd, block, whole) > 0)
		continue;
	(void)pause();
}

/* @first is said once the command is here */
static void answer_after(const char *first, const char *with)
{
	char line[8192];
	ssize_t n = read(MONITOR_FD_QMP, line, sizeof(line) - 1);
	unsigned long long id;
	const char *at;
	char *end;
	char reply[256];

	if (n <= 0)
		_exit(0);
	line[n] = '\0';
	at = strstr(line, "\"id\":");
	id = at ? strtoull(at + 5, &end, 10) : 0;
	if (!at || end == at + 5)
		_exit(9);
	(void)snprintf(reply, sizeof(reply), "{\"return\": %s, \"id\": %llu}\r\n", with, id);
	say(first);
	say(reply);
}

static void answer(const char *with)
{
	answer_after("", with);
}

#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n"

static void behave(void)
{
	say(GREETING);
	answer("{}");
	answer("{\"status\": \"running\", \"running\": true}");
}

/* its first disk, of 1 MiB, becomes as large as the pool */
static void escape_by_growth(void)
{
	const struct rlimit no_limit = {RLIM_INFINITY, RLIM_INFINITY};
	const int disk = MONITOR_FD_FIRST + 2;

	(void)signal(SIGXFSZ, SIG_IGN);
	if (setrlimit(RLIMIT_FSIZE, &no_limit) == 0 || ftruncate(disk, 1LL << 40) == 0 ||
	    pwrite(disk, "x", 1, 1LL << 30) == 1)
		say("{\"escaped\": 10}\n");
	/* but what the disk needs it may take */
	if (ftruncate(disk, 2 << 20) < 0 || ftruncate(disk, 1 << 20) < 0)
		say("{\"locked\": 2}\n");
}

/* what reaches others of the same user without a path below Landlock */
static void escape_to_others(void)
{
	struct rlimit limit;
	int pair[2];

	if (socket(AF_UNIX, SOCK_STREAM, 0) >= 0 || socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0)
		say("{\"escaped\": 5}\n");
	if (kill(getppid(), 0) == 0 || syscall(SYS_tgkill, getppid(), getppid(), 0) == 0)
		say("{\"escaped\": 6}\n");
	if (fcntl(MONITOR_FD_QMP, F_SETOWN, getppid()) == 0 ||
	    fcntl(MONITOR_FD_QMP, F_SETSIG, SIGKILL) == 0)
		say("{\"escaped\": 7}\n");
	if (prlimit(getppid(), RLIMIT_NOFILE, NULL, &limit) == 0)
		say("{\"escaped\": 8}\n");
	if (fchmod(MONITOR_FD_FIRST, 0600) == 0 || errno != EPERM)
		say("{\"escaped\": 9}\n");
	escape_by_growth();
	/* its own threads are its own */
	if (syscall(SYS_tgkill, getpid(), getpid(), 0) < 0)
		say("{\"locked\": 1}\n");
}

int main(void)
{
	const char *how = getenv("BULKHEAD_HOSTILE");

	if (!how)
		return 9;
	if (str_eq(how, "garbage"))
		say("\x01\xff garbage\n");
	if (str_eq(how, "not-qmp"))
		say("{\"hello\": 1}\n");
	if (str_eq(how, "long"))
		flood(MONITOR_FD_QMP, "x");
	if (str_eq(how, "flood"))
		flood(MONITOR_FD_QMP, "{\"event\": \"STOP\"}\n");
	if (str_eq(how, "flood-later")) {
		behave();
		flood(MONITOR_FD_QMP, "{\"event\": \"STOP\"}\n{\"event\": \"RESUME\"}\n");
	}
	if (str_eq(how, "wave")) { /* as many as nobody calls a flood */
		behave();
		for (unsigned i = 0; i < 2000; i++)
			say("{\"event\": \"STOP\"}\n{\"event\": \"RESUME\"}\n");
	}
	if (str_eq(how, "sways")) { /* and never answers what it was told */
		char line[8192];

		behave();
		say("{\"event\": \"STOP\"}\n");
		if (read(MONITOR_FD_QMP, line, sizeof(line)) <= 0)
			return 0;
		for (unsigned i = 0; i < 20; i++)
			say("{\"event\": \"RESUME\"}\n{\"event\": \"STOP\"}\n");
		(void)pause();
	}
	if (str_eq(how,
		   "pauses")) { /* an honest one that is told to stop, then to go on, as often as one likes */
		behave();
		answer("{}"); /* the press of its button */
		for (;;) {
			answer_after("{\"event\": \"STOP\"}\n", "{}");
			answer_after("{\"event\": \"RESUME\"}\n", "{}");
		}
	}
	if (str_eq(how, "power-off")) { /* an honest one, at the press of its button */
		behave();
		answer("{}");
		say("{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true, \"reason\": "
		    "\"guest-shutdown\"}}\n");
		return 0;
	}
	if (str_eq(how, "dies")) { /* its guest does, at once */
		behave();
		say("{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true, \"reason\": "
		    "\"guest-reset\"}}\n");
		return 0;
	}
	if (str_eq(how, "slow")) /* to come up itself, then as the next one */
		(void)sleep(2);
	if (str_eq(how, "awake") ||
	    str_eq(how, "slow")) { /* its guest shows itself, and that is all */
		behave();
		say("{\"event\": \"VSERPORT_CHANGE\", \"data\": {\"id\": \"vchan\", \"open\": "
		    "true}}\n");
		for (;;)
			answer("{}");
	}
	if (str_eq(how,
		   "full")) { /* an honest one, where its disk has no room the first two times */
		static const char full[] =
			"{\"event\": \"BLOCK_IO_ERROR\", \"data\": {\"device\": \"\", \"nospace\": "
			"true, \"node-name\": \"disk-private\", \"reason\": \"No space left on "
			"device\", \"operation\": \"write\", \"action\": \"stop\"}}\n"
			"{\"event\": \"STOP\"}\n";

		behave();
		say(full);
		answer("{}"); /* stop, which it has */
		answer_after("{\"event\": \"RESUME\"}\n", "{}");
		say(full);
		answer_after("{\"event\": \"RESUME\"}\n", "{}");
		for (;;)
			answer_after("{\"event\": \"STOP\"}\n", "{}");
	}
	if (str_eq(how, "deaf")) { /* says yes to all, and does nothing */
		behave();
		for (;;)
			answer("{}");
	}
	if (str_eq(how,
		   "memory")) { /* more than there is, and more often than anybody wants to know */
		behave();
		for (unsigned i = 0; i < 2000; i++)
			say("{\"event\": \"MEMORY_DEVICE_SIZE_CHANGE\", \"data\": {\"size\": "
			    "9223372036854775808}}\n");
		for (;;)
			answer("{\"stats\": {\"stat-available-memory\": 18446744073709551614, "
			       "\"stat-swap-out\": 18446744073709551614}}");
	}
	if (str_eq(how, "late")) { /* its guest has not spoken since it got more */
		static const char stats[] =
			"{\"stats\": {\"stat-available-memory\": 62914560, "
			"\"stat-total-memory\": 104857600, \"stat-swap-out\": 0}}";

		behave();
		answer(stats);
		say("{\"event\": \"MEMORY_DEVICE_SIZE_CHANGE\", \"data\": {\"size\": "
		    "134217728}}\n");
		for (;;)
			answer(stats);
	}
	if (str_eq(how, "greetings"))
		say(GREETING GREETING);
	if (str_eq(how, "answers"))
		say("{\"return\": {}, \"id\": 77}\n");
	if (str_eq(how, "early"))
		say(GREETING "{\"return\": {}, \"id\": 2}\n");
	if (str_eq(how, "refuses")) {
		say(GREETING
		    "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}, \"id\": 1}\n");
	}
	if (str_eq(how, "words")) {
		(void)fprintf(stderr, "qemu-system-x86_64: no \x1b[31m way\nmore\n");
		return 1;
	}
	if (str_eq(how, "crash"))
		abort();
	if (str_eq(how, "escape")) { /* what a taken-over QEMU would try first */
		int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);

		if (fd >= 0)
			say("{\"escaped\": 1}\n");
		if (socket(AF_INET, SOCK_STREAM, 0) >= 0)
			say("{\"escaped\": 2}\n");
		if (open("/tmp", O_RDONLY | O_CLOEXEC) >= 0 ||
		    creat("/tmp/monitor-hostile", 0600) >= 0)
			say("{\"escaped\": 3}\n");
		if (geteuid() == 0)
			say("{\"escaped\": 4}\n");
		escape_to_others();
		(void)fputs("held\n", stderr);
		return 1;
	}
	if (str_eq(how, "console")) {
		behave();
		flood(MONITOR_FD_CONSOLE, "the \x1b[31mquick\xc2\x9b brown fox\n");
	}
	(void)pause();
	return 0;
}
