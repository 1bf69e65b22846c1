/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/decision.h"

#include "base/bytes.h"
#include "base/str.h"

#include <string.h>

enum request_key {
	SOURCE,
	REQUESTED_SOURCE,
	TARGET,
	SERVICE_AND_ARG,
	YES,
	EVALUATE,
	DECIDED,
	KEEP,
	N_REQUEST,
};

static const char *const request_keys[N_REQUEST] = {
	[SOURCE] = "source",          [REQUESTED_SOURCE] = "requested_source",
	[TARGET] = "intended_target", [SERVICE_AND_ARG] = "service_and_arg",
	[YES] = "assume_yes_for_ask", [EVALUATE] = "just_evaluate",
	[DECIDED] = "decided_target", [KEEP] = "keep",
};

/* in the order in which they are written */
enum answer_key {
	USER,
	RESULT,
	TO,
	TO_UUID,
	AUTOSTART,
	REQUESTED_TARGET,
	SERVICE,
	POLICY_SOURCE,
	N_ANSWER,
};

static const char *const answer_keys[N_ANSWER] = {
	[USER] = "user",           [RESULT] = "result",
	[TO] = "target",           [TO_UUID] = "target_uuid",
	[AUTOSTART] = "autostart", [REQUESTED_TARGET] = "requested_target",
	[SERVICE] = "service",     [POLICY_SOURCE] = "policy_source",
};

static bool is_control(char c)
{
	return (uint8_t)c < 0x20 || c == 0x7f;
}

/* the values of "key=value" lines by key, NULL for those that are not there; others are passed over
 */
static int take_lines(char *at, size_t len, const char *const *keys, unsigned n_keys,
		      const char **ret)
{
	char *end, *value;

	for (; len > 0; len -= (size_t)(end + 1 - at), at = end + 1) {
		end = memchr(at, '\n', len);
		value = end ? memchr(at, '=', (size_t)(end - at)) : NULL;
		if (!value)
			return DECISION_E_FORMAT;
		for (const char *c = at; c < end; c++)
			if (is_control(*c))
				return DECISION_E_FORMAT;
		*value++ = '\0';
		*end = '\0';
		for (unsigned i = 0; i < n_keys; i++) {
			if (!str_eq(keys[i], at))
				continue;
			if (ret[i])
				return DECISION_E_FORMAT;
			ret[i] = value;
		}
	}
	return 0;
}

static void put_line(struct wr *w, const char *key, const char *value)
{
	if (!value)
		return;
	for (const char *c = value; *c != '\0'; c++)
		if (is_control(*c))
			w->failed = true;
	wr_bytes(w, key, strlen(key));
	wr_u8(w, '=');
	wr_bytes(w, value, strlen(value));
	wr_u8(w, '\n');
}

/* one of two words; a key that is not there is @otherwise */
static int truth(const char *value, const char *yes, const char *no, bool otherwise, bool *ret)
{
	if (value && !str_eq(value, yes) && !str_eq(value, no))
		return DECISION_E_FORMAT;
	*ret = value ? str_eq(value, yes) : otherwise;
	return 0;
}

/* what may stand for a service: it has a name before its argument */
static bool is_service(const char *s)
{
	return s && s[0] != '\0' && s[0] != '+';
}

static bool is_given(const char *s)
{
	return s && s[0] != '\0';
}

size_t decision_request_len(const char *bytes, size_t len)
{
	const char *end = memmem(bytes, len, "\n\n", 2);

	return end ? (size_t)(end - bytes) + 2 : 0;
}

int decision_request_decode(char *bytes, size_t len, struct decision_request *ret)
{
	const char *values[N_REQUEST] = {0};
	struct decision_request q;

	if (len == 0 || len > DECISION_MAX || decision_request_len(bytes, len) != len ||
	    take_lines(bytes, len - 1, request_keys, N_REQUEST, values) != 0)
		return DECISION_E_FORMAT;
	q.source = values[SOURCE];
	q.requested_source = values[REQUESTED_SOURCE];
	q.target = values[TARGET];
	q.service = values[SERVICE_AND_ARG];
	q.decided_target = values[DECIDED];
	if (!is_given(q.source) || !q.target || !is_service(q.service) ||
	    (q.requested_source && !is_given(q.requested_source)) ||
	    (q.decided_target && !is_given(q.decided_target)) ||
	    truth(values[YES], "yes", "no", false, &q.assume_yes) != 0 ||
	    truth(values[EVALUATE], "yes", "no", false, &q.just_evaluate) != 0 ||
	    truth(values[KEEP], "yes", "no", false, &q.keep) != 0 || (q.keep && !q.just_evaluate))
		return DECISION_E_FORMAT;
	*ret = q;
	return 0;
}

size_t decision_request_encode(const struct decision_request *q, char *to, size_t size)
{
	struct wr w = wr_of(to, size < DECISION_MAX ? size : DECISION_MAX);

	if (!is_given(q->source) || !q->target || !is_service(q->service) ||
	    (q->requested_source && !is_given(q->requested_source)) ||
	    (q->decided_target && !is_given(q->decided_target)) || (q->keep && !q->just_evaluate))
		return 0;
	put_line(&w, request_keys[SOURCE], q->source);
	put_line(&w, request_keys[REQUESTED_SOURCE], q->requested_source);
	put_line(&w, request_keys[TARGET], q->target);
	put_line(&w, request_keys[SERVICE_AND_ARG], q->service);
	put_line(&w, request_keys[YES], q->assume_yes ? "yes" : NULL);
	put_line(&w, request_keys[EVALUATE], q->just_evaluate ? "yes" : NULL);
	put_line(&w, request_keys[DECIDED], q->decided_target);
	put_line(&w, request_keys[KEEP], q->keep ? "yes" : NULL);
	wr_u8(&w, '\n');
	return wr_done(&w);
}

/* an answer as it may be: a refusal says nothing else */
static bool is_complete(const struct decision_answer *a)
{
	if (!a->allow)
		return !a->user && !a->target && !a->target_uuid && !a->requested_target &&
		       !a->service && !a->policy_source;
	return is_given(a->user) && is_given(a->target) && is_given(a->requested_target) &&
	       (!a->target_uuid || is_given(a->target_uuid)) &&
	       (!a->service || is_service(a->service)) &&
	       (!a->policy_source || is_given(a->policy_source));
}

size_t decision_answer_len(const char *bytes, size_t len)
{
	return decision_request_len(bytes, len);
}

int decision_answer_decode(char *bytes, size_t len, struct decision_answer *ret)
{
	const char *values[N_ANSWER] = {0};
	struct decision_answer a;

	if (len > DECISION_MAX || take_lines(bytes, len, answer_keys, N_ANSWER, values) != 0)
		return DECISION_E_FORMAT;
	a = (struct decision_answer){
		.user = values[USER],
		.target = values[TO],
		.target_uuid = values[TO_UUID],
		.requested_target = values[REQUESTED_TARGET],
		.service = values[SERVICE],
		.policy_source = values[POLICY_SOURCE],
	};
	if (!values[RESULT] || truth(values[RESULT], "allow", "deny", false, &a.allow) != 0 ||
	    a.allow != (values[AUTOSTART] != NULL) ||
	    truth(values[AUTOSTART], "True", "False", false, &a.autostart) != 0 || !is_complete(&a))
		return DECISION_E_FORMAT;
	*ret = a;
	return 0;
}

size_t decision_answer_encode(const struct decision_answer *a, char *to, size_t size)
{
	struct wr w = wr_of(to, size < DECISION_MAX ? size : DECISION_MAX);

	if (!is_complete(a))
		return 0;
	put_line(&w, answer_keys[USER], a->user);
	put_line(&w, answer_keys[RESULT], a->allow ? "allow" : "deny");
	put_line(&w, answer_keys[TO], a->target);
	put_line(&w, answer_keys[TO_UUID], a->target_uuid);
	if (a->allow)
		put_line(&w, answer_keys[AUTOSTART], a->autostart ? "True" : "False");
	put_line(&w, answer_keys[REQUESTED_TARGET], a->requested_target);
	put_line(&w, answer_keys[SERVICE], a->service);
	put_line(&w, answer_keys[POLICY_SOURCE], a->policy_source);
	return wr_done(&w);
}
