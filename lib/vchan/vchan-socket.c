/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The socket driver of vchan: one Unix stream socket a channel.
 *
 * A server's path appears when it can be connected to (io_unix_listen() sees to that) and goes when
 * its one peer is accepted: the same (server, client, port) can be served again at once, and nobody
 * queues up behind a listener that will never accept. The inode is compared before the path is
 * removed, for a second server may have taken the path over.
 *
 * Rings (doc/protocol/ring.md): a program of a qube whose channel leads to the qube's vchand may, once
 * much has gone through the socket, say with two descriptors in it that its further bytes go through memory
 * shared with dom0: an eventfd which wakes the program, and the lock on its slot. The socket is left for bells
 * the other way and for the end. Dom0's bytes come through the socket until one that brings a descriptor too.
 */
#include "vchan/vchan.h"

#include "base/io.h"
#include "base/paths.h"
#include "base/str.h"
#include "vchan/rings.h"

#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>

/** RETRY_MIN_MS, RETRY_MAX_MS - a client's pause where inotify cannot tell it when to try again */
#define RETRY_MIN_MS 2
#define RETRY_MAX_MS 50
/** RECHECK_MS - a client with a watch looks anyway this often (its directory may be a new one) */
#define RECHECK_MS 1000
/** WATCH_MS - how long a client has a watch: a user has few inotify instances, and who has not come by then may not come */
#define WATCH_MS 1000

/** BULK - bytes after which a channel tries for rings: small talk is not worth the move */
#define BULK (32u << 10)

/* A channel that has moved to rings. */
struct lane {
	struct rings rings;
	int bell_fd;
	bool down; /* the other side uses them too: what it sent through the socket was read */
	bool gone; /* it is not there any more */
};

struct vchan {
	int fd;
	enum vchan_state state;
	int claim_fd; /* of a channel that may move to rings; else NO_FD */
	size_t moved; /* bytes, while it may move */
	struct lane *lane;
	char path[UNIX_PATH_MAX + 1]; /* of a server that still waits and owns it; else empty */
	dev_t dev;
	ino_t ino;
};

const char *vchan_dir(void)
{
	const char *dir = getenv("VCHAN_SOCKET_DIR");

	return dir && dir[0] != '\0' ? dir : "/var/run/vchan";
}

unsigned vchan_own_domid(void)
{
	const char *text = getenv("VCHAN_DOMAIN");
	uint64_t id;

	if (!text || str_u64(text, VCHAN_SELF, &id) != 0)
		return 0;
	return (unsigned)id;
}

static int vchan_new(int *fd, enum vchan_state state, struct vchan **ret)
{
	struct vchan *v;
	int r = io_set_nonblock(*fd, true);

	if (r < 0)
		return r;
	v = calloc(1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	v->fd = take_fd(fd);
	v->claim_fd = NO_FD;
	v->state = state;
	*ret = v;
	return 0;
}

/* Remove our socket file, unless the path is somebody else's by now. */
static void forget_path(struct vchan *v)
{
	struct stat st;

	if (v->path[0] != '\0' && lstat(v->path, &st) == 0 && st.st_dev == v->dev &&
	    st.st_ino == v->ino)
		(void)unlink(v->path);
	v->path[0] = '\0';
}

int vchan_server_new(const char *dir, unsigned own, unsigned peer, unsigned port,
		     struct vchan **ret)
{
	char path[UNIX_PATH_MAX + 1];
	AUTO_CLOSE int fd = NO_FD;
	struct vchan *v;
	struct stat st;
	int r;

	r = paths_vchan_socket(dir ? dir : vchan_dir(), own, peer, port, path, sizeof(path));
	if (r < 0)
		return r;
	r = io_unix_listen(path, SOCK_STREAM, 0600, &fd);
	if (r < 0)
		return r;
	r = vchan_new(&fd, VCHAN_WAITING, &v);
	if (r < 0) {
		(void)unlink(path);
		return r;
	}
	if (lstat(path, &st) == 0) {
		memcpy(v->path, path, sizeof(path));
		v->dev = st.st_dev;
		v->ino = st.st_ino;
	}
	*ret = v;
	return 0;
}

static bool worth_a_retry(int r)
{
	return r == -ENOENT || r == -ECONNREFUSED || r == -EAGAIN || r == -EINTR;
}

/* Wait for a change in the watched directory, or @pause_ms; what changed does not matter. */
static void wait_for_change(int watch_fd, unsigned pause_ms)
{
	struct pollfd p = {.fd = watch_fd, .events = POLLIN};
	char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));

	if (poll(&p, 1, (int)pause_ms) > 0)
		(void)!read(watch_fd, events, sizeof(events));
}

static int connect_retry(const char *dir, const char *path, unsigned timeout_ms, int *ret_fd)
{
	uint64_t start = io_now_ms();
	AUTO_CLOSE int watch_fd = NO_FD;
	bool watched = false;
	unsigned pause_ms = RETRY_MIN_MS;

	for (;;) {
		int r = io_unix_connect_now(path, SOCK_STREAM, ret_fd);
		unsigned wait_ms = pause_ms;
		uint64_t passed;

		if (r == 0 || !worth_a_retry(r) || timeout_ms == 0)
			return r;
		passed = io_now_ms() - start;
		if (passed >= timeout_ms)
			return -ETIMEDOUT;
		if (passed >= WATCH_MS) {
			close_fd(&watch_fd);
			watched = false;
		} else if (!watched) {
			if (watch_fd < 0)
				watch_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
			watched = watch_fd >= 0 &&
				  inotify_add_watch(watch_fd, dir, IN_CREATE | IN_MOVED_TO) >= 0;
			if (watched)
				continue; /* it may have appeared before the watch */
		}
		/* A path that is there but refuses gives no event when that ends: pause instead */
		if (watched && r == -ENOENT)
			wait_ms = RECHECK_MS;
		else
			pause_ms = pause_ms * 2 < RETRY_MAX_MS ? pause_ms * 2 : RETRY_MAX_MS;
		if (wait_ms > timeout_ms - passed)
			wait_ms = (unsigned)(timeout_ms - passed);
		wait_for_change(watch_fd, wait_ms);
		if (wait_ms == RECHECK_MS && watch_fd >= 0 && access(dir, F_OK) < 0)
			watched = false; /* the directory went: watch the next one */
	}
}

int vchan_client_new(const char *dir, unsigned own, unsigned peer, unsigned port,
		     unsigned timeout_ms, struct vchan **ret)
{
	char path[UNIX_PATH_MAX + 1];
	AUTO_CLOSE int fd = NO_FD;
	int r;

	r = paths_vchan_socket(dir ? dir : vchan_dir(), peer, own, port, path, sizeof(path));
	if (r < 0)
		return r;
	r = connect_retry(dir ? dir : vchan_dir(), path, timeout_ms, &fd);
	if (r < 0)
		return r;
	return vchan_new(&fd, VCHAN_CONNECTED, ret);
}

int vchan_new_from_fd(int *fd, struct vchan **ret)
{
	return vchan_new(fd, VCHAN_CONNECTED, ret);
}

int vchan_new_from_listener(int *fd, struct vchan **ret)
{
	return vchan_new(fd, VCHAN_WAITING, ret);
}

int vchan_fd(const struct vchan *v)
{
	return v->fd;
}

enum vchan_state vchan_get_state(const struct vchan *v)
{
	return v->state;
}

int vchan_accept(struct vchan *v)
{
	int fd;

	if (v->state != VCHAN_WAITING)
		return -EINVAL;
	fd = accept4(v->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return errno == ECONNABORTED || errno == EINTR ? -EAGAIN : fail_errno();
	forget_path(v);
	close_fd(&v->fd);
	v->fd = fd;
	v->state = VCHAN_CONNECTED;
	return 0;
}

/* ---- rings ---- */

/* After @n bytes through the socket. Not getting rings is no error: the socket goes on. */
static void count_moved(struct vchan *v, size_t n)
{
	struct lane lane;
	uint8_t slot;
	int r, fds[2];

	v->moved += n;
	if (v->claim_fd < 0 || v->moved < BULK)
		return;
	if (rings_claim(&v->claim_fd, &lane.rings) < 0) {
		close_fd(&v->claim_fd);
		return;
	}
	slot = (uint8_t)lane.rings.slot;
	lane = (struct lane){.rings = lane.rings,
			     .bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
	r = lane.bell_fd < 0 ? fail_errno() : 0;
	v->lane = r == 0 ? malloc(sizeof(*v->lane)) : NULL;
	fds[0] = lane.bell_fd;
	fds[1] = lane.rings.claim_fd;
	if (v->lane)
		r = io_send_msg(v->fd, &slot, 1, fds, 2);
	if (v->lane && r == 0) {
		*v->lane = lane;
		return;
	}
	free(v->lane);
	v->lane = NULL;
	close_fd(&lane.bell_fd);
	rings_unclaim(&lane.rings, &v->claim_fd);
	v->moved = BULK / 2; /* the socket is full: later */
	if (r != -EAGAIN)
		close_fd(&v->claim_fd);
}

/* Copy between @bytes and a ring what it allows. Returns how much; -EPROTO. */
static int ring_copy(struct ring *ring, uint8_t *bytes, size_t len, size_t *ret_len)
{
	uint32_t n;
	uint8_t *at;

	*ret_len = 0;
	while (*ret_len < len) {
		if (ring_span(ring, &at, &n) != 0)
			return -EPROTO;
		if (n == 0)
			break;
		n = n < len - *ret_len ? n : (uint32_t)(len - *ret_len);
		if (ring->puts)
			memcpy(at, bytes + *ret_len, n);
		else
			memcpy(bytes + *ret_len, at, n);
		ring_moved(ring, n);
		*ret_len += n;
	}
	return 0;
}

static int lane_move(struct vchan *v, struct ring *ring, uint8_t *bytes, size_t len,
		     size_t *ret_len)
{
	int r;

	ring_wake(ring);
	r = ring_copy(ring, bytes, len, ret_len);
	if (r == 0 && *ret_len > 0 && ring_owes_bell(ring))
		(void)!send(v->fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL); /* full: bells enough */
	return r;
}

static void lane_look_for_end(struct vchan *v)
{
	char byte;
	ssize_t n = v->lane->down ? recv(v->fd, &byte, 1, MSG_DONTWAIT) : 1;
	struct pollfd p = {.fd = v->fd, .events = POLLRDHUP};

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) ||
	    (poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLERR | POLLRDHUP)))
		v->lane->gone = true;
}

static int lane_read(struct vchan *v, void *buf, size_t size, size_t *ret_len)
{
	int r = lane_move(v, &v->lane->rings.down, buf, size, ret_len);

	if (r < 0 || *ret_len > 0)
		return r;
	if (!v->lane->gone) {
		lane_look_for_end(v);
		/* what it put before it went */
		r = lane_move(v, &v->lane->rings.down, buf, size, ret_len);
		if (r < 0 || *ret_len > 0)
			return r;
	}
	if (!v->lane->gone)
		return -EAGAIN;
	v->state = VCHAN_CLOSED;
	return 0;
}

static int lane_write(struct vchan *v, const void *bytes, size_t len, size_t *ret_len)
{
	int r;

	if (v->lane->gone)
		return -EPIPE;
	/* not const for ring_copy(), which only reads when it puts */
	r = lane_move(v, &v->lane->rings.up, (uint8_t *)(uintptr_t)bytes, len, ret_len);
	if (r < 0 || *ret_len > 0 || len == 0)
		return r;
	lane_look_for_end(v);
	return v->lane->gone ? -EPIPE : -EAGAIN;
}

/* Bytes through the socket, until one comes with a descriptor: then the ring is next. */
static ssize_t lane_recv(struct vchan *v, void *buf, size_t size)
{
	AUTO_CLOSE int fd = NO_FD;
	size_t len, n_fds;
	int r = io_recv_msg(v->fd, buf, size, &len, &fd, 1, &n_fds);

	if (r < 0) {
		errno = -r;
		return -1;
	}
	if (n_fds == 0)
		return (ssize_t)len;
	v->lane->down = true;
	if (len > 1)
		return (ssize_t)len - 1;
	errno = EINTR; /* once more */
	return -1;
}

void vchan_allow_rings(struct vchan *v)
{
	if (!v->lane && v->claim_fd < 0 && rings_allow(v->fd, &v->claim_fd) < 0)
		v->claim_fd = NO_FD; /* then it stays where it is */
}

static bool has_span(const struct ring *ring)
{
	uint32_t len;
	uint8_t *at;

	return ring_span(ring, &at, &len) != 0 || len > 0;
}

static bool lane_ready(const struct lane *lane, bool read, bool write)
{
	return lane->gone || (read && lane->down && has_span(&lane->rings.down)) ||
	       (write && has_span(&lane->rings.up));
}

bool vchan_look(const struct vchan *v, bool read, bool write, struct pollfd ret[2])
{
	ret[0] = (struct pollfd){.fd = v->fd,
				 .events = (short)((read ? POLLIN : 0) | (write ? POLLOUT : 0))};
	ret[1] = (struct pollfd){.fd = NO_FD};
	if (!v->lane)
		return false;
	ret[0].events = (short)((read ? POLLIN : 0) | POLLRDHUP);
	ret[1] = (struct pollfd){.fd = v->lane->bell_fd, .events = POLLIN};
	return lane_ready(v->lane, read, write);
}

bool vchan_poll(struct vchan *v, bool read, bool write, struct pollfd ret[2])
{
	uint64_t bells;

	if (vchan_look(v, read, write, ret))
		return true;
	if (!v->lane)
		return false;
	(void)!eventfd_read(v->lane->bell_fd, &bells);
	if (read && v->lane->down)
		(void)ring_wait(&v->lane->rings.down);
	if (write)
		(void)ring_wait(&v->lane->rings.up);
	return lane_ready(v->lane, read, write);
}

int vchan_read(struct vchan *v, void *buf, size_t size, size_t *ret_len)
{
	ssize_t n;

	if (v->state == VCHAN_WAITING)
		return -EAGAIN;
	do
		if (v->lane && v->lane->down)
			return lane_read(v, buf, size, ret_len);
		else if (v->lane)
			n = lane_recv(v, buf, size);
		else
			n = recv(v->fd, buf, size, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	/* ECONNRESET: the peer closed without reading all of ours; its own bytes came before this
	 */
	if (n == 0 || (n < 0 && errno == ECONNRESET)) {
		v->state = VCHAN_CLOSED;
		*ret_len = 0;
		return 0;
	}
	if (n < 0)
		return fail_errno();
	*ret_len = (size_t)n;
	count_moved(v, (size_t)n);
	return 0;
}

int vchan_write(struct vchan *v, const void *bytes, size_t len, size_t *ret_len)
{
	ssize_t n;

	if (v->state == VCHAN_WAITING)
		return -EAGAIN;
	if (v->lane)
		return lane_write(v, bytes, len, ret_len);
	do
		n = send(v->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? -EPIPE : fail_errno();
	*ret_len = (size_t)n;
	count_moved(v, (size_t)n);
	return 0;
}

static int wait_for(struct vchan *v, bool write)
{
	struct pollfd p[2];

	while (!vchan_poll(v, !write, write, p) && poll(p, 2, -1) < 0)
		if (errno != EINTR)
			return fail_errno();
	return 0;
}

/* A server's peer, waited for. */
static int need_peer(struct vchan *v)
{
	while (v->state == VCHAN_WAITING) {
		int r = vchan_accept(v);

		if (r == -EAGAIN)
			r = wait_for(v, false);
		if (r < 0)
			return r;
	}
	return 0;
}

int vchan_read_full(struct vchan *v, void *buf, size_t len)
{
	uint8_t *at = buf;
	int r = need_peer(v);

	while (r == 0 && len > 0) {
		size_t n;

		r = vchan_read(v, at, len, &n);
		if (r == -EAGAIN) {
			r = wait_for(v, false);
			continue;
		}
		if (r < 0)
			return r;
		if (n == 0)
			return -ENODATA;
		at += n;
		len -= n;
	}
	return r;
}

int vchan_write_full(struct vchan *v, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;
	int r = need_peer(v);

	while (r == 0 && len > 0) {
		size_t n;

		r = vchan_write(v, at, len, &n);
		if (r == -EAGAIN) {
			r = wait_for(v, true);
			continue;
		}
		if (r < 0)
			return r;
		at += n;
		len -= n;
	}
	return r;
}

void vchan_free(struct vchan *v)
{
	if (!v)
		return;
	forget_path(v);
	if (v->lane) {
		rings_close(&v->lane->rings);
		close_fd(&v->lane->bell_fd);
		free(v->lane);
	}
	close_fd(&v->claim_fd);
	close_fd(&v->fd);
	free(v);
}
