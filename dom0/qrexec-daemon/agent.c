/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control channel. The agent is in the qube and therefore hostile: what it sends is judged by
 * the codec, one message at a time, and nothing more is read while it does not take our answer.
 * What breaks the rules ends its channel; trying again is free for us and slow for it.
 */
#include "base/io.h"
#include "base/str.h"
#include "daemon.h"
#include "loop/ask.h"
#include "qrexec/peer.h"
#include "vchan/vchan.h"

#include <stdio.h>
#include <sys/inotify.h>

/* AGAIN_MS - a qube whose agent comes and goes is looked at no more often */
#define AGAIN_MS 1000
/* LOOK_MS - between tries that no news of the directory led to */
#define LOOK_MS 1000

int agent_watch(struct daemon *d, int dir_fd)
{
	AUTO_CLOSE int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	char path[32];
	int r;

	/* a user has 128 of them, and each qube takes some: without one we look every LOOK_MS */
	if (fd < 0)
		return errno == EMFILE ? 0 : fail_errno();
	r = str_format(path, sizeof(path), "/proc/self/fd/%d", dir_fd);
	if (r < 0)
		return r;
	if (inotify_add_watch(fd, path, IN_CREATE | IN_MOVED_TO) < 0)
		return errno == ENOSPC ? 0 : fail_errno();
	d->watch_fd = take_fd(&fd);
	return 0;
}

/* sockets appeared; is one of them the agent's? Names that were lost count as its. */
static bool news_of_agent(const struct daemon *d)
{
	char own[32], buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	const struct inotify_event *e;
	bool found = false;
	ssize_t n;

	(void)snprintf(own, sizeof(own), "vchan.%u.0.%u.sock", d->domid, QREXEC_PORT_CONTROL);
	n = read(d->watch_fd, buf, sizeof(buf));
	for (char *at = buf; n > 0 && at < buf + n; at += sizeof(*e) + e->len) {
		e = (const struct inotify_event *)(const void *)at;
		if ((e->mask & IN_Q_OVERFLOW) || (e->len > 0 && str_eq(e->name, own)))
			found = true;
	}
	return found;
}

void agent_watch_turn(struct daemon *d)
{
	if (d->watch_fd >= 0 && news_of_agent(d) && !d->agent)
		d->retry_ms = d->hold_ms;
}

static int state_tell(const struct daemon *d, bool up)
{
	const struct ask q = {.kind = ASK_AGENT_STATE, .a = up ? 1 : 0};

	return ask_call(d->ask_fd, &q, NULL);
}

static int agent_greeted(struct daemon *d)
{
	const struct ask q = {.kind = ASK_QREXEC_BIND};
	int r = ask_call(d->ask_fd, &q, &d->listen_fd);

	if (r < 0) {
		log_err(d->name, "cannot make the clients' socket: %s", log_errno_str(r));
		return r;
	}
	d->agent_up = true;
	if (log_allowed(&d->noise, d->name))
		log_info(d->name, "agent connected");
	return state_tell(d, true);
}

/* the qube can come and go as often as it likes: not as many lines */
static void why_log(struct daemon *d, int why)
{
	if (!log_allowed(&d->noise, d->name))
		return;
	if (why > 0)
		log_warn(d->name, "agent sent a message that is refused (%s), channel closed",
			 qrexec_outcome_str(why));
	else if (why == -ENODATA || why == -EPIPE)
		log_info(d->name, "agent disconnected");
	else if (why == -ETIMEDOUT)
		log_warn(d->name, "agent said no HELLO, channel closed");
	else
		log_warn(d->name, "agent's channel failed (%s), closed", log_errno_str(why));
}

int agent_lost(struct daemon *d, int why)
{
	const struct ask q = {.kind = ASK_QREXEC_UNLINK};
	int r = 0;

	why_log(d, why);
	qrexec_peer_free(d->agent);
	d->agent = NULL;
	/* at once for an agent that was started anew; one that comes and goes waits, or it would fill
	 * the logs and keep the parent busy */
	d->retry_ms = io_now_ms();
	if (why > 0 || (d->down_ms > 0 && d->retry_ms - d->down_ms < AGAIN_MS))
		d->retry_ms += AGAIN_MS;
	d->hold_ms = d->retry_ms;
	d->down_ms = io_now_ms();
	ports_reset(&d->ports);
	clients_drop_all(d);
	requests_drop_all(d);
	if (!d->agent_up)
		return 0;
	d->agent_up = false;
	close_fd(&d->listen_fd);
	r = ask_call(d->ask_fd, &q, NULL);
	return r == 0 ? state_tell(d, false) : r;
}

int agent_connect(struct daemon *d)
{
	const struct ask q = {
		.kind = ASK_VCHAN_CONNECT, .a = d->domid, .b = 0, .c = QREXEC_PORT_CONTROL};
	AUTO_CLOSE int fd = NO_FD;
	struct vchan *v = NULL;
	int r;

	if (d->agent || io_now_ms() < d->retry_ms)
		return 0;
	r = ask_call(d->ask_fd, &q, &fd);
	if (r < 0) {
		d->retry_ms = io_now_ms() + LOOK_MS;
		/* a parent that is gone or does not let us is the end; anything else may pass */
		return r == -EPIPE || r == -EPERM || r == -EPROTO ? r : 0;
	}
	r = vchan_new_from_fd(&fd, &v);
	if (r == 0)
		r = qrexec_peer_new(&v, QREXEC_AGENT_TO_DAEMON, QREXEC_VERSION, &d->agent);
	vchan_free(v);
	d->agent_until_ms = io_now_ms() + HELLO_MS;
	return r;
}

short agent_events(const struct daemon *d)
{
	short events = qrexec_peer_events(d->agent);

	if (events == POLLIN && !requests_ready(d))
		events = 0;
	return events;
}

int agent_send(struct daemon *d, const struct qrexec_msg *m)
{
	return d->agent && d->agent_up ? qrexec_peer_send(d->agent, m) : -EPIPE;
}

static int message_handle(struct daemon *d, const struct qrexec_msg *m)
{
	bool r;

	switch (m->type) {
	case QREXEC_HELLO:
		return agent_greeted(d);
	case QREXEC_CONNECTION_TERMINATED:
		r = clients_end_call(d, m->domid, m->port);
		agent_watch_turn(d); /* the news that its sockets made do not pile up */
		if (!r && log_allowed(&d->noise, d->name))
			log_warn(d->name, "agent ended a call on port %u that is not, ignored",
				 m->port);
		return 0;
	case QREXEC_TRIGGER_SERVICE:
	case QREXEC_TRIGGER_SERVICE3:
	case QREXEC_TRIGGER_SERVICE4:
		return request_take(d, m);
	case QREXEC_DATA_STDIN:
	case QREXEC_DATA_STDOUT:
	case QREXEC_DATA_STDERR:
	case QREXEC_DATA_EXIT_CODE:
	case QREXEC_EXEC_CMDLINE:
	case QREXEC_JUST_EXEC:
	case QREXEC_SERVICE_CONNECT:
	case QREXEC_SERVICE_REFUSED:
		break;
	}
	return QREXEC_E_TYPE;
}

/* @ret_ours: a fault that is not the agent's doing */
static int messages_read(struct daemon *d, int *ret_ours)
{
	int r = qrexec_peer_flush(d->agent);

	*ret_ours = 0;
	/* what a message leads to finds room before the next one is read */
	for (unsigned i = 0;
	     r == 0 && i < MESSAGES_MAX && qrexec_peer_idle(d->agent) && requests_ready(d); i++) {
		struct qrexec_msg m;

		r = qrexec_peer_receive(d->agent, &m);
		if (r != 0)
			break;
		if (m.type == QREXEC_HELLO) {
			*ret_ours = message_handle(d, &m);
			return 0;
		}
		r = message_handle(d, &m);
		if (r < 0) {
			*ret_ours = r;
			return 0;
		}
	}
	return r == -EAGAIN ? 0 : r;
}

int agent_turn(struct daemon *d, short revents)
{
	int ours = 0, r = 0;

	if (!d->agent)
		return agent_connect(d);
	if (revents)
		r = messages_read(d, &ours);
	if (ours < 0)
		return ours;
	if (r == 0 && !d->agent_up && io_now_ms() >= d->agent_until_ms)
		r = -ETIMEDOUT;
	return r == 0 ? 0 : agent_lost(d, r);
}

int agent_timeout_ms(const struct daemon *d)
{
	const uint64_t now = io_now_ms();
	const uint64_t at = d->agent ? d->agent_until_ms : d->retry_ms;

	if (d->agent && d->agent_up)
		return -1;
	return at <= now ? 0 : (int)(at - now);
}
