/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The list is tried as the kernel gets it: what confine() builds is caught on its way there (seccomp_load(), which stands
 * here instead of libseccomp's), and each call is made in a child that has this list and no other wall. So a call that
 * lives does so for the list alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "sandbox/aside.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

static void try_nothing(void)
{
}

static void try_open(void)
{
	(void)open("/etc/passwd", O_RDONLY);
}

static void try_connect(void)
{
	const struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "/run/qubesd.sock"};

	(void)connect(0, (const struct sockaddr *)&a, sizeof(a));
}

static void try_socket(void)
{
	(void)socket(AF_UNIX, SOCK_STREAM, 0);
}

static void try_exec(void)
{
	(void)execl("/bin/sh", "sh", (char *)NULL);
}

static void try_unlink(void)
{
	(void)unlink("/tmp/qubesdb-test-none");
}

/* minus the signal that ended it, or its exit status */
static int run_child(int (*confine)(void), void (*try)(void))
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return 98;
	if (pid == 0) {
		if (confine() < 0)
			_exit(99);
		try();
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid)
		return 97;
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static const char *check(int (*confine)(void))
{
	static const struct {
		const char *what;
		void (*try)(void);
		int end;
	} rows[] = {
		{"standing still", try_nothing, 0}, {"open", try_open, -SIGSYS},
		{"connect", try_connect, -SIGSYS},  {"socket", try_socket, -SIGSYS},
		{"exec", try_exec, -SIGSYS},        {"unlink", try_unlink, -SIGSYS},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (run_child(confine, rows[i].try) != rows[i].end)
			return rows[i].what;
	return NULL;
}

/* ---- every call ---------------------------------------------------------------------------- */

/* CALLS_END - behind the last number of a call: the kernel has less than 500 by now */
#define CALLS_END 1024

/* what every confined program may do, whatever the arguments */
static const char *const base[] = {
	"read",
	"readv",
	"write",
	"writev",
	"recvfrom",
	"sendto",
	"recvmsg",
	"sendmsg",
	"shutdown",
	"close",
	"poll",
	"ppoll",
	"epoll_ctl",
	"epoll_wait",
	"epoll_pwait",
	"epoll_pwait2",
	"timerfd_create",
	"timerfd_settime",
	"clock_gettime",
	"gettimeofday",
	"time",
	"restart_syscall",
	"brk",
	"mremap",
	"munmap",
	"madvise",
	"getrandom",
	"futex",
	"rt_sigreturn",
	"rt_sigprocmask",
	"rt_sigaction",
	"getpid",
	"gettid",
	"exit",
	"exit_group",
	NULL,
};

static int caught_fd = NO_FD; /* while the list is to be caught: where it goes */

static int list_install(int fd)
{
	struct sock_fprog p = {0};
	struct stat st;
	void *map;

	if (fstat(fd, &st) < 0)
		return -errno;
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	p.filter = map;
	p.len = (unsigned short)((size_t)st.st_size / sizeof(struct sock_filter));
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
			       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p) < 0
		       ? -errno
		       : 0;
}

/* libseccomp's own does the same, but for the copy */
int seccomp_load(const scmp_filter_ctx ctx) // NOLINT(misc-misplaced-const): as it is declared
{
	int fd = caught_fd >= 0 ? caught_fd : memfd_create("list", MFD_CLOEXEC);
	int r = fd < 0 ? -errno : seccomp_export_bpf(ctx, fd);

	return r < 0 ? r : list_install(fd);
}

static bool is_one_of(const char *const *names, int nr)
{
	for (; *names; names++)
		if (seccomp_syscall_resolve_name(*names) == nr)
			return true;
	return false;
}

/* confine() in a child, which leaves us its list; 0 or -1 */
static int list_catch(int (*confine)(void), int fd)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		caught_fd = fd;
		_exit(confine() < 0 ? 1 : 0);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -1;
}

/* as a program that is no test: without the test library's handlers */
static void signals_reset(void)
{
	static const int signals[] = {SIGSYS, SIGSEGV, SIGILL, SIGBUS, SIGFPE};

	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		if (signal(signals[i], SIG_DFL) == SIG_ERR)
			_exit(99);
}

static bool is_end(int status)
{
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

/* what the kernel lets past every list: the calls of its own probes, uretprobe and uprobe, for nobody else of any use */
static bool is_past_lists(int nr)
{
#ifdef __x86_64__
	return nr == 335 || nr == 336;
#else
	(void)nr;
	return false;
#endif
}

/* 1: it ended by the list; 0: it did not; -1: it could not be tried */
static int ends_at(int list_fd, long nr)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		signals_reset();
		(void)alarm(10);
		if (list_install(list_fd) < 0)
			_exit(99);
		(void)syscall(nr, -1L, -1L, -1L, -1L, -1L, -1L);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 99)
		return -1;
	return is_end(status);
}

static const char *call_name(int nr)
{
	static char text[64];
	char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, nr);

	(void)snprintf(text, sizeof(text), "%s (%d)", name ? name : "a call without a name", nr);
	free(name);
	return text;
}

/* the same call by the numbers of another architecture, which this processor has too */
static bool others_end(int list_fd)
{
#ifdef __x86_64__
	int status;
	pid_t pid;

	if (ends_at(list_fd, 0x40000000L | SYS_getpid) != 1) /* x32 */
		return false;
	pid = fork();
	if (pid == 0) {
		long nr = 20; /* i386: getpid */

		signals_reset();
		if (list_install(list_fd) < 0)
			_exit(99);
		__asm__ volatile("int $0x80" : "+a"(nr) : : "memory", "r8", "r9", "r10", "r11");
		_exit(0);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && is_end(status);
#else
	(void)list_fd;
	return true;
#endif
}

static const char *check_all(int (*confine)(void), const char *const *may)
{
	AUTO_CLOSE int fd = memfd_create("list", MFD_CLOEXEC);

	if (fd < 0 || list_catch(confine, fd) < 0)
		return "its walls do not stand";
	for (int nr = 0; nr < CALLS_END; nr++) {
		bool lives = is_one_of(base, nr) || is_one_of(may, nr);

		if (!is_past_lists(nr) && ends_at(fd, nr) != !lives)
			return call_name(nr);
	}
	return others_end(fd) ? NULL : "calls of another architecture";
}

void aside_assert_list(int (*confine)(void), const char *const *may)
{
	const char *failed = check_all(confine, may);

	if (failed)
		fail_msg("%s", failed);
}

void aside_assert(int (*confine)(void), const char *const *may)
{
	const char *failed = check(confine);

	if (failed)
		fail_msg("%s", failed);
	aside_assert_list(confine, may);
}
