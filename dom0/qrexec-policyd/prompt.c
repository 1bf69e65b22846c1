/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A question to the person: made from the policy's answer and the picture, said to the session's
 * prompt on a connection that the loader makes. Who asked waits; others are decided meanwhile.
 *
 * An answer names a target of the question as it was sent. Policy and picture may have changed since
 * then, so who takes the answer looks whether that target is offered still.
 */
#include "policyd.h"

#include "base/io.h"
#include "base/str.h"

#include <string.h>
#include <sys/socket.h>

static const struct {
	const char *type;
	enum prompt_kind kind;
} kinds[] = {
	{"AdminVM", PROMPT_DOM0},
	{"AppVM", PROMPT_APP},
	{"DispVM", PROMPT_DISPOSABLE},
	{"RemoteVM", PROMPT_REMOTE},
	{"StandaloneVM", PROMPT_STANDALONE},
	{"TemplateVM", PROMPT_TEMPLATE},
};

static struct prompt_qube shown(const struct qube *q)
{
	struct prompt_qube ret = {PROMPT_APP, q->colour, q->label, q->is.name};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (str_eq(kinds[i].type, q->is.type))
			ret.kind = kinds[i].kind;
	return ret;
}

static bool is_same(const struct policy_target *a, const struct policy_target *b)
{
	return a->name && b->name && a->qube == b->qube &&
	       (a->prefix[0] == '\0') == (b->prefix[0] == '\0');
}

/* all that can be chosen, into @room; what is no qube (a default disposable that nobody named) is
 * left out */
static void put_targets(const struct policyd *d, const struct policy_answer *a,
			struct prompt_question *q, uint8_t *room, size_t size)
{
	struct policy_target t;
	uint32_t at = 0;

	q->preselected = PROMPT_NONE;
	q->targets = room;
	while (q->n_targets < PROMPT_TARGETS_MAX && policy_target_next(a, &at, &t)) {
		struct prompt_qube target;
		size_t len;

		if (t.qube >= d->qubes.n)
			continue;
		target = shown(d->qubes.sorted[t.qube]);
		if (t.prefix[0] != '\0')
			target.kind = PROMPT_NEW_DISPOSABLE;
		len = prompt_target_put(&target, room + q->targets_len, size - q->targets_len);
		if (len == 0)
			continue;
		if (is_same(&t, &a->default_target))
			q->preselected = q->n_targets;
		q->targets_len += len;
		q->n_targets++;
	}
}

/* SERVICE+ARGUMENT as the caller wrote it, without a "+" that has nothing behind it */
static int write_service(const struct policy_request *call, char *to, size_t size)
{
	return str_format(to, size, "%s%s%s", call->service, call->argument[0] ? "+" : "",
			  call->argument);
}

static int make_question(struct policyd *d, const struct policy_request *call,
			 const struct policy_answer *a, struct prompting *p)
{
	static uint8_t targets[PROMPT_MAX], bytes[PROMPT_MAX];
	static char service[UINT16_MAX];
	const struct qube *source = qubes_find(&d->qubes, call->source);
	struct prompt_question q = {
		.timeout_ms = PROMPT_ASK_MS,
		.remote = call->requested_source ? call->requested_source : "",
		.service = service,
		.asked = call->target,
	};

	if (!source)
		return PROMPTING_E_SOURCE;
	q.source = shown(source);
	put_targets(d, a, &q, targets, sizeof(targets));
	if (q.n_targets == 0)
		return PROMPTING_E_TARGETS;
	if (write_service(call, service, sizeof(service)) < 0)
		return PROMPTING_E_QUESTION;
	p->len = prompt_question_encode(&q, bytes, sizeof(bytes));
	if (p->len == 0)
		return PROMPTING_E_QUESTION;
	p->bytes = malloc(p->len);
	if (!p->bytes)
		return -ENOMEM;
	memcpy(p->bytes, bytes, p->len);
	return 0;
}

int prompting_begin(struct policyd *d, const struct policy_request *call,
		    const struct policy_answer *a, struct prompting *p)
{
	struct loader_wish wish = {0};
	int r;

	p->fd = NO_FD;
	r = make_question(d, call, a, p);
	if (r != 0)
		return r;
	p->wish = wish.id = ++d->next_wish;
	r = str_copy(wish.caller, sizeof(wish.caller), call->source, strlen(call->source));
	if (r < 0)
		return r;
	return io_send_msg(d->loader_fd, &wish, sizeof(wish), NULL, 0);
}

short prompting_events(const struct prompting *p)
{
	return p->at < p->len ? POLLOUT : POLLIN;
}

/* which target; as the question is our own it decodes */
static int find_target(const struct prompting *p, uint32_t index, struct prompt_qube *ret)
{
	struct prompt_question q;
	size_t at = 0;

	if (prompt_question_decode(p->bytes, p->len, &q) != 0 || index >= q.n_targets)
		return -EPROTO;
	for (uint32_t i = 0; i <= index; i++)
		if (!prompt_target_next(&q, &at, ret))
			return -EPROTO;
	return 0;
}

int prompting_turn(struct prompting *p, enum prompt_result *ret, struct prompt_qube *ret_target)
{
	struct prompt_answer a;
	ssize_t n;

	if (p->at < p->len) {
		n = send(p->fd, p->bytes + p->at, p->len - p->at, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0)
			return errno == EINTR ? -EAGAIN : fail_errno();
		p->at += (size_t)n;
		return -EAGAIN;
	}
	n = recv(p->fd, p->in + p->in_len, sizeof(p->in) - p->in_len, MSG_DONTWAIT);
	if (n <= 0)
		return n == 0 ? -EPIPE : errno == EINTR ? -EAGAIN : fail_errno();
	p->in_len += (size_t)n;
	if (p->in_len < sizeof(p->in))
		return -EAGAIN;
	if (prompt_answer_decode(p->in, sizeof(p->in), &a) != 0)
		return -EPROTO;
	*ret = a.result;
	return a.result == PROMPT_ALLOWED ? find_target(p, a.target, ret_target) : 0;
}

void prompting_end(struct prompting *p)
{
	close_fd(&p->fd);
	free(p->bytes);
	*p = (struct prompting){.fd = NO_FD};
}
