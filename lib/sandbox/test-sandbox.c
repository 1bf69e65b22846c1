/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Each row runs in a child of its own, behind the walls: what lives, what dies, and of what. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "sandbox/aside.h"
#include "sandbox/sandbox.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>

static int pair[2], epoll_fd, dir_fd, large_fd;

/* ---- what is tried ------------------------------------------------------------------------- */

static void try_nothing(void)
{
}

static void try_bytes(void)
{
	char buf[8];
	struct iovec iov = {.iov_base = buf, .iov_len = sizeof(buf)};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	if (write(pair[0], "1", 1) != 1 || read(pair[1], buf, 8) != 1 ||
	    send(pair[0], "2", 1, MSG_NOSIGNAL) != 1 || recv(pair[1], buf, 8, 0) != 1 ||
	    sendmsg(pair[0], &m, 0) != 8 || recvmsg(pair[1], &m, 0) != 8 || close(pair[1]) < 0)
		_exit(90);
}

static void try_large_file(void)
{
	if (write(large_fd, "x", 1) != -1 || errno != EFBIG)
		_exit(90);
}

static void try_waiting(void)
{
	struct pollfd p = {.fd = pair[0], .events = POLLOUT};
	struct epoll_event e = {.events = EPOLLIN}, got;
	const struct itimerspec soon = {.it_value = {.tv_nsec = 1}};
	int t = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);

	if (poll(&p, 1, 0) != 1 || t < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, t, &e) < 0 ||
	    timerfd_settime(t, 0, &soon, NULL) < 0 || epoll_wait(epoll_fd, &got, 1, 1000) != 1)
		_exit(90);
}

static void try_memory(void)
{
	for (size_t n = 16; n < (8u << 20); n *= 4) {
		char *p = malloc(n), *q;

		if (!p)
			_exit(90);
		memset(p, 1, n);
		q = realloc(p, n * 2);
		if (!q)
			_exit(91);
		free(q);
	}
}

static void try_flags(void)
{
	int flags = fcntl(pair[0], F_GETFL);

	if (flags < 0 || fcntl(pair[0], F_SETFL, flags | O_NONBLOCK) < 0)
		_exit(90);
}

static void try_abort(void)
{
	abort();
}

static void try_open(void)
{
	(void)syscall(SYS_open, "/etc/passwd", O_RDONLY);
}

static void try_openat(void)
{
	(void)openat(dir_fd, "passwd", O_RDONLY);
}

static void try_openat2(void)
{
	(void)syscall(437, dir_fd, "passwd", NULL, 0);
}

static void try_execve(void)
{
	char *none[] = {NULL};

	(void)execve("/bin/true", none, none);
}

static void try_fork(void)
{
	if (fork() == 0)
		_exit(0);
}

static void try_socket(void)
{
	(void)socket(AF_INET, SOCK_STREAM, 0);
}

static void try_connect(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "/x"};

	(void)connect(pair[0], (struct sockaddr *)&a, sizeof(a));
}

static void try_ptrace(void)
{
	(void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static void try_kill(void)
{
	(void)kill(getppid(), 0);
}

static void try_signal_parent(void)
{
	(void)syscall(SYS_tgkill, 1, 1, 0);
}

static void try_mmap_exec(void)
{
	(void)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void try_mprotect_exec(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)mprotect(p, 4096, PROT_READ | PROT_EXEC);
}

static void try_dup(void)
{
	(void)fcntl(pair[0], F_DUPFD, 10);
}

static void try_ioctl(void)
{
	(void)syscall(SYS_ioctl, 0, 0x5412, "x"); /* TIOCSTI: typing into our terminal */
}

static void try_io_uring(void)
{
	(void)syscall(425, 8, NULL);
}

static void try_unshare(void)
{
	(void)unshare(CLONE_NEWUSER);
}

static void try_other_abi(void)
{
#ifdef __x86_64__
	/* x32: the same call under another number */
	(void)syscall(0x40000000 + SYS_open, "/etc/passwd", O_RDONLY);
#else
	(void)syscall(SYS_openat, dir_fd, "passwd", O_RDONLY);
#endif
}

/* ---- children ------------------------------------------------------------------------------- */

static int run_child(const struct sandbox *s, void (*try)(void), unsigned *ret_missing)
{
	int status, told[2];
	unsigned missing = 0;
	pid_t pid;

	assert_int_equal(pipe(told), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)signal(SIGABRT, SIG_DFL); /* cmocka catches it */
		if (sandbox_enter(s, &missing) < 0)
			_exit(99);
		(void)!write(told[1], &missing, sizeof(missing));
		try();
		_exit(0);
	}
	(void)close(told[1]);
	if (read(told[0], &missing, sizeof(missing)) == sizeof(missing) && ret_missing)
		*ret_missing = missing;
	(void)close(told[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void what_lives_and_what_dies(void **state)
{
	static const struct {
		const char *what;
		void (*try)(void);
		int end; /* exit status, or minus the signal */
	} rows[] = {
		{"nothing", try_nothing, 0},
		{"bytes", try_bytes, 0},
		{"a file that is too large", try_large_file, 0},
		{"waiting", try_waiting, 0},
		{"memory", try_memory, 0},
		{"flags", try_flags, 0},
		{"abort", try_abort, -SIGABRT},
		{"open", try_open, -SIGSYS},
		{"openat", try_openat, -SIGSYS},
		{"openat2", try_openat2, -SIGSYS},
		{"execve", try_execve, -SIGSYS},
		{"fork", try_fork, -SIGSYS},
		{"socket", try_socket, -SIGSYS},
		{"connect", try_connect, -SIGSYS},
		{"ptrace", try_ptrace, -SIGSYS},
		{"kill", try_kill, -SIGSYS},
		{"tgkill of another", try_signal_parent, -SIGSYS},
		{"executable mmap", try_mmap_exec, -SIGSYS},
		{"executable mprotect", try_mprotect_exec, -SIGSYS},
		{"dup", try_dup, -SIGSYS},
		{"ioctl", try_ioctl, -SIGSYS},
		{"io_uring", try_io_uring, -SIGSYS},
		{"unshare", try_unshare, -SIGSYS},
		{"another ABI's number", try_other_abi, -SIGSYS},
	};
	const struct sandbox s = {.max_fds = 64, .max_memory = 256u << 20};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int end = run_child(&s, rows[i].try, NULL);

		if (end != rows[i].end)
			fail_msg("%s: ended with %d, not %d", rows[i].what, end, rows[i].end);
	}
}

static void rows_of_the_program_are_added(void **state)
{
	static const struct sandbox_call calls[] = {
		{"socket", 0, UINT32_MAX, AF_INET}, /* try_socket */
		{"no_such_call_on_any_machine"},    /* passed over */
	};
	const struct sandbox s = {.calls = calls, .n_calls = ARRAY_LEN(calls)};

	(void)state;
	assert_int_equal(run_child(&s, try_socket, NULL), 0);
	assert_int_equal(run_child(&s, try_connect, NULL), -SIGSYS);
}

/* ---- the walls behind seccomp: opened by a row, so that the next wall shows --------------------
 */

static const struct sandbox_call opener[] = {
	{"openat"},    /* the tests below */
	{"open"},      /* same */
	{"getuid"},    /* same */
	{"geteuid"},   /* same */
	{"getgroups"}, /* same */
	{"prctl"},     /* same */
	{"getrlimit"}, /* same */
	{"prlimit64"}, /* same */
	{"getppid"},   /* same */
};

static void try_passwd(void)
{
	_exit(open("/etc/passwd", O_RDONLY) >= 0 ? 0
	      : errno == EACCES                  ? 1
	      : errno == ENOENT                  ? 2
						 : 3);
}

static void try_passwd_by_folder(void)
{
	_exit(openat(dir_fd, "passwd", O_RDONLY) >= 0 ? 0 : errno == EACCES ? 1 : 3);
}

static void files_are_out_of_reach(void **state)
{
	static const char *const etc[] = {"/etc", NULL};
	struct sandbox s = {.calls = opener, .n_calls = ARRAY_LEN(opener)};
	unsigned missing = 0;
	int end;

	(void)state;
	end = run_child(&s, try_passwd, &missing);
	if (!(missing & SANDBOX_NO_NAMESPACES))
		assert_int_equal(end, 2); /* there is no such file in an empty root */
	else if (!(missing & SANDBOX_NO_LANDLOCK))
		assert_int_equal(end, 1);
	end = run_child(&s, try_passwd_by_folder, &missing);
	if (!(missing & SANDBOX_NO_LANDLOCK))
		assert_int_equal(end, 1); /* a folder left open leads nowhere */
	s.read_paths = etc;
	assert_int_equal(run_child(&s, try_passwd, NULL), 0);
}

static void try_state(void)
{
	struct rlimit files, core;

	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		_exit(80);
	if (prctl(PR_GET_DUMPABLE) != 0)
		_exit(81);
	if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_max != 64)
		_exit(82);
	if (getrlimit(RLIMIT_CORE, &core) < 0 || core.rlim_max != 0)
		_exit(83);
}

static void the_process_is_marked(void **state)
{
	const struct sandbox s = {.calls = opener, .n_calls = ARRAY_LEN(opener), .max_fds = 64};

	(void)state;
	assert_int_equal(run_child(&s, try_state, NULL), 0);
}

static void try_ids(void)
{
	int signal_nr = 0;

	if (getuid() != 0x70000007 || geteuid() != 0x70000007 || getgroups(0, NULL) != 0)
		_exit(85);
	if (prctl(PR_GET_PDEATHSIG, &signal_nr) < 0 || signal_nr != SIGKILL)
		_exit(86);
}

static void root_takes_an_id_of_its_own(void **state)
{
	const struct sandbox s = {.calls = opener,
				  .n_calls = ARRAY_LEN(opener),
				  .uid = 0x70000007,
				  .gid = 0x70000007};
	int signal_nr = 0;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(prctl(PR_GET_PDEATHSIG, &signal_nr), 0);
	pid_t pid = fork();
	if (pid == 0) {
		unsigned missing;

		/* as qube-monitor starts its children; a change of ids must not lose it */
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || sandbox_enter(&s, &missing) < 0)
			_exit(99);
		try_ids();
		_exit(0);
	}
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* 0: it lived, 1: it died of a signal */
static int as_nobody(const struct sandbox *s, void (*try)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (setgid(65534) < 0 || setuid(65534) < 0)
			_exit(98);
		/* what an ordinary user's process looks like; setuid() made it undumpable */
		(void)prctl(PR_SET_DUMPABLE, 1);
		_exit(run_child(s, try, NULL) < 0 ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void an_ordinary_user_is_walled_in_too(void **state)
{
	struct sandbox s = {0};

	(void)state;
	if (geteuid() != 0)
		skip(); /* then the rows above were this test */
	assert_int_equal(as_nobody(&s, try_bytes), 0);
	assert_int_equal(as_nobody(&s, try_openat), 1);
}

static void a_foreign_id_without_root_is_refused(void **state)
{
	const struct sandbox s = {.uid = 12345};
	unsigned missing;
	int status;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0) {
		if (geteuid() == 0 && setuid(65534) < 0)
			_exit(98);
		_exit(sandbox_enter(&s, &missing) == -EPERM ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* a machine that refuses user namespaces and has no Landlock: emulated by a filter of errors */
static void poor_machine(void)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);

	if (!ctx || seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(unshare), 0) < 0 ||
	    seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(landlock_create_ruleset), 0) <
		    0 ||
	    seccomp_load(ctx) < 0)
		_exit(97);
	seccomp_release(ctx);
}

static void what_is_missing_is_told_and_seccomp_stands(void **state)
{
	for (int dies = 0; dies < 2; dies++) {
		int status;
		pid_t pid = fork();

		(void)state;
		assert_true(pid >= 0);
		if (pid == 0) {
			const struct sandbox s = {.max_fds = 64};
			unsigned missing = 0;

			poor_machine();
			if (sandbox_enter(&s, &missing) < 0)
				_exit(99);
			if (missing != (SANDBOX_NO_NAMESPACES | SANDBOX_NO_LANDLOCK))
				_exit(96);
			if (dies)
				try_openat();
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (dies)
			assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
		else
			assert_int_equal(status, 0);
	}
}

static void who_starts_others_gives_up_what_no_child_needs(void **state)
{
	char *const argv[] = {(char *)"true", NULL};
	int status;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0) {
		if (sandbox_give_up() < 0)
			_exit(99);
		if (socket(AF_INET, SOCK_STREAM, 0) >= 0 || errno != EAFNOSUPPORT)
			_exit(91);
		if (syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0) >= 0 || errno != EPERM)
			_exit(92);
		if (syscall(SYS_bpf, 0, NULL, 0) >= 0 || errno != EPERM)
			_exit(93);
		if (socket(AF_UNIX, SOCK_STREAM, 0) < 0 ||
		    prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
			_exit(94);
		(void)execv("/bin/true", argv);
		_exit(95);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static int open_things(void **state)
{
	(void)state;
	dir_fd = open("/etc", O_PATH | O_DIRECTORY);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	large_fd = memfd_create("log", MFD_CLOEXEC);
	if (lseek(large_fd, SANDBOX_FILE_MAX, SEEK_SET) < 0)
		return -1;
	return dir_fd < 0 || epoll_fd < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0;
}

static int relay_without_a_service(void)
{
	return sandbox_relay(0);
}

static int relay_of_a_service(void)
{
	return sandbox_relay(2);
}

static void who_relays_a_call_does_nothing_else(void **state)
{
	static const char *const may[] = {"newfstatat", "fstat", "waitid", NULL};

	(void)state;
	aside_assert_list(relay_without_a_service, may);
	aside_assert_list(relay_of_a_service, may); /* kill: of one group alone */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_relays_a_call_does_nothing_else),
		cmocka_unit_test(what_lives_and_what_dies),
		cmocka_unit_test(rows_of_the_program_are_added),
		cmocka_unit_test(files_are_out_of_reach),
		cmocka_unit_test(the_process_is_marked),
		cmocka_unit_test(root_takes_an_id_of_its_own),
		cmocka_unit_test(an_ordinary_user_is_walled_in_too),
		cmocka_unit_test(a_foreign_id_without_root_is_refused),
		cmocka_unit_test(what_is_missing_is_told_and_seccomp_stands),
		cmocka_unit_test(who_starts_others_gives_up_what_no_child_needs),
	};

	return cmocka_run_group_tests(tests, open_things, NULL);
}
