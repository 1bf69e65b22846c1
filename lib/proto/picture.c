/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/picture.h"

#include "base/bytes.h"

#include <string.h>

#define HEAD_LEN           5 /* le32 length of the frame, u8 type */
#define PICTURE_COLOUR_MAX 0xffffff

static unsigned get_qid(struct rd *r)
{
	unsigned qid = rd_le16(r);

	if (qid > PICTURE_QID_MAX)
		r->failed = true;
	return qid;
}

static void put_qid(struct wr *w, unsigned qid)
{
	if (qid > PICTURE_QID_MAX)
		w->failed = true;
	wr_le16(w, (uint16_t)qid);
}

/* @n texts that are not empty, the last one ending with the frame */
static const char *get_tags(struct rd *r, unsigned n)
{
	size_t len;
	const char *tags = rd_rest(r, &len), *at = tags;

	for (unsigned i = 0; i < n && !r->failed; i++) {
		const char *end = len > 0 ? memchr(at, '\0', len) : NULL;

		if (!end || end == at) {
			r->failed = true;
			break;
		}
		len -= (size_t)(end + 1 - at);
		at = end + 1;
	}
	if (n > PICTURE_TAGS_MAX || len > 0)
		r->failed = true;
	return tags;
}

static void put_tags(struct wr *w, const char *tags, unsigned n)
{
	if (n > PICTURE_TAGS_MAX)
		w->failed = true;
	for (unsigned i = 0; i < n && !w->failed; i++) {
		size_t len = strlen(tags) + 1;

		if (len == 1)
			w->failed = true;
		wr_bytes(w, tags, len);
		tags += len;
	}
}

static void get_qube(struct rd *r, struct picture_qube *q)
{
	q->qid = get_qid(r);
	q->name = rd_text(r);
	q->uuid = rd_text(r);
	q->type = rd_text(r);
	q->label = rd_text(r);
	q->colour = rd_le32(r);
	q->default_dispvm = rd_text(r);
	q->relayvm = rd_text(r);
	q->transport_rpc = rd_text(r);
	q->template_for_dispvms = rd_bool(r);
	q->internal = rd_bool(r);
	q->running = rd_bool(r);
	q->n_tags = rd_le16(r);
	q->tags = get_tags(r, q->n_tags);
	if (q->name[0] == '\0' || q->colour > PICTURE_COLOUR_MAX)
		r->failed = true;
}

static void put_qube(struct wr *w, const struct picture_qube *q)
{
	if (q->name[0] == '\0' || q->colour > PICTURE_COLOUR_MAX)
		w->failed = true;
	put_qid(w, q->qid);
	wr_text(w, q->name);
	wr_text(w, q->uuid);
	wr_text(w, q->type);
	wr_text(w, q->label);
	wr_le32(w, q->colour);
	wr_text(w, q->default_dispvm);
	wr_text(w, q->relayvm);
	wr_text(w, q->transport_rpc);
	wr_u8(w, q->template_for_dispvms);
	wr_u8(w, q->internal);
	wr_u8(w, q->running);
	wr_le16(w, (uint16_t)q->n_tags);
	put_tags(w, q->tags, q->n_tags);
}

int picture_frame(const void *bytes, size_t len, size_t *ret_len)
{
	struct rd r = rd_of(bytes, len);
	size_t frame_len = rd_le32(&r);

	if (r.failed)
		return PICTURE_E_SHORT;
	if (frame_len < HEAD_LEN || frame_len > PICTURE_MAX)
		return PICTURE_E_FORMAT;
	if (frame_len > len)
		return PICTURE_E_SHORT;
	*ret_len = frame_len;
	return 0;
}

static void get_body(struct rd *r, struct picture_msg *m)
{
	switch (m->type) {
	case PICTURE_QUBE:
		get_qube(r, &m->qube);
		return;
	case PICTURE_GONE:
		m->gone = get_qid(r);
		return;
	case PICTURE_SETTLED:
	case PICTURE_KNOWN:
		m->serial = rd_le32(r);
		return;
	case PICTURE_DONE:
		m->done.id = rd_le32(r);
		m->done.ok = rd_bool(r);
		m->done.text = rd_text(r);
		return;
	case PICTURE_START:
		m->wish.id = rd_le32(r);
		m->wish.qid = get_qid(r);
		m->wish.source = rd_text(r);
		return;
	}
	r->failed = true;
}

int picture_decode(const void *bytes, size_t len, struct picture_msg *ret)
{
	struct rd r = rd_of(bytes, len);
	struct picture_msg m = {0};

	if (rd_le32(&r) != len || len > PICTURE_MAX)
		return PICTURE_E_FORMAT;
	m.type = (enum picture_type)rd_u8(&r);
	get_body(&r, &m);
	if (!rd_done(&r))
		return PICTURE_E_FORMAT;
	*ret = m;
	return 0;
}

static void put_body(struct wr *w, const struct picture_msg *m)
{
	switch (m->type) {
	case PICTURE_QUBE:
		put_qube(w, &m->qube);
		return;
	case PICTURE_GONE:
		put_qid(w, m->gone);
		return;
	case PICTURE_SETTLED:
	case PICTURE_KNOWN:
		wr_le32(w, m->serial);
		return;
	case PICTURE_DONE:
		wr_le32(w, m->done.id);
		wr_u8(w, m->done.ok);
		wr_text(w, m->done.text);
		return;
	case PICTURE_START:
		wr_le32(w, m->wish.id);
		put_qid(w, m->wish.qid);
		wr_text(w, m->wish.source);
		return;
	}
	w->failed = true;
}

size_t picture_encode(const struct picture_msg *m, void *buf, size_t size)
{
	struct wr w = wr_of(buf, size < PICTURE_MAX ? size : PICTURE_MAX), head;
	size_t len;

	wr_le32(&w, 0);
	wr_u8(&w, (uint8_t)m->type);
	put_body(&w, m);
	len = wr_done(&w);
	if (len == 0)
		return 0;
	head = wr_of(buf, sizeof(uint32_t));
	wr_le32(&head, (uint32_t)len);
	return len;
}
