/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Those who follow and command this qube: the job that starts it, on the start channel, and qubesd
 * on monitor.sock, as often as it comes back. Both are our own side; still every message goes
 * through the decoder, and who does not read is let go.
 */
#include "qube-monitor.h"

#include "base/log.h"

#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define MESSAGES_PER_TURN 16

static void client_close(struct client *c)
{
	struct monitor *m = c->m;
	/* a zygote's machine is nobody's: it ends with who makes it, saved or not */
	bool undo = c->starts && (m->stage != MONITOR_READY || m->mode == MONITOR_ZYGOTE);

	c->source = sd_event_source_disable_unref(c->source);
	close_fd(&c->fd);
	c->id = 0;
	if (undo)
		monitor_end(m, false, ECANCELED, "its start was given up");
}

static void client_send(struct client *c, const struct monitor_msg *msg)
{
	uint8_t buf[2048];
	size_t len = monitor_encode(msg, buf, sizeof(buf));
	int r = len == 0 ? -EMSGSIZE : io_send_msg(c->fd, buf, len, NULL, 0);

	if (r == 0)
		return;
	if (r != -EPIPE && r != -ECONNRESET)
		log_warn(c->m->name, "a client does not listen (%s), closing", log_errno_str(r));
	client_close(c);
}

static uint32_t pressed_s(const struct monitor *m)
{
	const uint64_t until_ms = m->state == MONITOR_PAUSED ? m->paused_ms : io_now_ms();

	if (m->pressed_ms == 0)
		return MONITOR_NEVER;
	return until_ms > m->pressed_ms ? (uint32_t)((until_ms - m->pressed_ms) / 1000) : 0;
}

/*
 * A QEMU may stop and go on faster than a client listens. Only the last status counts, so who is
 * behind is told when there is room again; replies, which nobody may miss, still have room then.
 */
static void send_status(struct client *c)
{
	const struct monitor *m = c->m;
	/* others may be a qubesd that was there before this stage was */
	const enum monitor_stage stage =
		m->stage == MONITOR_AWAKE && !c->starts ? MONITOR_BOOTING : m->stage;
	struct pollfd room = {.fd = c->fd, .events = POLLOUT};

	c->behind = poll(&room, 1, 0) == 0 && m->state != MONITOR_GONE;
	(void)sd_event_source_set_io_events(c->source, c->behind ? EPOLLIN | EPOLLOUT : EPOLLIN);
	if (c->behind)
		return;
	client_send(c,
		    &(struct monitor_msg){.type = MONITOR_STATUS,
					  .status = {.state = m->state,
						     .stage = stage,
						     .clean = m->clean,
						     .agent = m->agent,
						     .error = qemu_is_full(m) ? ENOSPC : m->error,
						     .domid = m->domid,
						     .qemu_pid = (uint32_t)m->qemu.pid,
						     .pressed_s = pressed_s(m),
						     .name = m->name,
						     .uuid = m->uuid,
						     .why = m->why}});
}

void clients_tell(struct monitor *m)
{
	for (size_t i = 0; i < ARRAY_LEN(m->clients); i++)
		if (m->clients[i].id != 0)
			send_status(&m->clients[i]);
}

static void send_memory(struct client *c)
{
	struct pollfd room = {.fd = c->fd, .events = POLLOUT};

	if (c->starts || c->behind || poll(&room, 1, 0) == 0)
		return;
	client_send(c, &(struct monitor_msg){.type = MONITOR_MEMORY, .memory = c->m->memory.now});
}

void clients_tell_memory(struct monitor *m)
{
	for (size_t i = 0; i < ARRAY_LEN(m->clients); i++)
		if (m->clients[i].id != 0)
			send_memory(&m->clients[i]);
}

void client_reply(struct monitor *m, uint64_t client_id, uint32_t id, uint32_t error,
		  const char *text)
{
	for (size_t i = 0; i < ARRAY_LEN(m->clients); i++)
		if (m->clients[i].id == client_id && client_id != 0)
			client_send(&m->clients[i],
				    &(struct monitor_msg){.type = MONITOR_REPLY,
							  .id = id,
							  .reply = {.error = error, .text = text}});
}

static void command(struct client *c, const struct monitor_msg *msg, int *fds, size_t n_fds)
{
	struct monitor *m = c->m;
	int r;

	switch (msg->type) {
	case MONITOR_KILL:
		client_reply(m, c->id, msg->id, 0, "");
		monitor_end(m, false, 0, "it was killed");
		break;
	case MONITOR_QDB_WRITE:
	case MONITOR_QDB_RM:
		r = daemons_qdb(m, msg->qdb.path, msg->qdb.value);
		client_reply(m, c->id, msg->id, (uint32_t)-r, r < 0 ? log_errno_str(r) : "");
		break;
	case MONITOR_SHUTDOWN:
		m->pressed_ms = io_now_ms();
		qemu_command(m, c->id, msg, fds, n_fds);
		break;
	case MONITOR_PAUSE:
	case MONITOR_UNPAUSE:
	case MONITOR_DISK_ADD:
	case MONITOR_DISK_REMOVE:
	case MONITOR_DISK_RESIZE:
	case MONITOR_NIC_ADD:
	case MONITOR_NIC_REMOVE:
	case MONITOR_MEMORY_ASK:
		qemu_command(m, c->id, msg, fds, n_fds);
		break;
	case MONITOR_FDS:
	case MONITOR_START:
	case MONITOR_STATUS:
	case MONITOR_REPLY:
	case MONITOR_MEMORY:
		log_warn(m->name, "a client sends what is not for us, closing");
		client_close(c);
		break;
	}
}

static int on_message(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	static uint8_t buf[MONITOR_MSG_MAX];
	static struct monitor_msg msg;
	struct client *c = data;

	(void)source;
	if ((revents & EPOLLOUT) && c->behind)
		send_status(c);
	for (int i = 0; i < MESSAGES_PER_TURN && c->id != 0; i++) {
		int fds[MONITOR_MAX_FDS];
		size_t len, n_fds;
		int r = io_recv_msg(fd, buf, sizeof(buf), &len, fds, ARRAY_LEN(fds), &n_fds);

		if (r == -EAGAIN)
			return 0;
		if (r < 0 || len == 0 || monitor_decode(buf, len, n_fds, &msg) != 0) {
			if (r == 0 && len != 0)
				log_warn(c->m->name, "a client sends a malformed message, closing");
			for (size_t j = 0; r == 0 && j < n_fds; j++)
				close_fd(&fds[j]);
			client_close(c);
			return 0;
		}
		command(c, &msg, fds, n_fds);
		for (size_t j = 0; j < n_fds; j++)
			close_fd(&fds[j]);
	}
	return 0;
}

/* @fd is taken, also on failure */
static int client_new(struct monitor *m, int fd, bool starts)
{
	AUTO_CLOSE int own = fd;
	int r = io_set_nonblock(fd, true);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_LEN(m->clients); i++) {
		struct client *c = &m->clients[i];

		if (c->id != 0)
			continue;
		*c = (struct client){.m = m, .id = ++m->next_client, .fd = own, .starts = starts};
		r = sd_event_add_io(m->event, &c->source, own, EPOLLIN, on_message, c);
		if (r < 0) {
			c->id = 0;
			return r;
		}
		(void)take_fd(&own);
		send_status(c);
		if (c->id != 0)
			send_memory(c);
		return 0;
	}
	return -EBUSY;
}

static int on_connect(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	struct monitor *m = data;
	int conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred peer;
	socklen_t len = sizeof(peer);
	int r;

	(void)source;
	(void)revents;
	if (conn < 0)
		return 0;
	if (getsockopt(conn, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 ||
	    (peer.uid != geteuid() && peer.uid != 0)) {
		(void)close(conn);
		return 0;
	}
	r = client_new(m, conn, false);
	if (r < 0)
		log_warn(m->name, "cannot serve one more client: %s", log_errno_str(r));
	return 0;
}

int clients_serve(struct monitor *m, int start_fd)
{
	int r = client_new(m, start_fd, true);

	if (r < 0)
		return r;
	return sd_event_add_io(m->event, &m->listener, m->dir.monitor_fd, EPOLLIN, on_connect, m);
}

void clients_done(struct monitor *m)
{
	m->listener = sd_event_source_disable_unref(m->listener);
	for (size_t i = 0; i < ARRAY_LEN(m->clients); i++) {
		struct client *c = &m->clients[i];

		if (c->id == 0)
			continue;
		c->starts = false;
		client_close(c);
	}
}
