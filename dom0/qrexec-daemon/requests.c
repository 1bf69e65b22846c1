/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Calls that the qube makes. Nothing of them is decided or carried out here: they are handed to the broker, a process
 * of our parent's, in the words of the agent, less what cannot be a name. What the broker allows comes back as
 * SERVICE_CONNECT of a local client, what it does not as SERVICE_REFUSED; while it is not there, or ends, all is refused.
 *
 * Each request has a slot until then. The last slot is kept for one that is refused at once, and while no slot is free
 * nothing is read from the agent.
 */
#include "base/str.h"
#include "daemon.h"
#include "loop/ask.h"
#include "qrexec/peer.h"
#include "vchan/vchan.h"

#include <string.h>

static struct request *request_get(struct daemon *d, const char *ident)
{
	for (unsigned i = 0; i < d->n_requests; i++)
		if (!d->requests[i].refused && str_eq(d->requests[i].ident, ident))
			return &d->requests[i];
	return NULL;
}

static void request_forget(struct daemon *d, struct request *q)
{
	const size_t at = (size_t)(q - d->requests);

	memmove(q, q + 1, (d->n_requests - at - 1) * sizeof(*q));
	d->n_requests--;
}

void request_answered(struct daemon *d, const char *ident)
{
	struct request *q = request_get(d, ident);

	if (q)
		request_forget(d, q);
}

bool requests_ready(const struct daemon *d)
{
	return d->n_requests < ARRAY_LEN(d->requests) &&
	       (!d->broker || qrexec_peer_idle(d->broker));
}

static void broker_lost(struct daemon *d, int why)
{
	log_warn(d->name, "the broker of its calls is gone (%s), %u calls refused",
		 why > 0 ? qrexec_outcome_str(why) : log_errno_str(why), d->n_requests);
	qrexec_peer_free(d->broker);
	d->broker = NULL;
	for (unsigned i = 0; i < d->n_requests; i++)
		d->requests[i].refused = true;
}

void requests_drop_all(struct daemon *d)
{
	qrexec_peer_free(d->broker);
	d->broker = NULL;
	d->n_requests = 0;
}

static int broker_start(struct daemon *d)
{
	const struct ask q = {.kind = ASK_BROKER};
	AUTO_CLOSE int fd = NO_FD;
	struct vchan *v = NULL;
	int r = ask_call(d->ask_fd, &q, &fd);

	if (r == 0)
		r = vchan_new_from_fd(&fd, &v);
	if (r == 0)
		r = qrexec_peer_new(&v, QREXEC_DAEMON_TO_AGENT, QREXEC_VERSION, &d->broker);
	vchan_free(v);
	return r == 0 ? qrexec_peer_flush(d->broker) : r;
}

/* What is no character of a name becomes '_', as scripts in qubes have always been told. */
static void sanitize(char *text, size_t len, const char *others)
{
	for (size_t i = 0; i < len; i++)
		if (!bytes_are_alnum_or(&text[i], 1, others))
			text[i] = '_';
}

/* 0: the broker has it; > 0 or -errno: it has not */
static int request_forward(struct daemon *d, const struct qrexec_msg *m)
{
	static char service[QREXEC_SERVICE_MAX];
	struct qrexec_msg to = *m;
	int r = d->broker ? 0 : broker_start(d);

	if (r < 0)
		return r;
	to.type = QREXEC_TRIGGER_SERVICE4;
	memcpy(service, m->service, m->service_len);
	sanitize(service, m->service_len, "_.-+");
	to.service = service;
	sanitize(to.target, strlen(to.target), "_.-@:");
	sanitize(to.source, strlen(to.source), "_.-@:");
	return qrexec_peer_send(d->broker, &to);
}

int request_take(struct daemon *d, const struct qrexec_msg *m)
{
	struct request *q = &d->requests[d->n_requests++];
	char quoted[128];
	int r;

	*q = (struct request){.refused = !qrexec_service_valid(m->service, m->service_len) ||
					 d->n_requests == ARRAY_LEN(d->requests)};
	memcpy(q->ident, m->ident, sizeof(q->ident));
	if (q->refused) {
		if (log_allowed(&d->noise, d->name))
			log_info(d->name, "a call to \"%s\" is refused: %s",
				 log_quote(quoted, sizeof(quoted), m->service, m->service_len),
				 d->n_requests == ARRAY_LEN(d->requests) ? "too many wait already"
									 : "no service's name");
		return 0;
	}
	r = request_forward(d, m);
	if (r == -EPIPE && !d->broker)
		return r; /* the parent is gone */
	if (r != 0) {
		broker_lost(d, r);
		q->refused = true;
	}
	return 0;
}

int requests_dispatch(struct daemon *d)
{
	for (unsigned i = 0; i < d->n_requests && d->agent_up && qrexec_peer_idle(d->agent);) {
		struct qrexec_msg refusal = {.type = QREXEC_SERVICE_REFUSED};
		int r;

		if (!d->requests[i].refused) {
			i++;
			continue;
		}
		memcpy(refusal.ident, d->requests[i].ident, sizeof(refusal.ident));
		request_forget(d, &d->requests[i]);
		r = agent_send(d, &refusal);
		if (r == -ENOMEM)
			return r;
		if (r < 0)
			return agent_lost(d, r);
	}
	return 0;
}

static int message_take(struct daemon *d, const struct qrexec_msg *m)
{
	struct request *q;

	if (m->type == QREXEC_HELLO)
		return 0;
	if (m->type != QREXEC_SERVICE_REFUSED)
		return QREXEC_E_TYPE;
	q = request_get(d, m->ident);
	if (q)
		q->refused = true;
	return 0;
}

void requests_turn(struct daemon *d, short revents)
{
	int r;

	if (!d->broker || !revents)
		return;
	r = qrexec_peer_flush(d->broker);
	for (unsigned i = 0; r == 0 && i < MESSAGES_MAX; i++) {
		struct qrexec_msg m;

		r = qrexec_peer_receive(d->broker, &m);
		if (r == 0)
			r = message_take(d, &m);
	}
	if (r != 0 && r != -EAGAIN)
		broker_lost(d, r);
}
