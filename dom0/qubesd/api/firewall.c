/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rules of a qube's firewall, as they are kept: doc/protocol/firewall.md. Nobody enforces them yet. */
#include "api/firewall.h"

#include "api/call.h"
#include "api/event.h"
#include "api/method.h"
#include "proto/firewall.h"

#include <string.h>
#include <time.h>

/* of a qube that nobody has said anything about */
static const char all[] = "action=accept\n";

int firewall_get(struct call *c)
{
	const char *at = c->dest->documents[DOCUMENT_FIREWALL];
	const int64_t now = time(NULL);

	if (!at)
		at = all;
	while (*at != '\0') {
		size_t len = strcspn(at, "\n");
		struct firewall_rule rule;

		/* what is kept was decoded before */
		if (firewall_rule_decode(at, len, &rule) != 0)
			return -EIO;
		if (rule.expire == 0 || (int64_t)rule.expire > now)
			text_bytes(&c->out, at, len + 1);
		at += len + 1;
	}
	return 0;
}

int firewall_parse(const char *at, struct text *ret, struct refusal *why)
{
	unsigned n = 0;
	int r;

	text_bytes(ret, "", 0);
	while (*at != '\0') {
		size_t len = strcspn(at, "\n");
		char line[FIREWALL_LINE_MAX + 1];
		struct firewall_rule rule;

		n++;
		r = firewall_rule_decode(at, len, &rule);
		if (r > 0)
			return refuse(why, "QubesValueError", "rule %u: %s", n,
				      firewall_outcome_str(r));
		firewall_rule_encode(&rule, false, line);
		text_add(ret, "%s\n", line);
		at += len + (at[len] == '\n');
	}
	return ret->failed ? -ENOMEM : 0;
}

int firewall_set(struct call *c)
{
	struct changes AUTO(changes_done) changes = {0};
	struct text AUTO(text_done) rules = {0};
	int r = firewall_parse(c->payload, &rules, &c->why);

	if (r != 0)
		return r;
	/* no rule at all is something said, too: everything is dropped */
	changes_set_document(&changes, c->dest_qid, DOCUMENT_FIREWALL, rules.at ? rules.at : "");
	r = call_apply(c, &changes);
	if (r == 0)
		event_emit(c->d, c->dest, "firewall-changed", NULL);
	return r;
}

int firewall_reload(struct call *c)
{
	event_emit(c->d, c->dest, "firewall-changed", NULL);
	return 0;
}
