/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * The client's parts and what they share.
 *
 *	main.c		the story, and a call from dom0 to a qube
 *	daemon.c	speaking with a qube's daemon, waiting
 *	dom0.c		a service of dom0: for ourselves, or for the qube that called it (-c)
 *	supervise.c	what stays beside a call
 *	terminal.c	the terminal, to ask the person
 */
#include "base/attr.h"
#include "base/io.h"
#include "proto/qrexec.h"

#include <poll.h>
#include <sys/types.h>

struct qrexec_peer;

/** DAEMON_MS - how long a daemon may take to let us in and say HELLO */
#define DAEMON_MS 30000
/** PORT_MS - and to give a port: longer than it lets us wait for one that is free */
#define PORT_MS 70000

/** struct caller - -c IDENT,SOURCE,DOMID: whose call is to be connected */
struct caller {
	char ident[32], name[80];
	unsigned domid;
};

struct options {
	const char *socket_dir, *qube, *local, *prefix, *command;
	struct caller caller; /* ident "": we are the caller */
	unsigned timeout_s;
	bool just_exec, filter_out, filter_err, no_code, stdin_socket, kill;
	const char *colour; /* of the terminal: "31"; NULL = none */
};

/* ---- daemon.c: what goes wrong is said */

/** daemon_connect() - @path: the socket that was found. 0; -errno */
MUST_CHECK int daemon_connect(const char *dir, const char *qube, char path[UNIX_PATH_MAX + 1],
			      struct qrexec_peer **ret);
/** daemon_wait() - the next message, if it comes whole within @timeout_ms; 0; QREXEC_E_*; -ETIMEDOUT; -errno */
MUST_CHECK int daemon_wait(struct qrexec_peer *daemon, unsigned timeout_ms, struct qrexec_msg *ret);
/** daemon_request() - @m, and its answer's domain id and port; 0; -errno */
MUST_CHECK int daemon_request(struct qrexec_peer *daemon, const char *qube, const char *path,
			      const struct qrexec_msg *m, uint32_t *ret_domid, uint32_t *ret_port);

/* ---- dom0.c: return exit codes */

/** is_dom0() - it is dom0 that is called */
bool is_dom0(const char *qube);
/** dom0_run() - a service or command of dom0 with our streams, or a local command's */
MUST_CHECK int dom0_run(const struct options *o);
/** dom0_serve() - the same for the qube that called it; @dir: where the daemons' sockets are */
MUST_CHECK int dom0_serve(const struct options *o, const char *dir, const char *vchan_dir);
/** callers_connect() - a qube that called another one is told where it is */
MUST_CHECK int callers_connect(const struct options *o, const char *dir);

/* ---- supervise.c */

/** SUPERVISED - be the call */
#define SUPERVISED (-1)

/**
 * supervise() - stay beside a call, if there is anything to do there: a terminal to ask on, a qube to kill
 * @run_dir:	the instance's; NULL = there is none
 *
 * Return: SUPERVISED, in a child, or where nothing stays; else the exit code, and the call is over.
 */
MUST_CHECK int supervise(const struct options *o, const char *run_dir);

/* ---- terminal.c: the terminal that policyd finds by a socket in PROMPT_TERMINALS */

/**
 * struct terminal - one to ask on; listen_fd is NO_FD if there is none
 * @lock_fd:	held while something is asked on any of this instance's
 * @asker_fd:	who asks, until it is shown
 */
struct terminal {
	int tty_fd, listen_fd, lock_fd, asker_fd;
	char path[UNIX_PATH_MAX + 1];
	const char *colour;
	unsigned n_refused;
};

/**
 * terminal_open() - what this call runs on, if a person can be asked there
 *
 * That is a terminal which controls us and to which the call's output goes filtered or not at all. Return: there is one.
 */
bool terminal_open(struct terminal *t, const struct options *o, const char *run_dir);
/** terminal_leave() - in a child */
void terminal_leave(struct terminal *t);
void terminal_close(struct terminal *t);
/** terminal_poll(), terminal_timeout_ms() - what to wait for, and then terminal_turn() */
struct pollfd terminal_poll(const struct terminal *t);
int terminal_timeout_ms(const struct terminal *t);
/**
 * terminal_turn() - ask, which takes as long as the person does
 * @relay:	child of ours that is stopped meanwhile
 * @signal_fd:	readable: we are to end
 */
void terminal_turn(struct terminal *t, short revents, pid_t relay, int signal_fd);
