/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A ticket waits in one of TICKET_MAX slots until the qube announces its server (the qube serves)
 * or opens the stream (the other qube serves), or until its time is over. The qube's announcements
 * of servers for other qubes are remembered, as many as it may have announced at all.
 *
 * Who connects to the control socket is dom0's own (its directory is the user's), but is still
 * given nothing to wait for: a client that does not read its answers is dropped, and so is one that says
 * nothing for TICKET_SILENT_MS. MAX_CLIENTS are connected at a time; the next ones wait in the socket's
 * queue, for a ticket that is turned away is a call that is lost.
 */
#include "tickets.h"

#include "base/io.h"
#include "base/log.h"
#include "proto/ticket.h"

#include <string.h>
#include <sys/socket.h>

#define MAX_CLIENTS   8
#define MAX_ANNOUNCED 1024

struct slot {
	struct ticket t; /* kind 0: free */
	int fd;
	uint64_t until_ms;
};

struct client {
	struct carry_source src;
	uint64_t until_ms; /* then it has said nothing for too long */
	struct tickets *tickets;
};

struct tickets {
	struct carry_source listener;
	struct client clients[MAX_CLIENTS];
	unsigned n_clients;
	bool full;    /* all of them are in use: the listener is not looked at */
	bool ticking; /* on_time() will be called */
	const char *name;
	uint16_t domid;
	struct carry *carry;
	struct slot slots[TICKET_MAX];
	unsigned n_slots;
	struct vmux_where *announced;
	unsigned n_announced;
};

static struct vmux_where place_of(const struct ticket *t)
{
	return (struct vmux_where){t->server, t->client, t->port};
}

static struct slot *slot_find(struct tickets *t, const struct vmux_where *w)
{
	for (unsigned i = 0; i < TICKET_MAX && t->n_slots > 0; i++) {
		const struct ticket *k = &t->slots[i].t;

		if (k->kind != 0 && k->server == w->server && k->client == w->client &&
		    k->port == w->port)
			return &t->slots[i];
	}
	return NULL;
}

/* Empty the slot; its descriptor is the caller's, or closed. */
static int slot_take(struct tickets *t, struct slot *s)
{
	const struct vmux_where w = place_of(&s->t);
	int fd = take_fd(&s->fd);

	if (s->t.client == t->domid)
		(void)!carry_server(t->carry, &w, false);
	s->t.kind = 0;
	t->n_slots--;
	return fd;
}

static void slot_void(struct tickets *t, struct slot *s)
{
	int fd = slot_take(t, s);

	close_fd(&fd);
}

/* the listener is looked at again, if it is not; where that fails, on_time() tries once more */
static void look_again(struct tickets *t)
{
	if (t->full && t->n_clients < MAX_CLIENTS &&
	    carry_add(t->carry, &t->listener, EPOLLIN) == 0)
		t->full = false;
}

static void client_drop(struct client *cl)
{
	struct tickets *t = cl->tickets;

	carry_remove(t->carry, &cl->src);
	close_fd(&cl->src.fd);
	t->n_clients--;
	look_again(t);
}

static unsigned announced_find(const struct tickets *t, const struct vmux_where *w)
{
	unsigned i = 0;

	while (i < t->n_announced && memcmp(&t->announced[i], w, sizeof(*w)) != 0)
		i++;
	return i;
}

/* the qube serves, and has its server already */
static bool is_awaited(const struct tickets *t, const struct slot *s)
{
	const struct vmux_where w = place_of(&s->t);

	return s->t.server == t->domid && announced_find(t, &w) < t->n_announced;
}

/* the qube has its server: the stream is opened. While the carrier takes nothing more, on_time() tries again */
static void use_as_server(struct tickets *t, struct slot *s)
{
	const struct vmux_where w = place_of(&s->t);
	int r = carry_open(t->carry, &w, &s->fd);

	if (r == -EAGAIN)
		return;
	if (r < 0)
		log_warn(t->name, "a stream to qube %u could not be opened (%s), closing it",
			 w.client, log_errno_str(r));
	slot_void(t, s);
}

static void set_timer(struct tickets *t);

static void on_time(void *data)
{
	struct tickets *t = data;
	uint64_t now = io_now_ms();

	t->ticking = false;
	for (unsigned i = 0; i < MAX_CLIENTS; i++)
		if (t->clients[i].src.fd >= 0 && t->clients[i].until_ms <= now)
			client_drop(&t->clients[i]);
	look_again(t);
	for (unsigned i = 0; i < TICKET_MAX; i++) {
		struct slot *s = &t->slots[i];

		if (s->t.kind != 0 && is_awaited(t, s))
			use_as_server(t, s);
		if (s->t.kind == 0 || s->until_ms > now)
			continue;
		log_info(t->name, "a ticket for port %u between %u and %u was not used", s->t.port,
			 s->t.server, s->t.client);
		slot_void(t, s);
	}
	set_timer(t);
}

static void set_timer(struct tickets *t)
{
	if (t->ticking || (t->n_slots == 0 && t->n_clients == 0 && !t->full))
		return;
	t->ticking = true;
	carry_timer(t->carry, 500, on_time, t);
}

void tickets_announced(struct tickets *t, const struct vmux_where *where, bool there)
{
	unsigned i = announced_find(t, where);
	struct slot *s;

	if (!there) {
		if (i < t->n_announced)
			t->announced[i] = t->announced[--t->n_announced];
		return;
	}
	if (i == t->n_announced && t->n_announced < MAX_ANNOUNCED)
		t->announced[t->n_announced++] = *where;
	s = slot_find(t, where);
	if (s)
		use_as_server(t, s);
}

int tickets_take(struct tickets *t, const struct vmux_where *where, int *ret_fd)
{
	struct slot *s = where->client == t->domid ? slot_find(t, where) : NULL;

	if (!s)
		return -EPROTO;
	*ret_fd = slot_take(t, s);
	return 0;
}

void tickets_session_ended(struct tickets *t)
{
	t->n_announced = 0;
	for (unsigned i = 0; i < TICKET_MAX; i++)
		if (t->slots[i].t.kind != 0)
			slot_void(t, &t->slots[i]);
}

static int grant(struct tickets *t, const struct ticket *k, int *fd)
{
	const struct vmux_where w = place_of(k);
	struct slot *s;
	int r;

	if (*fd < 0)
		return -EINVAL;
	/* left behind by who ended in the middle: who grants has the port, so there is no such call any more */
	s = slot_find(t, &w);
	if (s)
		slot_void(t, s);
	if (t->n_slots == TICKET_MAX)
		return -ENFILE;
	s = t->slots;
	while (s->t.kind != 0)
		s++;
	if (k->client == t->domid) {
		r = carry_server(t->carry, &w, true);
		if (r < 0)
			return r;
	}
	*s = (struct slot){.t = *k, .fd = take_fd(fd), .until_ms = io_now_ms() + TICKET_UNUSED_MS};
	t->n_slots++;
	set_timer(t);
	if (is_awaited(t, s))
		use_as_server(t, s);
	return 0;
}

static int handle(struct tickets *t, const void *bytes, size_t len, int *fd)
{
	struct vmux_where w;
	struct ticket k;
	struct slot *s;

	if (ticket_decode(bytes, len, &k) != 0)
		return -EINVAL;
	if (k.server != t->domid && k.client != t->domid)
		return -EPERM;
	if (k.kind == TICKET_GRANT)
		return grant(t, &k, fd);
	w = place_of(&k);
	s = slot_find(t, &w);
	if (s)
		slot_void(t, s);
	if (k.kind == TICKET_REVOKE)
		carry_abort(t->carry, &w);
	return 0;
}

static void on_client(struct carry_source *src, uint32_t events)
{
	struct client *cl = (struct client *)src;
	uint8_t bytes[TICKET_LEN + 1], answer[TICKET_ANSWER_LEN];
	AUTO_CLOSE int fd = NO_FD;
	size_t len, n_fds = 0;
	int r;

	(void)events;
	if (src->fd < 0)
		return;
	r = io_recv_msg(src->fd, bytes, sizeof(bytes), &len, &fd, 1, &n_fds);
	if (r == -EAGAIN)
		return;
	if ((r < 0 && r != -EMSGSIZE) || (r == 0 && len == 0)) {
		client_drop(cl);
		return;
	}
	cl->until_ms = io_now_ms() + TICKET_SILENT_MS;
	ticket_answer_encode(r < 0 ? -EINVAL : handle(cl->tickets, bytes, len, &fd), answer);
	if (io_send_msg(src->fd, answer, sizeof(answer), NULL, 0) < 0)
		client_drop(cl);
}

static struct client *client_unused(struct tickets *t)
{
	for (unsigned i = 0; i < MAX_CLIENTS; i++)
		if (t->clients[i].src.fd < 0)
			return &t->clients[i];
	return NULL;
}

static void on_listener(struct carry_source *src, uint32_t events)
{
	struct tickets *t = (struct tickets *)src;
	struct client *cl = client_unused(t);

	(void)events;
	if (cl)
		cl->src.fd = accept4(src->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!cl || (cl->src.fd < 0 && (errno == EMFILE || errno == ENFILE))) {
		carry_remove(t->carry, src);
		t->full = true;
		set_timer(t);
		return;
	}
	if (cl->src.fd >= 0 && carry_add(t->carry, &cl->src, EPOLLIN) < 0)
		close_fd(&cl->src.fd);
	if (cl->src.fd < 0)
		return;
	cl->until_ms = io_now_ms() + TICKET_SILENT_MS;
	t->n_clients++;
	set_timer(t);
}

int tickets_new(const char *name, uint16_t domid, int *control_fd, struct tickets **ret)
{
	struct tickets *t = calloc(1, sizeof(*t));
	int r = 0;

	if (!t)
		return -ENOMEM;
	t->announced = calloc(MAX_ANNOUNCED, sizeof(*t->announced));
	if (!t->announced)
		r = -ENOMEM;
	else if (*control_fd >= 0)
		r = io_set_nonblock(*control_fd, true);
	if (r < 0) {
		free(t->announced);
		free(t);
		return r;
	}
	t->name = name;
	t->domid = domid;
	t->listener = (struct carry_source){.fd = take_fd(control_fd), .fn = on_listener};
	for (unsigned i = 0; i < MAX_CLIENTS; i++) {
		t->clients[i].src = (struct carry_source){.fd = NO_FD, .fn = on_client};
		t->clients[i].tickets = t;
	}
	for (unsigned i = 0; i < TICKET_MAX; i++)
		t->slots[i].fd = NO_FD;
	*ret = t;
	return 0;
}

int tickets_start(struct tickets *t, struct carry *c)
{
	t->carry = c;
	return t->listener.fd >= 0 ? carry_add(c, &t->listener, EPOLLIN) : 0;
}
