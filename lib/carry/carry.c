/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A turn of the loop: wait; note which links can be read or written; read the carrier and act on
 * what it said; fill the carrier's buffer, one frame from each readable link in turn; write it.
 * Links are edge-triggered and remember what they may do, so that one without credit costs nothing.
 *
 * A link may move to rings in shared memory. In dom0 it then has a pump; in a qube a lane: its program
 * fills and empties the rings itself, and the socket is left for bells and for the end.
 */
#include "carry/carry.h"

#include "base/io.h"
#include "carry/pump.h"

#include <assert.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

/** READ_MAX - bytes from the carrier in one turn */
#define READ_MAX (256u << 10)
/** RETRY_MS, RETRY_TIMES - between tries to reach a server that is there but refuses */
#define RETRY_MS    10
#define RETRY_TIMES 20
/** Rates of a guarded peer: tokens a second, and saved up at most */
#define LISTENS_PER_S 500
#define OPENS_PER_S   2000
#define BURST         2048
/** When a guarded peer has done enough */
#define MAX_VIOLATIONS 3
#define MAX_SESSIONS   64 /* or losses of step, within WINDOW_MS */
#define WINDOW_MS      60000
#define MAX_GARBAGE    (16u << 20)

/* A qube's link whose program uses rings. */
struct lane {
	int bell_fd;   /* wakes the program */
	bool agreed;   /* dom0 uses the rings too */
	bool switched; /* and the program knows: all frames were delivered before */
};

/* A local socket and its stream. */
struct link {
	struct carry_source src; /* fd NO_FD while its server is being tried */
	struct carry *carry;
	struct link *next, **prev_next; /* all links */
	struct link *ready_next;
	struct mux_stream *s;
	struct vmux_where where;
	bool readable, writable, in_ready;
	bool hung_up;       /* the local side is gone altogether */
	bool deaf;          /* it takes no more bytes */
	bool remote_closed; /* ends when all is delivered */
	unsigned n_tries;
	uint64_t retry_ms;
	struct pump *pump;
	bool pumping; /* stands in the list of pumps that are looked at */
	struct lane *lane;
};

/* A server of the other side, listening here. */
struct proxy {
	struct carry_source src;
	struct carry *carry;
	struct proxy *next;
	struct vmux_where where;
	bool paused;
};

/* A server of ours. */
struct server {
	struct vmux_where where;
	bool there, told;
};

struct bucket {
	uint64_t at_ms;
	unsigned tokens, per_s;
};

struct carry {
	struct carry_config config;
	struct carry_hooks hooks;
	struct mux *m;
	int epoll_fd;

	struct carry_source carrier;
	bool carrier_readable, carrier_full, is_cut;
	uint64_t held_until_ms; /* a flooding peer waits */
	struct bucket listens, opens;

	struct link *links, *ready, **ready_end;
	unsigned n_trying;
	int claims[RING_SLOTS];           /* qube: locks of the slots that streams use */
	struct link *by_slot[RING_SLOTS]; /* dom0: who pumps */
	struct link *pumping[RING_SLOTS];
	unsigned n_pumping;
	uint64_t moved_ms; /* when a pump last moved something */
	struct link *
		lingering; /* qube: streams that have ended, whose programs still read their rings */
	struct proxy *proxies;
	unsigned n_proxies, n_paused;
	struct server *servers;
	size_t n_servers, servers_size;
	bool news; /* some server is to be announced or taken back */
	struct link *doomed;
	struct proxy *doomed_proxies;

	uint64_t timer_ms;
	void (*timer_fn)(void *data);
	void *timer_data;

	uint64_t window_ms; /* start of the present count of faults */
	uint32_t window_base;
	uint64_t now_ms;
	bool ended;
	int result;
};

static void end_loop(struct carry *c, int result)
{
	if (c->ended)
		return;
	c->ended = true;
	c->result = result;
}

static bool same_place(const struct vmux_where *a, const struct vmux_where *b)
{
	return a->server == b->server && a->client == b->client && a->port == b->port;
}

static int watch(struct carry *c, int op, struct carry_source *src, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.ptr = src};

	return epoll_ctl(c->epoll_fd, op, src->fd, &e) < 0 ? fail_errno() : 0;
}

int carry_add(struct carry *c, struct carry_source *src, uint32_t events)
{
	return watch(c, EPOLL_CTL_ADD, src, events);
}

void carry_remove(struct carry *c, struct carry_source *src)
{
	if (src->fd >= 0)
		(void)watch(c, EPOLL_CTL_DEL, src, 0);
}

void carry_timer(struct carry *c, unsigned delay_ms, void (*fn)(void *data), void *data)
{
	c->timer_ms = delay_ms > 0 ? io_now_ms() + delay_ms : 0;
	c->timer_fn = fn;
	c->timer_data = data;
}

/* Its end is taken before anything else is done: the streams are gone already. */
static void violate(struct carry *c, const char *why)
{
	mux_violate(c->m, why);
	c->held_until_ms = 0;
}

/* Closing alone does not take a socket out of the epoll set while somebody else holds it too: our parent may not have
 * closed its copy yet, and who sent a ticket keeps one. An event would then come for what is gone. */
static void source_close(struct carry *c, struct carry_source *src)
{
	carry_remove(c, src);
	close_fd(&src->fd);
}

/* ---- who uses a slot, in a qube ---- */

/* The socket's other end is of our user: nobody less may speak of rings, nor hand us descriptors to touch. */
static bool is_trusted(int sock)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.uid == geteuid();
}

/* Is @fd the file of claims with a lock on @slot's byte? One that others locked is in @fd's way, not in its own. */
static bool is_claim(const struct carry *c, unsigned slot, int fd)
{
	struct flock any = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)slot, .l_len = 1};
	struct flock others = any;
	struct stat ours, given;

	return fstat(c->config.claims_fd, &ours) == 0 && fstat(fd, &given) == 0 &&
	       ours.st_dev == given.st_dev && ours.st_ino == given.st_ino &&
	       fcntl(c->config.claims_fd, F_OFD_GETLK, &any) == 0 && any.l_type != F_UNLCK &&
	       fcntl(fd, F_OFD_GETLK, &others) == 0 && others.l_type == F_UNLCK;
}

/* The stream has ended on both sides. Its program may still hold the lock, and read what is left. */
static void on_slot_free(void *data, unsigned slot)
{
	struct carry *c = data;
	uint32_t *hint = ring_hint(c->config.rings);

	close_fd(&c->claims[slot]);
	if (slot < __atomic_load_n(hint, __ATOMIC_RELAXED))
		__atomic_store_n(hint, slot, __ATOMIC_RELAXED);
}

/* ---- links ---- */

static void link_pump_on(struct link *l)
{
	struct carry *c = l->carry;

	if (!l->pumping)
		c->pumping[c->n_pumping++] = l;
	l->pumping = true;
}

static void link_pump_off(struct link *l)
{
	struct carry *c = l->carry;

	for (unsigned i = 0; l->pumping && i < c->n_pumping; i++)
		if (c->pumping[i] == l)
			c->pumping[i] = c->pumping[--c->n_pumping];
	l->pumping = false;
}

static void link_ready(struct link *l)
{
	struct carry *c = l->carry;

	if (l->in_ready || !l->readable || l->remote_closed || mux_credit(l->s) == 0)
		return;
	l->in_ready = true;
	l->ready_next = NULL;
	*c->ready_end = l;
	c->ready_end = &l->ready_next;
}

static void link_insert(struct link *l, struct link **list)
{
	l->next = *list;
	l->prev_next = list;
	if (l->next)
		l->next->prev_next = &l->next;
	*list = l;
}

static void link_unlist(struct link *l)
{
	*l->prev_next = l->next;
	if (l->next)
		l->next->prev_next = l->prev_next;
}

/* Close the link; its memory goes at the end of the turn, since events for it may be waiting. */
static void link_bury(struct link *l)
{
	struct carry *c = l->carry;

	source_close(c, &l->src);
	if (l->lane) {
		close_fd(&l->lane->bell_fd);
		free(l->lane);
		l->lane = NULL;
	}
	link_unlist(l);
	l->next = c->doomed;
	c->doomed = l;
}

/* Forget the link's stream, and the link unless its program still has something to read. */
static void link_drop(struct link *l)
{
	struct carry *c = l->carry;

	if (l->src.fd < 0)
		c->n_trying--;
	l->s = NULL;
	if (l->pump) {
		link_pump_off(l);
		c->by_slot[l->pump->slot] = NULL;
		free(l->pump);
		l->pump = NULL;
	}
	if (!l->lane || l->hung_up) {
		link_bury(l);
		return;
	}
	(void)shutdown(l->src.fd,
		       SHUT_WR); /* the program sees the end behind what the ring holds */
	link_unlist(l);
	link_insert(l, &c->lingering);
}

static void link_end(struct link *l, bool abort)
{
	mux_close(l->s, abort);
	link_drop(l);
}

/* Tell the program, behind all that came in frames, that the rest is in the ring. Returns whether nothing is left to tell. */
static bool link_switch(struct link *l)
{
	int r;

	if (!l->lane || !l->lane->agreed || l->lane->switched || l->deaf)
		return true;
	if (!l->writable)
		return false;
	r = io_send_msg(l->src.fd, "", 1, &l->lane->bell_fd, 1);
	if (r == -EAGAIN) {
		l->writable = false;
		return false;
	}
	if (r < 0)
		l->deaf = true;
	l->lane->switched = true;
	return true;
}

/* Give the local side what has arrived for it. The link may be gone afterwards. */
static void link_deliver(struct link *l)
{
	for (;;) {
		size_t len;
		const uint8_t *at = mux_rx_peek(l->s, &len);
		ssize_t n;

		if (len == 0)
			break;
		if (l->deaf) {
			mux_rx_consume(l->s, len);
			continue;
		}
		if (!l->writable)
			return;
		n = send(l->src.fd, at, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n >= 0) {
			mux_rx_consume(l->s, (size_t)n);
		} else if (errno == EAGAIN) {
			l->writable = false;
		} else if (errno != EINTR) {
			l->deaf = true; /* what it wrote itself still goes out */
		}
	}
	if (l->pump)
		link_pump_on(l); /* what is in the ring comes next, then the end */
	else if (link_switch(l) && l->remote_closed)
		link_end(l, false);
}

/* One look at the rings. The link may be gone afterwards; false: so is every stream. */
static bool link_pump(struct link *l)
{
	struct carry *c = l->carry;
	size_t moved = 0, waiting;
	int r = 0;

	(void)mux_rx_peek(l->s, &waiting);
	if (l->src.fd < 0 || (waiting > 0 && !l->deaf)) {
		link_pump_off(l);
		return true;
	}
	if (l->writable || l->deaf)
		r = pump_up(l->pump, l->deaf ? NO_FD : l->src.fd, &moved);
	if (r == -EAGAIN)
		l->writable = false;
	else if (r == -EPIPE)
		l->deaf = true;
	if (r != -EPROTO && l->readable && !l->remote_closed)
		r = pump_down(l->pump, l->src.fd, &moved);
	if (r == -EPROTO) {
		violate(c, "ring counts that cannot be");
		return false;
	}
	if (r == -EAGAIN)
		l->readable = false;
	if (moved > 0)
		c->moved_ms = c->now_ms;
	if (r == -ENODATA || (l->remote_closed && pump_up_empty(l->pump))) {
		link_end(l, false);
		return true;
	}
	if (!l->remote_closed && pump_owes_bell(l->pump))
		mux_bell(l->s);
	if (!pump_rest(l->pump, moved, l->readable, c->now_ms))
		link_pump_off(l);
	return true;
}

/* Look at all rings in use; one that leaves the list is replaced by the last, which had its look. */
static bool pumps_look(struct carry *c)
{
	for (unsigned i = c->n_pumping; i > 0; i--)
		if (i <= c->n_pumping && !link_pump(c->pumping[i - 1]))
			return false;
	return true;
}

/* A qube's program has rung, or ended. The link may be gone afterwards. */
static void link_bells(struct link *l)
{
	bool rung = false;

	while (l->readable) {
		char bells[256];
		ssize_t n = recv(l->src.fd, bells, sizeof(bells), MSG_DONTWAIT);

		if (n > 0)
			rung = true;
		else if (n < 0 && errno == EAGAIN)
			l->readable = false;
		else if (n == 0 || errno != EINTR)
			break;
	}
	if (rung)
		mux_bell(l->s);
	if (l->readable) {
		l->hung_up = true;
		link_end(l, false);
	}
}

static void on_link(struct carry_source *src, uint32_t events)
{
	struct link *l = (struct link *)src;

	if (!l->s) {
		if (l->lane && events & (EPOLLHUP | EPOLLERR))
			link_bury(l);
		return;
	}
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		l->readable = true;
	if (events & (EPOLLHUP | EPOLLERR))
		l->deaf = l->hung_up = true;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
		l->writable = true;
		link_deliver(l);
	}
	if (!l->s)
		return;
	if (l->pump)
		link_pump_on(l);
	else if (l->lane)
		link_bells(l);
	else
		link_ready(l);
}

static int link_new(struct carry *c, const struct vmux_where *where, struct link **ret)
{
	struct link *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->src = (struct carry_source){.fd = NO_FD, .fn = on_link};
	l->carry = c;
	l->where = *where;
	link_insert(l, &c->links);
	c->n_trying++;
	*ret = l;
	return 0;
}

/* The link has its socket. What is there already is found by the epoll set's first edge. */
static int link_start(struct link *l, int *fd)
{
	struct carry *c = l->carry;
	int r;

	l->src.fd = *fd;
	r = watch(c, EPOLL_CTL_ADD, &l->src, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
	if (r < 0) {
		l->src.fd = NO_FD;
		return r;
	}
	*fd = NO_FD;
	c->n_trying--;
	return 0;
}

int carry_open(struct carry *c, const struct vmux_where *where, int *fd)
{
	struct link *l;
	int r = link_new(c, where, &l);

	if (r < 0)
		return r;
	r = mux_open(c->m, where, l, &l->s);
	if (r < 0) {
		link_drop(l);
		return r;
	}
	r = io_set_nonblock(*fd, true);
	if (r == 0)
		r = link_start(l, fd);
	if (r < 0)
		link_end(l, true);
	return r;
}

void carry_abort(struct carry *c, const struct vmux_where *where)
{
	for (struct link *l = c->links, *next; l; l = next) {
		next = l->next;
		if (same_place(&l->where, where))
			link_end(l, true);
	}
}

/* Try to reach our server for a stream that the peer opened. */
static void link_try(struct link *l)
{
	struct carry *c = l->carry;
	AUTO_CLOSE int fd = NO_FD;
	int r = c->hooks.connect(c->hooks.data, &l->where, &fd);

	if (r == 0)
		r = link_start(l, &fd);
	if (r == 0)
		return;
	if (r == -EPROTO) {
		violate(c, "a stream to what is not its own");
		return;
	}
	if ((r == -ECONNREFUSED || r == -EAGAIN) && ++l->n_tries < RETRY_TIMES) {
		l->retry_ms = c->now_ms + RETRY_MS;
		return;
	}
	link_end(l, true);
}

/* ---- the other side's servers ---- */

static void proxy_free(struct proxy *p)
{
	struct carry *c = p->carry;

	if (p->paused)
		c->n_paused--;
	c->n_proxies--;
	source_close(c, &p->src);
	c->hooks.unbind(c->hooks.data, &p->where);
	p->next = c->doomed_proxies;
	c->doomed_proxies = p;
}

/* Take who waits at a proxy. */
static void proxy_accept(struct proxy *p)
{
	struct carry *c = p->carry;

	while (mux_can_open(c->m)) {
		AUTO_CLOSE int fd = accept4(p->src.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			return;
		(void)!carry_open(c, &p->where,
				  &fd); /* else it is closed: the client sees the end */
	}
	if (!p->paused && watch(c, EPOLL_CTL_MOD, &p->src, 0) == 0) {
		p->paused = true;
		c->n_paused++;
	}
}

static void on_proxy(struct carry_source *src, uint32_t events)
{
	(void)events;
	if (src->fd >= 0)
		proxy_accept((struct proxy *)src);
}

static void proxies_resume(struct carry *c)
{
	for (struct proxy *p = c->proxies; p && c->n_paused > 0 && mux_can_open(c->m);
	     p = p->next) {
		if (!p->paused || watch(c, EPOLL_CTL_MOD, &p->src, EPOLLIN) < 0)
			continue;
		p->paused = false;
		c->n_paused--;
		proxy_accept(p);
	}
}

static struct proxy **proxy_find(struct carry *c, const struct vmux_where *where)
{
	struct proxy **at = &c->proxies;

	while (*at && !same_place(&(*at)->where, where))
		at = &(*at)->next;
	return at;
}

static int proxy_new(struct carry *c, const struct vmux_where *where)
{
	AUTO_CLOSE int fd = NO_FD;
	struct proxy *p;
	int r;

	if (*proxy_find(c, where))
		return 0;
	r = c->hooks.bind(c->hooks.data, where, &fd);
	if (r < 0)
		return r;
	p = calloc(1, sizeof(*p));
	if (!p) {
		c->hooks.unbind(c->hooks.data, where);
		return -ENOMEM;
	}
	p->src = (struct carry_source){.fd = take_fd(&fd), .fn = on_proxy};
	p->carry = c;
	p->where = *where;
	c->n_proxies++;
	r = carry_add(c, &p->src, EPOLLIN);
	if (r < 0) {
		proxy_free(p);
		return r;
	}
	p->next = c->proxies;
	c->proxies = p;
	return 0;
}

static void proxy_remove(struct carry *c, const struct vmux_where *where)
{
	struct proxy **at = proxy_find(c, where), *p = *at;

	if (!p)
		return;
	*at = p->next;
	/* Who connected before the server went may be meant for the next one at the same place: its
	 * OPEN finds that one, or is refused. */
	proxy_accept(p);
	proxy_free(p);
}

/* ---- our servers ---- */

int carry_server(struct carry *c, const struct vmux_where *where, bool there)
{
	size_t i = 0;

	while (i < c->n_servers && !same_place(&c->servers[i].where, where))
		i++;
	if (i == c->n_servers) {
		if (!there)
			return 0;
		if (c->n_servers == c->servers_size) {
			size_t size = c->servers_size > 0 ? c->servers_size * 2 : 16;
			struct server *more = realloc(c->servers, size * sizeof(*more));

			if (!more)
				return -ENOMEM;
			c->servers = more;
			c->servers_size = size;
		}
		c->servers[c->n_servers++] = (struct server){.where = *where};
	}
	c->servers[i].there = there;
	c->news = true;
	return 0;
}

void carry_servers_forget(struct carry *c)
{
	c->n_servers = 0;
}

static void tell_news(struct carry *c)
{
	unsigned n_told = 0;

	if (!mux_is_up(c->m)) {
		c->news = false; /* all is told when a session begins */
		return;
	}
	for (size_t i = 0; i < c->n_servers; i++)
		n_told += c->servers[i].told;
	for (size_t i = 0; i < c->n_servers;) {
		struct server *s = &c->servers[i];

		if (s->there && !s->told && n_told < mux_peer_listens(c->m)) {
			if (mux_listen(c->m, &s->where, true) < 0)
				return;
			s->told = true;
			n_told++;
		}
		if (!s->there && s->told) {
			if (mux_listen(c->m, &s->where, false) < 0)
				return;
			s->told = false;
		}
		if (!s->there)
			*s = c->servers[--c->n_servers];
		else
			i++;
	}
	c->news = false;
}

static void forget_told(struct carry *c)
{
	for (size_t i = 0; i < c->n_servers; i++)
		c->servers[i].told = false;
	c->news = true;
}

/* ---- what the peer says ---- */

static void give_up(struct carry *c, const char *why)
{
	if (c->ended)
		return;
	c->hooks.given_up(c->hooks.data, why);
	end_loop(c, CARRY_GIVEN_UP);
}

static void judge(struct carry *c)
{
	struct mux_stats stats;
	uint32_t n;

	if (!c->config.guarded)
		return;
	mux_get_stats(c->m, &stats);
	n = stats.n_losses + stats.n_sessions;
	if (c->now_ms - c->window_ms >= WINDOW_MS) {
		c->window_ms = c->now_ms;
		c->window_base = n;
	}
	if (stats.n_violations >= MAX_VIOLATIONS)
		give_up(c, "it broke the protocol again and again");
	else if (n - c->window_base >= MAX_SESSIONS)
		give_up(c, "it begins anew without end");
	else if (stats.n_garbage > MAX_GARBAGE)
		give_up(c, "it sends nothing but garbage");
}

/* One of @b's tokens; without one the carrier stays unread until there is. */
static void pay(struct carry *c, struct bucket *b)
{
	uint64_t since = c->now_ms - b->at_ms, more = since * b->per_s / 1000;

	if (!c->config.guarded)
		return;
	if (more > 0) {
		b->tokens = more > BURST - b->tokens ? BURST : b->tokens + (unsigned)more;
		b->at_ms = c->now_ms;
	}
	if (b->tokens > 0)
		b->tokens--;
	else
		c->held_until_ms = c->now_ms + 10;
}

static void session_down(struct carry *c)
{
	struct proxy *p;

	while (c->links)
		link_drop(c->links); /* the streams are gone already */
	while ((p = c->proxies)) {
		c->proxies = p->next;
		proxy_free(p);
	}
	forget_told(c);
	c->hooks.session(c->hooks.data, false, 0);
}

static void on_announced(struct carry *c, const struct vmux_where *where, bool there)
{
	enum carry_answer answer = c->hooks.announced(c->hooks.data, where, there);

	pay(c, &c->listens);
	if (answer == CARRY_VIOLATION) {
		violate(c, "a server that is not its own");
		return;
	}
	if (answer == CARRY_IGNORE)
		return;
	if (!there) {
		proxy_remove(c, where);
		return;
	}
	if (c->n_proxies >= c->config.mux.max_listens && !*proxy_find(c, where)) {
		violate(c, "more servers than allowed");
		return;
	}
	(void)!proxy_new(c, where); /* a client finds no server, and tries again */
}

static int on_open(struct carry *c, const struct mux_event *e)
{
	struct link *l;
	int r = link_new(c, &e->where, &l);

	pay(c, &c->opens);
	if (r < 0)
		return r;
	l->s = e->stream;
	mux_set_user(l->s, l);
	link_try(l);
	return 0;
}

/* The peer goes over to rings: in dom0 because a qube's program wants to, in the qube because dom0 agrees. */
static int on_ring(struct carry *c, struct link *l, unsigned slot)
{
	if (l->lane) {
		l->lane->agreed = true;
		link_deliver(l);
		return 0;
	}
	if (!c->config.mux.dom0 || c->by_slot[slot]) {
		violate(c, "rings that another stream uses");
		return 0;
	}
	l->pump = malloc(sizeof(*l->pump));
	if (!l->pump)
		return -ENOMEM;
	pump_begin(l->pump, c->config.rings, slot, c->now_ms);
	c->by_slot[slot] = l;
	mux_ring(l->s, slot);
	link_pump_on(l);
	return 0;
}

static int on_event(struct carry *c, const struct mux_event *e)
{
	struct link *l = e->stream && e->kind != MUX_OPEN ? mux_get_user(e->stream) : NULL;

	switch (e->kind) {
	case MUX_NONE:
		break;
	case MUX_UP:
		forget_told(c);
		c->hooks.session(c->hooks.data, true, e->domid);
		break;
	case MUX_DOWN:
		session_down(c);
		break;
	case MUX_LISTEN:
	case MUX_UNLISTEN:
		on_announced(c, &e->where, e->kind == MUX_LISTEN);
		break;
	case MUX_OPEN:
		return on_open(c, e);
	case MUX_DATA:
		assert(l);
		link_deliver(l);
		break;
	case MUX_WRITABLE:
		assert(l);
		link_ready(l);
		break;
	case MUX_RING:
		assert(l);
		return on_ring(c, l, e->slot);
	case MUX_BELL:
		assert(l);
		if (l->pump)
			link_pump_on(l);
		else if (l->lane)
			(void)eventfd_write(l->lane->bell_fd, 1);
		break;
	case MUX_CLOSED:
		assert(l);
		l->remote_closed = true;
		if (e->abort || l->hung_up)
			link_end(l, false);
		else
			link_deliver(l);
		break;
	case MUX_VIOLATION:
		break; /* counted */
	case MUX_VERSION:
		c->hooks.version(c->hooks.data, e->version);
		break;
	}
	return 0;
}

/* Act on what has been read. Returns 0 when all is done or the peer has to wait. */
static int take_events(struct carry *c)
{
	struct mux_event e;

	do {
		int r;

		if (c->ended || c->now_ms < c->held_until_ms)
			return 0;
		r = mux_next(c->m, &e);
		if (r == 0)
			r = on_event(c, &e);
		if (r < 0)
			return r;
	} while (e.kind != MUX_NONE);
	judge(c);
	return 0;
}

/* ---- the carrier ---- */

static int carrier_cut(struct carry *c)
{
	int r;

	if (c->is_cut)
		return 0;
	c->is_cut = true;
	carry_remove(c, &c->carrier);
	c->carrier.fd = NO_FD;
	c->held_until_ms = 0;
	mux_reset(c->m);
	r = take_events(c);
	if (r < 0)
		return r;
	r = c->hooks.cut(c->hooks.data);
	if (r != 0)
		end_loop(c, r);
	return 0;
}

static bool is_cut_errno(void)
{
	return errno == EPIPE || errno == ECONNRESET || errno == ENODEV || errno == EIO;
}

static int carrier_read(struct carry *c)
{
	size_t total = 0;

	while (c->carrier_readable && !c->is_cut && !c->ended && total < READ_MAX &&
	       c->now_ms >= c->held_until_ms) {
		size_t room, got = 0;
		uint8_t *at = mux_in_space(c->m, &room);
		int r;

		/* a virtio port gives a page at a time: gather before parsing */
		while (c->carrier_readable && room - got >= 4096) {
			ssize_t n = read(c->carrier.fd, at + got, room - got);

			if (n > 0) {
				got += (size_t)n;
			} else if (n < 0 && errno == EAGAIN) {
				c->carrier_readable = false;
			} else if (n == 0 || (n < 0 && is_cut_errno())) {
				if (got == 0)
					return carrier_cut(c);
				break;
			} else if (n < 0 && errno != EINTR) {
				return fail_errno();
			}
		}
		total += got;
		mux_in_added(c->m, got);
		r = take_events(c);
		if (r < 0)
			return r;
	}
	return 0;
}

/*
 * As recv(). In a qube a program that moves to rings says so by descriptors, which come with the number of the slot
 * as the last byte: that one is taken off here. Bytes sent later are never glued to it.
 */
static ssize_t link_recv(struct link *l, uint8_t *at, size_t room, int fds[2], uint8_t *ret_slot)
{
	size_t len, n_fds;
	int r;

	if (l->carry->config.mux.dom0 || !l->carry->config.rings)
		return recv(l->src.fd, at, room, MSG_DONTWAIT);
	r = io_recv_msg(l->src.fd, at, room, &len, fds, 2, &n_fds);
	if (r < 0) {
		errno = -r;
		return -1;
	}
	if (n_fds == 0 || len == 0)
		return (ssize_t)len;
	*ret_slot = at[--len];
	return (ssize_t)len;
}

static void lane_begin(struct link *l, uint8_t slot, int *bell_fd, int *claim_fd)
{
	struct carry *c = l->carry;

	if (!is_trusted(l->src.fd) || *claim_fd < 0 || slot >= mux_rings(c->m) ||
	    c->claims[slot] >= 0 || !is_claim(c, slot, *claim_fd) ||
	    io_set_nonblock(*bell_fd, true) < 0) {
		link_end(l, true);
		return;
	}
	l->lane = malloc(sizeof(*l->lane));
	if (!l->lane) {
		link_end(l, true);
		return;
	}
	*l->lane = (struct lane){.bell_fd = take_fd(bell_fd)};
	c->claims[slot] = take_fd(claim_fd);
	mux_ring(l->s, slot);
	link_bells(l);
}

/* Fill the carrier's buffer with a frame of each ready link in turn. */
static void gather(struct carry *c)
{
	while (c->ready && mux_can_send(c->m)) {
		struct link *l = c->ready;
		AUTO_CLOSE int bell_fd = NO_FD;
		AUTO_CLOSE int claim_fd = NO_FD;
		int fds[2] = {NO_FD, NO_FD};
		size_t room;
		uint8_t *at, slot = 0;
		ssize_t n;

		c->ready = l->ready_next;
		if (!c->ready)
			c->ready_end = &c->ready;
		l->in_ready = false;
		if (!l->s || l->remote_closed || mux_credit(l->s) == 0)
			continue;
		at = mux_send_space(l->s, &room);
		n = link_recv(l, at, room, fds, &slot);
		bell_fd = fds[0];
		claim_fd = fds[1];
		mux_send_added(l->s, n > 0 ? (size_t)n : 0);
		if (bell_fd >= 0) {
			lane_begin(l, slot, &bell_fd, &claim_fd);
		} else if (n > 0 || (n < 0 && errno == EINTR)) {
			link_ready(l);
		} else if (n < 0 && errno == EAGAIN) {
			l->readable = false;
		} else {
			link_end(l, false); /* the local end, after its last byte */
		}
	}
}

static int carrier_write(struct carry *c)
{
	while (!c->is_cut && !c->ended) {
		size_t len;
		const uint8_t *at;
		ssize_t n;

		if (c->news)
			tell_news(c);
		gather(c);
		if (c->carrier_full)
			return 0;
		at = mux_out_peek(c->m, &len);
		if (len == 0)
			return 0;
		n = write(c->carrier.fd, at, len);
		if (n > 0) {
			mux_out_consume(c->m, (size_t)n);
		} else if (n < 0 && errno == EAGAIN) {
			c->carrier_full = true;
		} else if (n == 0 || is_cut_errno()) {
			return carrier_cut(c);
		} else if (errno != EINTR) {
			return fail_errno();
		}
	}
	return 0;
}

/* Edge-triggered: both flags stay until a read or write says EAGAIN. */
static void on_carrier(struct carry_source *src, uint32_t events)
{
	struct carry *c = (struct carry *)(void *)((char *)src - offsetof(struct carry, carrier));

	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		c->carrier_readable = true;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		c->carrier_full = false;
	if (events & EPOLLHUP)
		(void)carrier_cut(c);
}

int carry_set_carrier(struct carry *c, int fd)
{
	assert(c->is_cut);
	c->carrier = (struct carry_source){.fd = fd, .fn = on_carrier};
	c->is_cut = false;
	c->carrier_full = false;
	c->carrier_readable = true;
	mux_reset(c->m);
	return carry_add(c, &c->carrier, EPOLLIN | EPOLLOUT | EPOLLET);
}

/* ---- the loop ---- */

/* When the next link whose server refused is to be tried. */
static uint64_t next_try_ms(const struct carry *c)
{
	uint64_t next = UINT64_MAX;

	for (const struct link *l = c->n_trying > 0 ? c->links : NULL; l; l = l->next)
		if (l->src.fd < 0 && l->retry_ms < next)
			next = l->retry_ms;
	return next;
}

static void try_again(struct carry *c)
{
	for (struct link *l = c->n_trying > 0 ? c->links : NULL, *next; l; l = next) {
		next = l->next;
		if (l->src.fd < 0 && c->now_ms >= l->retry_ms)
			link_try(l);
	}
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* How long to wait at most. */
static int timeout_ms(struct carry *c)
{
	uint64_t next = next_try_ms(c);

	c->now_ms = io_now_ms();
	if (!c->is_cut)
		next = earlier(next, mux_tick(c->m, c->now_ms));
	if (c->timer_ms > 0)
		next = earlier(next, c->timer_ms);
	if (c->held_until_ms > c->now_ms)
		next = earlier(next, c->held_until_ms);
	else if (!c->is_cut && c->carrier_readable)
		return 0;
	if (next == UINT64_MAX)
		return -1;
	return next > c->now_ms ? (int)(next - c->now_ms) : 0;
}

/* What time brings, before the carrier is written, since it may bring frames. */
static void on_time(struct carry *c)
{
	c->now_ms = io_now_ms();
	if (!c->is_cut)
		(void)mux_tick(c->m, c->now_ms);
	try_again(c);
	if (c->timer_ms > 0 && c->now_ms >= c->timer_ms) {
		c->timer_ms = 0;
		c->timer_fn(c->timer_data);
	}
}

static void bury(struct carry *c)
{
	struct link **at = &c->ready;

	/* the ready list may still name a dropped link */
	while (*at && c->doomed) {
		if ((*at)->s)
			at = &(*at)->ready_next;
		else
			*at = (*at)->ready_next;
	}
	if (c->doomed) {
		while (*at)
			at = &(*at)->ready_next;
		c->ready_end = at;
	}
	while (c->doomed) {
		struct link *l = c->doomed;

		c->doomed = l->next;
		free(l);
	}
	while (c->doomed_proxies) {
		struct proxy *p = c->doomed_proxies;

		c->doomed_proxies = p->next;
		free(p);
	}
}

static int wait_for_events(struct carry *c, struct epoll_event *events, size_t n_events)
{
	const bool busy = c->now_ms - c->moved_ms < PUMP_BUSY_MS;
	const struct timespec look = {.tv_nsec =
					      busy ? PUMP_LOOK_US * 1000L : PUMP_IDLE_US * 1000L};
	int ms = timeout_ms(c);

	if (c->n_pumping > 0 && ms != 0)
		return epoll_pwait2(c->epoll_fd, events, (int)n_events, &look, NULL);
	return epoll_wait(c->epoll_fd, events, (int)n_events, ms);
}

static int turn(struct carry *c)
{
	struct epoll_event events[64];
	int r, n = wait_for_events(c, events, ARRAY_LEN(events));

	if (n < 0 && errno != EINTR)
		return fail_errno();
	on_time(c);
	for (int i = 0; i < n; i++) {
		struct carry_source *src = events[i].data.ptr;

		src->fn(src, events[i].events);
	}
	r = take_events(c); /* of a peer that had to wait */
	if (r == 0)
		r = carrier_read(c);
	if (r == 0 && !c->ended && !pumps_look(c))
		r = take_events(c);
	if (r == 0)
		r = carrier_write(c);
	if (c->n_paused > 0)
		proxies_resume(c);
	bury(c);
	return r;
}

void carry_set_rings(struct carry *c, uint8_t *rings, int claims_fd)
{
	c->config.rings = rings;
	c->config.claims_fd = claims_fd;
}

bool carry_has_rings(const struct carry *c)
{
	return mux_is_up(c->m) && mux_rings(c->m) > 0;
}

int carry_run(struct carry *c)
{
	while (!c->ended) {
		int r = turn(c);

		if (r < 0)
			return r;
	}
	return c->result;
}

int carry_new(const struct carry_config *config, const struct carry_hooks *hooks,
	      struct carry **ret)
{
	struct carry *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->config = *config;
	c->hooks = *hooks;
	c->epoll_fd = NO_FD;
	c->carrier.fd = NO_FD;
	for (unsigned slot = 0; slot < RING_SLOTS; slot++)
		c->claims[slot] = NO_FD;
	c->is_cut = true;
	c->ready_end = &c->ready;
	c->now_ms = c->window_ms = io_now_ms();
	c->listens = (struct bucket){c->now_ms, BURST, LISTENS_PER_S};
	c->opens = (struct bucket){c->now_ms, BURST, OPENS_PER_S};
	c->config.mux.slot_free = config->mux.dom0 ? NULL : on_slot_free;
	c->config.mux.data = c;
	c->config.mux.rings = config->mux.dom0 && config->rings ? RING_SLOTS : 0;
	r = mux_new(&c->config.mux, &c->m);
	if (r == 0) {
		c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
		r = c->epoll_fd < 0 ? fail_errno() : 0;
	}
	if (r < 0) {
		carry_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

void carry_free(struct carry *c)
{
	if (!c)
		return;
	while (c->links)
		link_drop(c->links);
	while (c->lingering)
		link_bury(c->lingering);
	while (c->proxies) {
		struct proxy *p = c->proxies;

		c->proxies = p->next;
		proxy_free(p);
	}
	c->ready = NULL;
	c->ready_end = &c->ready;
	bury(c);
	free(c->servers);
	mux_free(c->m);
	close_fd(&c->epoll_fd);
	free(c);
}
