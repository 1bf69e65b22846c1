/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine of both vchands.
 *
 * In step or not. A side that starts, or meets bytes that are no frame of this session, draws a new
 * nonce, greets, and looks at nothing but HELLOs until one carries that nonce back: bytes in
 * flight, even a hostile qube's that look like a HELLO, cannot know it. A side that starts sends a
 * frame's worth of zeros first: whatever frame its predecessor left unfinished is filled up and
 * fails its tag, so the peer notices at once.
 *
 * Bounds. The peer may send on a stream what we granted it. Every stream has a first window, set
 * aside for all streams there can be; windows grow out of what is left of the pool, up to a fair
 * share, and shrink to it as their bytes are read and the credit is not returned. Control frames
 * are not queued but marked on their stream and written when there is room: at most one CREDIT,
 * RING, BELL and CLOSE each.
 */
#include "mux/mux.h"

#include <assert.h>
#include <string.h>

/** IN_SIZE - bytes from the carrier at once; at least one frame */
#define IN_SIZE ((size_t)2 * VMUX_FRAME_MAX)
/** OUT_FULL - no data of another stream while so much waits for the carrier */
#define OUT_FULL VMUX_FRAME_MAX
/** OUT_CONTROL - room that only control frames use */
#define OUT_CONTROL 4096
#define OUT_SIZE    (OUT_FULL + VMUX_FRAME_MAX + OUT_CONTROL)
/** HELLO_PAUSE_MS - between greetings while out of step */
#define HELLO_PAUSE_MS 250
/** CONTROL_LEN - the longest frame but HELLO and DATA */
#define CONTROL_LEN (VMUX_HEAD_LEN + VMUX_WHERE_LEN + VMUX_TAIL_LEN)
#define N_BUCKETS   256

struct mux_stream {
	struct mux *mux;
	struct mux_stream *hash_next;
	struct mux_stream *work_next;
	void *user;
	uint32_t id;
	bool ours;    /* opened by us */
	bool in_work; /* stands in the list of those with a frame due */
	bool close_due, close_abort;
	bool local_closed; /* the program has let go of it */
	bool remote_closed;
	bool ring_due, bell_due;
	bool ring_sent, ring_got; /* our bytes, theirs go through the rings of @slot */
	uint16_t slot;

	uint32_t tx_credit;

	uint32_t window;   /* = rx_allowed + held + unreturned, charged to the pool */
	uint32_t allowed;  /* bytes the peer may still send */
	uint32_t returned; /* read by the program, credit not yet given back */
	uint32_t since_growth;

	uint8_t *held; /* bytes that the program could not take at once */
	size_t held_at, held_len, held_size;
};

struct mux {
	struct mux_config config;
	uint64_t nonce, peer_nonce;
	uint32_t tag_in, tag_out;
	bool synced;
	bool hello_due;
	uint64_t next_hello_ms, now_ms;
	struct vmux_hello peer; /* limits it told us */

	uint8_t *in, *out;
	size_t in_at, in_end, out_at, out_end;
	size_t out_frame_left; /* of the frame that the carrier has in part */

	struct mux_stream *buckets[N_BUCKETS];
	struct mux_stream *work, **work_end;
	uint32_t next_own_id, last_peer_id;
	uint32_t n_own, n_theirs;
	uint32_t extra; /* bytes of all windows beyond the first ones */

	/* events that stand before what the next frame says */
	bool up_due, down_due, was_up;
	const char *violation;
	uint32_t version_due;
	struct mux_stream *sending; /* between mux_send_space() and mux_send_added() */

	struct mux_stream *data; /* of the last MUX_DATA, whose bytes are still in @in */
	const uint8_t *data_at;
	size_t data_len;

	struct mux_stats stats;
};

/* ---- bytes to the carrier ---- */

static size_t out_backlog(const struct mux *m)
{
	return m->out_end - m->out_at;
}

/* Room for @len more bytes, after moving what is left to the front if that helps. */
static uint8_t *out_room(struct mux *m, size_t len)
{
	if (OUT_SIZE - m->out_end < len && m->out_at > 0) {
		memmove(m->out, m->out + m->out_at, out_backlog(m));
		m->out_end = out_backlog(m);
		m->out_at = 0;
	}
	return OUT_SIZE - m->out_end < len ? NULL : m->out + m->out_end;
}

/* Put head and tail around @h->len bytes that stand (or will) behind the head at @at. */
static void frame_finish(struct mux *m, uint8_t *at, const struct vmux_head *h)
{
	uint8_t *tail = at + VMUX_HEAD_LEN + h->len;

	vmux_head_encode(h, at);
	for (unsigned i = 0; i < VMUX_TAIL_LEN; i++)
		tail[i] = (uint8_t)(m->tag_out >> (8 * i));
	m->out_end += VMUX_HEAD_LEN + h->len + VMUX_TAIL_LEN;
}

static bool put_hello(struct mux *m)
{
	const struct vmux_hello h = {.version = VMUX_VERSION,
				     .synced = m->synced,
				     .from_qube = !m->config.dom0,
				     .nonce = m->nonce,
				     .echo = m->peer_nonce,
				     .credit = m->config.first_window,
				     .domid = m->config.dom0 ? m->config.domid : 0,
				     .max_streams = m->config.max_streams,
				     .max_listens = m->config.max_listens,
				     .rings = m->config.dom0 ? m->config.rings : 0};
	uint8_t *at;

	/* a peer that greets on and on without reading gets no queue of answers */
	if (!m->synced && out_backlog(m) > OUT_FULL + 4 * (size_t)VMUX_HELLO_FRAME_LEN)
		return false;
	at = out_room(m, VMUX_HELLO_FRAME_LEN);
	if (!at)
		return false;
	vmux_hello_encode(&h, at);
	m->out_end += VMUX_HELLO_FRAME_LEN;
	m->hello_due = false;
	return true;
}

static void stream_free(struct mux_stream *s);
static void add_work(struct mux_stream *s);

/* The CREDIT to send for @s, taken off the books here; 0 for none. */
static uint32_t take_grant(struct mux_stream *s)
{
	struct mux *m = s->mux;
	const struct mux_config *c = &m->config;
	uint32_t all_extra = c->pool - 2u * c->max_streams * c->first_window;
	uint32_t fair = c->first_window + all_extra / (m->n_own + m->n_theirs);
	uint32_t grant = s->returned;

	if (fair > c->max_window)
		fair = c->max_window;
	if (s->window > fair) {
		uint32_t keep = s->held_size > fair ? (uint32_t)s->held_size : fair;
		uint32_t less = s->window > keep ? s->window - keep : 0;

		if (less > grant)
			less = grant;
		s->window -= less;
		m->extra -= less;
		grant -= less;
	} else if (s->since_growth >= s->window && s->window < fair) {
		uint32_t more = s->window < fair - s->window ? s->window : fair - s->window;

		if (more <= all_extra - m->extra) {
			s->window += more;
			m->extra += more;
			grant += more;
			s->since_growth = 0;
		}
	}
	s->returned = 0;
	s->allowed += grant;
	return grant;
}

static bool credit_due(const struct mux_stream *s)
{
	return !s->local_closed && !s->remote_closed && s->returned >= s->window / 2;
}

static void put_credit(struct mux_stream *s, uint8_t *at)
{
	const struct vmux_head h = {VMUX_CREDIT, 0, s->id, VMUX_CREDIT_LEN};
	uint32_t grant = take_grant(s);

	if (grant == 0)
		return;
	for (unsigned i = 0; i < VMUX_CREDIT_LEN; i++)
		at[VMUX_HEAD_LEN + i] = (uint8_t)(grant >> (8 * i));
	frame_finish(s->mux, at, &h);
}

/* RING before BELL, which means nothing without it. */
static void put_news(struct mux_stream *s, uint8_t *at)
{
	const struct vmux_head ring = {VMUX_RING, 0, s->id, VMUX_RING_LEN};
	const struct vmux_head bell = {VMUX_BELL, 0, s->id, 0};

	if (s->ring_due) {
		s->ring_due = false;
		vmux_ring_encode(s->slot, at + VMUX_HEAD_LEN);
		frame_finish(s->mux, at, &ring);
	} else {
		s->bell_due = false;
		frame_finish(s->mux, at, &bell);
	}
}

/* Write the frames that are due while there is room. */
static void flush(struct mux *m)
{
	assert(!m->sending);
	if (m->hello_due && !put_hello(m))
		return;
	while (m->synced && m->work) {
		struct mux_stream *s = m->work;
		uint8_t *at = out_room(m, CONTROL_LEN);

		if (!at)
			return;
		m->work = s->work_next;
		if (!m->work)
			m->work_end = &m->work;
		s->in_work = false;
		if (s->ring_due || s->bell_due) {
			put_news(s, at);
			add_work(s); /* for what else may be due */
		} else if (s->close_due) {
			const struct vmux_head h = {VMUX_CLOSE, s->close_abort ? VMUX_ABORT : 0,
						    s->id, 0};

			s->close_due = false;
			frame_finish(m, at, &h);
			if (s->remote_closed)
				stream_free(s);
		} else if (credit_due(s)) {
			put_credit(s, at);
		}
	}
}

static void add_work(struct mux_stream *s)
{
	struct mux *m = s->mux;

	if (s->in_work)
		return;
	s->in_work = true;
	s->work_next = NULL;
	*m->work_end = s;
	m->work_end = &s->work_next;
}

/* ---- streams ---- */

static struct mux_stream **bucket(struct mux *m, uint32_t id)
{
	return &m->buckets[(id >> 1 ^ (id & 1) << 7) % N_BUCKETS];
}

static struct mux_stream *stream_get(struct mux *m, uint32_t id)
{
	struct mux_stream *s = *bucket(m, id);

	while (s && s->id != id)
		s = s->hash_next;
	return s;
}

static struct mux_stream *stream_new(struct mux *m, uint32_t id, bool ours)
{
	struct mux_stream *s = calloc(1, sizeof(*s));
	struct mux_stream **at = bucket(m, id);

	if (!s)
		return NULL;
	s->mux = m;
	s->id = id;
	s->ours = ours;
	s->tx_credit = m->peer.credit;
	s->window = m->config.first_window;
	s->allowed = s->window;
	s->hash_next = *at;
	*at = s;
	if (ours)
		m->n_own++;
	else
		m->n_theirs++;
	return s;
}

static void drop_held(struct mux_stream *s)
{
	free(s->held);
	s->held = NULL;
	s->held_at = s->held_len = s->held_size = 0;
	if (s->mux->data == s)
		s->mux->data = NULL;
}

/* Not while it stands in the work list: flush() takes it off before. */
static void stream_free(struct mux_stream *s)
{
	struct mux *m = s->mux;
	struct mux_stream **at = bucket(m, s->id);

	assert(!s->in_work);
	while (*at != s)
		at = &(*at)->hash_next;
	*at = s->hash_next;
	m->extra -= s->window - m->config.first_window;
	if (s->ours)
		m->n_own--;
	else
		m->n_theirs--;
	drop_held(s);
	if (s->ring_sent && m->config.slot_free)
		m->config.slot_free(m->config.data, s->slot);
	free(s);
}

static int hold(struct mux_stream *s, const uint8_t *bytes, size_t len)
{
	size_t left = s->held_len - s->held_at;

	if (len == 0)
		return 0;
	if (s->held_size - s->held_len < len && s->held_at > 0) {
		memmove(s->held, s->held + s->held_at, left);
		s->held_at = 0;
		s->held_len = left;
	}
	if (s->held_size - s->held_len < len) {
		/* never more than the window, so what the pool is charged is what can be held */
		size_t size = s->held_size * 2 < s->window ? s->held_size * 2 : s->window;
		uint8_t *more;

		if (size < left + len)
			size = left + len;
		more = realloc(s->held, size);
		if (!more)
			return -ENOMEM;
		s->held = more;
		s->held_size = size;
	}
	memcpy(s->held + s->held_len, bytes, len);
	s->held_len += len;
	return 0;
}

/* The program did not take all of the last MUX_DATA: its bytes move from @in to the stream. */
static int settle_data(struct mux *m)
{
	struct mux_stream *s = m->data;

	m->data = NULL;
	return s ? hold(s, m->data_at, m->data_len) : 0;
}

/* ---- sessions ---- */

static void draw_nonce(struct mux *m)
{
	uint64_t old = m->nonce;

	do
		m->nonce = m->config.nonce();
	while (m->nonce == 0 || m->nonce == old);
}

static void end_streams(struct mux *m)
{
	for (struct mux_stream *s = m->work; s; s = s->work_next)
		s->in_work = false;
	m->work = NULL;
	m->work_end = &m->work;
	m->sending = NULL;
	for (unsigned i = 0; i < N_BUCKETS; i++)
		while (m->buckets[i])
			stream_free(m->buckets[i]);
	m->next_own_id = m->config.dom0 ? 2 : 1;
	m->last_peer_id = 0;
}

static void end_session(struct mux *m)
{
	end_streams(m);
	m->down_due |= m->was_up;
	m->up_due = false;
	m->was_up = false;
	m->synced = false;
	m->peer_nonce = 0;
	draw_nonce(m);
	m->out_end = m->out_at + m->out_frame_left; /* only the frame the carrier has begun */
	m->hello_due = true;
	m->next_hello_ms = m->now_ms + HELLO_PAUSE_MS;
}

static void lose_step(struct mux *m)
{
	m->stats.n_losses++;
	end_session(m);
}

static void violate(struct mux *m, const char *why)
{
	m->stats.n_violations++;
	m->violation = why;
	end_session(m);
}

static void begin_session(struct mux *m, const struct vmux_hello *h)
{
	m->synced = true;
	m->peer_nonce = h->nonce;
	m->peer = *h;
	m->tag_out = vmux_tag(m->nonce, h->nonce);
	m->tag_in = vmux_tag(h->nonce, m->nonce);
	m->up_due = true;
	m->stats.n_sessions++;
	m->stats.n_garbage = 0;
	m->hello_due = !h->synced;
}

static void got_hello(struct mux *m, const struct vmux_hello *h)
{
	if (h->version != VMUX_VERSION) {
		m->version_due = h->version;
		return;
	}
	/* our own, come back, or somebody with our role */
	if (h->nonce == m->nonce || h->from_qube != m->config.dom0)
		return;
	if (m->synced && h->nonce == m->peer_nonce) {
		m->hello_due |= !h->synced; /* it has not heard that we are in step */
		return;
	}
	if (m->synced)
		end_session(m); /* it was started anew, or lost its step */
	if (h->echo == m->nonce) {
		begin_session(m, h);
		return;
	}
	m->peer_nonce = h->nonce;
	m->hello_due = true;
}

/* ---- bytes from the carrier ---- */

static size_t in_len(const struct mux *m)
{
	return m->in_end - m->in_at;
}

static void skip(struct mux *m, size_t len)
{
	m->in_at += len;
	m->stats.n_garbage += len;
}

/* Out of step: look for a HELLO. Returns false when more bytes are needed. */
static bool scan(struct mux *m)
{
	struct vmux_hello h;

	skip(m, vmux_hello_find(m->in + m->in_at, in_len(m)));
	if (in_len(m) < VMUX_HELLO_FRAME_LEN)
		return false;
	if (vmux_hello_decode(m->in + m->in_at, VMUX_HELLO_FRAME_LEN, &h) != 0) {
		skip(m, 1);
		return true;
	}
	m->in_at += VMUX_HELLO_FRAME_LEN;
	m->stats.n_garbage += VMUX_HELLO_FRAME_LEN;
	got_hello(m, &h);
	return true;
}

static int got_where(struct mux *m, const struct vmux_head *h, const uint8_t *payload,
		     struct mux_event *ret)
{
	struct mux_stream *s;

	if (vmux_where_decode(payload, h->len, &ret->where) != 0) {
		violate(m, "a place that cannot be");
		return 0;
	}
	if (h->type != VMUX_OPEN) {
		ret->kind = h->type == VMUX_LISTEN ? MUX_LISTEN : MUX_UNLISTEN;
		return 0;
	}
	if ((h->stream & 1) != (m->config.dom0 ? 1u : 0u) || h->stream <= m->last_peer_id) {
		violate(m, "a stream number out of turn");
		return 0;
	}
	if (m->n_theirs >= m->config.max_streams) {
		violate(m, "more streams than allowed");
		return 0;
	}
	s = stream_new(m, h->stream, false);
	if (!s)
		return -ENOMEM;
	m->last_peer_id = h->stream;
	ret->kind = MUX_OPEN;
	ret->stream = s;
	return 0;
}

static int got_data(struct mux *m, struct mux_stream *s, const uint8_t *payload, uint32_t len,
		    struct mux_event *ret)
{
	if (len > s->allowed || s->ring_got) {
		violate(m, s->ring_got ? "bytes outside of its rings" : "more bytes than granted");
		return 0;
	}
	s->allowed -= len;
	if (s->local_closed)
		return 0;
	if (s->held_len > s->held_at)
		return hold(s, payload, len); /* the program has not read the last ones */
	m->data = s;
	m->data_at = payload;
	m->data_len = len;
	ret->kind = MUX_DATA;
	ret->stream = s;
	return 0;
}

static void got_credit(struct mux *m, struct mux_stream *s, const uint8_t *payload, uint32_t len,
		       struct mux_event *ret)
{
	uint32_t more;

	if (vmux_credit_decode(payload, len, &more) != 0 || more > INT32_MAX - s->tx_credit) {
		violate(m, "credit out of bounds");
		return;
	}
	if (s->tx_credit == 0 && !s->local_closed && !s->ring_sent) {
		ret->kind = MUX_WRITABLE;
		ret->stream = s;
	}
	s->tx_credit += more;
}

static void got_close(struct mux_stream *s, bool abort, struct mux_event *ret)
{
	s->remote_closed = true;
	if (!s->local_closed) {
		if (abort)
			drop_held(s);
		ret->kind = MUX_CLOSED;
		ret->stream = s;
		ret->abort = abort;
	} else if (!s->close_due) {
		stream_free(s);
	} /* else flush() frees it when our CLOSE is written */
}

/* Dom0 offers slots, the qube takes one for a stream, dom0 agrees by naming it too. */
static void got_ring(struct mux *m, struct mux_stream *s, const uint8_t *payload, uint32_t len,
		     struct mux_event *ret)
{
	uint16_t slot;

	if (vmux_ring_decode(payload, len, &slot) != 0 || s->ring_got ||
	    (m->config.dom0 ? slot >= m->config.rings : !s->ring_sent || slot != s->slot)) {
		violate(m, "rings that it may not use");
		return;
	}
	s->ring_got = true;
	s->slot = slot;
	if (s->local_closed)
		return;
	ret->kind = MUX_RING;
	ret->stream = s;
	ret->slot = slot;
}

static void got_bell(struct mux *m, struct mux_stream *s, struct mux_event *ret)
{
	if (!s->ring_got) {
		violate(m, "a bell without rings");
		return;
	}
	if (s->local_closed)
		return;
	ret->kind = MUX_BELL;
	ret->stream = s;
}

static int got_frame(struct mux *m, const struct vmux_head *h, const uint8_t *payload,
		     struct mux_event *ret)
{
	struct mux_stream *s;

	if (h->type == VMUX_LISTEN || h->type == VMUX_UNLISTEN || h->type == VMUX_OPEN)
		return got_where(m, h, payload, ret);
	s = stream_get(m, h->stream);
	if (!s || s->remote_closed) {
		violate(m, "a stream that is not open");
		return 0;
	}
	if (h->type == VMUX_DATA)
		return got_data(m, s, payload, h->len, ret);
	if (h->type == VMUX_CREDIT)
		got_credit(m, s, payload, h->len, ret);
	else if (h->type == VMUX_RING)
		got_ring(m, s, payload, h->len, ret);
	else if (h->type == VMUX_BELL)
		got_bell(m, s, ret);
	else
		got_close(s, (h->flags & VMUX_ABORT) != 0, ret);
	return 0;
}

static uint32_t tail_of(const uint8_t *at)
{
	return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* In step: one frame, if it is whole. *ret_more: another may follow. */
static int step(struct mux *m, struct mux_event *ret, bool *ret_more)
{
	const uint8_t *at = m->in + m->in_at;
	struct vmux_head h;
	struct vmux_hello hello;
	size_t len;

	*ret_more = false;
	if (in_len(m) < VMUX_HEAD_LEN)
		return 0;
	*ret_more = true;
	if (vmux_head_decode(at, &h) != 0) {
		lose_step(m);
		return 0;
	}
	len = VMUX_HEAD_LEN + h.len + VMUX_TAIL_LEN;
	if (in_len(m) < len) {
		*ret_more = false;
		return 0;
	}
	if (h.type == VMUX_HELLO) {
		if (vmux_hello_decode(at, len, &hello) != 0) {
			lose_step(m);
			return 0;
		}
		m->in_at += len;
		got_hello(m, &hello);
		return 0;
	}
	if (tail_of(at + len - VMUX_TAIL_LEN) != m->tag_in) {
		lose_step(m);
		return 0;
	}
	m->in_at += len;
	return got_frame(m, &h, at + VMUX_HEAD_LEN, ret);
}

/* What stands before the next frame, in the order it happened. */
static bool event_due(struct mux *m, struct mux_event *ret)
{
	if (m->violation) {
		ret->kind = MUX_VIOLATION;
		ret->why = m->violation;
		m->violation = NULL;
	} else if (m->down_due) {
		ret->kind = MUX_DOWN;
		m->down_due = false;
	} else if (m->version_due != 0) {
		ret->kind = MUX_VERSION;
		ret->version = m->version_due;
		m->version_due = 0;
	} else if (m->up_due) {
		ret->kind = MUX_UP;
		ret->domid = m->peer.domid;
		m->up_due = false;
		m->was_up = true;
	}
	return ret->kind != MUX_NONE;
}

int mux_next(struct mux *m, struct mux_event *ret)
{
	struct mux_event event = {.kind = MUX_NONE};
	bool more = true;
	int r = settle_data(m);

	while (r == 0 && !event_due(m, &event) && more) {
		if (m->synced)
			r = step(m, &event, &more);
		else
			more = scan(m);
		if (event.kind != MUX_NONE)
			break;
	}
	if (r < 0)
		return r;
	*ret = event;
	return 0;
}

uint8_t *mux_in_space(struct mux *m, size_t *ret_room)
{
	assert(!m->data); /* mux_next() said MUX_NONE before */
	if (m->in_at == m->in_end) {
		m->in_at = m->in_end = 0;
	} else if (IN_SIZE - m->in_end < IN_SIZE / 4) {
		memmove(m->in, m->in + m->in_at, in_len(m));
		m->in_end = in_len(m);
		m->in_at = 0;
	}
	*ret_room = IN_SIZE - m->in_end;
	return m->in + m->in_end;
}

void mux_in_added(struct mux *m, size_t len)
{
	assert(len <= IN_SIZE - m->in_end);
	m->in_end += len;
}

const uint8_t *mux_out_peek(struct mux *m, size_t *ret_len)
{
	flush(m);
	*ret_len = out_backlog(m);
	return m->out + m->out_at;
}

void mux_out_consume(struct mux *m, size_t len)
{
	assert(len <= out_backlog(m));
	while (len > 0) {
		size_t n;

		if (m->out_frame_left == 0)
			m->out_frame_left = VMUX_HEAD_LEN + VMUX_TAIL_LEN +
					    tail_of(m->out + m->out_at + VMUX_HEAD_LEN - 4);
		n = len < m->out_frame_left ? len : m->out_frame_left;
		m->out_at += n;
		m->out_frame_left -= n;
		len -= n;
	}
	if (m->out_at == m->out_end)
		m->out_at = m->out_end = 0;
}

/* ---- the program's side ---- */

static void greet(struct mux *m)
{
	m->in_at = m->in_end = 0;
	m->data = NULL;
	m->out_at = m->out_end = 0;
	m->out_frame_left = 0;
	end_session(m);
	memset(m->out, 0, VMUX_FRAME_MAX); /* fills up what a predecessor left unfinished */
	m->out_end = VMUX_FRAME_MAX;
	m->out_frame_left = VMUX_FRAME_MAX;
}

int mux_new(const struct mux_config *config, struct mux **ret)
{
	struct mux *m;

	if (config->first_window == 0 || config->max_streams == 0 ||
	    config->max_window < config->first_window || config->pool > INT32_MAX ||
	    config->pool / 2 / config->max_streams < config->first_window)
		return -EINVAL;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->config = *config;
	m->work_end = &m->work;
	m->in = malloc(IN_SIZE);
	m->out = malloc(OUT_SIZE);
	if (!m->in || !m->out) {
		mux_free(m);
		return -ENOMEM;
	}
	greet(m);
	*ret = m;
	return 0;
}

void mux_free(struct mux *m)
{
	if (!m)
		return;
	end_streams(m);
	free(m->in);
	free(m->out);
	free(m);
}

void mux_reset(struct mux *m)
{
	greet(m);
}

uint64_t mux_tick(struct mux *m, uint64_t now_ms)
{
	m->now_ms = now_ms;
	if (m->synced)
		return UINT64_MAX;
	if (now_ms >= m->next_hello_ms) {
		m->hello_due = true;
		m->next_hello_ms = now_ms + HELLO_PAUSE_MS;
	}
	return m->next_hello_ms;
}

void mux_violate(struct mux *m, const char *why)
{
	violate(m, why);
}

bool mux_is_up(const struct mux *m)
{
	return m->was_up;
}

void mux_get_stats(const struct mux *m, struct mux_stats *ret)
{
	*ret = m->stats;
	ret->n_streams = m->n_own + m->n_theirs;
	ret->window_bytes = m->extra + ret->n_streams * m->config.first_window;
}

/* Room for a control frame of this session; NULL with -EAGAIN or -ENOTCONN in *ret_r. */
static uint8_t *control_room(struct mux *m, int *ret_r)
{
	uint8_t *at = NULL;

	*ret_r = -ENOTCONN;
	if (!m->was_up)
		return NULL;
	flush(m);
	*ret_r = -EAGAIN;
	if (!m->hello_due && !m->work)
		at = out_room(m, CONTROL_LEN);
	if (at)
		*ret_r = 0;
	return at;
}

int mux_listen(struct mux *m, const struct vmux_where *where, bool there)
{
	const struct vmux_head h = {there ? VMUX_LISTEN : VMUX_UNLISTEN, 0, 0, VMUX_WHERE_LEN};
	int r;
	uint8_t *at = control_room(m, &r);

	if (!at)
		return r;
	vmux_where_encode(where, at + VMUX_HEAD_LEN);
	frame_finish(m, at, &h);
	return 0;
}

int mux_open(struct mux *m, const struct vmux_where *where, void *user, struct mux_stream **ret)
{
	struct vmux_head h = {VMUX_OPEN, 0, m->next_own_id, VMUX_WHERE_LEN};
	struct mux_stream *s;
	int r;
	uint8_t *at = control_room(m, &r);

	if (!at)
		return r;
	/* the second: two thousand million streams later a new session must come first */
	if (m->n_own >= m->peer.max_streams || h.stream > UINT32_MAX - 2)
		return -EMFILE;
	s = stream_new(m, h.stream, true);
	if (!s)
		return -ENOMEM;
	s->user = user;
	m->next_own_id += 2;
	vmux_where_encode(where, at + VMUX_HEAD_LEN);
	frame_finish(m, at, &h);
	*ret = s;
	return 0;
}

bool mux_can_open(struct mux *m)
{
	int r;

	return m->n_own < m->peer.max_streams && control_room(m, &r);
}

unsigned mux_peer_listens(const struct mux *m)
{
	return m->peer.max_listens;
}

unsigned mux_rings(const struct mux *m)
{
	return m->peer.rings;
}

void mux_set_user(struct mux_stream *s, void *user)
{
	s->user = user;
}

void *mux_get_user(const struct mux_stream *s)
{
	return s->user;
}

bool mux_can_send(const struct mux *m)
{
	return m->was_up && !m->hello_due && out_backlog(m) < OUT_FULL;
}

size_t mux_credit(const struct mux_stream *s)
{
	return s->remote_closed || s->ring_sent ? 0 : s->tx_credit;
}

uint8_t *mux_send_space(struct mux_stream *s, size_t *ret_room)
{
	struct mux *m = s->mux;
	size_t room = mux_credit(s);
	uint8_t *at;

	assert(mux_can_send(m) && room > 0 && !s->local_closed);
	if (room > VMUX_PAYLOAD_MAX)
		room = VMUX_PAYLOAD_MAX;
	at = out_room(m, VMUX_FRAME_MAX);
	assert(at);
	m->sending = s;
	*ret_room = room;
	return at + VMUX_HEAD_LEN;
}

void mux_send_added(struct mux_stream *s, size_t len)
{
	struct mux *m = s->mux;
	const struct vmux_head h = {VMUX_DATA, 0, s->id, (uint32_t)len};

	assert(m->sending == s && len <= s->tx_credit && len <= VMUX_PAYLOAD_MAX);
	m->sending = NULL;
	if (len == 0)
		return;
	s->tx_credit -= (uint32_t)len;
	frame_finish(m, m->out + m->out_end, &h);
}

const uint8_t *mux_rx_peek(struct mux_stream *s, size_t *ret_len)
{
	struct mux *m = s->mux;

	if (m->data == s) {
		*ret_len = m->data_len;
		return m->data_at;
	}
	*ret_len = s->held_len - s->held_at;
	return s->held ? s->held + s->held_at : NULL;
}

void mux_rx_consume(struct mux_stream *s, size_t len)
{
	struct mux *m = s->mux;

	if (m->data == s) {
		assert(len <= m->data_len);
		m->data_at += len;
		m->data_len -= len;
		if (m->data_len == 0)
			m->data = NULL;
	} else {
		assert(len <= s->held_len - s->held_at);
		s->held_at += len;
		if (s->held_at == s->held_len)
			drop_held(s);
	}
	s->returned += (uint32_t)len;
	s->since_growth += (uint32_t)len;
	if (credit_due(s))
		add_work(s);
}

void mux_ring(struct mux_stream *s, unsigned slot)
{
	struct mux *m = s->mux;

	assert(!s->local_closed && !s->ring_sent && m->sending != s);
	assert(m->config.dom0 ? s->ring_got && slot == s->slot : slot < m->peer.rings);
	s->ring_sent = s->ring_due = true;
	s->slot = (uint16_t)slot;
	add_work(s);
}

void mux_bell(struct mux_stream *s)
{
	assert(!s->local_closed && s->ring_sent);
	s->bell_due = true;
	add_work(s);
}

void mux_close(struct mux_stream *s, bool abort)
{
	assert(!s->local_closed);
	drop_held(s);
	s->local_closed = true;
	s->close_due = true;
	s->close_abort = abort;
	add_work(s);
}
