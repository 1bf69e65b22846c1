/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Properties of qubes and of the system: what their values are, where they come from when unset,
 * and what they may be set to. The rows are in property_rows.h.
 *
 * A value has two forms. *Raw*, as stored: references are a decimal qid ("" = None), labels an
 * index. *Shown*, as clients see it: names. A qube of NULL means the system's own properties.
 */
#include "base/attr.h"

#include "store/property_ids.h"
#include "store/refusal.h"

struct model;
struct qube;

/** PROPERTY_BUF - room that a computed or shown value needs */
#define PROPERTY_BUF 256
/** PROPERTY_VALUE_MAX - bytes of a value that is set */
#define PROPERTY_VALUE_MAX 4096
/** INTERFACE_LEN - of a device's interface: the letter of a class, six hex digits or * */
#define INTERFACE_LEN 7

enum property_type { TYPE_STR, TYPE_INT, TYPE_BOOL, TYPE_VM, TYPE_LABEL };
enum property_flag { FIXED = 1, HALTED = 2, ALWAYS = 4, START = 8 };

struct property {
	const char *name, *help;
	enum property_type type;
	unsigned id;      /* enum property_id or enum global_id */
	unsigned classes; /* bit set 1 << enum klass; 0 = the system's */
	unsigned flags;
	const char *entry; /* of a running qube's QubesDB, that says it at once; NULL: none */
	/* the default: from the template, computed, a global, a text; none of them: unset */
	bool from_template;
	const char *(*compute)(const struct model *m, const struct qube *q, char *buf);
	int global; /* enum global_id + 1 */
	const char *text;
	int (*check)(const struct model *m, const struct qube *q, const struct property *p,
		     const char *raw, struct refusal *why);
};

/** property_at() - rows by number: i < N_PROPERTIES of qubes, i < N_GLOBALS of the system */
const struct property *property_at(bool of_system, unsigned i);
/** property_find() - the row of a name that @q (NULL = the system) has; NULL if it has none */
const struct property *property_find(const struct qube *q, const char *name);
bool property_has(const struct qube *q, const struct property *p);
const char *property_type_name(enum property_type t);

/**
 * property_raw() - the value that holds, set or default
 * @buf:	PROPERTY_BUF bytes that it may be computed into
 * @ret_default: it is not set; may be NULL
 *
 * Return: the raw value, borrowed from model or @buf; NULL if it is unset and has no default.
 */
const char *property_raw(const struct model *m, const struct qube *q, const struct property *p,
			 char *buf, bool *ret_default);
/** property_default() - likewise, what it would be if it were not set */
const char *property_default(const struct model *m, const struct qube *q, const struct property *p,
			     char *buf);
/** property_show() - the shown form of a raw value; "" for NULL */
const char *property_show(const struct model *m, const struct property *p, const char *raw);

/** property_text(), property_int(), property_bool(), property_qube() - the value of @q that holds
 */
const char *property_text(const struct model *m, const struct qube *q, enum property_id id,
			  char *buf);
int64_t property_int(const struct model *m, const struct qube *q, enum property_id id);
bool property_bool(const struct model *m, const struct qube *q, enum property_id id);
struct qube *property_qube(const struct model *m, const struct qube *q, enum property_id id);
/** global_text(), global_qube() - the same of the system */
const char *global_text(const struct model *m, enum global_id id, char *buf);
struct qube *global_qube(const struct model *m, enum global_id id);

/**
 * property_parse() - what a client wants to set, checked and made raw
 * @shown:	@len untrusted bytes
 * @raw:	room for PROPERTY_VALUE_MAX + 1 bytes
 *
 * Return: 0; REFUSED.
 */
MUST_CHECK int property_parse(const struct model *m, const struct qube *q, const struct property *p,
			      const void *shown, size_t len, char *raw, struct refusal *why);
/** property_interfaces_are() - @text is interfaces of devices, one behind the other, or empty */
bool property_interfaces_are(const char *text);
/** property_may_reset() - the default is acceptable now; 0 or REFUSED */
MUST_CHECK int property_may_reset(const struct model *m, const struct qube *q,
				  const struct property *p, struct refusal *why);
/**
 * property_depends() - the value of @q follows that of @on of @from (its template or the system)
 *
 * Only the same property of another qube is followed, but any of the system's.
 */
bool property_depends(const struct model *m, const struct qube *q, const struct property *p,
		      const struct qube *from, const struct property *on);

/** property_references() - the properties that name @target, of others and of the system; for "it is in use".
 * @ret gets a sentence's part, which ends in "..." if there are more. False if there is none */
bool property_references(const struct model *m, const struct qube *target, char *ret, size_t size);
