/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qrexec-client.h"

#include "base/log.h"
#include "qrexec/caller.h"
#include "qrexec/local.h"
#include "qrexec/peer.h"

#include <poll.h>
#include <sys/socket.h>

/** RETRY_MS - pause before a full queue is tried again */
#define RETRY_MS 20

/* one whose queue is full is waited for, one that was taken over not for ever */
static int connect_patiently(const char *path, int *ret_fd)
{
	const uint64_t until = io_now_ms() + DAEMON_MS;
	int r = io_unix_connect_now(path, SOCK_STREAM, ret_fd);

	while (r == -EAGAIN && io_now_ms() < until) {
		(void)poll(NULL, 0, RETRY_MS);
		r = io_unix_connect_now(path, SOCK_STREAM, ret_fd);
	}
	return r == -EAGAIN ? -ETIMEDOUT : r;
}

int daemon_connect(const char *dir, const char *qube, char path[UNIX_PATH_MAX + 1],
		   struct qrexec_peer **ret)
{
	AUTO_CLOSE int fd = NO_FD;
	int r = local_path(dir, qube, path, UNIX_PATH_MAX + 1);

	if (r == 0)
		r = connect_patiently(path, &fd);
	if (r < 0) {
		complain(r == -ENOENT || r == -ECONNREFUSED
				 ? "%s is not running, or its agent is not there (%s: %s)"
				 : "cannot reach the qrexec daemon of %s (%s: %s)",
			 qube, path, log_errno_str(r));
		return r;
	}
	return local_peer_new(&fd, ret);
}

int daemon_wait(struct qrexec_peer *daemon, unsigned timeout_ms, struct qrexec_msg *ret)
{
	const uint64_t until = io_now_ms() + timeout_ms;

	for (;;) {
		struct pollfd p = {.fd = qrexec_peer_fd(daemon)};
		uint64_t now;
		int r = qrexec_peer_flush(daemon), n;

		if (r == 0 && qrexec_peer_idle(daemon))
			r = qrexec_peer_receive(daemon, ret);
		else if (r == 0)
			r = -EAGAIN;
		if (r != -EAGAIN)
			return r;
		p.events = qrexec_peer_events(daemon);
		now = io_now_ms();
		if (now >= until)
			return -ETIMEDOUT;
		n = poll(&p, 1, (int)(until - now));
		if (n < 0 && errno != EINTR)
			return fail_errno();
	}
}

int daemon_request(struct qrexec_peer *daemon, const char *qube, const char *path,
		   const struct qrexec_msg *m, uint32_t *ret_domid, uint32_t *ret_port)
{
	struct qrexec_msg answer = {0};
	int r = daemon_wait(daemon, DAEMON_MS, &answer);

	if (r == 0)
		r = qrexec_peer_send(daemon, m);
	if (r == 0)
		r = daemon_wait(daemon, PORT_MS, &answer);
	if (r == 0 && answer.type != m->type)
		r = QREXEC_E_TYPE;
	if (r != 0) {
		complain("the qrexec daemon of %s %s", qube,
			 r == -ENODATA || r == -EPIPE ? "closed the connection: its log says why"
			 : r > 0                      ? qrexec_outcome_str(r)
						      : log_errno_str(r));
		return r > 0 ? -EPROTO : r;
	}
	if (!local_is_of(path, answer.domid)) {
		complain("the qrexec daemon of %s speaks for another qube (%u)", qube,
			 answer.domid);
		return -EPROTO;
	}
	if (answer.port < QREXEC_PORT_DATA || answer.port > UINT16_MAX) {
		complain("the qrexec daemon of %s names a port that no call can have (%u)", qube,
			 answer.port);
		return -EPROTO;
	}
	*ret_domid = answer.domid;
	*ret_port = answer.port;
	return 0;
}
