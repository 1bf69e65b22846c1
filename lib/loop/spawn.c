/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "loop/spawn.h"

#include "base/io.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

extern char **environ;

/* Dispositions and the mask survive an exec: a child must not inherit our ignored SIGPIPE. */
static int reset_signals(void)
{
	const struct sigaction dfl = {.sa_handler = SIG_DFL};
	sigset_t none;

	for (int sig = 1; sig < _NSIG; sig++)
		if (sigaction(sig, &dfl, NULL) < 0 && errno != EINVAL)
			return fail_errno();
	(void)sigemptyset(&none);
	return sigprocmask(SIG_SETMASK, &none, NULL) < 0 ? fail_errno() : 0;
}

/* Everything mapped goes first to numbers above all targets, so that no dup2() hits a source. */
static int place_fds(const struct spawn *s, int *report_fd)
{
	int high[SPAWN_MAX_FDS], null, base = 3;
	bool has_stdin = false, has_stdout = false;

	for (unsigned i = 0; i < s->n_fds; i++) {
		base = s->fds[i].to >= base ? s->fds[i].to + 1 : base;
		has_stdin |= s->fds[i].to == STDIN_FILENO;
		has_stdout |= s->fds[i].to == STDOUT_FILENO;
	}
	*report_fd = fcntl(*report_fd, F_DUPFD_CLOEXEC, base);
	if (*report_fd < 0)
		return fail_errno();
	for (unsigned i = 0; i < s->n_fds; i++) {
		high[i] = fcntl(s->fds[i].from, F_DUPFD_CLOEXEC, base);
		if (high[i] < 0)
			return fail_errno();
	}
	if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		return fail_errno();
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return fail_errno();
	null = fcntl(null, F_DUPFD_CLOEXEC, base);
	if (null < 0 || (!has_stdin && dup2(null, STDIN_FILENO) < 0) ||
	    (!has_stdout && dup2(null, STDOUT_FILENO) < 0))
		return fail_errno();
	for (unsigned i = 0; i < s->n_fds; i++)
		if (dup2(high[i], s->fds[i].to) < 0)
			return fail_errno();
	return 0;
}

static int become(const struct spawn *s)
{
	if (s->gid != 0 && (setgroups(0, NULL) < 0 || setresgid(s->gid, s->gid, s->gid) < 0))
		return fail_errno();
	if (s->uid != 0 && setresuid(s->uid, s->uid, s->uid) < 0)
		return fail_errno();
	return 0;
}

static int child_run(const struct spawn *s, pid_t parent, int *report_fd)
{
	int r = reset_signals();

	if (r < 0)
		return r;
	if (s->new_group && setpgid(0, 0) < 0)
		return fail_errno();
	if (s->new_session && setsid() < 0)
		return fail_errno();
	r = place_fds(s, report_fd);
	if (r < 0)
		return r;
	if (s->niceness != 0) {
		errno = 0;
		if (nice(s->niceness) == -1 && errno != 0)
			return fail_errno();
	}
	if (s->prepare) {
		r = s->prepare(s->data);
		if (r < 0)
			return r;
	}
	r = become(s);
	if (r < 0)
		return r;
	if (s->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail_errno();
	/* after the change of ids, which clears it; then see whether the parent died before */
	if (s->death_signal != 0) {
		if (prctl(PR_SET_PDEATHSIG, s->death_signal, 0, 0, 0) < 0)
			return fail_errno();
		if (getppid() != parent)
			return -ESRCH;
	}
	(void)execve(s->path, s->argv, s->env ? s->env : environ);
	return fail_errno();
}

int spawn(const struct spawn *s, pid_t *ret_pid, int *ret_pidfd)
{
	AUTO_CLOSE int pidfd = NO_FD;
	AUTO_CLOSE int report = NO_FD;
	pid_t parent = getpid(), pid;
	sigset_t all, before;
	int pair[2], failed = 0, r;

	if (s->n_fds > SPAWN_MAX_FDS)
		return -EINVAL;
	if (pipe2(pair, O_CLOEXEC) < 0)
		return fail_errno();
	report = pair[0];
	/* no handler of ours may run in the child */
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_BLOCK, &all, &before);
	pid = fork();
	if (pid == 0) {
		failed = child_run(s, parent, &pair[1]);
		if (s->at_once)
			_exit(127);
		if (write(pair[1], &failed, sizeof(failed)) < 0)
			_exit(126);
		_exit(127);
	}
	r = pid < 0 ? fail_errno() : 0;
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	(void)close(pair[1]);
	if (r < 0)
		return r;
	pidfd = pidfd_open(pid, 0);
	r = pidfd < 0 ? fail_errno() : 0;
	if (r == 0 && !s->at_once) {
		r = io_read_full(report, &failed, sizeof(failed));
		r = r == 0 ? failed : r == -ENODATA ? 0 : r;
	}
	if (r < 0) {
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
		return r;
	}
	if (ret_pid)
		*ret_pid = pid;
	*ret_pidfd = take_fd(&pidfd);
	return 0;
}

int spawn_reap(int pidfd, struct child_end *ret)
{
	siginfo_t info = {0};

	while (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG) < 0)
		if (errno != EINTR)
			return fail_errno();
	if (info.si_pid == 0)
		return -EAGAIN;
	*ret = (struct child_end){0};
	if (info.si_code == CLD_EXITED)
		ret->code = info.si_status;
	else
		ret->signal = info.si_status;
	return 0;
}

int spawn_wait(int pidfd, int timeout_ms, struct child_end *ret)
{
	uint64_t end = io_now_ms() + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0);
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	for (;;) {
		uint64_t now = io_now_ms();
		int left = timeout_ms < 0 ? -1 : now < end ? (int)(end - now) : 0;
		int n = poll(&p, 1, left);

		if (n > 0)
			return spawn_reap(pidfd, ret);
		if (n == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return fail_errno();
	}
}

void spawn_signal(int pidfd, int sig)
{
	(void)pidfd_send_signal(pidfd, sig, NULL, 0);
}

const char *child_end_str(const struct child_end *end, char *to, size_t size)
{
	const char *name = end->signal != 0 ? sigdescr_np(end->signal) : NULL;

	if (end->signal != 0)
		(void)snprintf(to, size, "signal %d (%s)", end->signal, name ? name : "?");
	else
		(void)snprintf(to, size, "exit code %d", end->code);
	return to;
}
