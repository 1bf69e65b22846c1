/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * A line of the log of decisions (doc/protocol/audit.md): what was asked, what was decided, why.
 */
#include "base/attr.h"

/** AUDIT_MAX - bytes of a line with its newline; longer values are cut */
#define AUDIT_MAX 2048
/** AUDIT_VALUE_MAX - bytes of a value as it stands in the line */
#define AUDIT_VALUE_MAX 256
/** AUDIT_INSTANCE - the field of the journal that says whose decision it is; AUDIT_INSTANCE_MAX: of its text, with a NUL */
#define AUDIT_INSTANCE     "BULKHEAD_INSTANCE"
#define AUDIT_INSTANCE_MAX 1024

enum audit_verdict {
	AUDIT_ALLOW,
	AUDIT_DENY,
	AUDIT_POLICY, /* no call: another policy holds from now on */
	AUDIT_FAULT,  /* no call: the policy has a fault, every call is refused from now on */
};

/**
 * struct audit_entry - texts are never NULL, "" is none
 * @time_us:	microseconds since 1970
 * @caller:	the calling qube
 * @remote:	the qube that it spoke for
 * @service:	with its argument
 * @target:	as the caller wrote it
 * @to:		where an allowed call went
 * @rule:	FILE:LINE of the rule that decided
 * @reason:	why it was refused, beside the rule; of AUDIT_POLICY and AUDIT_FAULT what happened
 * @took_us:	from the question's first byte to the answer
 * @n_dropped:	lines of this caller that were left out before this one
 */
struct audit_entry {
	int64_t time_us;
	enum audit_verdict verdict;
	const char *caller, *remote, *service, *target, *to, *rule, *reason;
	uint64_t took_us, n_dropped;
};

const char *audit_verdict_name(enum audit_verdict v);
/** audit_verdict_find() - 0; AUDIT_E_FORMAT */
MUST_CHECK int audit_verdict_find(const char *name, enum audit_verdict *ret);
/** audit_key() - the keys of a line in their order; NULL behind the last */
const char *audit_key(unsigned i);

enum audit_outcome {
	AUDIT_E_FORMAT = 1, /* no such line */
};

/** audit_encode() - a line with its newline; its length, 0 if @size is less than AUDIT_MAX, or for a time long past or to come */
MUST_CHECK size_t audit_encode(const struct audit_entry *e, char *to, size_t size);
/**
 * audit_decode() - a line with its newline
 * @line:	written to; @ret borrows from it
 *
 * Return: 0; AUDIT_E_FORMAT.
 */
MUST_CHECK int audit_decode(char *line, size_t len, struct audit_entry *ret);
