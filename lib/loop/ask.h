/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * What a confined daemon asks of its parent (qube-monitor, or the small parent it forked itself
 * when started by hand): a fixed-size question on a SEQPACKET socket, an answer with at most one
 * descriptor. The parent holds the table of what each child may ask, with which fixed arguments; it
 * checks again whatever the child checked.
 */
#include "base/attr.h"

/** enum ask_kind - the questions */
enum ask_kind {
	ASK_VCHAN_BIND =
		1, /* a, b, c = server, client, port: listening stream socket at that path */
	ASK_VCHAN_UNLINK = 2, /* same arguments: remove that path */
	ASK_VCHAN_CONNECT =
		3, /* same arguments: connected stream socket; -ENOENT, -ECONNREFUSED at once */
	ASK_QREXEC_BIND = 4,   /* listening socket qrexec.DOMID, with its links */
	ASK_QREXEC_UNLINK = 5, /* remove them */
	ASK_AGENT_STATE =
		6, /* a = 1: the qube's qrexec agent has answered; 0: it is gone. No descriptor */
};

struct ask {
	uint32_t kind, a, b, c;
};

/**
 * ask_call() - ask and wait for the answer (the parent answers at once)
 * @fd:		the socket to the parent
 * @ret_fd:	the descriptor, owned by the caller; may be NULL where the question brings none
 *
 * Return: 0; the parent's negative errno (-EPERM: not in this child's table); -EPIPE: the parent is
 * gone.
 */
MUST_CHECK int ask_call(int fd, const struct ask *q, int *ret_fd);

/**
 * struct ask_rules - what one child may ask, and what the answers are made from; borrowed
 * @kinds:	bit set 1 << enum ask_kind
 * @vchan_dir:	directory of this qube's vchan sockets
 * @server, @client, @port: the only values it may give; UINT32_MAX = any
 * @qrexec_dir, @domid, @name, @uuid: for ASK_QREXEC_*
 * @agent_state: called for ASK_AGENT_STATE
 */
struct ask_rules {
	uint32_t kinds;
	const char *vchan_dir;
	uint32_t bind_server, bind_client, bind_port;
	uint32_t connect_server, connect_client, connect_port;
	const char *qrexec_dir, *name, *uuid;
	unsigned domid;
	void (*agent_state)(void *data, bool up);
	void *data;
};

/**
 * ask_answer() - read one question and answer it
 *
 * Return: 0; -EAGAIN nothing to read; -ECONNRESET the child closed; -EPROTO a malformed question
 * (the child is to be ended); -errno.
 */
MUST_CHECK int ask_answer(int fd, const struct ask_rules *rules);
