/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/prompt.h"

#include "base/bytes.h"
#include "base/str.h"

#include <string.h>

static bool is_name(const char *s)
{
	return str_eq(s, "dom0") || str_is_qube_name(s, strlen(s));
}

static bool is_label(const char *s)
{
	size_t len = strlen(s);

	return len > 0 && len <= PROMPT_LABEL_MAX && bytes_are_alnum_or(s, len, "_.-");
}

/* a qube as it may be: dom0's name and dom0's kind go together */
static bool is_qube(const struct prompt_qube *q)
{
	return q->kind >= PROMPT_APP && q->kind <= PROMPT_REMOTE && q->colour <= 0xffffff &&
	       is_label(q->label) && is_name(q->name) &&
	       (q->kind == PROMPT_DOM0) == str_eq(q->name, "dom0");
}

static void get_qube(struct rd *r, struct prompt_qube *q)
{
	q->kind = (enum prompt_kind)rd_u8(r);
	q->colour = rd_le32(r);
	q->label = rd_text(r);
	q->name = rd_text(r);
	if (!is_qube(q))
		r->failed = true;
}

static void put_qube(struct wr *w, const struct prompt_qube *q)
{
	if (!is_qube(q))
		w->failed = true;
	wr_u8(w, (uint8_t)q->kind);
	wr_le32(w, q->colour);
	wr_text(w, q->label);
	wr_text(w, q->name);
}

/* all but the targets themselves */
static bool is_question(const struct prompt_question *q)
{
	return q->timeout_ms >= PROMPT_TIMEOUT_MIN_MS && q->timeout_ms <= PROMPT_TIMEOUT_MAX_MS &&
	       q->source.kind != PROMPT_NEW_DISPOSABLE &&
	       (q->remote[0] == '\0' || is_name(q->remote)) && q->service[0] != '\0' &&
	       q->n_targets >= 1 && q->n_targets <= PROMPT_TARGETS_MAX &&
	       (q->preselected == PROMPT_NONE || q->preselected < q->n_targets);
}

/* @targets are as many as is said, and nothing else */
static bool has_targets(const struct prompt_question *q)
{
	struct rd r = rd_of(q->targets, q->targets_len);
	struct prompt_qube t;

	for (unsigned i = 0; i < q->n_targets && !r.failed; i++)
		get_qube(&r, &t);
	return rd_done(&r);
}

int prompt_question_len(const void *bytes, size_t len, size_t *ret_len)
{
	struct rd r = rd_of(bytes, len);
	size_t whole = rd_le32(&r);

	if (r.failed)
		return PROMPT_E_SHORT;
	if (whole <= sizeof(uint32_t) || whole > PROMPT_MAX)
		return PROMPT_E_FORMAT;
	*ret_len = whole;
	return 0;
}

int prompt_question_decode(const void *bytes, size_t len, struct prompt_question *ret)
{
	struct rd r = rd_of(bytes, len);
	struct prompt_question q;

	if (rd_le32(&r) != len || len > PROMPT_MAX)
		return PROMPT_E_FORMAT;
	q.timeout_ms = rd_le32(&r);
	get_qube(&r, &q.source);
	q.remote = rd_text(&r);
	q.service = rd_text(&r);
	q.asked = rd_text(&r);
	q.preselected = rd_le32(&r);
	q.n_targets = rd_le16(&r);
	q.targets = rd_rest(&r, &q.targets_len);
	if (!rd_done(&r) || !is_question(&q) || !has_targets(&q))
		return PROMPT_E_FORMAT;
	*ret = q;
	return 0;
}

size_t prompt_question_encode(const struct prompt_question *q, void *to, size_t size)
{
	struct wr w = wr_of(to, size < PROMPT_MAX ? size : PROMPT_MAX), head;
	size_t len;

	if (!is_question(q) || !has_targets(q))
		return 0;
	wr_le32(&w, 0);
	wr_le32(&w, q->timeout_ms);
	put_qube(&w, &q->source);
	wr_text(&w, q->remote);
	wr_text(&w, q->service);
	wr_text(&w, q->asked);
	wr_le32(&w, q->preselected);
	wr_le16(&w, (uint16_t)q->n_targets);
	wr_bytes(&w, q->targets, q->targets_len);
	len = wr_done(&w);
	if (len == 0)
		return 0;
	head = wr_of(to, sizeof(uint32_t));
	wr_le32(&head, (uint32_t)len);
	return len;
}

bool prompt_target_next(const struct prompt_question *q, size_t *at, struct prompt_qube *ret)
{
	struct rd r = rd_of((const uint8_t *)q->targets + *at, q->targets_len - *at);
	struct prompt_qube t;

	get_qube(&r, &t);
	if (r.failed)
		return false;
	*at = q->targets_len - r.len;
	*ret = t;
	return true;
}

size_t prompt_target_put(const struct prompt_qube *target, void *to, size_t size)
{
	struct wr w = wr_of(to, size);

	put_qube(&w, target);
	return wr_done(&w);
}

int prompt_answer_decode(const void *bytes, size_t len, struct prompt_answer *ret)
{
	struct rd r = rd_of(bytes, len);
	struct prompt_answer a;
	uint8_t zeros[3];

	a.result = (enum prompt_result)rd_u8(&r);
	rd_copy(&r, zeros, sizeof(zeros));
	a.target = rd_le32(&r);
	if (!rd_done(&r) || a.result < PROMPT_ALLOWED || a.result > PROMPT_NOT_SHOWN ||
	    (zeros[0] | zeros[1] | zeros[2]) != 0 || (a.result != PROMPT_ALLOWED && a.target != 0))
		return PROMPT_E_FORMAT;
	*ret = a;
	return 0;
}

void prompt_answer_encode(const struct prompt_answer *a, uint8_t *to)
{
	struct wr w = wr_of(to, PROMPT_ANSWER_LEN);

	wr_u8(&w, (uint8_t)a->result);
	wr_zeros(&w, 3);
	wr_le32(&w, a->result == PROMPT_ALLOWED ? a->target : 0);
}
