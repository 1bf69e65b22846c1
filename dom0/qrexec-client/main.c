/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qrexec-client: run a command in a qube, from dom0.
 *
 * runs as	whoever calls it
 * holds	the caller's standard streams; the data channel to the qube
 * trusts	the qube's daemon as far as the id in the name of its socket goes; not the qube
 * needs	after the channel stands nothing but to read and write: seccomp sees to it before
 * the first byte of the call is read
 *
 * There is no handler for signals: one that ends this process closes the channel, and the agent
 * ends the command. A wrong call is 2; everything else that goes wrong on our side is 125.
 */
#include "qrexec-client.h"

#include "base/io.h"
#include "base/log.h"
#include "base/paths.h"
#include "base/str.h"
#include "proto/qrexec.h"
#include "qrexec/caller.h"
#include "qrexec/peer.h"
#include "qrexec/relay.h"
#include "qrexec/service.h"
#include "sandbox/sandbox.h"
#include "vchan/vchan.h"

#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

/** TIMEOUT_S - how long the qube may take to connect; a busy one without KVM is slow */
#define TIMEOUT_S 60

struct client {
	const struct options *o;
	struct qrexec_peer *daemon;
	struct vchan *vchan;
	uint32_t domid, port;
	pid_t local;
};

static void usage(FILE *to)
{
	(void)fputs(
		"usage: qrexec-client [OPTIONS] -d QUBE COMMAND\n"
		"Run COMMAND in a running qube with our standard streams; exit with its exit "
		"code.\n"
		"COMMAND is USER:SHELL-COMMAND or USER:QUBESRPC SERVICE[+ARGUMENT] SOURCE; the "
		"user\n"
		"DEFAULT is the qube's default user. For dom0 there is no USER:, and SOURCE is\n"
		"followed by \"name\" or \"keyword\", and what was called.\n\n"
		"  -d QUBE                a name or uuid:UUID; dom0 or @adminvm\n"
		"  -c IDENT,SOURCE,DOMID  connect the qube SOURCE, which asked for it as IDENT\n"
		"  -l LOCAL-COMMAND       give the streams to a local command instead\n"
		"  -e                     do not wait for the command, do not pass streams\n"
		"  -E, --no-exit-code     exit with 0 when the command has ended, whatever its "
		"code\n"
		"  -t, -T                 replace control characters in its output, its errors\n"
		"      --no-filter-escape-chars-stdout, --no-filter-escape-chars-stderr\n"
		"                         do not (they are where that is a terminal)\n"
		"  -p PREFIX              send PREFIX before what standard input says\n"
		"  -w SECONDS             how long the qube may take to connect (60; 0 = for "
		"ever)\n"
		"  -W                     wait for the end of the call (always done)\n"
		"  -k                     kill the qube at the end of the call\n"
		"      --colour=NUMBER    the terminal's, set again after a question on it\n"
		"      --use-stdin-socket standard input is a socket and also the output\n"
		"      --socket-dir=DIR   where the daemons' sockets are\n"
		"  -h, --help             show this\n"
		"      --version          show the version\n\n"
		"Exit codes: the command's; 2 a wrong call; 125 problems here; 126 refused; 127 no "
		"such\n"
		"service or command; 128+N the command was killed by signal N; 255 the qube went "
		"away.\n"
		"Environment: VCHAN_SOCKET_DIR instead of the qube's own directory of channels.\n",
		to);
}

/* ---- options ------------------------------------------------------------------------------- */

/* IDENT,SOURCE,DOMID */
static bool caller_take(const char *text, struct caller *ret)
{
	const char *name = strchr(text, ','), *domid = name ? strchr(name + 1, ',') : NULL;
	uint64_t n;

	if (!domid || str_copy(ret->ident, sizeof(ret->ident), text, (size_t)(name - text)) < 0 ||
	    str_copy(ret->name, sizeof(ret->name), name + 1, (size_t)(domid - name - 1)) < 0 ||
	    str_u64(domid + 1, VCHAN_DOMID_MAX, &n) != 0)
		return false;
	ret->domid = (unsigned)n;
	return ret->ident[0] != '\0' &&
	       bytes_are_alnum_or(ret->ident, strlen(ret->ident), "_.- ") && ret->name[0] != '\0' &&
	       bytes_are_alnum_or(ret->name, strlen(ret->name), "_.:-");
}

static int options_check(const struct options *o, int argc, char **argv)
{
	if (!o->qube || optind != argc - 1) {
		if (!o->qube)
			complain("which qube? Give -d QUBE");
		else
			complain(optind < argc ? "one command is one argument: quote it"
					       : "which command? It comes last");
		return -EINVAL;
	}
	if (is_dom0(o->qube) && (o->prefix || o->kill || (o->just_exec && o->local))) {
		complain("-p, -k, and -e with -l, do not go with dom0");
		return -EINVAL;
	}
	if (o->qube[0] == '\0' ||
	    (!is_dom0(o->qube) && !bytes_are_alnum_or(o->qube, strlen(o->qube), "_.:-"))) {
		complain("\"%s\" is not a qube's name", o->qube);
		return -EINVAL;
	}
	if (strlen(argv[optind]) >= QREXEC_COMMAND_MAX ||
	    (!is_dom0(o->qube) && !strchr(argv[optind], ':'))) {
		complain("the command must be USER:COMMAND of at most %u bytes",
			 QREXEC_COMMAND_MAX - 1);
		return -EINVAL;
	}
	if (o->just_exec && (o->local || o->prefix || o->stdin_socket)) {
		complain(
			"-e passes no streams: it goes with none of -l, -p and --use-stdin-socket");
		return -EINVAL;
	}
	if (o->local && o->stdin_socket) {
		complain("-l and --use-stdin-socket exclude each other");
		return -EINVAL;
	}
	return 0;
}

/* 0; > 0: done, exit with 0; < 0: said why */
static int options_take(struct options *o, int argc, char **argv)
{
	static const struct option options[] = {
		{"socket-dir", required_argument, NULL, 's'},
		{"no-exit-code", no_argument, NULL, 'E'},
		{"use-stdin-socket", no_argument, NULL, 'S'},
		{"colour", required_argument, NULL, 'C'},
		{"no-filter-escape-chars-stdout", no_argument, NULL, 'n'},
		{"no-filter-escape-chars-stderr", no_argument, NULL, 'N'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{0},
	};
	/* what a local command takes is data, and what a terminal is told is not */
	int out = -1, err = -1;
	uint64_t n;
	int c, r;

	*o = (struct options){.timeout_s = TIMEOUT_S};
	while ((c = getopt_long(argc, argv, "+d:l:c:p:w:eEtTWkh", options, NULL)) != -1) {
		switch (c) {
		case 'd':
			o->qube = optarg;
			break;
		case 'l':
			o->local = optarg;
			break;
		case 'c':
			if (caller_take(optarg, &o->caller))
				break;
			complain("-c wants IDENT,SOURCE,DOMID, not \"%s\"", optarg);
			return -EINVAL;
		case 'k':
			o->kill = true;
			break;
		case 'C':
			if (optarg[0] != '\0' && strspn(optarg, "0123456789;") == strlen(optarg)) {
				o->colour = optarg;
				break;
			}
			complain("--colour wants a number like 31, not \"%s\"", optarg);
			return -EINVAL;
		case 'p':
			o->prefix = optarg;
			break;
		case 'w':
			if (str_u64(optarg, 86400, &n) != 0) {
				complain("-w wants seconds, 0 to 86400, not \"%s\"", optarg);
				return -EINVAL;
			}
			o->timeout_s = (unsigned)n;
			break;
		case 'e':
			o->just_exec = true;
			break;
		case 'E':
			o->no_code = true;
			break;
		case 't':
			out = 1;
			break;
		case 'T':
			err = 1;
			break;
		case 'n':
			out = 0;
			break;
		case 'N':
			err = 0;
			break;
		case 'W':
			break;
		case 's':
			o->socket_dir = optarg;
			break;
		case 'S':
			o->stdin_socket = true;
			break;
		case 'h':
			usage(stdout);
			return 1;
		case 'V':
			(void)puts("qrexec-client (Bulkhead) " BULKHEAD_VERSION);
			return 1;
		default:
			usage(stderr);
			return -EINVAL;
		}
	}
	o->filter_out = out < 0 ? !o->local && !o->stdin_socket && isatty(STDOUT_FILENO) : out > 0;
	o->filter_err = err < 0 ? isatty(STDERR_FILENO) : err > 0;
	r = options_check(o, argc, argv);
	if (r == 0)
		o->command = argv[optind];
	return r;
}

/* ---- the daemon ---------------------------------------------------------------------------- */

static int request(struct client *c, const char *dir)
{
	const struct qrexec_msg m = {.type = c->o->just_exec ? QREXEC_JUST_EXEC
							     : QREXEC_EXEC_CMDLINE,
				     .command = c->o->command,
				     .command_len = strlen(c->o->command)};
	char path[UNIX_PATH_MAX + 1];
	int r = daemon_connect(dir, c->o->qube, path, &c->daemon);

	return r < 0 ? r : daemon_request(c->daemon, c->o->qube, path, &m, &c->domid, &c->port);
}

/* ---- the channel --------------------------------------------------------------------------- */

static int server_open(struct client *c, const struct paths *paths)
{
	char dir[UNIX_PATH_MAX + 1];
	const char *given = getenv("VCHAN_SOCKET_DIR");
	int r = 0;

	if (!given)
		r = paths_vchan_dir(paths, c->domid, dir, sizeof(dir));
	if (r == 0)
		r = vchan_server_new(given ? NULL : dir, vchan_own_domid(), c->domid, c->port,
				     &c->vchan);
	if (r < 0)
		complain("cannot make a channel in %s: %s", given ? given : dir, log_errno_str(r));
	return r;
}

/* 0; QREXEC_EXIT_DROPPED: the qube is gone; -errno */
static int qube_wait(struct client *c)
{
	/* the daemon has nothing more to say: it tells us that its agent is gone */
	int r = caller_wait(c->vchan, qrexec_peer_fd(c->daemon), c->o->timeout_s, c->o->qube);

	if (r != 0)
		return r;
	qrexec_peer_free(c->daemon);
	c->daemon = NULL;
	return 0;
}

/* ---- streams ------------------------------------------------------------------------------- */

static int streams_local(struct client *c, struct relay_options *o)
{
	int in[2], out[2];

	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
		return fail_errno();
	c->local = fork();
	if (c->local < 0)
		return fail_errno();
	if (c->local == 0) {
		if (dup2(in[0], STDIN_FILENO) < 0 || dup2(out[1], STDOUT_FILENO) < 0)
			_exit(QREXEC_EXIT_PROBLEM);
		(void)execl("/bin/sh", "sh", "-c", c->o->local, (char *)NULL);
		_exit(QREXEC_EXIT_PROBLEM);
	}
	(void)close(in[0]);
	(void)close(out[1]);
	o->in[0] = out[0];
	o->out[0] = in[1];
	/* a local command that reads no more is no reason to end the remote one */
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return fail_errno();
	return io_set_nonblock(o->in[0], true) < 0 ? -errno : io_set_nonblock(o->out[0], true);
}

static int streams_open(void *data, struct relay_options *o)
{
	struct client *c = data;

	if (c->o->just_exec)
		return 0;
	if (c->o->local)
		return streams_local(c, o);
	return caller_streams(c->o->stdin_socket, &o->in[0], &o->out[0]);
}

static int confine(void)
{
	/* clang-format off */
	static const struct sandbox_call calls[] = {
		{"wait4"},	/* the local command's end */
	};
	/* clang-format on */

	return sandbox_calls_only(calls, ARRAY_LEN(calls));
}

/* 0 with the exit code; RELAY_E_*; -errno */
static int call(struct client *c, unsigned *ret_code)
{
	struct relay_options o = {
		.role = RELAY_CALLER,
		.in = {NO_FD, NO_FD},
		.out = {NO_FD, NO_FD},
		.filter = {c->o->filter_out, c->o->filter_err},
		.prefix = c->o->prefix,
		.prefix_len = c->o->prefix ? strlen(c->o->prefix) : 0,
		.signal_fd = NO_FD,
		.keep_going = c->o->local != NULL,
		.shut_down = c->o->stdin_socket,
		.code_only = c->o->just_exec,
	};
	int r = caller_relay(&o, c->vchan, c->o->timeout_s, streams_open, c, confine, ret_code);

	vchan_free(c->vchan);
	c->vchan = NULL;
	if (c->local > 0)
		while (waitpid(c->local, NULL, 0) < 0 && errno == EINTR)
			;
	return r;
}

/* a call that a qube makes */
static int others_call(const struct options *o, const char *dir, const struct paths *paths)
{
	char channels[UNIX_PATH_MAX + 1];
	const char *given = getenv("VCHAN_SOCKET_DIR");
	int r;

	if (!is_dom0(o->qube) && !given) {
		complain("the qubes of an instance are connected by qrexec-broker alone");
		return QREXEC_EXIT_PROBLEM;
	}
	if (!is_dom0(o->qube))
		return callers_connect(o, dir);
	r = given ? 0 : paths_vchan_dir(paths, o->caller.domid, channels, sizeof(channels));
	return r < 0 ? QREXEC_EXIT_PROBLEM : dom0_serve(o, dir, given ? given : channels);
}

/* the instance's run directory, if there is one: who gives all other directories needs none */
static const char *run_find(struct paths *paths)
{
	if (paths->run[0] == '\0' && paths_init(paths, false) < 0)
		return NULL;
	return paths->run;
}

int main(int argc, char **argv)
{
	AUTO(paths_done) struct paths paths = {0};
	char dir[UNIX_PATH_MAX + 1];
	struct client c = {0};
	struct options o;
	unsigned code = 0;
	int r;

	r = options_take(&o, argc, argv);
	if (r != 0)
		return r > 0 ? 0 : r == -EINVAL ? CALLER_EXIT_USAGE : QREXEC_EXIT_PROBLEM;
	c.o = &o;
	if (is_dom0(o.qube)) {
		/* services are there without an instance, too */
		const bool here = paths_init(&paths, false) == 0;

		r = service_places_dom0(here ? paths.config : NULL);
		paths_done(&paths);
	}
	if (is_dom0(o.qube) && o.caller.ident[0] == '\0')
		return dom0_run(&o);
	if (!o.socket_dir || !getenv("VCHAN_SOCKET_DIR")) {
		r = paths_init(&paths, false);
		if (r < 0) {
			complain("nothing is running here (%s)", log_errno_str(r));
			return QREXEC_EXIT_PROBLEM;
		}
		r = str_format(dir, sizeof(dir), "%s/qubes", paths.run);
	}
	if (r < 0)
		return QREXEC_EXIT_PROBLEM;
	if (o.caller.ident[0] != '\0')
		return others_call(&o, o.socket_dir ? o.socket_dir : dir, &paths);
	r = supervise(&o, run_find(&paths));
	if (r != SUPERVISED)
		return r;
	r = request(&c, o.socket_dir ? o.socket_dir : dir);
	if (r == 0)
		r = server_open(&c, &paths);
	if (r < 0)
		return QREXEC_EXIT_PROBLEM;
	r = qube_wait(&c);
	if (r != 0) {
		vchan_free(c.vchan);
		return r > 0 ? r : QREXEC_EXIT_PROBLEM;
	}
	r = call(&c, &code);
	code = caller_exit(r, code, o.qube);
	return r == 0 && o.no_code ? 0 : (int)code;
}
