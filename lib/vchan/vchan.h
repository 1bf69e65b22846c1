/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * vchan: a byte stream between (domain id, port) and (domain id, port). dom0 is domain 0.
 *
 * Driver "socket": a Unix stream socket at DIR/vchan.SERVER.CLIENT.PORT.sock (the wire page
 * doc/protocol/vchan.md). The server binds and accepts exactly one peer; the client retries,
 * bounded, while there is no server. Closing flushes what was written. Inside a qube the qube's own
 * id may be written VCHAN_SELF: vchand maps it, since a fork changes the real one.
 */
#include "base/attr.h"

#include <poll.h>

/** VCHAN_SELF - "this domain", whatever its id is now (Xen's DOMID_SELF) */
#define VCHAN_SELF 32752u
/** VCHAN_DOMID_MAX - largest id of a domain */
#define VCHAN_DOMID_MAX 32751u

struct vchan;

/** enum vchan_state - of a vchan object */
enum vchan_state {
	VCHAN_WAITING,   /* a server nobody has connected to yet */
	VCHAN_CONNECTED, /* bytes flow */
	VCHAN_CLOSED,    /* the other side is gone; what it had written may still be read */
};

/** vchan_dir() - $VCHAN_SOCKET_DIR or the default /var/run/vchan */
const char *vchan_dir(void);
/** vchan_own_domid() - $VCHAN_DOMAIN, default 0 */
unsigned vchan_own_domid(void);

/**
 * vchan_server_new() - listen for one peer
 * @dir:	directory of the sockets; NULL = vchan_dir()
 * @own:	this side's id as it stands in the path
 * @peer:	the other side's id
 * @port:	channel number
 * @ret:	state VCHAN_WAITING; owned by the caller
 *
 * An old socket on the path is replaced. Return: 0; -ENAMETOOLONG; -errno.
 */
MUST_CHECK int vchan_server_new(const char *dir, unsigned own, unsigned peer, unsigned port,
				struct vchan **ret);

/**
 * vchan_client_new() - connect to a server
 * @timeout_ms:	how long to retry while there is no server; 0 tries once
 *
 * Blocks at most @timeout_ms. Return: 0; -ETIMEDOUT; -ECONNREFUSED or -ENOENT (with @timeout_ms 0);
 * -errno.
 */
MUST_CHECK int vchan_client_new(const char *dir, unsigned own, unsigned peer, unsigned port,
				unsigned timeout_ms, struct vchan **ret);

/** vchan_new_from_fd() - a connected stream socket that somebody else made; takes the descriptor on
 * success */
MUST_CHECK int vchan_new_from_fd(int *fd, struct vchan **ret);
/** vchan_new_from_listener() - a listening socket that somebody else made (its path is theirs);
 * takes it */
MUST_CHECK int vchan_new_from_listener(int *fd, struct vchan **ret);

/**
 * vchan_fd() - the descriptor to poll: while WAITING for POLLIN, then POLLIN/POLLOUT as for a
 * socket
 *
 * It changes when a waiting server gets its peer. Borrowed.
 */
int vchan_fd(const struct vchan *v);
enum vchan_state vchan_get_state(const struct vchan *v);

/** vchan_accept() - a WAITING server whose descriptor is readable takes its peer; -EAGAIN if none
 * is there */
MUST_CHECK int vchan_accept(struct vchan *v);

/**
 * vchan_read() - read what is there, without waiting
 *
 * Return: 0 with 1..@size in @ret_len, or 0 in it at the end of the stream; -EAGAIN; -errno.
 */
MUST_CHECK int vchan_read(struct vchan *v, void *buf, size_t size, size_t *ret_len);
/** vchan_write() - write what fits now, without waiting; 0 with 1..@len in @ret_len; -EAGAIN;
 * -EPIPE; -errno */
MUST_CHECK int vchan_write(struct vchan *v, const void *bytes, size_t len, size_t *ret_len);
/** vchan_read_full() - exactly @len bytes, waiting; -ENODATA at the end of the stream */
MUST_CHECK int vchan_read_full(struct vchan *v, void *buf, size_t len);
/** vchan_write_full() - all @len bytes, waiting */
MUST_CHECK int vchan_write_full(struct vchan *v, const void *bytes, size_t len);

/**
 * vchan_allow_rings() - let this channel move to memory shared with dom0 once much has gone through it
 *
 * For a program that is root in a qube, and may become another user afterwards; the channel is connected. It must wait
 * with vchan_poll() then: the descriptor alone does not tell any more.
 */
void vchan_allow_rings(struct vchan *v);
/**
 * vchan_poll() - what to poll for, before vchan_read() (@read) or vchan_write() (@write) is worth a try
 * @ret:	two entries; one with fd NO_FD is none
 *
 * For a server that waits for its peer: @read, then vchan_accept(). After any entry fired try all that is wanted; call it again
 * before every poll. Return: true if something is there now: do not wait.
 */
bool vchan_poll(struct vchan *v, bool read, bool write, struct pollfd ret[2]);
/**
 * vchan_look() - the same for who does not wait
 *
 * vchan_poll() has the other side wake us, which costs both of us more than moving bytes does. Who serves many channels
 * looks at all of them first, and only if it has found nothing anywhere, and so will wait, calls vchan_poll() for each.
 */
bool vchan_look(const struct vchan *v, bool read, bool write, struct pollfd ret[2]);

/** vchan_free() - close; a server that still waits removes its socket file */
void vchan_free(struct vchan *v);
