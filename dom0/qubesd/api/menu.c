/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The applications of qubes, for menus: doc/protocol/menu.md. A qube says them (qubesd.misc.sock; a confined process has
 * heard it, dom0/rpc), or dom0's tools do, as for a clone; they are kept as they came if that is the one form of a menu.
 */
#include "proto/menu.h"

#include "api/call.h"
#include "api/event.h"
#include "api/method.h"
#include "api/quota.h"
#include "base/log.h"
#include "base/str.h"
#include "qubesd.h"
#include "store/property.h"

#include <string.h>

int menu_get(struct call *c)
{
	const char *menu = c->dest->documents[DOCUMENT_MENU];

	if (menu)
		text_bytes(&c->out, menu, strlen(menu));
	return 0;
}

static int set(struct call *c, const struct qube *q, bool is_report)
{
	static struct menu menu;
	struct changes AUTO(changes_done) changes = {0};
	const char *had = q->documents[DOCUMENT_MENU];
	int r = menu_decode(c->payload, c->q.payload_len, &menu);
	bool same;

	if (r != 0)
		return refuse(&c->why, "ProtocolError", "%s: %s", c->q.method, menu_outcome_str(r));
	same = str_eq(had ? had : "", c->payload);
	if (is_report)
		r = quota_take(c, !same);
	/* as it was: neither a commit nor work for who follows it */
	if (r != 0 || same)
		return r;
	changes_set_document(&changes, q->qid, DOCUMENT_MENU,
			     c->q.payload_len > 0 ? c->payload : NULL);
	r = call_apply(c, &changes);
	if (r == 0)
		event_emit(c->d, q, "menu-changed", NULL);
	return r;
}

int menu_set(struct call *c)
{
	int r = set(c, c->dest, false);

	if (r == 0)
		quota_forget(c->d, c->dest, menu_report);
	return r;
}

int menu_report(struct call *c)
{
	const struct qube *q = c->source;

	if (q->klass == KLASS_ADMIN || q->klass == KLASS_REMOTE)
		return refuse(&c->why, "QubesException", "'%s' has no menu", q->name);
	/* it has no entries, and what it says goes with it */
	if (q->klass == KLASS_DISP && property_bool(c->d->model, q, PROP_auto_cleanup)) {
		log_debug(q->name, "%s: a disposable has no menu", c->q.method);
		return 0;
	}
	return set(c, q, true);
}
