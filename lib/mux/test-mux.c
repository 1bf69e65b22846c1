/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two engines back to back over two pipes of bytes that the test cuts anywhere, and an engine
 * against bytes that no engine would send.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mux/mux.h"

#define PIPE_SIZE (1 << 20)
#define MAX_OPEN  2048

static uint64_t seed = 1;

static uint64_t random64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static unsigned below(unsigned n)
{
	return (unsigned)(random64() >> 33) % n;
}

/* What one side's program knows of a stream. Data is a function of (key, position). */
struct flow {
	struct mux_stream *s;
	struct side *side;
	uint32_t key; /* of what we send: our peer's flow expects it */
	uint32_t to_send, n_sent, n_got;
	bool stalled;        /* takes nothing */
	bool slow;           /* takes a part at a time */
	bool ended, aborted; /* MUX_CLOSED came */
	bool echo_key_known;
	uint32_t peer_key;
};

struct side {
	struct mux *m;
	struct side *other;
	uint8_t *pipe; /* bytes to us */
	size_t pipe_at, pipe_end;
	struct flow *flows[MAX_OPEN];
	unsigned n_flows;
	unsigned n_up, n_down, n_listen, n_unlisten, n_open, n_violations, n_version, n_writable;
	unsigned n_rings, n_bells, slot;
	uint32_t n_got_at_ring;
	unsigned domid;
	struct vmux_where where;
	bool refuse, stall_new;
	uint32_t send_new; /* bytes that an accepted stream sends back */
	const char *why;
};

static struct side dom0, qube;
static uint64_t now;

static unsigned n_slots_freed, slot_freed;

static void on_slot_free(void *data, unsigned slot)
{
	(void)data;
	n_slots_freed++;
	slot_freed = slot;
}

static const struct mux_config configs[2] = {
	{.dom0 = true,
	 .domid = 7,
	 .pool = 16 << 20,
	 .first_window = 4096,
	 .max_window = 256 << 10,
	 .max_streams = 1024,
	 .max_listens = 64,
	 .nonce = random64,
	 .rings = 8},
	{.dom0 = false,
	 .pool = 16 << 20,
	 .first_window = 4096,
	 .max_window = 256 << 10,
	 .max_streams = 1024,
	 .max_listens = 64,
	 .nonce = random64,
	 .slot_free = on_slot_free},
};

static uint8_t byte_at(uint32_t key, uint32_t at)
{
	return (uint8_t)((key * 2654435761u + at * 40503u) >> 13);
}

static void drop_flows(struct side *x)
{
	for (unsigned i = 0; i < x->n_flows; i++)
		free(x->flows[i]);
	x->n_flows = 0;
}

static void side_start(struct side *x)
{
	mux_free(x->m);
	drop_flows(x);
	assert_int_equal(mux_new(&configs[x == &dom0 ? 0 : 1], &x->m), 0);
}

static int set_up(void **state)
{
	(void)state;
	dom0 = (struct side){.other = &qube, .pipe = malloc(PIPE_SIZE)};
	qube = (struct side){.other = &dom0, .pipe = malloc(PIPE_SIZE)};
	now = 1000;
	side_start(&dom0);
	side_start(&qube);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct side *x = i == 0 ? &dom0 : &qube;

		drop_flows(x);
		mux_free(x->m);
		x->m = NULL;
		free(x->pipe);
	}
	return 0;
}

static struct flow *flow_new(struct side *x, struct mux_stream *s)
{
	struct flow *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_true(x->n_flows < MAX_OPEN);
	f->s = s;
	f->side = x;
	x->flows[x->n_flows++] = f;
	return f;
}

static void flow_close(struct flow *f, bool abort)
{
	struct side *x = f->side;

	mux_close(f->s, abort);
	for (unsigned i = 0; i < x->n_flows; i++)
		if (x->flows[i] == f)
			x->flows[i] = x->flows[--x->n_flows];
	free(f);
}

static struct flow *flow_open(struct side *x, uint32_t key, uint32_t to_send)
{
	const struct vmux_where w = {0, 7, (uint16_t)key};
	struct mux_stream *s;
	struct flow *f;

	assert_int_equal(mux_open(x->m, &w, NULL, &s), 0);
	f = flow_new(x, s);
	f->key = f->peer_key = key;
	f->echo_key_known = true;
	f->to_send = to_send;
	mux_set_user(s, f);
	return f;
}

static bool take_bytes(struct flow *f)
{
	bool any = false;

	for (;;) {
		size_t len, n;
		const uint8_t *at = mux_rx_peek(f->s, &len);

		if (len == 0 || f->stalled)
			return any;
		n = f->slow ? 1 + below((unsigned)len) : len;
		for (size_t i = 0; i < n; i++)
			assert_int_equal(at[i], byte_at(f->peer_key, f->n_got + (uint32_t)i));
		f->n_got += (uint32_t)n;
		mux_rx_consume(f->s, n);
		any = true;
		if (f->slow)
			return any;
	}
}

static void on_event(struct side *x, const struct mux_event *e)
{
	struct flow *f = e->stream ? mux_get_user(e->stream) : NULL;

	switch (e->kind) {
	case MUX_UP:
		x->n_up++;
		x->domid = e->domid;
		break;
	case MUX_DOWN:
		x->n_down++;
		drop_flows(x);
		break;
	case MUX_LISTEN:
		x->n_listen++;
		x->where = e->where;
		break;
	case MUX_UNLISTEN:
		x->n_unlisten++;
		break;
	case MUX_OPEN:
		x->n_open++;
		if (x->refuse) {
			mux_close(e->stream, true);
			break;
		}
		f = flow_new(x, e->stream);
		f->key = f->peer_key = e->where.port;
		f->to_send = x->send_new;
		f->stalled = x->stall_new;
		mux_set_user(e->stream, f);
		break;
	case MUX_DATA:
		if (!f)
			abort();
		(void)take_bytes(f);
		break;
	case MUX_WRITABLE:
		x->n_writable++;
		assert_true(mux_credit(e->stream) > 0);
		break;
	case MUX_CLOSED:
		if (!f)
			abort();
		f->ended = true;
		f->aborted = e->abort;
		break;
	case MUX_VIOLATION:
		x->n_violations++;
		x->why = e->why;
		break;
	case MUX_VERSION:
		x->n_version++;
		break;
	case MUX_RING:
		if (!f)
			abort();
		x->n_rings++;
		x->slot = e->slot;
		x->n_got_at_ring = f->n_got;
		if (x == &dom0)
			mux_ring(e->stream, e->slot);
		break;
	case MUX_BELL:
		x->n_bells++;
		break;
	case MUX_NONE:
		break;
	}
}

static bool events(struct side *x)
{
	struct mux_event e;
	bool any = false;

	do {
		assert_int_equal(mux_next(x->m, &e), 0);
		on_event(x, &e);
		any |= e.kind != MUX_NONE;
	} while (e.kind != MUX_NONE);
	return any;
}

/* Deliver up to @max bytes of the pipe to @x. */
static bool receive(struct side *x, size_t max)
{
	size_t len = x->pipe_end - x->pipe_at, room;
	uint8_t *at = mux_in_space(x->m, &room);

	assert_true(room > 0);
	len = len < max ? len : max;
	len = len < room ? len : room;
	memcpy(at, x->pipe + x->pipe_at, len);
	x->pipe_at += len;
	if (x->pipe_at == x->pipe_end)
		x->pipe_at = x->pipe_end = 0;
	mux_in_added(x->m, len);
	return events(x) || len > 0;
}

static void to_pipe(struct side *x, const void *bytes, size_t len)
{
	if (PIPE_SIZE - x->pipe_end < len) {
		memmove(x->pipe, x->pipe + x->pipe_at, x->pipe_end - x->pipe_at);
		x->pipe_end -= x->pipe_at;
		x->pipe_at = 0;
	}
	assert_true(PIPE_SIZE - x->pipe_end >= len);
	memcpy(x->pipe + x->pipe_end, bytes, len);
	x->pipe_end += len;
}

/* Move up to @max bytes from @x to the other's pipe, which holds at most 64 KiB. */
static bool transmit(struct side *x, size_t max)
{
	struct side *o = x->other;
	size_t len, backlog = o->pipe_end - o->pipe_at;
	const uint8_t *at = mux_out_peek(x->m, &len);

	len = len < max ? len : max;
	if (backlog + len > 65536)
		len = backlog < 65536 ? 65536 - backlog : 0;
	to_pipe(o, at, len);
	mux_out_consume(x->m, len);
	return len > 0;
}

static bool run_flows(struct side *x)
{
	unsigned start = x->n_flows > 0 ? below(x->n_flows) : 0;
	bool any = false;

	for (unsigned i = 0; i < x->n_flows; i++) {
		struct flow *f = x->flows[(start + i) % x->n_flows];
		uint32_t left = f->to_send - f->n_sent;
		size_t len;

		any |= take_bytes(f);
		if (left > 0 && mux_can_send(x->m) && mux_credit(f->s) > 0) {
			uint8_t *at = mux_send_space(f->s, &len);

			len = len < left ? len : left;
			for (size_t b = 0; b < len; b++)
				at[b] = byte_at(f->key, f->n_sent + (uint32_t)b);
			mux_send_added(f->s, len);
			f->n_sent += (uint32_t)len;
			any |= len > 0;
		}
		(void)mux_rx_peek(f->s, &len);
		if (f->ended && (len == 0 || f->aborted)) {
			flow_close(f, false);
			any = true;
			i--;
			if (x->n_flows == 0)
				break;
			start = 0;
		}
	}
	return any;
}

/* Run both sides until nothing moves. @chunk: largest piece the carrier moves at once. */
static void settle(unsigned chunk)
{
	unsigned quiet = 0;

	while (quiet < 3) {
		bool any = false;

		any |= run_flows(&dom0);
		any |= run_flows(&qube);
		any |= transmit(&dom0, 1 + below(chunk));
		any |= transmit(&qube, 1 + below(chunk));
		any |= receive(&dom0, 1 + below(chunk));
		any |= receive(&qube, 1 + below(chunk));
		quiet = any ? 0 : quiet + 1;
	}
}

static void tick(void)
{
	now += 300;
	(void)mux_tick(dom0.m, now);
	(void)mux_tick(qube.m, now);
}

static void bring_up(void)
{
	settle(100000);
	assert_int_equal(dom0.n_up, 1);
	assert_int_equal(qube.n_up, 1);
	assert_int_equal(qube.domid, 7);
}

static void two_sides_meet_whatever_the_pieces(void **state)
{
	const unsigned chunks[] = {1, 7, 100, 4096, 100000};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(chunks); i++) {
		settle(chunks[i]);
		assert_int_equal(dom0.n_up, 1);
		assert_int_equal(qube.n_up, 1);
		assert_int_equal(qube.domid, 7);
		assert_int_equal(mux_tick(dom0.m, now), UINT64_MAX);
		(void)tear_down(state);
		(void)set_up(state);
	}
}

static void greetings_go_on_until_answered(void **state)
{
	size_t len;

	(void)state;
	for (unsigned i = 0; i < 3; i++) { /* dom0's bytes are lost: no qube there yet */
		(void)mux_out_peek(dom0.m, &len);
		assert_true(len >= VMUX_HELLO_FRAME_LEN);
		mux_out_consume(dom0.m, len);
		(void)mux_out_peek(dom0.m, &len);
		assert_int_equal(len, 0);
		now += 300;
		assert_true(mux_tick(dom0.m, now) < UINT64_MAX);
	}
	bring_up();
}

static void bytes_arrive_whole_on_many_streams_both_ways(void **state)
{
	const unsigned chunks[] = {50, 5000, 100000};

	(void)state;
	bring_up();
	for (size_t c = 0; c < ARRAY_LEN(chunks); c++) {
		struct flow *f[20];

		qube.send_new = 70000;
		dom0.send_new = 70000;
		for (unsigned i = 0; i < ARRAY_LEN(f); i++) {
			f[i] = flow_open(i % 2 ? &dom0 : &qube, 100 + i, 3000 * (i + 1));
			f[i]->slow = i % 3 == 0;
		}
		settle(chunks[c]);
		for (unsigned i = 0; i < ARRAY_LEN(f); i++) {
			assert_int_equal(f[i]->n_got, 70000);
			assert_int_equal(f[i]->n_sent, 3000 * (i + 1));
			flow_close(f[i], false);
		}
		for (unsigned i = 0; i < dom0.n_flows; i++)
			assert_int_equal(dom0.flows[i]->n_got,
					 dom0.flows[i]->peer_key * 3000 - 99 * 3000);
		settle(chunks[c]);
		assert_int_equal(dom0.n_flows, 0);
		assert_int_equal(qube.n_flows, 0);
	}
}

static void what_was_sent_before_a_close_arrives(void **state)
{
	struct mux_stats stats;
	struct flow *f;

	(void)state;
	bring_up();
	qube.stall_new = true;
	f = flow_open(&dom0, 5, 4096);
	settle(1000);
	assert_int_equal(f->n_sent, 4096);
	flow_close(f, false);
	settle(1000);
	assert_int_equal(qube.n_flows, 1); /* its reader has not read: the stream lives on */
	mux_get_stats(dom0.m, &stats);
	assert_int_equal(stats.n_streams, 1);
	assert_true(qube.flows[0]->ended);
	qube.flows[0]->stalled = false;
	f = qube.flows[0];
	(void)take_bytes(f);
	assert_int_equal(f->n_got, 4096);
	settle(1000);
	mux_get_stats(dom0.m, &stats);
	assert_int_equal(stats.n_streams, 0);
	mux_get_stats(qube.m, &stats);
	assert_int_equal(stats.n_streams, 0);
	assert_int_equal(stats.window_bytes, 0);
}

static void an_abort_does_not_wait_for_the_reader(void **state)
{
	struct mux_stats stats;
	struct flow *f;

	(void)state;
	bring_up();
	qube.stall_new = true;
	f = flow_open(&dom0, 5, 4096);
	settle(1000);
	flow_close(f, true);
	settle(1000);
	assert_int_equal(qube.n_flows, 0);
	mux_get_stats(dom0.m, &stats);
	assert_int_equal(stats.n_streams, 0);
}

/* Both sides go over to rings behind what they had sent, and a slot is free when both have closed. */
static void a_stream_moves_to_rings(void **state)
{
	struct flow *f;

	(void)state;
	bring_up();
	assert_int_equal(mux_rings(qube.m), 8);
	n_slots_freed = 0;
	dom0.send_new = 30000;
	f = flow_open(&qube, 5, 50000);
	settle(1000);
	mux_ring(f->s, 3);
	assert_int_equal(mux_credit(f->s), 0);
	settle(1000);
	assert_int_equal(dom0.n_rings, 1);
	assert_int_equal(dom0.slot, 3);
	assert_int_equal(dom0.n_got_at_ring, 50000);
	assert_int_equal(qube.n_rings, 1);
	assert_int_equal(qube.slot, 3);
	assert_int_equal(qube.n_got_at_ring, 30000);
	mux_bell(f->s);
	mux_bell(f->s); /* one is enough */
	mux_bell(dom0.flows[0]->s);
	settle(1000);
	assert_int_equal(dom0.n_bells, 1);
	assert_int_equal(qube.n_bells, 1);
	mux_bell(f->s); /* arrives before the close */
	flow_close(f, false);
	assert_int_equal(n_slots_freed, 0);
	settle(1000);
	assert_int_equal(dom0.n_bells, 2);
	assert_int_equal(dom0.n_flows, 0);
	assert_int_equal(n_slots_freed, 1);
	assert_int_equal(slot_freed, 3);
	assert_int_equal(dom0.n_violations + qube.n_violations, 0);
	/* a session's end frees too */
	f = flow_open(&qube, 6, 10);
	mux_ring(f->s, 7);
	settle(1000);
	mux_reset(qube.m);
	(void)events(&qube);
	settle(1000);
	assert_int_equal(n_slots_freed, 2);
	assert_int_equal(slot_freed, 7);
}

static void a_refused_stream_ends(void **state)
{
	struct mux_stats stats;

	(void)state;
	bring_up();
	qube.refuse = true;
	(void)flow_open(&dom0, 5, 100);
	settle(1000);
	assert_int_equal(qube.n_open, 1);
	assert_int_equal(dom0.n_flows, 0);
	mux_get_stats(qube.m, &stats);
	assert_int_equal(stats.n_streams, 0);
}

static void a_stalled_stream_holds_up_no_other(void **state)
{
	struct flow *stalled, *f;

	(void)state;
	bring_up();
	qube.stall_new = true;
	stalled = flow_open(&dom0, 5, 10 << 20);
	settle(5000);
	assert_true(stalled->n_sent < 512 << 10); /* its window, no more */
	assert_int_equal(mux_credit(stalled->s), 0);
	qube.stall_new = false;
	f = flow_open(&dom0, 6, 3 << 20);
	settle(100000);
	assert_int_equal(f->n_sent, 3 << 20);
	assert_int_equal(qube.flows[1]->n_got, 3 << 20);
	for (unsigned i = 0; i < 2; i++)
		qube.flows[i]->stalled = false;
	settle(100000);
	assert_int_equal(stalled->n_sent, 10 << 20);
	assert_int_equal(qube.flows[0]->n_got, 10 << 20);
	assert_true(dom0.n_writable > 0);
}

static void a_thousand_stalled_streams_stay_in_the_pool(void **state)
{
	struct mux_stats stats;
	const struct vmux_where w = {0, 7, 9};
	struct mux_stream *s;
	unsigned held = 0;

	(void)state;
	bring_up();
	/* windows grow while read, then all readers stop with all that was granted on its way */
	for (unsigned i = 0; i < 1024; i++) {
		(void)flow_open(&qube, i, i % 8 == 0 ? 4 << 20 : 64 << 10);
		if (i % 8 == 0)
			settle(100000);
	}
	assert_int_equal(mux_open(qube.m, &w, NULL, &s), -EMFILE);
	settle(100000);
	for (unsigned i = 0; i < dom0.n_flows; i++)
		dom0.flows[i]->stalled = true;
	for (unsigned i = 0; i < qube.n_flows; i++)
		qube.flows[i]->to_send += 4 << 20;
	settle(100000);
	mux_get_stats(dom0.m, &stats);
	assert_int_equal(stats.n_streams, 1024);
	assert_true(stats.window_bytes <= 16 << 20);
	for (unsigned i = 0; i < dom0.n_flows; i++) {
		size_t len;

		(void)mux_rx_peek(dom0.flows[i]->s, &len);
		held += len;
	}
	assert_true(held > 4 << 20);
	assert_true(held <= stats.window_bytes);
	assert_int_equal(dom0.n_violations, 0);
}

static void windows_grow_for_one_and_shrink_for_many(void **state)
{
	struct mux_stats one, many;
	struct flow *f;

	(void)state;
	bring_up();
	f = flow_open(&qube, 1, 4 << 20);
	settle(100000);
	mux_get_stats(dom0.m, &one);
	assert_int_equal(one.window_bytes, 256 << 10);
	for (unsigned i = 0; i < 255; i++)
		(void)flow_open(&qube, 2 + i, 1 << 20);
	f->to_send += 4 << 20;
	settle(100000);
	mux_get_stats(dom0.m, &many);
	assert_true(many.window_bytes <= 16 << 20);
	assert_true(many.window_bytes > 4 << 20);
	for (unsigned i = 0; i < qube.n_flows; i++)
		assert_int_equal(qube.flows[i]->n_sent, qube.flows[i]->to_send);
	assert_true(dom0.flows[0]->n_got == 8 << 20);
}

static void servers_are_announced(void **state)
{
	const struct vmux_where w = {7, 0, 512};

	(void)state;
	assert_int_equal(mux_listen(qube.m, &w, true), -ENOTCONN);
	bring_up();
	assert_int_equal(mux_listen(qube.m, &w, true), 0);
	settle(10);
	assert_int_equal(dom0.n_listen, 1);
	assert_memory_equal(&dom0.where, &w, sizeof(w));
	assert_int_equal(mux_listen(qube.m, &w, false), 0);
	settle(10);
	assert_int_equal(dom0.n_unlisten, 1);
}

/* Either side is killed at any byte and started again; what was on the wire stays there. */
static void a_killed_side_finds_back(void **state)
{
	(void)state;
	bring_up();
	for (unsigned round = 0; round < 400; round++) {
		struct side *x = round % 2 ? &dom0 : &qube;
		unsigned up = x->other->n_up, mine = x->n_up;

		dom0.send_new = qube.send_new = below(200000);
		for (unsigned i = 0; i < 5; i++)
			(void)flow_open(i % 2 ? &dom0 : &qube, i, below(300000));
		for (unsigned i = below(60); i > 0; i--) {
			(void)run_flows(&dom0);
			(void)run_flows(&qube);
			(void)transmit(&dom0, 1 + below(40000));
			(void)transmit(&qube, 1 + below(40000));
			(void)receive(&dom0, 1 + below(40000));
			(void)receive(&qube, 1 + below(40000));
		}
		if (round % 3 == 0) { /* what QEMU held for the dead is lost, cut anywhere */
			size_t cut = x->pipe_end - x->pipe_at;

			x->pipe_at += cut > 0 ? below((unsigned)cut) : 0;
		}
		side_start(x);
		settle(1 + below(100000));
		if (x->n_up == mine || x->other->n_up == up) {
			tick();
			settle(1 + below(100000));
		}
		assert_int_equal(x->n_up, mine + 1);
		assert_true(x->other->n_up > up);
		assert_true(mux_is_up(dom0.m) && mux_is_up(qube.m));
		assert_int_equal(dom0.n_flows, 0);
		assert_int_equal(qube.n_flows, 0);
		assert_int_equal(dom0.n_violations + qube.n_violations, 0);
	}
}

static void a_cut_carrier_is_a_new_session(void **state)
{
	(void)state;
	bring_up();
	(void)flow_open(&dom0, 1, 100000);
	settle(10);
	mux_reset(qube.m);
	(void)events(&qube);
	settle(100);
	assert_int_equal(qube.n_down, 1);
	assert_int_equal(dom0.n_down, 1);
	assert_int_equal(qube.n_up, 2);
	assert_int_equal(dom0.n_up, 2);
}

static void lost_and_changed_bytes_end_the_session_and_no_more(void **state)
{
	(void)state;
	bring_up();
	for (unsigned round = 0; round < 200; round++) {
		unsigned up = dom0.n_up;

		(void)flow_open(&qube, 3, 100000);
		for (unsigned i = 0; i < 1 + round % 7; i++) {
			(void)run_flows(&qube);
			(void)transmit(&qube, 1 + below(30000));
			if (i % 2)
				(void)receive(&dom0, 1 + below(9000));
		}
		while (dom0.pipe_at == dom0.pipe_end) {
			(void)receive(&qube, 65536); /* credit, so that there is more to lose */
			(void)run_flows(&qube);
			(void)transmit(&dom0, 65536);
			if (qube.n_flows == 0 || qube.flows[0]->n_sent == qube.flows[0]->to_send)
				(void)flow_open(&qube, 3, 100000);
			(void)transmit(&qube, 5000);
		}
		/* a payload byte that changes is the application's affair, so lose one instead */
		dom0.pipe_at += dom0.pipe_end > dom0.pipe_at ? 1 : 0;
		for (unsigned i = 0; i < 4; i++) {
			settle(1 + below(50000));
			(void)flow_open(&qube, 3, 40000);
			settle(1 + below(50000));
			if (dom0.n_up > up)
				break;
			tick();
		}
		assert_true(dom0.n_up > up);
		assert_true(mux_is_up(dom0.m) && mux_is_up(qube.m));
		assert_int_equal(dom0.n_violations + qube.n_violations, 0);
		while (qube.n_flows > 0)
			flow_close(qube.flows[0], true);
		settle(50000);
	}
}

/* A stream's bytes are all HELLOs, dom0 is killed while they fly: none of them is believed. */
static void a_greeting_inside_a_stream_is_not_believed(void **state)
{
	const struct vmux_hello fake = {.version = VMUX_VERSION,
					.synced = true,
					.from_qube = true,
					.nonce = 42,
					.echo = 42,
					.credit = 1 << 30,
					.max_streams = 9,
					.max_listens = 9};
	struct flow *f;

	(void)state;
	bring_up();
	f = flow_open(&qube, 1, 0);
	for (unsigned i = 0; i < 40; i++) {
		uint8_t bytes[VMUX_HELLO_FRAME_LEN];
		size_t room;
		uint8_t *at = mux_send_space(f->s, &room);

		vmux_hello_encode(&fake, bytes);
		assert_true(room >= sizeof(bytes));
		memcpy(at, bytes, sizeof(bytes));
		mux_send_added(f->s, sizeof(bytes));
	}
	(void)transmit(&qube, 100000);
	dom0.pipe_at += 300; /* in the middle of a frame */
	side_start(&dom0);
	settle(50);
	tick();
	settle(50);
	assert_int_equal(dom0.n_up, 2);
	assert_int_equal(qube.n_up, 2);
	assert_true(mux_is_up(dom0.m) && mux_is_up(qube.m));
}

/* ---- bytes that no engine would send ---- */

static uint64_t my_nonce = 77;
static uint32_t my_tag;
static struct vmux_hello theirs;

static void feed(const void *bytes, size_t len)
{
	to_pipe(&dom0, bytes, len);
	while (receive(&dom0, len)) {
	}
}

/* Speak for the qube: shake hands by hand. */
static void shake_hands(uint16_t max_streams, uint32_t credit)
{
	uint8_t bytes[VMUX_HELLO_FRAME_LEN];
	struct vmux_hello h = {.version = VMUX_VERSION,
			       .from_qube = true,
			       .nonce = my_nonce,
			       .credit = credit,
			       .max_streams = max_streams,
			       .max_listens = 64};
	size_t len, at;
	const uint8_t *out;

	(void)mux_tick(dom0.m, now += 300);
	out = mux_out_peek(dom0.m, &len);
	at = vmux_hello_find(out, len);
	assert_int_equal(vmux_hello_decode(out + at, VMUX_HELLO_FRAME_LEN, &theirs), 0);
	mux_out_consume(dom0.m, len);
	h.echo = theirs.nonce;
	vmux_hello_encode(&h, bytes);
	feed(bytes, sizeof(bytes));
	assert_true(mux_is_up(dom0.m));
	my_tag = vmux_tag(my_nonce, theirs.nonce);
	(void)mux_out_peek(dom0.m, &len);
	mux_out_consume(dom0.m, len);
}

static void frame(uint8_t type, uint8_t flags, uint32_t stream, const void *payload, uint32_t len)
{
	static uint8_t bytes[VMUX_FRAME_MAX + 64];
	const struct vmux_head h = {type, flags, stream, len};

	vmux_head_encode(&h, bytes);
	if (payload)
		memcpy(bytes + VMUX_HEAD_LEN, payload, len);
	else
		memset(bytes + VMUX_HEAD_LEN, 0, len);
	for (unsigned i = 0; i < 4; i++)
		bytes[VMUX_HEAD_LEN + len + i] = (uint8_t)(my_tag >> (8 * i));
	feed(bytes, VMUX_HEAD_LEN + len + 4);
}

static void open_frame(uint32_t stream)
{
	frame(VMUX_OPEN, 0, stream, NULL, VMUX_WHERE_LEN);
}

static void bad_place(void)
{
	const uint8_t w[8] = {0xf0, 0xff};

	frame(VMUX_LISTEN, 0, 0, w, sizeof(w));
}

static void even_stream(void)
{
	open_frame(2);
}

static void stream_again(void)
{
	open_frame(3);
	open_frame(3);
}

static void older_stream(void)
{
	open_frame(5);
	open_frame(3);
}

static void too_many_streams(void)
{
	for (uint32_t i = 0; i <= 1024; i++)
		open_frame(1 + 2 * i);
}

static void data_without_stream(void)
{
	frame(VMUX_DATA, 0, 9, NULL, 10);
}

static void data_beyond_the_window(void)
{
	open_frame(1);
	frame(VMUX_DATA, 0, 1, NULL, 4096);
	frame(VMUX_DATA, 0, 1, NULL, 4097);
}

static void data_after_close(void)
{
	open_frame(1);
	frame(VMUX_CLOSE, 0, 1, NULL, 0);
	frame(VMUX_DATA, 0, 1, NULL, 1);
}

static void two_closes(void)
{
	open_frame(1);
	frame(VMUX_CLOSE, 0, 1, NULL, 0);
	frame(VMUX_CLOSE, 0, 1, NULL, 0);
}

static void endless_credit(void)
{
	const uint8_t much[4] = {0xff, 0xff, 0xff, 0x7f};

	open_frame(1);
	frame(VMUX_CREDIT, 0, 1, much, 4);
}

static void ring_frame(uint32_t stream, uint8_t slot)
{
	const uint8_t payload[4] = {slot};

	frame(VMUX_RING, 0, stream, payload, sizeof(payload));
}

static void ring_not_offered(void)
{
	open_frame(1);
	ring_frame(1, 8);
}

static void rings_twice(void)
{
	open_frame(1);
	ring_frame(1, 1);
	ring_frame(1, 2);
}

static void data_outside_of_its_rings(void)
{
	open_frame(1);
	ring_frame(1, 1);
	frame(VMUX_DATA, 0, 1, NULL, 1);
}

static void bell_without_rings(void)
{
	open_frame(1);
	frame(VMUX_BELL, 0, 1, NULL, 0);
}

static void no_credit(void)
{
	open_frame(1);
	frame(VMUX_CREDIT, 0, 1, NULL, 4);
}

static void a_violation_ends_the_session_and_is_counted(void **state)
{
	void (*const hostile[])(void) = {
		bad_place,          even_stream,
		stream_again,       older_stream,
		too_many_streams,   data_without_stream,
		data_after_close,   two_closes,
		endless_credit,     data_beyond_the_window,
		no_credit,          ring_not_offered,
		rings_twice,        data_outside_of_its_rings,
		bell_without_rings,
	};

	(void)state;
	dom0.stall_new = true;
	for (unsigned i = 0; i < ARRAY_LEN(hostile); i++) {
		shake_hands(16, 4096);
		my_nonce++;
		hostile[i]();
		assert_int_equal(dom0.n_violations, i + 1);
		assert_non_null(dom0.why);
		assert_false(mux_is_up(dom0.m));
		assert_int_equal(dom0.n_down, i + 1);
		assert_int_equal(dom0.n_flows, 0);
	}
}

static void frames_out_of_step_are_no_violation(void **state)
{
	const uint8_t zeros[64] = {0};
	struct mux_stats stats;

	(void)state;
	shake_hands(16, 4096);
	feed(zeros, sizeof(zeros));
	assert_int_equal(dom0.n_down, 1);
	assert_int_equal(dom0.n_violations, 0);
	my_nonce++;
	shake_hands(16, 4096);
	my_tag ^= 1;
	open_frame(1);
	assert_int_equal(dom0.n_down, 2);
	assert_int_equal(dom0.n_open, 0);
	mux_get_stats(dom0.m, &stats);
	assert_int_equal(stats.n_losses, 2);
}

static void garbage_is_counted(void **state)
{
	static uint8_t bytes[100000];
	struct mux_stats stats;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)random64();
	feed(bytes, sizeof(bytes));
	mux_get_stats(dom0.m, &stats);
	assert_true(stats.n_garbage > sizeof(bytes) - 100);
}

static void greetings_that_make_no_sense_are_passed_over(void **state)
{
	struct vmux_hello h = {.version = 9, .nonce = 5, .from_qube = true};
	uint8_t bytes[VMUX_HELLO_FRAME_LEN];
	size_t len, at;
	const uint8_t *out;

	(void)state;
	vmux_hello_encode(&h, bytes);
	feed(bytes, sizeof(bytes));
	assert_int_equal(dom0.n_version, 1);
	out = mux_out_peek(dom0.m, &len); /* its own greeting, thrown back at it */
	at = vmux_hello_find(out, len);
	memcpy(bytes, out + at, sizeof(bytes));
	feed(bytes, sizeof(bytes));
	assert_false(mux_is_up(dom0.m));
	assert_int_equal(dom0.n_up, 0);
}

static void a_peer_that_greets_and_never_reads_gets_no_queue(void **state)
{
	struct vmux_hello h = {.version = VMUX_VERSION, .from_qube = true};
	uint8_t bytes[VMUX_HELLO_FRAME_LEN];
	size_t len;

	(void)state;
	for (unsigned i = 1; i < 5000; i++) {
		h.nonce = i;
		vmux_hello_encode(&h, bytes);
		feed(bytes, sizeof(bytes));
		(void)mux_out_peek(dom0.m, &len);
		assert_true(len / 2 < VMUX_FRAME_MAX);
	}
}

static void a_peer_that_never_reads_stops_us_and_no_more(void **state)
{
	const struct vmux_where w = {7, 0, 1};
	unsigned n = 0;
	size_t len;

	(void)state;
	shake_hands(2000, 4096);
	while (mux_listen(dom0.m, &w, true) == 0)
		assert_true(++n < 10000);
	assert_int_equal(mux_listen(dom0.m, &w, true), -EAGAIN);
	for (uint32_t i = 0; i < 1000; i++) {
		open_frame(1 + 2 * i);
		frame(VMUX_DATA, 0, 1 + 2 * i, NULL, 1);
		flow_close(dom0.flows[dom0.n_flows - 1], false);
	}
	(void)mux_out_peek(dom0.m, &len);
	assert_true(len <= 2 * VMUX_FRAME_MAX + 4096);
	assert_int_equal(dom0.n_violations, 0);
}

static void a_pool_that_cannot_hold_the_first_windows_is_refused(void **state)
{
	struct mux_config c = configs[0];
	struct mux *m;

	(void)state;
	c.pool = 2 * 1024 * 4096 - 1;
	assert_int_equal(mux_new(&c, &m), -EINVAL);
	c.pool++;
	assert_int_equal(mux_new(&c, &m), 0);
	mux_free(m);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(two_sides_meet_whatever_the_pieces),
		T(greetings_go_on_until_answered),
		T(bytes_arrive_whole_on_many_streams_both_ways),
		T(what_was_sent_before_a_close_arrives),
		T(an_abort_does_not_wait_for_the_reader),
		T(a_stream_moves_to_rings),
		T(a_refused_stream_ends),
		T(a_stalled_stream_holds_up_no_other),
		T(a_thousand_stalled_streams_stay_in_the_pool),
		T(windows_grow_for_one_and_shrink_for_many),
		T(servers_are_announced),
		T(a_killed_side_finds_back),
		T(a_cut_carrier_is_a_new_session),
		T(lost_and_changed_bytes_end_the_session_and_no_more),
		T(a_greeting_inside_a_stream_is_not_believed),
		T(a_violation_ends_the_session_and_is_counted),
		T(frames_out_of_step_are_no_violation),
		T(garbage_is_counted),
		T(greetings_that_make_no_sense_are_passed_over),
		T(a_peer_that_greets_and_never_reads_gets_no_queue),
		T(a_peer_that_never_reads_stops_us_and_no_more),
		T(a_pool_that_cannot_hold_the_first_windows_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
