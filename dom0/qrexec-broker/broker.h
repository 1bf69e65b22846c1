/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * The broker's parts and what they share.
 *
 *	main.c		the story, and the loop
 *	calls.c		a call from the request to its end
 *	decide.c	what policyd, or the policy program, says of it
 *	callee.c	the qube that is called: reached, started or made if it must be
 *	cancel.c	a callee whose caller is gone, and a caller whose callee is
 *	errors.c	what services of dom0 complain about
 *	seats.c	how many services of dom0 serve the qube
 *	tickets.c	the stream between two qubes
 *
 * Nothing waits: a call is a state, at most CALL_FDS descriptors, and a time.
 */
#include "base/attr.h"
#include "base/io.h"
#include "base/log.h"
#include "proto/qrexec.h"

#include <poll.h>
#include <sys/resource.h>
#include <sys/types.h>

struct hold;
struct qrexec_peer;
struct vchan;

/** CALLS_MAX - calls at a time, refusals that wait to be said included */
#define CALLS_MAX 2048
/** NAMES_MAX - bytes that the services of all of them have for names, with arguments: each is held some times */
#define NAMES_MAX ((size_t)4 << 20)
/** DISPOSABLES_MAX - that the qube's calls may have at a time: each is a machine */
#define DISPOSABLES_MAX 32
/** ASKS_MAX - calls that ask one callee's daemon for a port at a time; the others of the qube wait here and not there,
 * where there is room for all callers */
#define ASKS_MAX 8
/** CALL_FDS - that are polled for a call */
#define CALL_FDS 3
/** ANSWER_MS - how long daemons and vchands may take */
#define ANSWER_MS 70000
/** SERVICES_MAX - services of dom0 that serve the qube at a time, whichever of its brokers started them. Its agent says
 * when a call is over and its port is free, so ports do not bound them */
#define SERVICES_MAX QREXEC_N_PORTS
/** RETRY_MS - pause before a full queue is tried again */
#define RETRY_MS 20
/** CANCEL_MS - how long a callee may take to notice that its caller is gone, and a caller that its callee is */
#define CANCEL_MS 500

/** enum call_state - in this order, but for a call to dom0, which has no callee */
enum call_state {
	CALL_DECIDING, /* policyd is asked; no limit: it may ask a person. And again after MAKING */
	CALL_MAKING,   /* the callee is a disposable, which qubesd makes */
	CALL_STARTING, /* a child of ours starts the callee */
	CALL_QUEUED,   /* others of ours ask the callee's daemon already */
	CALL_CALLEE,   /* its daemon is asked for a port */
	CALL_TICKETS,  /* both vchands are told of the stream */
	CALL_CALLER,   /* our daemon is told to connect */
	CALL_LIVE,     /* until the caller's end says that it is over */
	CALL_REFUSED,  /* to be said */
	CALL_GONE,     /* to be freed */
};

/** struct callee - a qube that is called, as long as any call has it */
struct callee {
	struct callee *next;
	char id[80];
	unsigned n_calls, n_asking;
};

/** struct call - owns all it points to, but for @to */
struct call {
	struct call *next;
	enum call_state state;
	uint64_t until_ms; /* then it is refused; 0 = never */
	uint64_t again_ms; /* then it is tried again; 0 = nothing is */
	uint64_t
		over_ms; /* LIVE: since then the callee has ended, and the caller not; 0 = it has not */
	char ident[32], source[64], target[64];
	char *service;

	int fd; /* DECIDING: question and answer; STARTING: its end is the child's; LIVE: as stand_in */
	char *text; /* DECIDING: what is to be written, then what was read */
	size_t at, len;
	bool asked; /* DECIDING, CALLEE, CALLER: the question has left */
	pid_t pid;  /* DECIDING, STARTING: the child, until it is reaped */
	int status; /* and then how it ended */

	char *decided, *decided_target; /* the answer, of one to a disposable, and its target */
	char *command;                  /* what is to be run */
	char callee_name[80], callee_uuid[80]; /* "uuid:...", or "" where the policy knows none */
	char socket[UNIX_PATH_MAX + 1];        /* CALLEE: its daemon's */
	struct callee *to;                     /* QUEUED, CALLEE */
	bool to_dom0, autostart, started;
	struct qrexec_peer *callee, *caller; /* local clients of the two daemons */
	struct vchan *stand_in;              /* LIVE: waits for a callee whose caller is gone */
	uint32_t domid, port;
	int tickets[2];
	int seat_fd;       /* CALLER, to dom0: its service's */
	struct hold *hold; /* the callee, if it is a disposable: it is there as long as this */
	unsigned poll_at;
};

struct broker {
	const char *name;
	unsigned domid;
	const char *socket_dir, *vchan_dir;
	const char *policy_socket, *policy_program;
	const char *run_dir, *qubesd_socket; /* NULL: no vchands, nothing that starts a qube */
	int signal_fd;
	struct rlimit files; /* as we were started: for services */
	struct qrexec_peer *daemon;
	struct call *calls; /* oldest first */
	unsigned n_calls;
	size_t names_len;
	struct callee *callees;
	bool asked_less;        /* who is queued is to be looked at */
	int errors_fd;          /* where services of dom0 complain; NO_FD: nobody reads that */
	pid_t errors_pid;       /* who does */
	int seats_fd;           /* all brokers of the qube have had it */
	struct log_limit noise; /* lines the qube can cause */
};

/* ---- calls.c */

/** call_new() - from a request of the daemon, which is checked again; -ENOMEM; -EPROTO */
MUST_CHECK int call_new(struct broker *b, const struct qrexec_msg *m);
/** call_refuse() - @format: why, for the log */
void call_refuse(struct broker *b, struct call *c, const char *format, ...) PRINTF_LIKE(3, 4);
/** call_retry() - a queue is full: the same again, soon */
void call_retry(struct call *c);
/** call_connect_caller() - the callee is ready, or is dom0 */
void call_connect_caller(struct broker *b, struct call *c);
/** calls_poll() - fill in @p, which has room for CALL_FDS a call; how many it used */
unsigned calls_poll(struct broker *b, struct pollfd *p, unsigned first);
/** calls_turn() - -errno of the daemon's socket */
MUST_CHECK int calls_turn(struct broker *b, const struct pollfd *p, unsigned n);
/** calls_reap() - children have ended */
void calls_reap(struct broker *b);
int calls_timeout_ms(const struct broker *b);
void calls_drop_all(struct broker *b);

/* ---- decide.c */

void decide_start(struct broker *b, struct call *c);
/** decide_again() - its disposable runs: what was decided may not hold any more */
void decide_again(struct broker *b, struct call *c);
void decide_turn(struct broker *b, struct call *c, short revents);

/* ---- callee.c */

/** callee_make() - a disposable of the template @c->callee_name, for this call */
void callee_make(struct broker *b, struct call *c);
/** callee_hold() - what there is to do for a call with a disposable */
void callee_hold(struct broker *b, struct call *c);
/** callee_start() - ask its daemon for a port, or wait until fewer calls do */
void callee_start(struct broker *b, struct call *c);
/** callee_leave() - it has its port, or needs none any more */
void callee_leave(struct broker *b, struct call *c);
/** callees_dispatch() - those that are queued, oldest first */
void callees_dispatch(struct broker *b);
void callee_turn(struct broker *b, struct call *c);
/** callee_started() - the child that starts it may have ended */
void callee_started(struct broker *b, struct call *c, short revents);
/** callee_serve_dom0() - be the service side of a call to dom0, in a child; @c's caller and seat are taken along */
MUST_CHECK int callee_serve_dom0(struct broker *b, const struct call *c);

/* ---- cancel.c */

/** cancel_start() - state LIVE, the caller is gone and the callee is not */
void cancel_start(struct broker *b, struct call *c);
/** cancel_caller() - state LIVE, the callee is gone and the caller is not */
void cancel_caller(struct broker *b, struct call *c);
/** cancel_turn() - the stand-in's descriptor is readable */
void cancel_turn(struct call *c);

/* ---- errors.c */

/**
 * errors_start() - a process that brings lines into the log; it ends when nobody has @ret_fd any more
 * @seats_fd:	where the lines of all brokers of the qube are counted
 *
 * Return: 0; -errno.
 */
MUST_CHECK int errors_start(const char *name, int seats_fd, int *ret_fd, pid_t *ret_pid);

/* ---- seats.c */

/** seat_take() - one more service of dom0 may serve as long as this is open; -EAGAIN: not now; -errno */
MUST_CHECK int seat_take(int seats_fd, int *ret_fd);

/* ---- tickets.c */

/** tickets_grant() - tell both vchands; state TICKETS, or the caller at once where there are none */
void tickets_grant(struct broker *b, struct call *c);
void tickets_turn(struct broker *b, struct call *c, const short revents[2]);
/** tickets_are_anothers() - the callee's daemon has let go of the call, and another one of ours has its place by now */
bool tickets_are_anothers(const struct broker *b, const struct call *c);
/**
 * tickets_revoke() - both ends have said that the call is over
 *
 * Where another call has its place by now, that one's tickets stay. A vchand that cannot be told hears nothing: a ticket
 * left behind is void after a while, or when there is one for the next call.
 */
void tickets_revoke(const struct broker *b, const struct call *c);
/** tickets_void() - the callee has ended: if it never took its end, the caller hears so. Return: 0; -EAGAIN; -errno */
MUST_CHECK int tickets_void(const struct broker *b, const struct call *c);
/** tickets_replace() - the callee gets @fd instead of its caller; what its vchand answers is not waited for */
MUST_CHECK int tickets_replace(const struct broker *b, struct call *c, int fd);
