/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * The state of the daemon of one qube, and what its parts offer each other.
 *
 * One loop over poll(): at most a few descriptors and CLIENTS_MAX clients, so neither a poll set
 * of its own making nor an event library is worth its memory here (one such process runs per qube).
 * Nothing in it waits for a peer: every stream is a qrexec_peer, which holds one message each way.
 */
#include "base/attr.h"
#include "base/log.h"
#include "proto/qrexec.h"

#include <poll.h>
#include <sys/types.h>

struct qrexec_peer;

/** CLIENTS_MAX - local clients at a time; more wait in the socket's queue. The qube's own calls are such too, for as
 * long as they live: 1024 of them, and half as many of others' */
#define CLIENTS_MAX 1536
/** REQUEST_MS - how long a client may take to say what it wants */
#define REQUEST_MS 10000
/** WAIT_MS - how long a request waits for a port, and for an agent that does not read */
#define WAIT_MS 60000
/** LEAVE_MS - how long a client whose call is over may keep its port: a caller's agent may never say that it is */
#define LEAVE_MS 60000
/** HELLO_MS - how long the agent may take to say HELLO */
#define HELLO_MS 60000
/** REQUESTS_MAX - calls of the qube that wait for a decision; more are refused at once */
#define REQUESTS_MAX 1024
/** MESSAGES_MAX - messages of one peer handled in one turn */
#define MESSAGES_MAX 64

/** enum client_state - of a local client, in this order */
enum client_state {
	CLIENT_ASKING,  /* HELLO and its request are to come */
	CLIENT_WAITING, /* its request waits for a port and for room towards the agent */
	CLIENT_SERVED,  /* it has its answer; kept until it leaves or the agent does */
	CLIENT_LEAVING, /* its call is over, as it has been told; its port is free when it has left */
	CLIENT_GONE,    /* to be freed */
};

struct client {
	struct client *next;
	struct qrexec_peer *peer;
	enum client_state state;
	uint64_t until_ms;              /* ASKING, WAITING, LEAVING */
	struct qrexec_msg request;      /* WAITING: borrows from the peer */
	uint32_t call_domid, call_port; /* SERVED: what TERMINATED will say of its call */
	bool has_port;                  /* and that port is one of ours */
	unsigned poll_at;
};

/** struct request - a call that the qube wants to make, by its ident */
struct request {
	char ident[32];
	bool refused; /* to be said to the agent */
};

/** struct ports - data ports in use: with the domain of the other end, as TERMINATED names them */
struct ports {
	struct {
		uint16_t port; /* 0: the slot is free */
		uint32_t domid;
	} slots[QREXEC_N_PORTS];
	unsigned n_used;
};

struct daemon {
	const char *name, *default_user;
	unsigned domid;
	int ask_fd, listen_fd, signal_fd;
	int watch_fd; /* tells of sockets that appear beside the agent's */

	struct qrexec_peer *agent;  /* NULL: not connected */
	bool agent_up;              /* it has said HELLO */
	uint64_t agent_until_ms;    /* its time to say HELLO */
	uint64_t retry_ms, hold_ms; /* the next try; none before */
	uint64_t down_ms;

	struct client *clients; /* oldest first */
	unsigned n_clients;
	struct ports ports;
	struct qrexec_peer *broker; /* NULL: not started, or gone */
	struct request requests[REQUESTS_MAX + 1];
	unsigned n_requests;
	struct log_limit noise;    /* lines the qube can cause */
	struct log_limit refusals; /* and those that its callers can */
};

/* ---- ports.c */

/**
 * ports_take() - the lowest free port for a call from @domid to the qube @own; 0 if there is none, or it has its share
 *
 * The daemons of two qubes choose ports between the two without asking each other: that of the lower id takes odd
 * ones, the other even ones, as Qubes' do. With dom0 there is nobody else to choose.
 */
unsigned ports_take(struct ports *p, uint32_t own, uint32_t domid);
/** ports_release() - false if that port is not in use by that domain */
bool ports_release(struct ports *p, uint32_t domid, uint32_t port);
void ports_reset(struct ports *p);

/* ---- confine.c */

/** confine() - keep what serving needs, for good: see sandbox_enter() */
MUST_CHECK int confine(const char *name, uid_t uid);

/* ---- agent.c: the control channel */

/** agent_watch() - be told when sockets appear in @dir_fd, the qube's, if the user has any inotify left; before confinement */
MUST_CHECK int agent_watch(struct daemon *d, int dir_fd);
/** agent_watch_turn() - sockets have appeared */
void agent_watch_turn(struct daemon *d);
/** agent_connect() - try to reach the agent, if it is time for that */
MUST_CHECK int agent_connect(struct daemon *d);
/** agent_turn() - @revents: what poll() said of its descriptor */
MUST_CHECK int agent_turn(struct daemon *d, short revents);
/** agent_events() - what to poll its descriptor for */
short agent_events(const struct daemon *d);
/** agent_send() - 0; -EAGAIN: not before the last message has left; the agent may be gone after
 * another result */
MUST_CHECK int agent_send(struct daemon *d, const struct qrexec_msg *m);
/** agent_timeout_ms() - until agent_connect() or agent_turn() has something to do; -1 = never */
int agent_timeout_ms(const struct daemon *d);
/** agent_lost() - forget the control channel and all that hangs on it */
MUST_CHECK int agent_lost(struct daemon *d, int why);

/* ---- clients.c */

MUST_CHECK int clients_accept(struct daemon *d);
/** clients_poll() - fill in @p, which has room for CLIENTS_MAX; how many it used */
unsigned clients_poll(struct daemon *d, struct pollfd *p, unsigned first);
MUST_CHECK int clients_turn(struct daemon *d, const struct pollfd *p, unsigned n);
/** clients_dispatch() - give ports to those who wait, oldest first */
MUST_CHECK int clients_dispatch(struct daemon *d);
int clients_timeout_ms(const struct daemon *d);
void clients_drop_all(struct daemon *d);
/** clients_end_call() - the call is over: its client is let go, and its port; false if there is no such call */
bool clients_end_call(struct daemon *d, uint32_t domid, uint32_t port);

/* ---- requests.c: calls that the qube makes */

/** requests_ready() - another TRIGGER_SERVICE* could be taken */
bool requests_ready(const struct daemon *d);
/**
 * request_take() - the qube asks for a service (TRIGGER_SERVICE*)
 *
 * Should: be called when requests_ready(). Return: 0; -EPIPE: the parent is gone.
 */
MUST_CHECK int request_take(struct daemon *d, const struct qrexec_msg *m);
/** request_answered() - SERVICE_CONNECT goes to the agent */
void request_answered(struct daemon *d, const char *ident);
/** requests_turn() - @revents: what poll() said of the broker's descriptor */
void requests_turn(struct daemon *d, short revents);
/** requests_dispatch() - tell the agent what is refused, as far as it takes it */
MUST_CHECK int requests_dispatch(struct daemon *d);
/** requests_drop_all() - the agent is gone, and nobody waits any more */
void requests_drop_all(struct daemon *d);
