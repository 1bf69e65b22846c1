/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine of dom0's vchand against a peer that says anything. The input is a script: what the
 * peer sends (frames with a right tag and fields of the input's choice, HELLOs that know our nonce,
 * raw bytes), mixed with what the program does. Checked: memory stays in the pool, the output is
 * frames a second engine understands or drops, and no assertion fires.
 */
#include "fuzz.h"

#include "base/bytes.h"
#include "mux/mux.h"

#include <string.h>

#define POOL      (1 << 20)
#define MAX_KNOWN 64
#define N_RINGS   4

static uint64_t last_nonce;

static uint64_t nonce(void)
{
	return ++last_nonce;
}

struct world {
	struct mux *m;
	struct mux_stream *known[MAX_KNOWN];
	unsigned n_known;
	uint64_t peer_nonce, now;
};

static void forget(struct world *w, struct mux_stream *s)
{
	for (unsigned i = 0; i < w->n_known; i++)
		if (w->known[i] == s)
			w->known[i] = w->known[--w->n_known];
}

static void remember(struct world *w, struct mux_stream *s)
{
	if (w->n_known < MAX_KNOWN)
		w->known[w->n_known++] = s;
	else
		mux_close(s, true);
}

static void events(struct world *w)
{
	struct mux_event e;
	struct mux_stats stats;
	size_t len;

	do {
		FUZZ_CHECK(mux_next(w->m, &e) == 0);
		if (e.kind == MUX_DOWN)
			w->n_known = 0;
		if (e.kind == MUX_OPEN)
			remember(w, e.stream);
		if (e.kind == MUX_DATA) {
			FUZZ_CHECK(mux_rx_peek(e.stream, &len) && len > 0);
			mux_rx_consume(e.stream, len / 2);
		}
		if (e.kind == MUX_RING) {
			FUZZ_CHECK(e.slot < N_RINGS);
			mux_ring(e.stream, e.slot);
			mux_bell(e.stream);
		}
		if (e.kind == MUX_CLOSED && e.abort) {
			forget(w, e.stream);
			mux_close(e.stream, false);
		}
	} while (e.kind != MUX_NONE);
	mux_get_stats(w->m, &stats);
	FUZZ_CHECK(stats.window_bytes <= POOL);
}

static void feed(struct world *w, const uint8_t *bytes, size_t len)
{
	while (len > 0) {
		size_t room, n;
		uint8_t *at = mux_in_space(w->m, &room);

		n = len < room ? len : room;
		FUZZ_CHECK(n > 0);
		memcpy(at, bytes, n);
		mux_in_added(w->m, n);
		bytes += n;
		len -= n;
		events(w);
	}
}

static void send_frame(struct world *w, struct rd *r)
{
	static uint8_t bytes[VMUX_FRAME_MAX];
	struct vmux_head h = {.type = rd_u8(r), .flags = rd_u8(r)};
	uint32_t tag = vmux_tag(w->peer_nonce, last_nonce);
	unsigned kind = rd_u8(r);
	struct wr t;

	h.stream = rd_u8(r);
	h.len = kind & 1 ? rd_le16(r) % VMUX_PAYLOAD_MAX : rd_u8(r);
	vmux_head_encode(&h, bytes);
	memset(bytes + VMUX_HEAD_LEN, 0, h.len);
	rd_copy(r, bytes + VMUX_HEAD_LEN, h.len < 8 ? h.len : 8);
	t = wr_of(bytes + VMUX_HEAD_LEN + h.len, VMUX_TAIL_LEN);
	wr_le32(&t, tag);
	feed(w, bytes, VMUX_HEAD_LEN + h.len + VMUX_TAIL_LEN);
}

static void send_hello(struct world *w, struct rd *r)
{
	uint8_t bytes[VMUX_HELLO_FRAME_LEN], flags = rd_u8(r);
	const struct vmux_hello h = {.version = VMUX_VERSION,
				     .synced = flags & 1,
				     .from_qube = !(flags & 2),
				     .nonce = w->peer_nonce = 1000000 + rd_u8(r),
				     .echo = flags & 4 ? 0 : last_nonce,
				     .credit = rd_le32(r),
				     .max_streams = rd_u8(r)};

	vmux_hello_encode(&h, bytes);
	feed(w, bytes, sizeof(bytes));
}

static void act(struct world *w, unsigned what, unsigned which)
{
	struct mux_stream *s = w->n_known > 0 ? w->known[which % w->n_known] : NULL;
	const struct vmux_where where = {7, 0, (uint16_t)which};
	size_t len;

	if (what == 0 && mux_open(w->m, &where, NULL, &s) == 0)
		remember(w, s);
	if (what == 1)
		(void)!mux_listen(w->m, &where, which & 1);
	if (!s)
		return;
	if (what == 2 && mux_can_send(w->m) && mux_credit(s) > 0) {
		uint8_t *at = mux_send_space(s, &len);

		len = len < which * 100u ? len : which * 100u;
		memset(at, 'x', len);
		mux_send_added(s, len);
	}
	if (what == 3) {
		(void)mux_rx_peek(s, &len);
		mux_rx_consume(s, which & 1 ? len : len / 2);
	}
	if (what == 4) {
		forget(w, s);
		mux_close(s, which & 1);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct mux_config config = {.dom0 = true,
					  .domid = 7,
					  .pool = POOL,
					  .first_window = 4096,
					  .max_window = 64 << 10,
					  .max_streams = 16,
					  .max_listens = 8,
					  .nonce = nonce,
					  .rings = N_RINGS};
	struct rd r = rd_of(data, size);
	struct world w = {.now = 1};
	size_t len;

	last_nonce = 0;
	if (mux_new(&config, &w.m) != 0)
		return 0;
	while (r.len > 0 && !r.failed) {
		unsigned op = rd_u8(&r);

		if (op < 100) {
			send_frame(&w, &r);
		} else if (op < 120) {
			send_hello(&w, &r);
		} else if (op < 140) {
			size_t n = rd_u8(&r);
			const uint8_t *raw = rd_take(&r, n);

			if (raw)
				feed(&w, raw, n);
		} else if (op < 220) {
			act(&w, op % 5, rd_u8(&r));
		} else if (op < 250) {
			(void)mux_out_peek(w.m, &len);
			mux_out_consume(w.m, len * rd_u8(&r) / 255);
		} else if (op < 254) {
			(void)mux_tick(w.m, w.now += 300);
		} else {
			mux_reset(w.m);
			events(&w);
		}
	}
	mux_free(w.m);
	return 0;
}
