/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * The caller's side of a call, from the channel that waits for the other side to the exit code: what dom0's qrexec-client
 * and a qube's qrexec-client-vm share. What goes wrong is said on standard error.
 */
#include "base/attr.h"

struct relay_options;
struct vchan;

/** CALLER_EXIT_USAGE - the call is wrong, as of every other tool */
#define CALLER_EXIT_USAGE 2

/** complain() - on standard error, behind the program's name */
void complain(const char *format, ...) PRINTF_LIKE(1, 2);

/**
 * caller_wait() - for the other side to connect
 * @v:		a server
 * @life_fd:	readable or hung up: it will not come
 * @timeout_s:	0 = for ever
 * @peer:	for what is said
 *
 * Return: 0; QREXEC_EXIT_DROPPED: it will not; -ETIMEDOUT; -errno.
 */
MUST_CHECK int caller_wait(struct vchan *v, int life_fd, unsigned timeout_s, const char *peer);

/**
 * caller_streams() - our own streams for a relay; one that is closed is NO_FD
 * @stdin_socket: standard input is the output too
 *
 * Return: 0; -errno.
 */
MUST_CHECK int caller_streams(bool stdin_socket, int *ret_in, int *ret_out);

/**
 * caller_relay() - HELLO, then the streams until the call is over
 * @o:		vchan, version and out[1] (our standard error) are filled in here
 * @timeout_s:	for HELLO; 0 = for ever
 * @streams:	called between HELLO and the relay with @data, to open what @o names; NULL = it does already
 * @confine:	called before a byte of the call is read; NULL = nothing
 * @ret_code:	the exit code
 *
 * Return: 0; RELAY_E_*; -errno.
 */
MUST_CHECK int caller_relay(struct relay_options *o, struct vchan *v, unsigned timeout_s,
			    int (*streams)(void *data, struct relay_options *o), void *data,
			    int (*confine)(void), unsigned *ret_code);

/** caller_exit() - the exit code for what caller_relay() came to, which is said */
unsigned caller_exit(int r, unsigned code, const char *peer);
