/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * The agent's parts and what they share.
 *
 *	main.c		the story: the control channel and the loop
 *	calls.c		what is under way, until dom0 has been told of its end
 *	requests.c	programs of this qube that ask for services
 *	fork-client.c	handing a command to its user's session
 */
#include "base/attr.h"
#include "proto/qrexec.h"

#include <poll.h>
#include <sys/resource.h>

struct call;
struct qrexec_peer;
struct request;
struct vchan;

/** REQUESTS_MAX - programs at a time whose request is read or decided; more wait in the socket's queue */
#define REQUESTS_MAX 1024
/** REQUEST_MS - how long one may take to say what it wants */
#define REQUEST_MS 10000
/** DAEMON_MS - how long a request waits for dom0 to be there */
#define DAEMON_MS 60000
/** CALLS_MAX - calls watched by a descriptor: dom0 has no more ports than that */
#define CALLS_MAX 1024

struct agent {
	int signal_fd, listen_fd;
	struct vchan *server; /* while nobody is connected */
	struct qrexec_peer *daemon;
	struct call *calls;
	unsigned n_watched;
	struct request *requests; /* oldest first */
	unsigned n_requests, last_ident;
	unsigned generation;     /* of the control channel */
	const char *socket;      /* where programs come to */
	const char *fork_server; /* pattern of the socket's path; NULL = there are none */
	const char
		*answered;   /* to be made when the first command is over; NULL: nothing, or made */
	struct rlimit files; /* as we were started: for what we start */
	bool listen_failed, ending;
};

/* ---- calls.c */

/** call_start() - run what EXEC_CMDLINE or JUST_EXEC says; -ENOMEM */
MUST_CHECK int call_start(struct agent *a, const struct qrexec_msg *m);
/** call_watch() - a call that lasts as long as @fd, which it takes; @ident: whose it is, or NULL. -ENOMEM */
MUST_CHECK int call_watch(struct agent *a, uint32_t domid, uint32_t port, const char *ident,
			  int *fd);
/** call_refuse() - a connection that will never be: its port is free again; -ENOMEM */
MUST_CHECK int call_refuse(struct agent *a, uint32_t domid, uint32_t port);
/** call_break() - close the descriptor of the call that was asked for as @ident; false if there is none */
bool call_break(struct agent *a, const char *ident);
/** calls_reap() - children have ended */
void calls_reap(struct agent *a);
/** calls_report() - tell dom0 what is over, as far as it takes it; forget what nobody waits for */
MUST_CHECK int calls_report(struct agent *a);
/** calls_poll() - fill in @p, which has room for CALLS_MAX; how many it used */
unsigned calls_poll(struct agent *a, struct pollfd *p);
void calls_turn(struct agent *a, const struct pollfd *p, unsigned n);

/* ---- requests.c */

/** requests_accept() - @a->listen_fd is readable */
void requests_accept(struct agent *a);
/** requests_poll() - fill in @p, which has room for REQUESTS_MAX; how many it used */
unsigned requests_poll(struct agent *a, struct pollfd *p);
/** requests_turn() - read what came, forget who left; @p as it was filled in */
void requests_turn(struct agent *a, const struct pollfd *p, unsigned n);
/** requests_send() - hand on to dom0 what is complete, as far as it takes it; -errno of the control channel */
MUST_CHECK int requests_send(struct agent *a);
/** requests_timeout_ms() - until requests_turn() has something to do; -1 = never */
int requests_timeout_ms(const struct agent *a);
/** request_connect() - SERVICE_CONNECT: tell who asked where to listen; -ENOMEM */
MUST_CHECK int request_connect(struct agent *a, const struct qrexec_msg *m);
/** request_refuse() - SERVICE_REFUSED */
void request_refuse(struct agent *a, const char *ident);
/** requests_drop_sent() - dom0 is gone: nobody will answer */
void requests_drop_sent(struct agent *a);

/* ---- fork-client.c */

/**
 * fork_server_give() - let the session of the command's user run it
 * @ret_fd:	stays open as long as the call lasts
 *
 * Return: 0; -ENOENT: there is no session that would.
 */
MUST_CHECK int fork_server_give(const struct agent *a, const struct qrexec_msg *m, int *ret_fd);
