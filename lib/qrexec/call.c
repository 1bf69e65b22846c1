/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process of a call. It becomes the command's user too, as soon as the command is started: what
 * it holds from then on is the channel and the command's pipes, and the command may signal it
 * (SIGUSR1 to QREXEC_AGENT_PID: stdin becomes bidirectional).
 *
 * The command is a session leader. When the caller goes away its pipes are closed and its process
 * group gets what a terminal that is hung up sends: SIGHUP and SIGCONT.
 */
#include "qrexec/call.h"

#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "proto/qrexec.h"
#include "qrexec/command.h"
#include "qrexec/login.h"
#include "qrexec/peer.h"
#include "qrexec/relay.h"
#include "qrexec/service.h"
#include "qrexec/socket.h"
#include "vchan/vchan.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

/** CONNECT_MS - how long the caller may take to become a vchan server */
#define CONNECT_MS 60000
/** HELLO_MS - and then to say HELLO */
#define HELLO_MS 60000
/** RETRY_MS - pause before another try */
#define RETRY_MS 20
/** LOOK_MS - how often it is looked whether the caller will still come */
#define LOOK_MS 250
/** WATCH_MS - how long an inotify instance is used to wait for one that may not, of the few that a user has; then it is
 * looked for every PAUSE_MS */
#define WATCH_MS 1000
#define PAUSE_MS 100

struct call {
	const struct call_request *q;
	struct qrexec_command command;
	struct service service;
	struct service_config config;
	struct login login;
	bool with_us; /* the command is hung up when we end */
	int outcome;  /* of finding out what to run: 0, or an exit code */
	char why[160];
};

/* ---- what to run --------------------------------------------------------------------------- */

static void refuse(struct call *c, int code, const char *what, const char *why)
{
	char quoted[64];

	c->outcome = code;
	(void)snprintf(c->why, sizeof(c->why), "qrexec: %s: %s\n",
		       log_quote(quoted, sizeof(quoted), what, strlen(what)), why);
}

static void service_look(struct call *c)
{
	int r = service_find(&c->command, &c->service);

	if (r == SERVICE_E_ABSENT) {
		/* 127 says it all, and nothing shall be on stderr */
		c->outcome = QREXEC_EXIT_NO_SERVICE;
		return;
	}
	if (r == 0)
		r = service_config_load(&c->command, &c->config);
	if (r != 0) {
		c->outcome = QREXEC_EXIT_PROBLEM;
		return;
	}
	/* nobody becomes a user to connect */
	if (c->service.kind != SERVICE_EXECUTABLE && c->config.force_user[0] != '\0')
		c->outcome = QREXEC_EXIT_PROBLEM;
}

/* who it is that runs it */
static void user_look(struct call *c)
{
	const char *user = c->config.force_user[0] != '\0' ? c->config.force_user : c->command.user;
	int r = LOGIN_E_OTHER;

	if (c->q->as_we_are) {
		r = login_self(&c->login);
		if (r != 0) {
			refuse(c, QREXEC_EXIT_PROBLEM, "our own user", login_outcome_str(r));
			return;
		}
		if (str_eq(user, CALL_USER_DEFAULT) || str_eq(user, c->login.name))
			return;
		login_done(&c->login);
	}
	r = login_find(user, &c->login);
	if (r != 0)
		refuse(c, QREXEC_EXIT_PROBLEM, user, login_outcome_str(r));
}

static void look(struct call *c)
{
	int r = qrexec_command_parse(c->q->command, &c->command);

	if (r != 0) {
		refuse(c, QREXEC_EXIT_PROBLEM, c->q->command,
		       r == COMMAND_E_USER ? "no user in the command" : "malformed call");
		return;
	}
	if (c->command.service)
		service_look(c);
	if (c->outcome == 0)
		user_look(c);
}

/* it is connected to instead of started */
static bool is_socket(const struct call *c)
{
	return c->command.service && c->service.kind != SERVICE_EXECUTABLE;
}

/* ---- the command's process ----------------------------------------------------------------- */

static void signals_reset(void)
{
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	for (int s = 1; s < NSIG; s++)
		(void)signal(s, SIG_DFL); // NOLINT(cert-err33-c): some cannot be changed
}

/* wait-for-session: qubes.WaitForSession is told the user and ends when their session is there; @become: we are not that
 * user yet */
static void session_wait(const struct login *l, bool become)
{
	struct qrexec_command c = {.service = (char *)"qubes.WaitForSession",
				   .full_name = (char *)"qubes.WaitForSession"};
	struct service s;
	int fds[2], status;
	pid_t pid;

	if (service_find(&c, &s) != 0 || s.kind != SERVICE_EXECUTABLE)
		return;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return;
	pid = fork();
	if (pid == 0) {
		if (dup2(fds[0], STDIN_FILENO) < 0 ||
		    (become && (login_ids(l) < 0 || login_environment(l) < 0)))
			_exit(QREXEC_EXIT_PROBLEM);
		signals_reset();
		(void)unsetenv("QREXEC_SERVICE_ARGUMENT");
		(void)execl(s.path, s.path, (char *)NULL);
		_exit(QREXEC_EXIT_PROBLEM);
	}
	(void)close(fds[0]);
	(void)signal(SIGPIPE, SIG_IGN); // NOLINT(cert-err33-c)
	(void)dprintf(fds[1], "%s\n", l->name);
	(void)close(fds[1]);
	(void)signal(SIGPIPE, SIG_DFL); // NOLINT(cert-err33-c)
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
}

/* what is executed, and its arguments */
struct program {
	const char *path;
	char arg0[NAME_MAX + 2];
	char *argv[4];
};

static void program_get(const struct call *c, struct program *p)
{
	*p = (struct program){0};
	if (!c->command.service) {
		p->path = login_shell(&c->login, p->arg0, sizeof(p->arg0));
		p->argv[0] = p->arg0;
		p->argv[1] = (char *)"-c";
		p->argv[2] = c->command.shell;
		return;
	}
	p->path = c->service.path;
	p->argv[0] = (char *)p->path;
	if (c->command.argument && c->command.argument[0] != '\0')
		p->argv[1] = (char *)c->command.argument;
}

/* be its user, with the environment that it is to have */
static int become(const struct call *c, pid_t relay)
{
	char number[16];
	int r = login_ids(&c->login);

	if (r == 0)
		r = login_environment(&c->login);
	if (r == 0 && c->command.service)
		r = service_setenv(&c->command);
	(void)snprintf(number, sizeof(number), "%d", (int)relay);
	if (r == 0 && setenv("QREXEC_AGENT_PID", number, 1) < 0)
		r = -ENOMEM;
	return r;
}

/* in the child: streams are 0, 1, 2 */
static NORETURN void command_exec(const struct call *c, pid_t relay)
{
	struct program p;
	int r;

	if (c->outcome != 0) {
		if (write(STDERR_FILENO, c->why, strlen(c->why)) < 0)
			_exit(QREXEC_EXIT_PROBLEM);
		_exit(c->outcome);
	}
	r = become(c, relay);
	/* who becomes another user loses it */
	if (c->with_us && (prctl(PR_SET_PDEATHSIG, SIGHUP) < 0 || getppid() != relay))
		_exit(QREXEC_EXIT_PROBLEM);
	if (r == 0 && c->config.wait_for_session && !c->command.nogui)
		session_wait(&c->login, false);
	program_get(c, &p);
	if (r == 0 && execv(p.path, p.argv) < 0)
		r = fail_errno();
	(void)dprintf(STDERR_FILENO, "qrexec: cannot start %s: %s\n", p.path, log_errno_str(r));
	_exit(QREXEC_EXIT_PROBLEM);
}

/* @fds become 0, 1, 2 of a new session */
static int command_fork(const struct call *c, const int fds[3], pid_t *ret_pid)
{
	const pid_t self = getpid();
	pid_t pid = fork();

	if (pid < 0)
		return fail_errno();
	if (pid == 0) {
		(void)setsid();
		signals_reset();
		for (int i = 0; i < 3; i++)
			if (dup2(fds[i], i) < 0)
				_exit(QREXEC_EXIT_PROBLEM);
		command_exec(c, self);
	}
	*ret_pid = pid;
	return 0;
}

static int spawn_with(const struct program *p, const int fds[3], const posix_spawnattr_t *attr,
		      pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	int r = posix_spawn_file_actions_init(&actions);

	if (r != 0)
		return -r;
	for (int i = 0; i < 3 && r == 0; i++)
		r = posix_spawn_file_actions_adddup2(&actions, fds[i], i);
	if (r == 0)
		r = posix_spawn(ret_pid, p->path, &actions, attr, p->argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	return -r;
}

/*
 * The same without a copy of our memory in between, which costs as much as many a service: we become the user first, and
 * nothing of ours runs in the new process.
 */
static int command_spawn(const struct call *c, const int fds[3], pid_t *ret_pid)
{
	posix_spawnattr_t attr;
	struct program p;
	sigset_t set;
	int r = become(c, getpid());

	if (r < 0)
		return r;
	r = posix_spawnattr_init(&attr);
	if (r != 0)
		return -r;
	(void)sigemptyset(&set);
	r = posix_spawnattr_setsigmask(&attr, &set);
	(void)sigfillset(&set);
	if (r == 0)
		r = posix_spawnattr_setsigdefault(&attr, &set);
	if (r == 0)
		r = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
							    POSIX_SPAWN_SETSID);
	program_get(c, &p);
	r = r == 0 ? spawn_with(&p, fds, &attr, ret_pid) : -r;
	(void)posix_spawnattr_destroy(&attr);
	return r;
}

/* ---- the call ------------------------------------------------------------------------------ */

static int signals_open(int *ret_fd)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	(void)sigaddset(&set, SIGUSR1);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return fail_errno();
	*ret_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return *ret_fd < 0 ? fail_errno() : 0;
}

/* both ends of the three streams; stdin is a socket so that it can be made bidirectional, the
 * others are pipes, its user's, so that /dev/stdout and /dev/stderr can be opened. Who is confined
 * cannot have a pipe's pump (qrexec/relay.h): a socket then. Our ends do not block */
static int streams_open(const struct call *c, int command[3], int own[3])
{
	const struct login *l = &c->login;
	int in[2], out[2], err[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) < 0 || pipe2(err, O_CLOEXEC) < 0)
		return fail_errno(); /* the process ends */
	if ((c->q->confine ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out)
			   : pipe2(out, O_CLOEXEC)) < 0)
		return fail_errno();
	if (io_set_nonblock(out[0], true) < 0 || io_set_nonblock(err[0], true) < 0)
		return fail_errno();
	if (l->change && (fchown(out[1], l->uid, l->gid) < 0 || fchown(err[1], l->uid, l->gid) < 0))
		return fail_errno();
	command[0] = in[1];
	command[1] = out[1];
	command[2] = err[1];
	own[0] = in[0];
	own[1] = out[0];
	own[2] = err[0];
	if (!c->q->keep_errors)
		return 0;
	close_fd(&own[2]);
	return dup3(STDERR_FILENO, command[2], O_CLOEXEC) < 0 ? fail_errno() : 0;
}

static int service_connect(struct call *c, int *ret_fd)
{
	int r;

	if (c->config.wait_for_session && !c->command.nogui)
		session_wait(&c->login, true);
	r = socket_open(&c->service, &c->command, !c->config.skip_service_descriptor, ret_fd);
	if (r != 0)
		log_warn(NULL, "%s: cannot connect to %s: %s", c->command.service, c->service.path,
			 r > 0 ? "it leads nowhere" : log_errno_str(r));
	return r;
}

static int run_socket(struct call *c, struct vchan *v, uint32_t version)
{
	struct relay_options o = {.role = RELAY_SERVICE,
				  .vchan = v,
				  .version = version,
				  .in = {NO_FD, NO_FD},
				  .signal_fd = NO_FD,
				  .socket = true,
				  .until_client_eof = c->config.exit_on_client_eof,
				  .until_service_eof = c->config.exit_on_service_eof};
	struct relay *relay = NULL;
	unsigned code;
	int r = service_connect(c, &o.in[0]);

	if (r != 0)
		return relay_code_send(v, true, QREXEC_EXIT_PROBLEM);
	o.out[0] = o.in[0];
	o.out[1] = NO_FD;
	if (!c->q->as_we_are)
		vchan_allow_rings(v);
	r = login_ids(&c->login);
	if (r == 0)
		r = relay_new(&o, &relay);
	if (r < 0)
		return r;
	(void)prctl(PR_SET_DUMPABLE, 0);
	r = c->q->confine ? c->q->confine(0) : 0;
	if (r == 0)
		r = relay_run(relay, &code);
	return r; /* the relay's memory ends with the process, at once */
}

/* Afterwards we are its user too, as far as it has one. */
static int command_start(struct call *c, const int fds[3], pid_t *ret_pid)
{
	int r;

	if (c->outcome == 0 && !c->config.wait_for_session) {
		r = command_spawn(c, fds, ret_pid);
		if (r == 0)
			return 0;
		refuse(c, QREXEC_EXIT_PROBLEM,
		       c->command.service ? c->service.path : c->login.shell, log_errno_str(r));
	}
	r = command_fork(c, fds, ret_pid);
	return r == 0 && c->outcome == 0 ? login_ids(&c->login) : r;
}

static int run(struct call *c, struct vchan *v, uint32_t version)
{
	struct relay_options o = {.role = RELAY_SERVICE, .vchan = v, .version = version};
	int command[3] = {NO_FD, NO_FD, NO_FD}, own[3] = {NO_FD, NO_FD, NO_FD}, r;
	struct relay *relay = NULL;
	unsigned code;

	if (c->outcome != 0 && c->why[0] == '\0')
		return relay_code_send(v, true, (unsigned)c->outcome);
	if (c->outcome == 0 && is_socket(c))
		return run_socket(c, v, version);
	/* while we are root: the memory is root's. Our user cannot look into this process, nor take its descriptors. */
	if (!c->q->as_we_are)
		vchan_allow_rings(v);
	r = signals_open(&o.signal_fd);
	if (r == 0)
		r = streams_open(c, command, own);
	if (r == 0)
		r = command_start(c, command, &o.pid);
	if (r < 0)
		return r;
	for (int i = 0; i < 3; i++)
		(void)close(command[i]);
	(void)prctl(PR_SET_DUMPABLE, 0);
	o.out[0] = own[0];
	o.out[1] = NO_FD;
	o.in[0] = own[1];
	o.in[1] = own[2];
	r = relay_new(&o, &relay);
	if (r < 0)
		return r;
	r = c->q->confine ? c->q->confine(o.pid) : 0;
	if (r == 0)
		r = relay_run(relay, &code);
	/* the relay's memory ends with the process, at once */
	if (r != 0) {
		/* its number is still its own: it has not been reaped */
		(void)kill(-o.pid, SIGHUP);
		(void)kill(-o.pid, SIGCONT);
	}
	return r;
}

static int run_detached(struct call *c, struct vchan *v)
{
	int null[3] = {NO_FD, NO_FD, NO_FD}, r;
	pid_t pid;

	if (c->outcome != 0)
		return relay_code_send(v, false, (unsigned)c->outcome);
	if (is_socket(c)) {
		AUTO_CLOSE int fd = NO_FD;

		r = service_connect(c, &fd);
		return relay_code_send(v, false, r == 0 ? 0 : QREXEC_EXIT_PROBLEM);
	}
	null[0] = null[1] = null[2] = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null[0] < 0)
		return fail_errno();
	r = command_fork(c, null, &pid);
	return r < 0 ? r : relay_code_send(v, false, 0);
}

/* within @wait_ms */
static bool is_cancelled(const struct call_request *q, int wait_ms)
{
	struct pollfd p = {.fd = q->cancel_fd, .events = POLLIN};

	return q->cancel_fd >= 0 && poll(&p, 1, wait_ms) > 0;
}

/*
 * A connection that ends before HELLO was not the caller's: between two calls on one port the path
 * may still lead to the last caller, when a proxy stands in between. So try again.
 */
static int caller_connect(const struct call_request *q, struct vchan **ret, uint32_t *ret_version)
{
	const uint64_t begin = io_now_ms(), until = begin + CONNECT_MS;

	for (uint64_t now = begin; now < until; now = io_now_ms()) {
		const bool watch = q->cancel_fd < 0 || now - begin < WATCH_MS;
		const unsigned wait_ms = q->cancel_fd < 0 ? (unsigned)(until - now) : LOOK_MS;
		struct vchan *v = NULL;
		int r = vchan_client_new(q->vchan_dir, q->own, q->domid, q->port,
					 watch ? wait_ms : 0, &v);

		if (!watch && (r == -ENOENT || r == -ECONNREFUSED || r == -EAGAIN))
			r = -ETIMEDOUT;
		if (is_cancelled(q, !watch && r == -ETIMEDOUT ? PAUSE_MS : 0)) {
			vchan_free(v);
			return -ECANCELED;
		}
		if (r == -ETIMEDOUT)
			continue;
		if (r < 0)
			return r;
		r = qrexec_handshake(v, QREXEC_CALLER_TO_SERVICE, HELLO_MS, ret_version);
		if (r == 0)
			*ret = v;
		else
			vchan_free(v);
		if (r != -ENODATA && r != -EPIPE)
			return r;
		(void)poll(NULL, 0, RETRY_MS);
	}
	return -ETIMEDOUT;
}

static int serve(const struct call_request *q)
{
	struct call c = {.q = q};
	struct vchan *v = NULL;
	uint32_t version = 0;
	int r;

	look(&c);
	r = caller_connect(q, &v, &version);
	if (r < 0) {
		if (!q->quiet)
			log_info(NULL, "port %u: the caller is not there (%s)", q->port,
				 log_errno_str(r));
		return r;
	}
	if (r == 0)
		r = q->just_exec ? run_detached(&c, v) : run(&c, v, version);
	vchan_free(v);
	qrexec_command_done(&c.command);
	login_done(&c.login);
	if (r < 0 && r != -ENODATA && r != -EPIPE && !q->quiet)
		log_warn(NULL, "port %u: call ended: %s", q->port, log_errno_str(r));
	return r;
}

/* ---- for who calls from here ---------------------------------------------------------------- */

/* the service's end: what stands between a channel and its socket. The caller's streams are not ours */
static NORETURN void socket_serve(struct call *c, int fd)
{
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int own = STDERR_FILENO + 1, r;
	struct vchan *v = NULL;

	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
	    dup2(fd, own) < 0 || close_range((unsigned)own + 1, ~0U, 0) < 0)
		_exit(EXIT_FAILURE);
	r = vchan_new_from_fd(&own, &v);
	if (r == 0)
		r = run_socket(c, v, QREXEC_VERSION);
	vchan_free(v);
	_exit(r == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

/* the caller's end: what stands between its streams and the channel */
static NORETURN void socket_call(const int fds[3], int fd)
{
	struct relay_options o = {.role = RELAY_CALLER,
				  .version = QREXEC_VERSION,
				  .in = {fds[0], NO_FD},
				  .out = {fds[1], NO_FD},
				  .signal_fd = NO_FD,
				  .shut_down = fds[0] == fds[1]};
	struct relay *relay = NULL;
	unsigned code = 0;
	int r;

	/* each is closed at its own end; a copy left open would keep who reads it waiting */
	if (o.shut_down)
		o.out[0] = fcntl(fds[1], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	r = o.out[0] < 0 ? fail_errno() : vchan_new_from_fd(&fd, &o.vchan);
	if (r == 0)
		r = relay_fd_own(o.in[0]);
	if (r == 0)
		r = relay_fd_own(o.out[0]);
	if (r == 0)
		r = relay_new(&o, &relay);
	if (r == 0)
		r = relay_run(relay, &code);
	if (r < 0)
		_exit(QREXEC_EXIT_PROBLEM);
	if (r == RELAY_E_LOCAL)
		_exit(QREXEC_EXIT_SIGNAL + SIGPIPE);
	_exit(r == 0 ? (int)code : QREXEC_EXIT_DROPPED);
}

/* one process for each end: what moves the streams is what a qube's caller has */
static int socket_fork(struct call *c, const int fds[3], pid_t *ret_pid)
{
	const pid_t self = getpid();
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return fail_errno();
	pid = fork();
	if (pid == 0) {
		(void)setsid();
		signals_reset();
		if (c->with_us && (prctl(PR_SET_PDEATHSIG, SIGHUP) < 0 || getppid() != self))
			_exit(QREXEC_EXIT_PROBLEM);
		pid = fork();
		if (pid == 0)
			socket_serve(c, pair[1]);
		(void)close(pair[1]);
		if (pid < 0)
			_exit(QREXEC_EXIT_PROBLEM);
		socket_call(fds, pair[0]);
	}
	(void)close(pair[0]);
	(void)close(pair[1]);
	if (pid < 0)
		return fail_errno();
	*ret_pid = pid;
	return 0;
}

int call_start_here(const char *command, const int fds[3], bool with_us, pid_t *ret_pid,
		    unsigned *ret_code)
{
	const struct call_request q = {.as_we_are = true, .cancel_fd = NO_FD, .command = command};
	struct call c = {.q = &q, .with_us = with_us};
	int r = 0;

	look(&c);
	if (c.outcome != 0) {
		(void)!write(fds[2], c.why, strlen(c.why));
		*ret_code = (unsigned)c.outcome;
		r = CALL_E_NONE;
	} else if (is_socket(&c)) {
		r = socket_fork(&c, fds, ret_pid);
	} else {
		r = command_fork(&c, fds, ret_pid);
	}
	qrexec_command_done(&c.command);
	login_done(&c.login);
	return r;
}

void call_main(const struct call_request *q)
{
	sigset_t none;
	int r;

	/* the agent's own signals end us as they should */
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	r = serve(q);
	_exit(r == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}
