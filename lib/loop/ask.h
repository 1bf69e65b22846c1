/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * What a confined daemon asks of its parent (qube-monitor, or the small parent it forked itself
 * when started by hand): a fixed-size question on a SEQPACKET socket, an answer with at most one
 * descriptor. The parent holds the table of what each child may ask, with which fixed arguments; it
 * checks again whatever the child checked.
 */
#include "base/attr.h"
#include "proto/ask.h"

/**
 * ask_call() - ask and wait for the answer (the parent answers at once)
 * @fd:		the socket to the parent
 * @ret_fd:	the descriptor, owned by the caller; may be NULL where the question brings none
 *
 * Return: 0; the parent's negative errno (-EPERM: not in this child's table); -EPIPE: the parent is
 * gone.
 */
MUST_CHECK int ask_call(int fd, const struct ask *q, int *ret_fd);

/** ASK_ANY - in a rule: any value may be given */
#define ASK_ANY UINT32_MAX

/**
 * struct ask_rules - what one child may ask, and what the answers are made from; borrowed
 * @kinds:	bit set 1 << enum ask_kind
 * @vchan_dir:	directory of this qube's vchan sockets
 * @bind_server, @bind_client, @bind_port: the only values ASK_VCHAN_BIND and _UNLINK may give;
 * ASK_ANY
 * @connect_server, @connect_client, @connect_port: the same for ASK_VCHAN_CONNECT
 * @qrexec_dir, @domid, @name, @uuid: for ASK_QREXEC_*; name and uuid are checked already; no
 * uuid (NULL) makes no link for it
 * @agent_state: called for ASK_AGENT_STATE
 * @broker:	called for ASK_BROKER: starts one and gives the other end of its socket; 0 or -errno
 *
 * Two examples. vchand of qube N: bind (N, 0, ASK_ANY), connect (0, N, ASK_ANY). qrexec-daemon of
 * qube N: connect (N, 0, 512), ASK_QREXEC_*, ASK_AGENT_STATE and ASK_BROKER.
 */
struct ask_rules {
	uint32_t kinds;
	const char *vchan_dir;
	uint32_t bind_server, bind_client, bind_port;
	uint32_t connect_server, connect_client, connect_port;
	const char *qrexec_dir, *name, *uuid;
	unsigned domid;
	void (*agent_state)(void *data, bool up);
	int (*broker)(void *data, int *ret_fd);
	void *data;
};

/**
 * ask_answer() - read one question and answer it; never waits
 * @fd:		non-blocking or not
 *
 * Return: 0; -EAGAIN nothing to read; -ECONNRESET the child closed; -EPROTO a malformed question,
 * or questions without reading the answers (the child is to be ended); -errno.
 */
MUST_CHECK int ask_answer(int fd, const struct ask_rules *rules);

/** ask_clean() - remove what a child that is gone has left: the socket and links of its qube */
void ask_clean(const struct ask_rules *rules);
