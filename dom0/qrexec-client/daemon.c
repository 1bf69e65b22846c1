/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qrexec-client.h"

#include "base/log.h"
#include "qrexec/local.h"
#include "qrexec/peer.h"

#include <poll.h>
#include <sys/socket.h>

int daemon_connect(const char *dir, const char *qube, char path[UNIX_PATH_MAX + 1],
		   struct qrexec_peer **ret)
{
	AUTO_CLOSE int fd = NO_FD;
	int r = local_path(dir, qube, path, UNIX_PATH_MAX + 1);

	if (r == 0)
		r = io_unix_connect(path, SOCK_STREAM, &fd);
	if (r < 0) {
		complain(r == -ENOENT || r == -ECONNREFUSED
				 ? "%s is not running, or its agent is not there (%s: %s)"
				 : "cannot reach the qrexec daemon of %s (%s: %s)",
			 qube, path, log_errno_str(r));
		return r;
	}
	return local_peer_new(&fd, ret);
}

int daemon_wait(struct qrexec_peer *daemon, int timeout_ms, struct qrexec_msg *ret)
{
	for (;;) {
		struct pollfd p = {.fd = qrexec_peer_fd(daemon)};
		int r = qrexec_peer_flush(daemon), n;

		if (r == 0 && qrexec_peer_idle(daemon))
			r = qrexec_peer_receive(daemon, ret);
		else if (r == 0)
			r = -EAGAIN;
		if (r != -EAGAIN)
			return r;
		p.events = qrexec_peer_events(daemon);
		n = poll(&p, 1, timeout_ms);
		if (n == 0)
			return -ETIMEDOUT;
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
		r = daemon_wait(daemon, -1, &answer);
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
	*ret_domid = answer.domid;
	*ret_port = answer.port;
	return 0;
}
