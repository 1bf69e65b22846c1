/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For dom0's own daemons (qubesd.internal.sock). */
#include "api/call.h"
#include "api/event.h"
#include "api/method.h"
#include "power/power.h"
#include "qubesd.h"
#include "store/property.h"

#include <stdio.h>
#include <string.h>

/* all values are names, or printable ASCII: only quotes and backslashes need care */
static void string(struct text *t, const char *s)
{
	text_add(t, "\"");
	for (; *s != '\0'; s++)
		text_add(t, *s == '"' || *s == '\\' ? "\\%c" : "%c", *s);
	text_add(t, "\"");
}

static void member(struct text *t, const char *key, const char *value, bool null)
{
	text_add(t, "\"%s\": ", key);
	if (null && value[0] == '\0')
		text_add(t, "null");
	else
		string(t, value);
	text_add(t, ", ");
}

static void system_info(struct text *t, const struct model *m, const struct qube *q)
{
	const struct pair *internal = pair_find(q->features, "internal");
	char buf[PROPERTY_BUF];
	bool has = q->klass != KLASS_REMOTE;

	string(t, q->name);
	text_add(t, ": {\"tags\": [");
	for (const struct pair *p = q->tags; p; p = p->next) {
		string(t, p->key);
		text_add(t, "%s", p->next ? ", " : "");
	}
	text_add(t, "], ");
	member(t, "type", klass_name(q->klass), false);
	text_add(t, "\"template_for_dispvms\": %s, ",
		 property_bool(m, q, PROP_template_for_dispvms) ? "true" : "false");
	text_add(t, "\"internal\": %s, ",
		 internal && internal->value[0] != '\0' ? "true" : "false");
	member(t, "default_dispvm", has ? property_text(m, q, PROP_default_dispvm, buf) : "", true);
	member(t, "icon", property_text(m, q, PROP_icon, buf), false);
	member(t, "label", property_text(m, q, PROP_label, buf), false);
	member(t, "guivm", property_text(m, q, PROP_guivm, buf), true);
	member(t, "relayvm", property_text(m, q, PROP_relayvm, buf), true);
	member(t, "transport_rpc", property_text(m, q, PROP_transport_rpc, buf), true);
	member(t, "power_state", power_state_name(q), false);
	text_add(t, "\"uuid\": \"%s\"}", q->uuid);
}

int internal_system_info(struct call *c)
{
	const struct model *m = c->d->model;
	bool first = true;

	text_add(&c->out, "{\"domains\": {");
	for (size_t i = 0; i < m->n_qubes; i++) {
		if (m->by_name[i]->hidden)
			continue;
		text_add(&c->out, "%s", first ? "" : ", ");
		first = false;
		system_info(&c->out, m, m->by_name[i]);
	}
	text_add(&c->out, "}}");
	return 0;
}
