/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/event.h"

#include "api/call.h"
#include "api/client.h"
#include "api/method.h"
#include "base/log.h"
#include "menus.h"
#include "policyd.h"
#include "preload/preload.h"
#include "qubesd.h"

#include <stdarg.h>
#include <string.h>

/* an event that is too long goes without its longest value */
static bool shorten(struct admin_event *e)
{
	unsigned longest = 0;

	if (e->n == 0)
		return false;
	for (unsigned i = 1; i < e->n; i++)
		if (strlen(e->values[i]) > strlen(e->values[longest]))
			longest = i;
	e->n--;
	for (unsigned i = longest; i < e->n; i++) {
		e->keys[i] = e->keys[i + 1];
		e->values[i] = e->values[i + 1];
	}
	return true;
}

void event_emit(struct qubesd *d, const struct qube *q, const char *name, ...)
{
	static uint8_t buf[ADMIN_MAX_EVENT];
	struct admin_event e = {.subject = q ? q->name : "", .name = name};
	const char *key;
	va_list args;
	size_t len;
	int r;

	menus_event(d, name);
	preloads_event(d, q, name);
	if (d->n_streams[TOPIC_EVENTS] == 0)
		return;
	va_start(args, name);
	while (e.n < ADMIN_MAX_KEYS && (key = va_arg(args, const char *))) {
		e.keys[e.n] = key;
		e.values[e.n] = va_arg(args, const char *);
		if (e.values[e.n])
			e.n++;
	}
	va_end(args);
	while ((r = admin_event_encode(&e, buf, sizeof(buf), &len)) == ADMIN_E_LONG && shorten(&e))
		;
	policyd_tell(d);
	if (r == 0)
		clients_publish(d, TOPIC_EVENTS, q, buf, len);
	else
		log_err(e.subject, "event %s cannot be told", name);
}

int event_begin(struct call *c, enum topic topic)
{
	static const struct admin_event first = {.subject = "", .name = "connection-established"};
	uint8_t buf[64];
	size_t len;
	int r = admin_event_encode(&first, buf, sizeof(buf), &len);

	if (r != 0)
		return fault(r);
	client_subscribe(c->client, topic, c->dest);
	(void)client_send(c->client, buf, len);
	return 0;
}

int event_stream(struct call *c, enum topic topic)
{
	int r = event_begin(c, topic);

	if (r != 0)
		return r;
	call_drop(c); /* there is never an answer */
	return CALL_LATER;
}

int events_subscribe(struct call *c)
{
	return event_stream(c, TOPIC_EVENTS);
}
