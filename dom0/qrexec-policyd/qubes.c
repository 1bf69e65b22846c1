/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The picture of the qubes, as qubesd tells it. What is told takes effect together when qubesd says
 * so; then it hears that it is known.
 *
 * A qube is kept as the frame it came in. The sorted arrays that decisions are made from are of the
 * last time that it held together: until the next time the qubes that they name stay, so one that
 * has gone or was told anew is put aside, and freed then.
 */
#include "policyd.h"

#include "base/io.h"

#include <string.h>
#include <sys/socket.h>

/* bytes taken in one turn */
#define TURN_BYTES ((size_t)256 * 1024)
#define OUT_MAX    ((size_t)256 * 1024)

static void qube_free(struct qube *q)
{
	if (!q)
		return;
	free(q->frame);
	free(q->tags);
	free(q);
}

static int qube_new(const uint8_t *frame, size_t len, struct qube **ret)
{
	struct qube *q = calloc(1, sizeof(*q));
	struct picture_msg m;
	const char *tag;

	if (!q)
		return -ENOMEM;
	q->frame = malloc(len);
	if (q->frame)
		memcpy(q->frame, frame, len);
	/* the same bytes decode again, into texts that are ours */
	if (!q->frame || picture_decode(q->frame, len, &m) != 0)
		goto fail;
	q->tags = calloc(m.qube.n_tags + 1, sizeof(*q->tags));
	if (!q->tags)
		goto fail;
	tag = m.qube.tags;
	for (unsigned i = 0; i < m.qube.n_tags; i++, tag += strlen(tag) + 1)
		q->tags[i] = tag;
	q->qid = m.qube.qid;
	q->label = m.qube.label;
	q->colour = m.qube.colour;
	q->lines = (struct log_limit){.interval_s = 10, .burst = 100};
	q->is = (struct policy_qube){
		.name = m.qube.name,
		.uuid = m.qube.uuid,
		.type = m.qube.type,
		.default_dispvm = m.qube.default_dispvm,
		.relayvm = m.qube.relayvm,
		.transport_rpc = m.qube.transport_rpc,
		.tags = q->tags,
		.n_tags = m.qube.n_tags,
		.template_for_dispvms = m.qube.template_for_dispvms,
		.internal = m.qube.internal,
		.running = m.qube.running,
	};
	*ret = q;
	return 0;
fail:
	qube_free(q);
	return -ENOMEM;
}

struct qube *qubes_find(const struct qubes *q, const char *name)
{
	unsigned low = 0, high = q->n;

	while (low < high) {
		unsigned middle = low + (high - low) / 2;
		int order = strcmp(name, q->sorted[middle]->is.name);

		if (order == 0)
			return q->sorted[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

static int compare(const void *a, const void *b)
{
	const struct qube *const *x = a, *const *y = b;

	return strcmp((*x)->is.name, (*y)->is.name);
}

/* no more among those that were told; the sorted arrays may still name it */
static void put_aside(struct qubes *q, unsigned qid)
{
	struct qube *old = take_ptr(&q->by_qid[qid]);

	if (!old)
		return;
	old->next = q->aside;
	q->aside = old;
}

/* what was told holds: the sorted arrays */
static int settle(struct qubes *q)
{
	struct qube *next;
	unsigned n = 0, at = 0;

	for (unsigned i = 0; i < ARRAY_LEN(q->by_qid); i++)
		n += q->by_qid[i] != NULL;
	struct qube **sorted = calloc(n + 1, sizeof(struct qube *));
	struct policy_qube *is = calloc(n + 1, sizeof(*is));
	if (!sorted || !is) {
		free(sorted);
		free(is);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < ARRAY_LEN(q->by_qid); i++)
		if (q->by_qid[i])
			sorted[at++] = q->by_qid[i];
	qsort(sorted, n, sizeof(struct qube *), compare);
	for (unsigned i = 0; i < n; i++)
		is[i] = sorted[i]->is;
	free(q->sorted);
	free(q->is);
	q->sorted = sorted;
	q->is = is;
	q->n = n;
	q->settled = true;
	for (struct qube *old = take_ptr(&q->aside); old; old = next) {
		next = old->next;
		qube_free(old);
	}
	return 0;
}

void view_make(struct policyd *d)
{
	struct policy_view *v;
	size_t size;
	void *room;
	int r;

	free(take_ptr(&d->view));
	if (!d->table.policy || !d->qubes.settled)
		return;
	size = policy_view_size(d->table.policy, d->qubes.n);
	room = malloc(size);
	r = room ? policy_view_make(d->table.policy, d->qubes.is, d->qubes.n, room, size, &v)
		 : -ENOMEM;
	if (r == 0) {
		d->view = v;
		return;
	}
	free(room);
	log_err(NULL, "every call is refused: the policy cannot be put to these qubes: %s",
		r < 0 ? log_errno_str(r) : "two of one name, or no dom0");
}

static int send_msg(struct policyd *d, const struct picture_msg *m)
{
	struct qubes *q = &d->qubes;
	uint8_t frame[1024];
	size_t len = picture_encode(m, frame, sizeof(frame));

	if (len == 0)
		return -EMSGSIZE;
	if (q->out_len + len > q->out_room) {
		size_t room = q->out_room > 0 ? 2 * q->out_room : 4096;
		uint8_t *more = room <= OUT_MAX ? realloc(q->out, room) : NULL;

		if (!more) /* qubesd does not read: it will start another one */
			return -ENOBUFS;
		q->out = more;
		q->out_room = room;
	}
	memcpy(q->out + q->out_len, frame, len);
	q->out_len += len;
	return qubes_flush(d);
}

int qubes_flush(struct policyd *d)
{
	struct qubes *q = &d->qubes;

	while (q->out_len > 0) {
		ssize_t n = send(d->feed_fd, q->out, q->out_len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : fail_errno();
		memmove(q->out, q->out + n, q->out_len - (size_t)n);
		q->out_len -= (size_t)n;
	}
	return 0;
}

int qubes_wish(struct policyd *d, const struct picture_wish *wish)
{
	return send_msg(d, &(struct picture_msg){.type = PICTURE_START, .wish = *wish});
}

bool qubes_are_whole(const struct qubes *q)
{
	return !q->settled || (!q->half && q->in_len == 0);
}

/* @serial: of the last SETTLED of this turn */
static int take_frame(struct policyd *d, const uint8_t *frame, size_t len, bool *settled,
		      uint32_t *serial)
{
	struct qubes *q = &d->qubes;
	struct picture_msg m;
	struct qube *new;
	int r = picture_decode(frame, len, &m);

	if (r != 0)
		return -EPROTO;
	switch (m.type) {
	case PICTURE_QUBE:
		*settled = false;
		q->half = true;
		r = qube_new(frame, len, &new);
		if (r < 0)
			return r;
		if (q->by_qid[m.qube.qid])
			new->lines = q->by_qid[m.qube.qid]->lines;
		put_aside(q, m.qube.qid);
		q->by_qid[m.qube.qid] = new;
		return 0;
	case PICTURE_GONE:
		*settled = false;
		q->half = true;
		put_aside(q, m.gone);
		return 0;
	case PICTURE_SETTLED:
		*settled = true;
		q->half = false;
		*serial = m.serial;
		return 0;
	case PICTURE_DONE:
		/* what runs now was told before, and may be what the answer is about */
		if (*settled) {
			r = settle(q);
			if (r < 0)
				return r;
			view_make(d);
		}
		clients_done(d, &m.done);
		return 0;
	case PICTURE_KNOWN:
	case PICTURE_START:
		break;
	}
	return -EPROTO;
}

/* all whole frames of what has come */
static int take_frames(struct policyd *d)
{
	struct qubes *q = &d->qubes;
	uint32_t serial = 0;
	bool settled = false;
	size_t at = 0, len;
	int r = 0;

	while (r == 0) {
		r = picture_frame(q->in + at, q->in_len - at, &len);
		if (r == PICTURE_E_SHORT) {
			r = 0;
			break;
		}
		if (r == PICTURE_E_FORMAT)
			return -EPROTO;
		r = take_frame(d, q->in + at, len, &settled, &serial);
		at += len;
	}
	if (r < 0)
		return r;
	memmove(q->in, q->in + at, q->in_len - at);
	q->in_len -= at;
	if (!settled)
		return 0;
	r = settle(q);
	if (r < 0)
		return r;
	view_make(d);
	return send_msg(d, &(struct picture_msg){.type = PICTURE_KNOWN, .serial = serial});
}

int qubes_turn(struct policyd *d)
{
	struct qubes *q = &d->qubes;
	size_t taken = 0;
	int r = qubes_flush(d);

	while (r == 0 && taken < TURN_BYTES) {
		ssize_t n;

		if (q->in_len == q->in_room) {
			size_t room = q->in_room > 0 ? 2 * q->in_room : 65536;
			uint8_t *more = realloc(q->in, room);

			if (!more)
				return -ENOMEM;
			q->in = more;
			q->in_room = room;
		}
		n = recv(d->feed_fd, q->in + q->in_len, q->in_room - q->in_len, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0)
			return n < 0 ? fail_errno() : -EPIPE;
		q->in_len += (size_t)n;
		taken += (size_t)n;
	}
	return r < 0 ? r : take_frames(d);
}
