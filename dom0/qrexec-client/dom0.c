/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Services of dom0. Called from dom0 they have our streams themselves; for a qube that called one (-c) we are the
 * service's side of the channel, as the broker is (dom0/qrexec-broker).
 *
 * A command is what EXEC_CMDLINE says without the user: dom0 has but one.
 */
#include "qrexec-client.h"

#include "base/log.h"
#include "base/str.h"
#include "qrexec/call.h"
#include "qrexec/caller.h"
#include "qrexec/command.h"
#include "qrexec/peer.h"
#include "sandbox/sandbox.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

/** ANSWER_MS - how long it is waited for an answer that says nothing new */
#define ANSWER_MS 2000

bool is_dom0(const char *qube)
{
	return str_eq(qube, "dom0") || str_eq(qube, "@adminvm");
}

/* "DEFAULT:" and the command, which names its target if it is a service; NULL: said why */
static char *command_make(const struct options *o)
{
	AUTO(qrexec_command_done) struct qrexec_command c = {0};
	char *text;

	if (asprintf(&text, CALL_USER_DEFAULT ":%s", o->command) < 0)
		return NULL;
	if (qrexec_command_parse(text, &c) == 0 && (!c.service || c.target[0] != '\0'))
		return text;
	complain(
		"a service of dom0 is called as \"QUBESRPC SERVICE[+ARGUMENT] SOURCE name|keyword TARGET\"");
	free(text);
	return NULL;
}

/* ---- for ourselves ------------------------------------------------------------------------- */

/* a local command on the other end of both of the service's streams; @fds: the service's */
static int local_start(const char *command, int fds[2])
{
	int in[2], out[2];
	pid_t pid;

	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
		return fail_errno();
	pid = fork();
	if (pid < 0)
		return fail_errno();
	if (pid == 0) {
		if (dup2(out[0], STDIN_FILENO) < 0 || dup2(in[1], STDOUT_FILENO) < 0)
			_exit(QREXEC_EXIT_PROBLEM);
		(void)execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(QREXEC_EXIT_PROBLEM);
	}
	(void)close(in[1]);
	(void)close(out[0]);
	fds[0] = in[0];
	fds[1] = out[1];
	return 0;
}

static int code_of(int status)
{
	return WIFSIGNALED(status) ? QREXEC_EXIT_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}

int dom0_run(const struct options *o)
{
	AUTO_FREE char *command = command_make(o);
	int fds[3] = {STDIN_FILENO, o->stdin_socket ? STDIN_FILENO : STDOUT_FILENO, STDERR_FILENO};
	int r = 0, status;
	unsigned code;
	pid_t pid;

	if (!command)
		return QREXEC_EXIT_PROBLEM;
	if (o->just_exec) {
		fds[0] = fds[1] = fds[2] = open("/dev/null", O_RDWR | O_CLOEXEC);
		r = fds[0] < 0 ? fail_errno() : 0;
	} else if (o->local) {
		r = local_start(o->local, fds);
	}
	/* to make its input its output as well, which it is for us already if it can be */
	if (signal(SIGUSR1, SIG_IGN) == SIG_ERR)
		r = fail_errno();
	if (r == 0)
		r = call_start_here(command, fds, !o->just_exec, &pid, &code);
	if (r < 0) {
		complain("dom0: %s", log_errno_str(r));
		return QREXEC_EXIT_PROBLEM;
	}
	if (r > 0)
		return (int)code;
	if (o->just_exec)
		return 0;
	/* what the local command waits for ends with the service */
	if (o->local) {
		(void)close(fds[0]);
		(void)close(fds[1]);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return QREXEC_EXIT_PROBLEM;
	while (o->local && wait(NULL) > 0)
		;
	return o->no_code ? 0 : code_of(status);
}

/* ---- for a qube ---------------------------------------------------------------------------- */

int dom0_serve(const struct options *o, const char *dir, const char *vchan_dir)
{
	AUTO_FREE char *command = command_make(o);
	struct call_request q = {.vchan_dir = vchan_dir,
				 .own = 0,
				 .as_we_are = true,
				 .keep_errors = true,
				 .confine = sandbox_relay,
				 .command = command};
	struct qrexec_msg m = {.type = QREXEC_SERVICE_CONNECT};
	struct qrexec_peer *daemon = NULL;
	char path[UNIX_PATH_MAX + 1];
	uint32_t domid = 0;
	int r;

	if (!command)
		return QREXEC_EXIT_PROBLEM;
	memcpy(m.ident, o->caller.ident, sizeof(m.ident));
	r = daemon_connect(dir, o->caller.name, path, &daemon);
	if (r == 0)
		r = daemon_request(daemon, o->caller.name, path, &m, &domid, &q.port);
	if (r < 0) {
		qrexec_peer_free(daemon);
		return QREXEC_EXIT_PROBLEM;
	}
	q.domid = domid;
	/* the daemon closes it when the call is over, also one that never began */
	q.cancel_fd = qrexec_peer_fd(daemon);
	call_main(&q);
}

int callers_connect(const struct options *o, const char *dir)
{
	struct qrexec_msg m = {.type = o->just_exec ? QREXEC_JUST_EXEC : QREXEC_EXEC_CMDLINE,
			       .domid = o->caller.domid,
			       .command = o->command,
			       .command_len = strlen(o->command)};
	struct qrexec_peer *callee = NULL, *caller = NULL;
	char path[UNIX_PATH_MAX + 1];
	struct qrexec_msg answer;
	int r;

	r = daemon_connect(dir, o->qube, path, &callee);
	if (r == 0)
		r = daemon_request(callee, o->qube, path, &m, &m.domid, &m.port);
	if (r == 0)
		r = daemon_connect(dir, o->caller.name, path, &caller);
	if (r == 0)
		r = daemon_wait(caller, DAEMON_MS, &answer);
	if (r == 0) {
		m.type = QREXEC_SERVICE_CONNECT;
		m.command = NULL;
		memcpy(m.ident, o->caller.ident, sizeof(m.ident));
		r = qrexec_peer_send(caller, &m);
	}
	/* a client that has left is not served: its answer is a reason to stay */
	if (r == 0)
		(void)!daemon_wait(caller, ANSWER_MS, &answer);
	qrexec_peer_free(callee);
	qrexec_peer_free(caller);
	return r == 0 ? 0 : QREXEC_EXIT_PROBLEM;
}
