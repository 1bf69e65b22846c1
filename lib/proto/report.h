/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * What a qube says of itself (qubes.FeaturesRequest, qubes.NotifyTools, qubes.NotifyUpdates).
 * doc/protocol/report.md has the rows.
 */
#include "base/attr.h"

/** REPORT_NAME_MAX - bytes of a name: what fits behind /features-request/ in a path of QubesDB */
#define REPORT_NAME_MAX 45
/** REPORT_VALUE_MAX - bytes of a value */
#define REPORT_VALUE_MAX 128
/** REPORT_CLAIMS_MAX - claims of one report */
#define REPORT_CLAIMS_MAX 128
/** REPORT_LEN_MAX - bytes of a whole report */
#define REPORT_LEN_MAX (REPORT_CLAIMS_MAX * (size_t)(REPORT_NAME_MAX + REPORT_VALUE_MAX + 2))
/** REPORT_COUNT_LEN_MAX - bytes of a number of updates with what may stand around it */
#define REPORT_COUNT_LEN_MAX 32

/** enum report_outcome */
enum report_outcome {
	REPORT_E_NAME = 1, /* no name that a claim can have */
	REPORT_E_VALUE,    /* no value that a claim can have */
	REPORT_E_MANY,     /* more claims than there is room for */
	REPORT_E_TWICE,    /* the same name again */
	REPORT_E_FORMAT,   /* not the bytes of a report */
};

struct report_claim {
	char name[REPORT_NAME_MAX + 1];
	char value[REPORT_VALUE_MAX + 1];
};

/** struct report - zero-initialise */
struct report {
	unsigned n;
	struct report_claim claims[REPORT_CLAIMS_MAX];
};

/** report_add() - one more claim, of the qube's words. Return: 0; an outcome */
MUST_CHECK int report_add(struct report *r, const char *name, const char *value);
/** report_find() - what was claimed under @name; NULL: nothing */
const char *report_find(const struct report *r, const char *name);

/** report_encode() - write at most REPORT_LEN_MAX bytes to @buf; returns how many */
size_t report_encode(const struct report *r, void *buf);
/** report_decode() - Return: 0; an outcome, and @ret is not to be used */
MUST_CHECK int report_decode(const void *bytes, size_t len, struct report *ret);

/** report_count_decode() - how many updates there are. Return: 0; REPORT_E_FORMAT */
MUST_CHECK int report_count_decode(const void *bytes, size_t len, uint64_t *ret);

const char *report_outcome_str(int outcome);
