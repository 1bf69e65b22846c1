/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * The relay of one call: a command's streams over its data channel.
 *
 * Two roles. The caller sends DATA_STDIN and hears DATA_STDOUT, DATA_STDERR and the exit code; the
 * service does the reverse for a process of its own. Each direction has one buffer of one message:
 * what the receiver of a stream does not take is not read from its sender, so memory is bounded and
 * back-pressure reaches from the last pipe to the first. Streams of one direction share the
 * channel: while one of them is stuck, the next one's bytes wait behind it. The two directions
 * never wait for each other.
 *
 * Descriptors need not be non-blocking, but outputs that are not are slower; see relay_fd_own().
 * While a service's command may wait for input its pipes are read by a process of their own, which
 * is ended with the relay and left to be reaped by whoever reaps ours.
 */
#include "base/attr.h"

#include <sys/types.h>

struct vchan;
struct relay;

enum relay_role { RELAY_CALLER, RELAY_SERVICE };

/** enum - outcomes of relay_run() */
enum {
	RELAY_E_DROPPED = 1, /* the channel ended before the exit code */
	RELAY_E_PROTOCOL,    /* the other side broke the rules */
	RELAY_E_LOCAL,       /* caller: nobody reads our output any more */
};

/**
 * struct relay_options - what a relay works on; descriptors stay the caller's and open, unless said
 *
 * @role:	which end we are
 * @vchan:	connected, HELLO done; borrowed
 * @version:	agreed
 * @in:		read and sent. Caller: [0] = stdin. Service: [0] = the command's stdout, [1] =
 *		stderr. NO_FD = no such stream: its end is sent at once. Closed at their end
 * @out:	written. Caller: [0] = stdout, [1] = stderr. Service: [0] = the command's stdin.
 *		NO_FD = what comes is dropped. Closed at their end
 * @filter:	caller: replace control characters in [0], [1]
 * @prefix, @prefix_len: sent before the bytes of in[0]
 * @socket:	service: there is no command, in[0] and out[0] are one socket; the exit code is 0 when it and the
 *		caller have both ended their stream, or, with the next two, when one has
 * @until_client_eof, @until_service_eof: the caller, the socket
 * @pid:	service: the command; not reaped before relay_run() returns, so that its process
 *		group's number stays its own. 0 = none
 * @signal_fd:	a signalfd with SIGUSR1 (and, as a service, SIGCHLD), blocked; NO_FD = none. On SIGUSR1 the
 *		socket out[0] is read as well, instead of in[0]
 * @keep_going:	caller: a closed output is no reason to end (local command)
 * @shut_down:	caller: out[0] is a socket that may still be read when it is not written any more
 * @code_only:	caller: nothing is sent, not even the end of a stream
 */
struct relay_options {
	enum relay_role role;
	struct vchan *vchan;
	uint32_t version;
	int in[2], out[2];
	bool filter[2];
	const void *prefix;
	size_t prefix_len;
	pid_t pid;
	int signal_fd;
	bool keep_going, shut_down, code_only;
	bool socket, until_client_eof, until_service_eof;
};

/** RELAY_LINGER_MS - how long streams that nobody writes to outlive the command they came from */
#define RELAY_LINGER_MS 5000

/** relay_new() - all memory a relay will ever use; 0; -ENOMEM */
MUST_CHECK int relay_new(const struct relay_options *o, struct relay **ret);
void relay_free(struct relay *r);

/**
 * relay_run() - relay until the call is over
 * @ret_code:	the exit code, 0..255, sent (service) or received (caller)
 *
 * Return: 0; RELAY_E_*; -errno.
 */
MUST_CHECK int relay_run(struct relay *r, unsigned *ret_code);

/** relay_code_send() - service: the ends of both streams, if @streams, and an exit code, waiting;
 * for calls that have no process */
MUST_CHECK int relay_code_send(struct vchan *v, bool streams, unsigned code);

/**
 * relay_fd_own() - make a descriptor non-blocking without changing it for those who share it
 *
 * A pipe or terminal is opened again through /proc/self/fd; what cannot be (a socket, no
 * permission) stays as it is, and the relay moves small pieces. Should: be called before a sandbox
 * is entered. Return: 0, also if it stayed; -errno.
 */
MUST_CHECK int relay_fd_own(int fd);
