/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qrexec/caller.h"

#include "base/io.h"
#include "base/log.h"
#include "proto/qrexec.h"
#include "qrexec/peer.h"
#include "qrexec/relay.h"
#include "vchan/vchan.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

void complain(const char *format, ...)
{
	va_list args;

	(void)fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(args, format);
	(void)vfprintf(stderr, format, args);
	va_end(args);
	(void)fputc('\n', stderr);
}

int caller_wait(struct vchan *v, int life_fd, unsigned timeout_s, const char *peer)
{
	const uint64_t until = io_now_ms() + (uint64_t)timeout_s * 1000;

	while (vchan_get_state(v) == VCHAN_WAITING) {
		struct pollfd p[2] = {{.fd = vchan_fd(v), .events = POLLIN},
				      {.fd = life_fd, .events = POLLIN}};
		const uint64_t now = io_now_ms();
		int left = -1, n, r;

		if (timeout_s > 0)
			left = until <= now ? 0 : (int)(until - now);
		n = poll(p, ARRAY_LEN(p), left);
		if (n < 0 && errno != EINTR)
			return fail_errno();
		if (n == 0) {
			complain("%s did not connect within %u seconds", peer, timeout_s);
			return -ETIMEDOUT;
		}
		r = vchan_accept(v);
		if (r < 0 && r != -EAGAIN)
			return r;
		if (r == -EAGAIN && n > 0 && p[1].revents) {
			complain("%s went away before the call began", peer);
			return QREXEC_EXIT_DROPPED;
		}
	}
	return 0;
}

int caller_streams(bool stdin_socket, int *ret_in, int *ret_out)
{
	int r;

	*ret_in = fcntl(STDIN_FILENO, F_GETFD) < 0 ? NO_FD : STDIN_FILENO;
	*ret_out = stdin_socket ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1)
				: STDOUT_FILENO;
	if (*ret_out < 0)
		return fail_errno();
	r = *ret_in >= 0 ? relay_fd_own(*ret_in) : 0;
	return r < 0 ? r : relay_fd_own(*ret_out);
}

int caller_relay(struct relay_options *o, struct vchan *v, unsigned timeout_s,
		 int (*streams)(void *data, struct relay_options *o), void *data,
		 int (*confine)(void), unsigned *ret_code)
{
	struct relay *relay = NULL;
	int r = qrexec_handshake(v, QREXEC_SERVICE_TO_CALLER, timeout_s * 1000, &o->version);

	if (r > 0)
		return RELAY_E_PROTOCOL;
	if (r == -ENODATA || r == -EPIPE)
		return RELAY_E_DROPPED;
	if (r == 0 && streams)
		r = streams(data, o);
	if (r < 0)
		return r;
	o->vchan = v;
	/* standard error stays open for ourselves */
	o->out[1] = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	r = o->out[1] >= 0 ? relay_fd_own(o->out[1]) : 0;
	if (r == 0)
		r = relay_new(o, &relay);
	if (r == 0 && confine)
		r = confine();
	if (r == 0)
		r = relay_run(relay, ret_code);
	relay_free(relay);
	return r;
}

unsigned caller_exit(int r, unsigned code, const char *peer)
{
	if (r == 0)
		return code;
	if (r == RELAY_E_LOCAL)
		return QREXEC_EXIT_SIGNAL + SIGPIPE;
	if (r == RELAY_E_DROPPED || r == RELAY_E_PROTOCOL) {
		complain(r == RELAY_E_DROPPED ? "%s: the call was cut off before its end"
					      : "%s broke the rules of qrexec, call ended",
			 peer);
		return QREXEC_EXIT_DROPPED;
	}
	complain("%s: %s", peer, log_errno_str(r));
	return QREXEC_EXIT_PROBLEM;
}
