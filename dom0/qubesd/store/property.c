/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rows of property_rows.h at work: values as they are, shown, set and referred to. */
#include "store/property.h"

#include "base/str.h"
#include "proto/argument.h"
#include "store/model.h"
#include "store/property_hooks.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The tables. */

#define NONE
#define TOLD(path, ...)  .entry = (path), __VA_ARGS__
#define TEXT(t)          .text = (t)
#define OF_GLOBAL(g)     .global = (GLOBAL_##g + 1)
#define COMPUTED(f)      .compute = compute_##f
#define TEMPLATE_OR(...) .from_template = true, __VA_ARGS__
#define ADM              (1u << KLASS_ADMIN)
#define T                (1u << KLASS_TEMPLATE)
#define A                (1u << KLASS_APP)
#define S                (1u << KLASS_STANDALONE)
#define D                (1u << KLASS_DISP)
#define R                (1u << KLASS_REMOTE)

static const struct property of_qubes[N_PROPERTIES] = {
#define PROPERTY(n, t, c, dflt, chk, f, h)                                                         \
	[PROP_##n] = {.name = #n,                                                                  \
		      .help = (h),                                                                 \
		      .type = TYPE_##t,                                                            \
		      .id = PROP_##n,                                                              \
		      .classes = (c),                                                              \
		      .flags = (f),                                                                \
		      .check = check_##chk,                                                        \
		      dflt},
#include "store/property_rows.h"
#undef PROPERTY
};

static const struct property of_system[N_GLOBALS] = {
#define GLOBAL(n, t, dflt, chk, f, h)                                                              \
	[GLOBAL_##n] = {.name = #n,                                                                \
			.help = (h),                                                               \
			.type = TYPE_##t,                                                          \
			.id = GLOBAL_##n,                                                          \
			.flags = (f),                                                              \
			.check = check_##chk,                                                      \
			dflt},
#include "store/property_rows.h"
#undef GLOBAL
};

#undef T
#undef A
#undef S
#undef D
#undef R

const struct property *property_at(bool system, unsigned i)
{
	return system ? &of_system[i] : &of_qubes[i];
}

bool property_has(const struct qube *q, const struct property *p)
{
	return q ? (p->classes & 1u << q->klass) != 0 : p->classes == 0;
}

const struct property *property_find(const struct qube *q, const char *name)
{
	unsigned n = q ? N_PROPERTIES : N_GLOBALS;

	for (unsigned i = 0; i < n; i++) {
		const struct property *p = property_at(!q, i);

		if (strcmp(p->name, name) == 0)
			return property_has(q, p) ? p : NULL;
	}
	return NULL;
}

const char *property_type_name(enum property_type t)
{
	static const char *const names[] = {"str", "int", "bool", "vm", "label"};

	return names[t];
}

const char *property_default(const struct model *m, const struct qube *q, const struct property *p,
			     char *buf)
{
	const struct qube *template = q && p->from_template ? model_template(m, q) : NULL;

	/* what is computed where nobody has set it follows the qube's own properties, not its template's */
	while (p->compute && template && !template->values[p->id])
		template = model_template(m, template);
	if (template && property_has(template, p))
		return property_raw(m, template, p, buf, NULL);
	if (p->compute)
		return p->compute(m, q, buf);
	if (p->global)
		return property_raw(m, NULL, property_at(true, (unsigned)p->global - 1), buf, NULL);
	return p->text;
}

const char *property_raw(const struct model *m, const struct qube *q, const struct property *p,
			 char *buf, bool *ret_default)
{
	const char *set = q ? q->values[p->id] : m->globals[p->id];

	if (ret_default)
		*ret_default = !set && !((p->flags & ALWAYS) && q && q->qid != 0);
	return set ? set : property_default(m, q, p, buf);
}

const char *property_show(const struct model *m, const struct property *p, const char *raw)
{
	const struct qube *q;
	uint64_t i;

	if (!raw)
		return "";
	if (p->type == TYPE_VM) {
		q = raw_qube(m, raw);
		return q ? q->name : "";
	}
	if (p->type == TYPE_LABEL)
		return str_u64(raw, LABEL_MAX, &i) == 0 && m->labels[i].name ? m->labels[i].name
									     : "";
	return raw;
}

const char *property_text(const struct model *m, const struct qube *q, enum property_id id,
			  char *buf)
{
	const struct property *p = &of_qubes[id];
	const char *raw = property_has(q, p) ? property_raw(m, q, p, buf, NULL) : NULL;

	return property_show(m, p, raw);
}

int64_t property_int(const struct model *m, const struct qube *q, enum property_id id)
{
	char buf[PROPERTY_BUF];

	return raw_int(property_text(m, q, id, buf));
}

bool property_bool(const struct model *m, const struct qube *q, enum property_id id)
{
	char buf[PROPERTY_BUF];

	return str_eq(property_text(m, q, id, buf), "True");
}

struct qube *property_qube(const struct model *m, const struct qube *q, enum property_id id)
{
	char buf[PROPERTY_BUF];

	if (!property_has(q, &of_qubes[id]))
		return NULL;
	return raw_qube(m, property_raw(m, q, &of_qubes[id], buf, NULL));
}

const char *global_text(const struct model *m, enum global_id id, char *buf)
{
	const struct property *p = &of_system[id];

	return property_show(m, p, property_raw(m, NULL, p, buf, NULL));
}

struct qube *global_qube(const struct model *m, enum global_id id)
{
	char buf[PROPERTY_BUF];

	return raw_qube(m, property_raw(m, NULL, &of_system[id], buf, NULL));
}

/* Setting. */

static int parse_bool(const struct property *p, const char *shown, char *raw, struct refusal *why)
{
	bool truth;

	if (argument_truth_decode(shown, strlen(shown), &truth) == 0)
		return str_format(raw, PROPERTY_VALUE_MAX, "%s", truth ? "True" : "False");
	return refuse(why, value_error, "%s is True or False, not '%s'", p->name, shown);
}

static int parse_int(const struct property *p, const char *shown, char *raw, struct refusal *why)
{
	const char *digits = shown[0] == '-' ? shown + 1 : shown;
	uint64_t v;

	if (str_u64(digits, 1000000000000000, &v) < 0)
		return refuse(why, value_error, "%s is a whole number, not '%s' (%s)", p->name,
			      shown, p->help);
	return str_format(raw, PROPERTY_VALUE_MAX, "%s%" PRIu64, shown[0] == '-' && v ? "-" : "",
			  v);
}

static int parse_qube(const struct model *m, const struct property *p, const char *shown, char *raw,
		      struct refusal *why)
{
	const struct qube *v;

	if (shown[0] == '\0') {
		raw[0] = '\0';
		return 0;
	}
	v = model_find(m, shown);
	if (!v || v->hidden)
		return refuse(why, value_error, "%s: there is no qube '%s'", p->name, shown);
	return str_format(raw, PROPERTY_VALUE_MAX, "%u", v->qid);
}

static int parse_label(const struct model *m, const char *shown, char *raw, struct refusal *why)
{
	uint64_t i = model_label(m, shown);

	if (i == 0 && (str_u64(shown, LABEL_MAX, &i) < 0 || !m->labels[i].name))
		return model_refuse_label(m, value_error, shown, why);
	return str_format(raw, PROPERTY_VALUE_MAX, "%" PRIu64, i);
}

static int may_change(const struct qube *q, const struct property *p, struct refusal *why)
{
	if (p->flags & FIXED)
		return refuse(why, value_error, "%s cannot be set", p->name);
	if (q && (p->flags & HALTED) && q->power)
		return refuse(why, "QubesVMNotHaltedError",
			      "%s cannot be changed while '%s' runs: shut it down first", p->name,
			      q->name);
	return 0;
}

int property_parse(const struct model *m, const struct qube *q, const struct property *p,
		   const void *shown_bytes, size_t len, char *raw, struct refusal *why)
{
	char shown[PROPERTY_VALUE_MAX + 1];
	const uint8_t *bytes = shown_bytes;
	int r = may_change(q, p, why);

	if (r != 0)
		return r;
	if (len > PROPERTY_VALUE_MAX)
		return refuse(why, value_error, "%s: a value has at most %u bytes", p->name,
			      PROPERTY_VALUE_MAX);
	for (size_t i = 0; i < len; i++)
		if (bytes[i] < 0x20 || bytes[i] >= 0x7f)
			return refuse(why, value_error, "%s: only printable ASCII is allowed",
				      p->name);
	if (len > 0)
		memcpy(shown, bytes, len);
	shown[len] = '\0';
	switch (p->type) {
	case TYPE_STR:
		r = str_copy(raw, PROPERTY_VALUE_MAX + 1, shown, len);
		break;
	case TYPE_BOOL:
		r = parse_bool(p, shown, raw, why);
		break;
	case TYPE_INT:
		r = parse_int(p, shown, raw, why);
		break;
	case TYPE_VM:
		r = parse_qube(m, p, shown, raw, why);
		break;
	case TYPE_LABEL:
		r = parse_label(m, shown, raw, why);
		break;
	}
	return r != 0 ? r : p->check(m, q, p, raw, why);
}

int property_may_reset(const struct model *m, const struct qube *q, const struct property *p,
		       struct refusal *why)
{
	char buf[PROPERTY_BUF];
	const char *raw;
	int r = may_change(q, p, why);

	if (r != 0)
		return r;
	raw = property_default(m, q, p, buf);
	if (!raw && p->type == TYPE_LABEL)
		return refuse(why, value_error, "a qube must have a label");
	return raw && p->type != TYPE_STR ? p->check(m, q, p, raw, why) : 0;
}

bool property_depends(const struct model *m, const struct qube *q, const struct property *p,
		      const struct qube *from, const struct property *on)
{
	if (q->values[p->id])
		return false;
	if (from && p == on && p->id == PROP_keyboard_layout)
		return property_qube(m, q, PROP_guivm) == from;
	if (from)
		return p == on && p->from_template && model_template(m, q) == from;
	if (p->id == PROP_netvm)
		return on->id == GLOBAL_default_netvm && q->klass != KLASS_TEMPLATE;
	if (p->id == PROP_default_dispvm)
		return on->id == GLOBAL_default_dispvm && q->klass != KLASS_DISP;
	return p->global == (int)on->id + 1 && !(p->from_template && model_template(m, q));
}

/* a list of uses, cut with "..." where it is full */
struct uses {
	char *to;
	size_t size, len;
	unsigned n;
};

static void use_add(struct uses *u, const char *property, const char *of)
{
	char one[128];
	size_t len;

	(void)snprintf(one, sizeof(one), "%s%s%s%s%s", u->n > 0 ? ", " : "it is ",
		       of ? "the " : "the system's ", property, of ? " of '" : "", of ? of : "");
	len = strlen(one) + (of ? 1 : 0);
	u->n++;
	if (u->len + len + strlen(", ...") >= u->size) {
		if (u->len + strlen(", ...") < u->size && !strstr(u->to, "..."))
			(void)snprintf(u->to + u->len, u->size - u->len, ", ...");
		u->len = u->size; /* nothing more */
		return;
	}
	(void)snprintf(u->to + u->len, u->size - u->len, "%s%s", one, of ? "'" : "");
	u->len += len;
}

bool property_references(const struct model *m, const struct qube *target, char *ret, size_t size)
{
	struct uses u = {.to = ret, .size = size};

	ret[0] = '\0';
	for (unsigned i = 0; i < N_GLOBALS; i++)
		if (of_system[i].type == TYPE_VM && raw_qube(m, m->globals[i]) == target)
			use_add(&u, of_system[i].name, NULL);
	for (size_t n = 0; n < m->n_qubes; n++) {
		const struct qube *q = m->by_name[n];

		for (unsigned i = 0; q != target && i < N_PROPERTIES; i++)
			if (of_qubes[i].type == TYPE_VM && raw_qube(m, q->values[i]) == target)
				use_add(&u, of_qubes[i].name, q->name);
	}
	return u.n > 0;
}
