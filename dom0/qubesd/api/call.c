/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a decoded request to its handler and back; the order of the checks is the wire's. */
#include "api/call.h"

#include "api/method.h"
#include "base/log.h"
#include "base/str.h"
#include "policyd.h"
#include "proto/gate.h"
#include "qubesd.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void call_free(struct call *c)
{
	free(c->payload);
	text_done(&c->out);
	close_fd(&c->fd);
	free(c);
}

int call_new(struct qubesd *d, struct client *client, const struct admin_request *q, int *fd,
	     struct call **ret)
{
	struct call *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->payload = malloc(q->payload_len + 1);
	if (!c->payload) {
		free(c);
		return -ENOMEM;
	}
	memcpy(c->payload, q->payload, q->payload_len);
	c->payload[q->payload_len] = '\0';
	c->d = d;
	c->client = client;
	c->q = *q;
	c->q.payload = (const uint8_t *)c->payload;
	c->fd = take_fd(fd);
	*ret = c;
	return 0;
}

void call_abandon(struct call *c)
{
	c->client = NULL;
	if (c->abandoned)
		c->abandoned(c->ended_data);
}

void call_drop(struct call *c)
{
	if (c->client)
		client_release(c->client);
	call_free(c);
}

static int part_check(struct call *c, enum method_part rule, bool there, const char *what)
{
	if (rule == PART_NONE && there)
		return refuse(&c->why, "ProtocolError", "%s: unexpected %s", c->q.method, what);
	if (rule == PART_REQUIRED && !there)
		return refuse(&c->why, "ProtocolError", "%s: %s is missing", c->q.method, what);
	return 0;
}

/* a qube in the header; a hidden one (being made or removed) is none */
static int find(struct call *c, const char *name, struct qube **ret)
{
	struct qube *q;

	if (str_starts(name, "uuid:") && strlen(name) != strlen("uuid:") + UUID_LEN)
		return refuse(&c->why, "QubesVMInvalidUUIDError", "'%s' is no uuid", name);
	q = model_find(c->d->model, name);
	if (!q || q->hidden)
		return refuse(&c->why, "QubesVMNotFoundError", "there is no qube '%s'", name);
	*ret = q;
	return 0;
}

static int dispatch(struct call *c)
{
	enum door door = client_door(c->client);
	const struct method *m;
	int r = door == DOOR_GATE ? gate_check(&c->q) : 0;

	if (r != 0)
		return refuse(&c->why, "ProtocolError", "%s: %s", c->q.method, gate_outcome_str(r));
	r = find(c, c->q.source, &c->source);
	if (r == 0)
		r = find(c, c->q.dest, &c->dest);
	if (r != 0)
		return r;
	c->source_qid = c->source->qid;
	c->dest_qid = c->dest->qid;
	memcpy(c->dest_name, c->dest->name, sizeof(c->dest_name));
	m = method_find(door, c->q.method);
	if (!m)
		return refuse(&c->why, "ProtocolError", "there is no method %s", c->q.method);
	r = part_check(c, m->payload, c->q.payload_len > 0, "payload");
	if (r == 0)
		r = part_check(c, m->arg, c->q.arg[0] != '\0', "argument");
	if (r != 0)
		return r;
	/* a NUL would cut what a handler reads */
	if (!m->bytes && memchr(c->payload, 0, c->q.payload_len))
		return refuse(&c->why, "ProtocolError", "%s: a NUL byte in the payload",
			      c->q.method);
	if (m->dest == DEST_DOM0 && c->dest->qid != 0)
		return refuse(&c->why, "ProtocolError", "%s is a call to dom0", c->q.method);
	if (m->dest == DEST_NOT_DOM0 && c->dest->qid == 0)
		return refuse(&c->why, "ProtocolError", "%s is no call to dom0", c->q.method);
	if (!m->handler)
		return refuse(&c->why, "QubesNotImplementedError",
			      "%s is not available in this version of Bulkhead", c->q.method);
	c->method = m;
	return m->handler(c);
}

void call_run(struct call *c)
{
	int r = dispatch(c);

	if (r != CALL_LATER)
		call_end(c, r);
}

/* a fault of ours, as its client is told */
static void describe_fault(struct call *c, int r)
{
	log_err(c->dest_name[0] ? c->dest_name : NULL, "%s failed: %s", c->q.method,
		log_errno_str(r));
	(void)refuse(&c->why, r == -ENOMEM ? "MemoryError" : "QubesException",
		     "%s failed inside qubesd: %s", c->q.method, log_errno_str(r));
}

void call_finish(struct call *c, int r)
{
	char buf[2048];
	size_t len;

	if (r == 0 && c->out.too_long)
		r = refuse(&c->why, "QubesException",
			   "the answer would be longer than %zu MiB: ask for less at a time",
			   TEXT_MAX >> 20);
	else if (r == 0 && c->out.failed)
		r = -ENOMEM;
	if (r < 0)
		describe_fault(c, r);
	c->abandoned = NULL;
	if (c->ended)
		c->ended(c->ended_data, r == 0 ? NULL : &c->why);
	if (c->client && r == 0) {
		if (client_answer(c->client, &c->out))
			client_end(c->client);
	} else if (c->client) {
		len = admin_exception_encode(c->why.type, c->why.text, buf, sizeof(buf));
		if (client_send(c->client, buf, len))
			client_end(c->client);
	}
	call_free(c);
}

void call_end(struct call *c, int r)
{
	if (r != 0 || !c->client || !c->changed || !policyd_holds(c->d, c, r))
		call_finish(c, r);
}

void call_progress(struct call *c, const char *stage, const char *text, uint64_t done,
		   uint64_t total)
{
	struct admin_event e = {.subject = c->dest_name,
				.name = "progress",
				.keys = {"stage", "text", "done", "total"},
				.n = 4};
	char buf[1024], done_text[24], total_text[24];
	size_t len;

	if (!c->client || !c->method || !c->method->stream)
		return;
	(void)snprintf(done_text, sizeof(done_text), "%" PRIu64, done);
	(void)snprintf(total_text, sizeof(total_text), "%" PRIu64, total);
	e.values[0] = stage;
	e.values[1] = text;
	e.values[2] = done_text;
	e.values[3] = total_text;
	if (total == 0)
		e.n = 2;
	if (admin_event_encode(&e, buf, sizeof(buf), &len) == 0)
		(void)client_send(c->client, buf, len);
}

int call_refuse_many(struct call *c)
{
	return refuse(&c->why, "QubesException",
		      "too many such operations wait for their turn already; try again later");
}

int call_apply(struct call *c, struct changes *changes)
{
	c->changed = true;
	return store_change(c->d->store, changes, &c->why);
}
