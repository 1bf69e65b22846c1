/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Questions to policyd and its answers: what decodes says the same after it was written again. */
#include "fuzz.h"

#include "proto/decision.h"

#include <string.h>

static char bytes[DECISION_MAX], again[DECISION_MAX];

static int same(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static void request(size_t len)
{
	struct decision_request q, back;

	if (decision_request_decode(bytes, len, &q) != 0)
		return;
	FUZZ_CHECK(q.source[0] != '\0' && q.service[0] != '\0' && !strchr(q.target, '\n'));
	len = decision_request_encode(&q, again, sizeof(again));
	FUZZ_CHECK(len > 0 && decision_request_len(again, len) == len);
	FUZZ_CHECK(decision_request_decode(again, len, &back) == 0);
	FUZZ_CHECK(same(q.source, back.source) && same(q.target, back.target) &&
		   same(q.service, back.service) &&
		   same(q.requested_source, back.requested_source) &&
		   same(q.decided_target, back.decided_target) &&
		   q.just_evaluate == back.just_evaluate && q.assume_yes == back.assume_yes &&
		   q.keep == back.keep && (!q.keep || q.just_evaluate));
}

static void answer(size_t len)
{
	struct decision_answer a, back;

	if (decision_answer_decode(bytes, len, &a) != 0)
		return;
	FUZZ_CHECK(a.allow == (a.target != NULL));
	len = decision_answer_encode(&a, again, sizeof(again));
	FUZZ_CHECK(len > 0 && decision_answer_decode(again, len, &back) == 0);
	FUZZ_CHECK(a.allow == back.allow && a.autostart == back.autostart &&
		   same(a.user, back.user) && same(a.target, back.target) &&
		   same(a.target_uuid, back.target_uuid) &&
		   same(a.requested_target, back.requested_target) &&
		   same(a.service, back.service) && same(a.policy_source, back.policy_source));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > sizeof(bytes))
		return 0;
	memcpy(bytes, data, size);
	request(size);
	memcpy(bytes, data, size);
	answer(size);
	return 0;
}
