/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qrexec-client-vm: call a service of another qube or of dom0, from inside a qube.
 *
 * runs as	any user of the qube
 * holds	the caller's standard streams, or those of a local program; the agent's socket as long as the call
 * lasts; the data channel
 * trusts	the agent; what the service sends is bytes
 * needs	to become a vchan server where the agent says
 *
 * There is no handler for signals: one that ends this process closes channel and socket, and both other ends notice.
 */
#include "base/bytes.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "proto/qrexec.h"
#include "qrexec/caller.h"
#include "qrexec/relay.h"
#include "vchan/vchan.h"

#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define AGENT_SOCKET "/var/run/qubes/qrexec-agent"
/** CONNECT_S - how long the other side may take to connect once the call was allowed */
#define CONNECT_S 60

struct options {
	const char *agent_socket, *source, *target, *service, *prefix;
	char **program; /* NULL: our own streams */
	bool filter_out, filter_err, stdin_socket;
};

struct caller {
	const struct options *o;
	int agent_fd, signal_fd;
	struct vchan *vchan;
	uint32_t domid, port;
	pid_t local;
};

static void usage(FILE *to)
{
	(void)fputs(
		"usage: qrexec-client-vm [OPTIONS] TARGET SERVICE[+ARGUMENT] [PROGRAM [ARGUMENT]...]\n"
		"Call SERVICE of the qube TARGET (or @default, @adminvm, @dispvm...) with our standard\n"
		"streams, or those of a local PROGRAM; exit with its exit code.\n\n"
		"  -t, --filter-escape-chars-stdout     replace control characters in the output\n"
		"      --no-filter-escape-chars-stdout  do not (they are if it is a terminal)\n"
		"  -T, --filter-escape-chars-stderr     the same for the errors\n"
		"      --no-filter-escape-chars-stderr\n"
		"  -p, --prefix-data=DATA               send DATA before what standard input says\n"
		"      --use-stdin-socket               standard input is a socket and also the output\n"
		"      --source-qube=NAME               call for the remote qube NAME that is relayed here\n"
		"      --agent-socket=PATH              the agent's socket\n"
		"      --buffer-size=BYTES              nothing; for those who give it\n"
		"  -h, --help                           show this\n"
		"      --version                        show the version\n\n"
		"Exit codes: the service's; 2 a wrong call; 125 problems; 126 refused; 127 no such\n"
		"service; 128+N the service was killed by signal N; 255 the call was cut off.\n"
		"Environment: VCHAN_SOCKET_DIR, VCHAN_DOMAIN; PASS_LOCAL_STDERR: PROGRAM is told our\n"
		"standard error in SAVED_FD_2, as our input and output in SAVED_FD_0 and _1.\n",
		to);
}

/* ---- options ------------------------------------------------------------------------------- */

static int options_check(struct options *o, int argc, char **argv)
{
	if (argc < 2) {
		usage(stderr);
		return -EINVAL;
	}
	if (argv[0][0] == '$') /* as it was written before @ */
		argv[0][0] = '@';
	o->target = argv[0];
	o->service = argv[1];
	o->program = argc > 2 ? argv + 2 : NULL;
	if (o->program && o->stdin_socket) {
		complain("--use-stdin-socket goes with our own streams, not with a program");
		return -EINVAL;
	}
	if (!qrexec_service_valid(o->service, strlen(o->service))) {
		complain("\"%.64s\" cannot be a service", o->service);
		return -ENOTSUP;
	}
	if (strlen(o->target) >= sizeof(((struct qrexec_msg *)NULL)->target) ||
	    strlen(o->source) >= sizeof(((struct qrexec_msg *)NULL)->source)) {
		complain("no qube has so long a name");
		return -ENOTSUP;
	}
	return 0;
}

/* 0; > 0: done, exit with 0; -EINVAL: a wrong call; -ENOTSUP: said why */
static int options_take(struct options *o, int argc, char **argv)
{
	enum { NO_T = 256, NO_TT };
	static const struct option options[] = {
		{"filter-escape-chars-stdout", no_argument, NULL, 't'},
		{"filter-escape-chars-stderr", no_argument, NULL, 'T'},
		{"no-filter-escape-chars-stdout", no_argument, NULL, NO_T},
		{"no-filter-escape-chars-stderr", no_argument, NULL, NO_TT},
		{"prefix-data", required_argument, NULL, 'p'},
		{"use-stdin-socket", no_argument, NULL, 'S'},
		{"source-qube", required_argument, NULL, 's'},
		{"agent-socket", required_argument, NULL, 'a'},
		{"buffer-size", required_argument, NULL, 'b'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{0},
	};
	int c, out = -1, err = -1;

	*o = (struct options){.agent_socket = AGENT_SOCKET, .source = ""};
	while ((c = getopt_long(argc, argv, "+tTp:a:h", options, NULL)) != -1) {
		switch (c) {
		case 't':
		case NO_T:
			out = c == 't';
			break;
		case 'T':
		case NO_TT:
			err = c == 'T';
			break;
		case 'p':
			o->prefix = optarg;
			break;
		case 'S':
			o->stdin_socket = true;
			break;
		case 's':
			o->source = optarg;
			break;
		case 'a':
			o->agent_socket = optarg;
			break;
		case 'b':
			break;
		case 'h':
			usage(stdout);
			return 1;
		case 'V':
			(void)puts("qrexec-client-vm (Bulkhead) " BULKHEAD_VERSION);
			return 1;
		default:
			usage(stderr);
			return -EINVAL;
		}
	}
	c = options_check(o, argc - optind, argv + optind);
	o->filter_out =
		out < 0 ? !o->program && !o->stdin_socket && isatty(STDOUT_FILENO) : out > 0;
	o->filter_err = err < 0 ? isatty(STDERR_FILENO) : err > 0;
	return c;
}

/* ---- asking -------------------------------------------------------------------------------- */

static int request_send(struct caller *c)
{
	struct qrexec_msg m = {.type = QREXEC_TRIGGER_SERVICE4,
			       .ident = "SOCKET",
			       .service = c->o->service,
			       .service_len = strlen(c->o->service)};
	const size_t size = QREXEC_HEADER_LEN + sizeof(m.source) + sizeof(m.target) +
			    sizeof(m.ident) + m.service_len + 1;
	AUTO_FREE uint8_t *bytes = malloc(size);
	size_t len;

	(void)snprintf(m.source, sizeof(m.source), "%s", c->o->source);
	(void)snprintf(m.target, sizeof(m.target), "%s", c->o->target);
	len = bytes ? qrexec_msg_encode(&m, bytes, size) : 0;
	return len == 0 ? -ENOMEM : io_write_full(c->agent_fd, bytes, len);
}

/* 0; QREXEC_EXIT_REFUSED; -errno. The policy may ask a person: there is no limit but the agent's life. */
static int request(struct caller *c)
{
	uint8_t bytes[8] = {0};
	struct rd answer = rd_of(bytes, sizeof(bytes));
	int r = io_unix_connect(c->o->agent_socket, SOCK_STREAM, &c->agent_fd);

	if (r < 0) {
		complain("cannot reach the agent (%s): %s", c->o->agent_socket, log_errno_str(r));
		return r;
	}
	r = request_send(c);
	if (r == 0)
		r = io_read_full(c->agent_fd, bytes, sizeof(bytes));
	if (r == -ENODATA || r == -ECONNRESET || r == -EPIPE) {
		(void)fputs("Request refused\n", stderr);
		return QREXEC_EXIT_REFUSED;
	}
	if (r < 0) {
		complain("cannot ask the agent: %s", log_errno_str(r));
		return r;
	}
	c->domid = rd_le32(&answer);
	c->port = rd_le32(&answer);
	return 0;
}

/* 0; QREXEC_EXIT_DROPPED; -errno */
static int peer_wait(struct caller *c)
{
	int r = vchan_server_new(NULL, vchan_own_domid(), c->domid, c->port, &c->vchan);

	if (r < 0) {
		complain("cannot make a channel in %s: %s", vchan_dir(), log_errno_str(r));
		return r;
	}
	return caller_wait(c->vchan, c->agent_fd, CONNECT_S, c->o->target);
}

/* ---- the local program --------------------------------------------------------------------- */

/* what a local program is told of our own streams, which it does not have */
static bool saved_set(int i)
{
	char name[16], number[16];

	(void)snprintf(name, sizeof(name), "SAVED_FD_%d", i);
	(void)snprintf(number, sizeof(number), "%d", fcntl(i, F_DUPFD, STDERR_FILENO + 1));
	return setenv(name, number, 1) == 0;
}

static NORETURN void program_exec(const struct caller *c, pid_t relay, int in, int out)
{
	char number[16];
	sigset_t none;
	bool ok = saved_set(STDIN_FILENO) && saved_set(STDOUT_FILENO);

	if (getenv("PASS_LOCAL_STDERR"))
		ok = ok && saved_set(STDERR_FILENO);
	(void)snprintf(number, sizeof(number), "%d", (int)relay);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	ok = ok && signal(SIGPIPE, SIG_DFL) != SIG_ERR;
	if (ok && setenv("QREXEC_AGENT_PID", number, 1) == 0 && dup2(in, STDIN_FILENO) >= 0 &&
	    dup2(out, STDOUT_FILENO) >= 0)
		(void)execvp(c->o->program[0], c->o->program);
	complain("cannot start %s: %s", c->o->program[0], log_errno_str(errno));
	_exit(QREXEC_EXIT_PROBLEM);
}

/* Both are sockets: its input may become its output too, and reading one never waits for what the program does. */
static int program_start(struct caller *c, struct relay_options *o)
{
	const pid_t self = getpid();
	int in[2], out[2];
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGUSR1);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return fail_errno();
	c->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (c->signal_fd < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out) < 0)
		return fail_errno();
	c->local = fork();
	if (c->local < 0)
		return fail_errno();
	if (c->local == 0)
		program_exec(c, self, in[1], out[1]);
	(void)close(in[1]);
	(void)close(out[1]);
	o->out[0] = in[0];
	o->in[0] = out[0];
	o->signal_fd = c->signal_fd;
	return 0;
}

/* ---- the call ------------------------------------------------------------------------------ */

static int streams_open(void *data, struct relay_options *o)
{
	struct caller *c = data;

	if (c->o->program)
		return program_start(c, o);
	return caller_streams(c->o->stdin_socket, &o->in[0], &o->out[0]);
}

/* 0 with the exit code; RELAY_E_*; -errno */
static int call(struct caller *c, unsigned *ret_code)
{
	struct relay_options o = {
		.role = RELAY_CALLER,
		.in = {NO_FD, NO_FD},
		.filter = {c->o->filter_out, c->o->filter_err},
		.prefix = c->o->prefix,
		.prefix_len = c->o->prefix ? strlen(c->o->prefix) : 0,
		.signal_fd = NO_FD,
		.keep_going = c->o->program != NULL,
		.shut_down = c->o->program || c->o->stdin_socket,
	};

	return caller_relay(&o, c->vchan, CONNECT_S, streams_open, c, NULL, ret_code);
}

/* the local program's end; what it could not do is a failure, whatever the service says */
static unsigned program_end(struct caller *c, unsigned code)
{
	int status = 0;

	while (waitpid(c->local, &status, 0) < 0 && errno == EINTR)
		;
	if (code != 0 || status == 0)
		return code;
	return WIFSIGNALED(status) ? QREXEC_EXIT_SIGNAL + (unsigned)WTERMSIG(status)
				   : (unsigned)WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	struct caller c = {.agent_fd = NO_FD, .signal_fd = NO_FD};
	struct options o;
	unsigned code = 0;
	int r = options_take(&o, argc, argv);

	if (r != 0)
		return r > 0 ? 0 : r == -EINVAL ? CALLER_EXIT_USAGE : QREXEC_EXIT_PROBLEM;
	c.o = &o;
	/* a pipe that nobody reads is told by the write to it */
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || setenv("VCHAN_DOMAIN", "32752", 0) < 0)
		return QREXEC_EXIT_PROBLEM;
	r = request(&c);
	if (r == 0)
		r = peer_wait(&c);
	if (r != 0) {
		vchan_free(c.vchan);
		return r > 0 ? r : QREXEC_EXIT_PROBLEM;
	}
	r = call(&c, &code);
	vchan_free(c.vchan);
	code = caller_exit(r, code, o.target);
	if (c.local > 0)
		code = program_end(&c, code);
	return (int)code;
}
