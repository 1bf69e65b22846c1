/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A call from the request to its end. What the daemon says of it is the qube's word, decoded and sanitized there; it is
 * looked at again here, since that daemon may have been taken over. So all a qube can get that way is what it could ask
 * for: the source is our own, and who decides is asked by us.
 *
 * A local connection to our own daemon is the call's life: the daemon closes it when the agent says that it is over.
 */
#include "broker.h"

#include "base/str.h"
#include "client/hold.h"
#include "qrexec/local.h"
#include "qrexec/peer.h"
#include "vchan/vchan.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

static void call_free(struct call *c)
{
	/* not reaped yet, so the number is still its own; nobody waits for what it would say */
	if (c->pid > 0)
		(void)kill(c->pid, SIGTERM);
	close_fd(&c->fd);
	close_fd(&c->tickets[0]);
	close_fd(&c->tickets[1]);
	close_fd(&c->seat_fd);
	vchan_free(c->stand_in);
	qrexec_peer_free(c->caller);
	qrexec_peer_free(c->callee); /* last: then its port is another call's */
	hold_free(c->hold);
	free(c->service);
	free(c->text);
	free(c->decided);
	free(c->decided_target);
	free(c->command);
	free(c);
}

static void sweep(struct broker *b)
{
	struct call **at = &b->calls;

	while (*at) {
		struct call *c = *at;

		if (c->state != CALL_GONE) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		b->names_len -= strlen(c->service);
		call_free(c);
		b->n_calls--;
	}
}

/* what is to connect two qubes may wait at a vchand. Once its daemon is asked the caller may know of the call, which goes on
 * without us, as a live one; if it does not know, what waits is void after a while */
static bool has_tickets(const struct call *c)
{
	return c->state == CALL_TICKETS || (c->state == CALL_CALLER && !c->to_dom0 && !c->asked);
}

void calls_drop_all(struct broker *b)
{
	for (struct call *c = b->calls; c; c = c->next) {
		callee_leave(b, c);
		if (has_tickets(c))
			tickets_revoke(b, c);
		c->state = CALL_GONE;
	}
	sweep(b);
}

static bool is_target(const char *text)
{
	return bytes_are_alnum_or(text, strlen(text), "_.-@:");
}

int call_new(struct broker *b, const struct qrexec_msg *m)
{
	struct call *c, **at = &b->calls;

	if (!qrexec_service_valid(m->service, m->service_len) ||
	    !bytes_are_alnum_or(m->service, m->service_len, "_.-+") || !is_target(m->target) ||
	    !is_target(m->source))
		return -EPROTO;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->fd = c->tickets[0] = c->tickets[1] = c->seat_fd = NO_FD;
	memcpy(c->ident, m->ident, sizeof(c->ident));
	memcpy(c->source, m->source, sizeof(c->source));
	memcpy(c->target, m->target, sizeof(c->target));
	c->service = strndup(m->service, m->service_len);
	if (!c->service) {
		call_free(c);
		return -ENOMEM;
	}
	while (*at)
		at = &(*at)->next;
	*at = c;
	b->n_calls++;
	b->names_len += m->service_len;
	if (b->names_len > NAMES_MAX)
		call_refuse(b, c, "the names of its calls are too long together");
	else
		decide_start(b, c);
	return 0;
}

void call_refuse(struct broker *b, struct call *c, const char *format, ...)
{
	char why[256];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	if (log_allowed(&b->noise, b->name))
		log_info(b->name, "its call of %.128s to \"%s\" is refused: %s", c->service,
			 c->target, why);
	callee_leave(b, c);
	if (has_tickets(c))
		tickets_revoke(b, c);
	close_fd(&c->fd);
	close_fd(&c->tickets[0]);
	close_fd(&c->tickets[1]);
	close_fd(&c->seat_fd);
	qrexec_peer_free(c->caller);
	qrexec_peer_free(c->callee);
	hold_free(c->hold);
	c->callee = c->caller = NULL;
	c->hold = NULL;
	c->until_ms = c->again_ms = 0;
	c->state = CALL_REFUSED;
}

void call_retry(struct call *c)
{
	if (c->until_ms == 0)
		c->until_ms = io_now_ms() + ANSWER_MS;
	c->again_ms = io_now_ms() + RETRY_MS;
}

/* ---- the caller ---------------------------------------------------------------------------- */

/* 0: it is told; -EAGAIN; else it cannot be */
static int caller_tell(struct call *c)
{
	struct qrexec_msg m = {.type = QREXEC_SERVICE_CONNECT, .domid = c->domid, .port = c->port},
			  answer;
	int r = qrexec_peer_flush(c->caller);

	memcpy(m.ident, c->ident, sizeof(m.ident));
	if (r == 0 && !c->asked && qrexec_peer_idle(c->caller)) {
		r = qrexec_peer_send(c->caller, &m);
		c->asked = r == 0;
	}
	while (r == 0 && qrexec_peer_idle(c->caller)) {
		r = qrexec_peer_receive(c->caller, &answer);
		if (r != 0 || answer.type == QREXEC_HELLO)
			continue;
		if (answer.type != QREXEC_SERVICE_CONNECT || answer.ident[0] != '\0')
			return QREXEC_E_TYPE;
		c->port = answer.port;
		return 0;
	}
	return r == 0 ? -EAGAIN : r;
}

/* One that is refused although its caller may know of it: what has begun of it ends. Not where the daemon that would tell has ended
 * itself, which the other side could bring about */
static void take_back(struct broker *b, const struct call *c)
{
	if (c->state == CALL_CALLER && !c->to_dom0 && c->asked)
		tickets_revoke(b, c);
}

static void caller_turn(struct broker *b, struct call *c)
{
	int r = caller_tell(c);

	if (r == -EAGAIN)
		return;
	if (r == 0 && c->to_dom0)
		r = callee_serve_dom0(b, c);
	if (r > 0)
		take_back(b, c);
	if (r != 0) {
		call_refuse(b, c, "its own daemon gives no port: %s",
			    r > 0 ? qrexec_outcome_str(r) : log_errno_str(r));
		return;
	}
	log_debug(b->name, "call of %s to \"%s\": port %u", c->service, c->target, c->port);
	c->until_ms = 0;
	c->state = c->to_dom0 ? CALL_GONE : CALL_LIVE;
}

void call_connect_caller(struct broker *b, struct call *c)
{
	AUTO_CLOSE int fd = NO_FD;
	char own[16], path[UNIX_PATH_MAX + 1];
	int r = c->to_dom0 && c->seat_fd < 0 ? seat_take(b->seats_fd, &c->seat_fd) : 0;

	if (r < 0) {
		call_refuse(b, c, "%s",
			    r == -EAGAIN ? "too many of its calls are served in dom0"
					 : log_errno_str(r));
		return;
	}
	c->state = CALL_CALLER;
	c->asked = false;
	(void)snprintf(own, sizeof(own), "%u", b->domid);
	r = local_path(b->socket_dir, own, path, sizeof(path));
	if (r == 0)
		r = io_unix_connect_now(path, SOCK_STREAM, &fd);
	if (r == -EAGAIN) {
		call_retry(c);
		return;
	}
	if (r == 0)
		r = local_peer_new(&fd, &c->caller);
	if (r < 0) {
		call_refuse(b, c, "its own daemon cannot be reached: %s", log_errno_str(r));
		return;
	}
	c->until_ms = io_now_ms() + ANSWER_MS;
	caller_turn(b, c);
}

/* nothing more is said to a client: whatever comes is the end */
static void live_turn(const struct broker *b, struct call *c, const short revents[2])
{
	if (revents[0] && c->caller) {
		qrexec_peer_free(c->caller);
		c->caller = NULL;
		c->again_ms = io_now_ms() + CANCEL_MS;
	} else if (revents[0] && c->stand_in) {
		cancel_turn(c);
	} else if (revents[0]) {
		close_fd(&c->tickets[1]);
	}
	if (c->caller && revents[1]) {
		c->over_ms = io_now_ms();
		c->again_ms = c->over_ms + CANCEL_MS;
	}
	/* a disposable is not waited for: it goes with its caller */
	if (c->caller || (!revents[1] && !c->hold))
		return;
	tickets_revoke(b, c);
	c->state = CALL_GONE; /* only now may its port be another call's */
}

/* ---- the loop ------------------------------------------------------------------------------ */

static struct pollfd entry(int fd, short events)
{
	return (struct pollfd){.fd = fd, .events = events};
}

static struct pollfd peer_entry(const struct qrexec_peer *p)
{
	return p ? entry(qrexec_peer_fd(p), qrexec_peer_events(p)) : entry(NO_FD, 0);
}

/* the caller's; or that of whoever stands in for it and waits, or of the vchand that is told */
static struct pollfd caller_entry(const struct call *c)
{
	if (c->caller)
		return peer_entry(c->caller);
	if (c->stand_in && vchan_get_state(c->stand_in) == VCHAN_WAITING)
		return entry(vchan_fd(c->stand_in), POLLIN);
	return entry(c->tickets[1], POLLIN);
}

/* it is tried again soon, and not before: till then nothing that comes for it is taken */
static bool is_paused(const struct call *c)
{
	return c->again_ms > 0 && c->state != CALL_LIVE;
}

unsigned calls_poll(struct broker *b, struct pollfd *p, unsigned first)
{
	struct pollfd *at;
	unsigned n = 0;

	for (struct call *c = b->calls; c; c = c->next) {
		c->poll_at = first + n;
		p[n] = p[n + 1] = p[n + 2] = entry(NO_FD, 0);
		n += CALL_FDS;
		if (is_paused(c))
			continue;
		at = &p[n - CALL_FDS];
		at[2] = entry(c->hold ? hold_fd(c->hold) : NO_FD, POLLIN);
		switch (c->state) {
		case CALL_DECIDING:
			at[0] = entry(c->fd, c->asked ? POLLIN : POLLOUT);
			break;
		case CALL_STARTING:
			at[0] = entry(c->fd, POLLIN);
			break;
		case CALL_TICKETS:
			at[0] = entry(c->tickets[0], POLLIN);
			at[1] = entry(c->tickets[1], POLLIN);
			break;
		case CALL_CALLEE:
			at[1] = peer_entry(c->callee);
			break;
		case CALL_CALLER:
			at[0] = caller_entry(c);
			/* once it is asked the caller may know of the call: a callee that ends now is one of a live call */
			if (!c->asked)
				at[1] = peer_entry(c->callee);
			break;
		case CALL_LIVE:
			at[0] = caller_entry(c);
			/* once is enough while there is the caller */
			if (!c->caller || c->over_ms == 0)
				at[1] = peer_entry(c->callee);
			break;
		case CALL_MAKING:
		case CALL_QUEUED:
		case CALL_REFUSED:
		case CALL_GONE:
			break;
		}
	}
	return n;
}

static void again(struct broker *b, struct call *c)
{
	c->again_ms = 0;
	if (c->state == CALL_DECIDING)
		decide_start(b, c);
	else if (c->state == CALL_CALLEE)
		callee_start(b, c);
	else if (c->state == CALL_TICKETS)
		tickets_grant(b, c);
	else if (c->state == CALL_CALLER)
		call_connect_caller(b, c);
	else if (c->state == CALL_LIVE && c->caller)
		cancel_caller(b, c);
	else if (c->state == CALL_LIVE)
		cancel_start(b, c);
}

static void call_turn(struct broker *b, struct call *c, const short revents[CALL_FDS])
{
	if (c->hold && (revents[2] || hold_timeout_ms(c->hold) == 0))
		callee_hold(b, c);
	switch (c->state) {
	case CALL_DECIDING:
		decide_turn(b, c, revents[0]);
		break;
	case CALL_STARTING:
		callee_started(b, c, revents[0]);
		break;
	case CALL_TICKETS:
		tickets_turn(b, c, revents);
		break;
	case CALL_CALLEE:
		if (revents[1])
			callee_turn(b, c);
		break;
	case CALL_CALLER:
		if (revents[1])
			call_refuse(b, c, "%s went away", c->callee_name);
		else if (revents[0])
			caller_turn(b, c);
		break;
	case CALL_LIVE:
		live_turn(b, c, revents);
		break;
	case CALL_MAKING:
	case CALL_QUEUED:
	case CALL_REFUSED:
	case CALL_GONE:
		break;
	}
}

static int refusal_send(struct broker *b, struct call *c)
{
	struct qrexec_msg m = {.type = QREXEC_SERVICE_REFUSED};

	memcpy(m.ident, c->ident, sizeof(m.ident));
	c->state = CALL_GONE;
	return qrexec_peer_send(b->daemon, &m);
}

int calls_turn(struct broker *b, const struct pollfd *p, unsigned n)
{
	const uint64_t now = io_now_ms();
	int r = 0;

	for (struct call *c = b->calls; c && r == 0; c = c->next) {
		short revents[CALL_FDS] = {0};

		/* one that came in this turn has not been looked at yet */
		for (unsigned i = 0; c->poll_at > 0 && c->poll_at + CALL_FDS <= n && i < CALL_FDS;
		     i++)
			revents[i] = p[c->poll_at + i].revents;
		if (c->again_ms > 0 && now >= c->again_ms)
			again(b, c);
		else if (!is_paused(c))
			call_turn(b, c, revents);
		if (c->until_ms > 0 && now >= c->until_ms) {
			take_back(b, c);
			call_refuse(b, c,
				    c->state == CALL_QUEUED
					    ? "too many others of its calls wait for the same qube"
					    : "it takes too long");
		}
		if (c->state == CALL_REFUSED && qrexec_peer_idle(b->daemon))
			r = refusal_send(b, c);
	}
	callees_dispatch(b);
	sweep(b);
	return r;
}

void calls_reap(struct broker *b)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct call *c = b->calls;

		while (c && c->pid != pid)
			c = c->next;
		if (pid == b->errors_pid) {
			/* killed: nobody reads what services complain of. The next one has a new reader */
			close_fd(&b->errors_fd);
			b->errors_pid = 0;
		} else if (c) {
			c->pid = 0;
			c->status = status;
		} else if (status != 0 && log_allowed(&b->noise, b->name)) {
			log_info(b->name, "a call of it to dom0 ended before it was over");
		}
	}
}

int calls_timeout_ms(const struct broker *b)
{
	const uint64_t now = io_now_ms();
	uint64_t first = 0;

	for (const struct call *c = b->calls; c; c = c->next) {
		const int hold_ms = c->hold && !is_paused(c) ? hold_timeout_ms(c->hold) : -1;

		if (hold_ms >= 0 && (first == 0 || now + (uint64_t)hold_ms < first))
			first = now + (uint64_t)hold_ms;
		if (c->state == CALL_REFUSED && qrexec_peer_idle(b->daemon))
			return 0; /* it was as soon as it came */
		if (c->until_ms > 0 && (first == 0 || c->until_ms < first))
			first = c->until_ms;
		if (c->again_ms > 0 && (first == 0 || c->again_ms < first))
			first = c->again_ms;
	}
	if (first == 0)
		return -1;
	return first <= now ? 0 : (int)(first - now);
}
