/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Properties of qubes (admin.vm.property.*) and of the system (admin.property.*) over the wire. */
#include "api/property.h"

#include "api/call.h"
#include "api/event.h"
#include "api/follow.h"
#include "api/method.h"
#include "base/log.h"
#include "power/power.h"
#include "power/tell.h"
#include "qubesd.h"
#include "store/property.h"

#include <stdio.h>
#include <string.h>

/* whose properties the call is about: NULL = the system's */
static struct qube *subject(const struct call *c)
{
	return strncmp(c->q.method, "admin.vm.", 9) == 0 ? c->dest : NULL;
}

static int find(struct call *c, const struct property **ret)
{
	const struct qube *q = subject(c);
	const struct property *p = property_find(q, c->q.arg);

	if (!p)
		(void)refuse(&c->why, "QubesNoSuchPropertyError",
			     q ? "'%s' is no property of '%s'"
			       : "'%s' is no property of the system%.0s",
			     c->q.arg, q ? q->name : "");
	*ret = p;
	return p ? 0 : REFUSED;
}

static unsigned n_rows(const struct qube *q)
{
	return q ? N_PROPERTIES : N_GLOBALS;
}

int properties_list(struct call *c)
{
	const struct qube *q = subject(c);

	for (unsigned i = 0; i < n_rows(q); i++)
		if (property_has(q, property_at(!q, i)))
			text_add(&c->out, "%s\n", property_at(!q, i)->name);
	return 0;
}

/* "default=True type=int VALUE"; in lists with \ and newline escaped, though no value holds a
 * newline */
static void put_value(struct call *c, const struct property *p, bool escaped)
{
	const struct model *m = c->d->model;
	char buf[PROPERTY_BUF];
	bool is_default;
	const char *raw = property_raw(m, subject(c), p, buf, &is_default);
	const char *value = property_show(m, p, raw);

	text_add(&c->out, "default=%s type=%s ", is_default ? "True" : "False",
		 property_type_name(p->type));
	if (!escaped) {
		text_add(&c->out, "%s", value);
		return;
	}
	for (; *value != '\0'; value++)
		text_add(&c->out, *value == '\\' ? "\\%c" : "%c", *value);
}

int properties_get(struct call *c)
{
	const struct property *p;
	int r = find(c, &p);

	if (r == 0)
		put_value(c, p, false);
	return r;
}

int properties_get_all(struct call *c)
{
	const struct qube *q = subject(c);

	/* the rows are sorted by name */
	for (unsigned i = 0; i < n_rows(q); i++) {
		const struct property *p = property_at(!q, i);

		if (!property_has(q, p))
			continue;
		text_add(&c->out, "%s ", p->name);
		put_value(c, p, true);
		text_add(&c->out, "\n");
	}
	return 0;
}

int properties_get_default(struct call *c)
{
	const struct model *m = c->d->model;
	const struct property *p;
	char buf[PROPERTY_BUF];
	const char *raw;
	int r = find(c, &p);

	if (r != 0)
		return r;
	raw = property_default(m, subject(c), p, buf);
	if (raw && !(p->flags & ALWAYS))
		text_add(&c->out, "type=%s %s", property_type_name(p->type),
			 property_show(m, p, raw));
	return 0;
}

int properties_help(struct call *c)
{
	const struct property *p;
	int r = find(c, &p);

	if (r == 0)
		text_add(&c->out, "%s%s%s%s", p->help,
			 p->entry ? "; a running qube is told at once" : "",
			 p->flags & START ? "; counts from the next start on" : "",
			 p->flags & HALTED ? "; the qube must be halted" : "");
	return r;
}

static void emit(struct call *c, const struct qube *q, const char *kind, const char *name,
		 const char *new, const char *old)
{
	char event[128];

	(void)snprintf(event, sizeof(event), "%s:%s", kind, name);
	event_emit(c->d, q, event, "name", name, "newvalue", new, "oldvalue", old, NULL);
}

static void tell(struct call *c, struct qube *q, const struct property *p)
{
	if (p->entry && tell_qube(c->d, q, p->name) < 0)
		log_warn(q->name, "out of memory: it is not told of %s", p->name);
}

/* those whose unset property follows this one hear of it too; and the icon follows label and kind
 */
static void emit_dependants(struct call *c, const struct qube *q, const struct property *p)
{
	const struct model *m = c->d->model;
	/* a qube's property is only followed by the same one of others (property_depends()) */
	const unsigned first = q ? p->id : 0, end = q ? first + 1 : N_PROPERTIES;

	if (q && (p->id == PROP_label || p->id == PROP_provides_network))
		emit(c, q, "property-reset", "icon", NULL, NULL);
	for (size_t i = 0; i < m->n_qubes; i++)
		for (unsigned n = first; n < end; n++) {
			const struct property *other = property_at(false, n);

			if (m->by_name[i] != q && property_has(m->by_name[i], other) &&
			    property_depends(m, m->by_name[i], other, q, p)) {
				emit(c, m->by_name[i], "property-reset", other->name, NULL, NULL);
				tell(c, m->by_name[i], other);
			}
		}
}

static const char *none_or(const struct property *p, const char *shown)
{
	return p->type == TYPE_VM && shown[0] == '\0' ? "None" : shown;
}

static void change(struct changes *changes, const struct qube *q, const struct property *p,
		   const char *raw)
{
	if (q)
		changes_set_property(changes, q->qid, (enum property_id)p->id, raw);
	else
		changes_set_global(changes, (enum global_id)p->id, raw);
}

int property_set(struct call *c, struct qube *q, const struct property *p, const char *raw)
{
	const struct model *m = c->d->model;
	struct changes AUTO(changes_done) changes = {0};
	struct follows AUTO(follows_done) follows = {0};
	char old_buf[PROPERTY_BUF];
	bool was_default;
	const char *old_raw = property_raw(m, q, p, old_buf, &was_default);
	AUTO_FREE char *old = strdup(none_or(p, property_show(m, p, old_raw)));
	const char *had = old && (old_raw && (old[0] != '\0')) ? old : NULL;
	const char *new = raw ? none_or(p, property_show(m, p, raw)) : NULL;
	int r;

	if (!old)
		return -ENOMEM;
	change(&changes, q, p, raw);
	if (raw) {
		emit(c, q, "property-pre-set", p->name, new, had);
	} else {
		emit(c, q, "property-pre-reset", p->name, NULL, had);
		if (!was_default)
			emit(c, q, "property-pre-del", p->name, NULL, had);
	}
	r = follow_change(c, q, p, raw, &changes, &follows);
	if (r == 0)
		r = call_apply(c, &changes);
	if (r != 0)
		return r;
	if (raw) {
		emit(c, q, "property-set", p->name, new, had);
	} else {
		if (!was_default)
			emit(c, q, "property-del", p->name, NULL, had);
		emit(c, q, "property-reset", p->name, NULL, had);
	}
	emit_dependants(c, q, p);
	follow_tell(c, &follows);
	power_down_look(c->d);
	return q && p->entry ? tell_call(c, q, p->name) : 0;
}

int properties_set(struct call *c)
{
	struct qube *q = subject(c);
	char raw[PROPERTY_VALUE_MAX + 1];
	const struct property *p;
	int r = find(c, &p);

	if (r == 0)
		r = property_parse(c->d->model, q, p, c->payload, c->q.payload_len, raw, &c->why);
	return r == 0 ? property_set(c, q, p, raw) : r;
}

int properties_reset(struct call *c)
{
	struct qube *q = subject(c);
	const struct property *p;
	int r = find(c, &p);

	if (r == 0)
		r = property_may_reset(c->d->model, q, p, &c->why);
	return r == 0 ? property_set(c, q, p, NULL) : r;
}
