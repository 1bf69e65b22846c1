/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What stays beside a call: the process that was started, while its child is the call. It asks the person on the terminal
 * (terminal.c), and with -k kills the qube when the call is over. It reads nothing of the call, and ends as the call does.
 */
#include "qrexec-client.h"

#include "base/log.h"
#include "client/client.h"
#include "qrexec/caller.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static void qube_kill(const char *qube)
{
	AUTO(client_answer_done) struct client_answer a = {0};
	int r = client_call(NULL, "admin.vm.Kill", qube, NULL, NULL, 0, NO_FD, &a);

	if (r == CLIENT_E_EXCEPTION)
		complain("%s cannot be killed: %s", qube, a.data);
	else if (r != 0)
		complain("%s cannot be killed: %s", qube,
			 r < 0 ? log_errno_str(r) : "qubesd gave no answer");
}

/* the keys of the terminal are the call's; what else would end us ends it */
static int signals_open(sigset_t *ret_old, int *ret_fd)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, ret_old) < 0)
		return fail_errno();
	*ret_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return *ret_fd < 0 ? fail_errno() : 0;
}

static int call_fork(const sigset_t *old, struct terminal *t, pid_t *ret_pid)
{
	const pid_t self = getpid();
	pid_t pid = fork();

	if (pid < 0)
		return fail_errno();
	if (pid > 0) {
		*ret_pid = pid;
		return signal(SIGINT, SIG_IGN) == SIG_ERR || signal(SIGQUIT, SIG_IGN) == SIG_ERR
			       ? fail_errno()
			       : 0;
	}
	terminal_leave(t);
	if (sigprocmask(SIG_SETMASK, old, NULL) < 0 || prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 ||
	    getppid() != self)
		_exit(QREXEC_EXIT_PROBLEM);
	*ret_pid = 0;
	return 0;
}

static int serve(struct terminal *t, pid_t call, int signal_fd)
{
	const int pidfd = (int)syscall(SYS_pidfd_open, call, 0);
	struct signalfd_siginfo info;
	int status = 0;

	while (pidfd >= 0) {
		struct pollfd p[3] = {{.fd = pidfd, .events = POLLIN},
				      {.fd = signal_fd, .events = POLLIN},
				      terminal_poll(t)};

		if (poll(p, ARRAY_LEN(p), terminal_timeout_ms(t)) < 0 && errno != EINTR)
			break;
		while (read(signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
			(void)kill(call, (int)info.ssi_signo);
		if (p[0].revents)
			break;
		terminal_turn(t, p[2].revents, call, signal_fd);
	}
	while (waitpid(call, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

/* as the call ended, so that a shell sees the same of us */
static int end_as(int status)
{
	sigset_t none;

	if (!WIFSIGNALED(status))
		return WEXITSTATUS(status);
	(void)sigemptyset(&none);
	if (signal(WTERMSIG(status), SIG_DFL) != SIG_ERR &&
	    sigprocmask(SIG_SETMASK, &none, NULL) == 0)
		(void)raise(WTERMSIG(status));
	return QREXEC_EXIT_SIGNAL + WTERMSIG(status);
}

int supervise(const struct options *o, const char *run_dir)
{
	struct terminal t = {
		.tty_fd = NO_FD, .listen_fd = NO_FD, .lock_fd = NO_FD, .asker_fd = NO_FD};
	int signal_fd = NO_FD, status, r;
	sigset_t old;
	pid_t call;

	if (!(run_dir && terminal_open(&t, o, run_dir)) && !o->kill)
		return SUPERVISED;
	r = signals_open(&old, &signal_fd);
	if (r == 0)
		r = call_fork(&old, &t, &call);
	if (r < 0) {
		terminal_close(&t);
		complain("cannot start a process: %s", log_errno_str(r));
		return QREXEC_EXIT_PROBLEM;
	}
	if (call == 0) {
		(void)close(signal_fd);
		return SUPERVISED;
	}
	status = serve(&t, call, signal_fd);
	terminal_close(&t);
	if (o->kill)
		qube_kill(o->qube);
	return end_as(status);
}
