/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "proto/decision.h"

#define ASK "source=work\nintended_target=vault\nservice_and_arg=a.B+x\n"
#define YES "user=u\nresult=allow\ntarget=vault\nautostart=True\nrequested_target=@default\n"

// clang-format off
static const struct {
	const char *text;
	size_t len; /* 0: to its NUL */
	bool ok;
} requests[] = {
	{ASK "\n", 0, true},
	{ASK "just_evaluate=yes\n\n", 0, true},
	{ASK "just_evaluate=no\nassume_yes_for_ask=yes\n\n", 0, true},
	{ASK "requested_source=far\nsomething_new=1\n\n", 0, true},
	{"source=work\nintended_target=\nservice_and_arg=a.B\n\n", 0, true},
	{"source=work\nintended_target=a=b\nservice_and_arg=a.B+\n\n", 0, true},
	{"source=work\nintended_target=\nservice_and_arg=a.B\njust_evaluate=yes\nkeep=yes\n\n", 0, true},
	{"source=work\nintended_target=\nservice_and_arg=a.B\nkeep=yes\n\n", 0, false},
	{"source=work\nintended_target=\nservice_and_arg=a.B\njust_evaluate=yes\nkeep=true\n\n", 0, false},
	{"", 0, false},
	{"\n\n", 0, false},
	{"source=work\nintended_target=vault\n\n", 0, false},
	{"intended_target=vault\nservice_and_arg=a.B\n\n", 0, false},
	{"source=work\nservice_and_arg=a.B\n\n", 0, false},
	{"source=\nintended_target=vault\nservice_and_arg=a.B\n\n", 0, false},
	{"source=work\nintended_target=vault\nservice_and_arg=\n\n", 0, false},
	{"source=work\nintended_target=vault\nservice_and_arg=+x\n\n", 0, false},
	{ASK, 0, false},                                   /* not ended */
	{ASK "\n\n", 0, false},                            /* and more than one */
	{ASK "\nsource=work\n", 0, false},
	{ASK "source=work\n\n", 0, false},                 /* twice */
	{ASK "just_evaluate=yes\njust_evaluate=yes\n\n", 0, false},
	{ASK "just_evaluate=1\n\n", 0, false},
	{ASK "assume_yes_for_ask=Yes\n\n", 0, false},
	{ASK "requested_source=\n\n", 0, false},
	{ASK "decided_target=@dispvm:a\n\n", 0, true},
	{ASK "decided_target=\n\n", 0, false},
	{ASK "no key\n\n", 0, false},
	{ASK "k=\x01\n\n", 0, false},
	{ASK "k=\r\n\n", 0, false},
	{ASK "k\0=v\n\n", sizeof(ASK) + 5, false},
	{ASK "k=\0\n\n", sizeof(ASK) + 4, false},
};

static const struct {
	const char *text;
	bool ok;
} answers[] = {
	{"result=deny\n", true},
	{YES, true},
	{YES "target_uuid=uuid:1\nservice=a+b\npolicy_source=far\nmore=1\n", true},
	{"", false},
	{"\n", false},
	{"result=deny", false},
	{"result=deny\n\n", false},
	{"result=deny\nresult=deny\n", false},
	{"result=deny\nresult=allow\n", false},
	{"result=maybe\n", false},
	{"result=deny\ntarget=vault\n", false},
	{"result=deny\nautostart=True\n", false},
	{"result=allow\n", false},
	{YES "result=deny\n", false},
	{YES "user=u\n", false},
	{YES "policy_source=\n", false},
	{YES "service=+x\n", false},
	{"result=allow\ntarget=vault\nautostart=True\nrequested_target=x\n", false},
	{"user=u\nresult=allow\nautostart=True\nrequested_target=x\n", false},
	{"user=u\nresult=allow\ntarget=vault\nrequested_target=x\n", false},
	{"user=u\nresult=allow\ntarget=vault\nautostart=True\n", false},
	{"user=u\nresult=allow\ntarget=vault\nautostart=yes\nrequested_target=x\n", false},
	{"user=\nresult=allow\ntarget=vault\nautostart=True\nrequested_target=x\n", false},
};
// clang-format on

static char buf[DECISION_MAX + 64];

static void only_whole_questions_are_questions(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		size_t len = requests[i].len > 0 ? requests[i].len : strlen(requests[i].text);
		struct decision_request q;

		memcpy(buf, requests[i].text, len);
		if (decision_request_decode(buf, len, &q) !=
		    (requests[i].ok ? 0 : DECISION_E_FORMAT))
			fail_msg("%s", requests[i].text);
	}
}

/* nothing, with nothing in it that would end a line */
static void no_bytes_are_no_question(void **state)
{
	struct decision_request q;
	char *none = malloc(1);

	(void)state;
	assert_non_null(none);
	none[0] = 'x';
	assert_int_equal(decision_request_decode(none, 0, &q), DECISION_E_FORMAT);
	free(none);
}

static void a_question_says_what_was_meant(void **state)
{
	static const struct decision_request all = {"sys-usb", "far", "@default",       "a.B+c",
						    true,      true,  "@dispvm:uuid:1", true};
	static const struct decision_request none = {.source = "a", .target = "", .service = "b"};
	struct decision_request q;
	size_t len;

	(void)state;
	len = decision_request_encode(&all, buf, sizeof(buf));
	assert_true(len > 0);
	assert_int_equal(decision_request_len(buf, len - 1), 0);
	assert_int_equal(decision_request_len(buf, len), len);
	assert_int_equal(decision_request_decode(buf, len, &q), 0);
	assert_string_equal(q.source, all.source);
	assert_string_equal(q.requested_source, all.requested_source);
	assert_string_equal(q.target, all.target);
	assert_string_equal(q.service, all.service);
	assert_true(q.just_evaluate && q.assume_yes && q.keep);
	assert_string_equal(q.decided_target, all.decided_target);
	len = decision_request_encode(&none, buf, sizeof(buf));
	assert_int_equal(decision_request_decode(buf, len, &q), 0);
	assert_null(q.requested_source);
	assert_true(!q.just_evaluate && !q.assume_yes && !q.decided_target && !q.keep);
	assert_int_equal(decision_answer_len("result=deny\n", 12), 0);
	assert_int_equal(decision_answer_len("result=deny\n\n", 13), 13);
}

static void what_cannot_be_said_is_not(void **state)
{
	static const struct decision_request bad[] = {
		{.source = "a", .target = "b\nsource=dom0", .service = "c"},
		{.source = "", .target = "b", .service = "c"},
		{.source = "a", .target = "b", .service = "+c"},
		{.source = "a", .service = "c"},
		{.source = "a", .target = "b", .service = "c", .keep = true},
	};
	static const struct decision_answer halves[] = {
		{.allow = true, .user = "u", .target = "t"},
		{.allow = false, .target = "t"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(decision_request_encode(&bad[i], buf, sizeof(buf)), 0);
	for (size_t i = 0; i < ARRAY_LEN(halves); i++)
		assert_int_equal(decision_answer_encode(&halves[i], buf, sizeof(buf)), 0);
}

static void the_longest_service_fits_and_a_longer_message_does_not(void **state)
{
	static char service[DECISION_MAX];
	struct decision_request q = {.source = "a", .target = "b", .service = service};

	(void)state;
	memset(service, 'x', 65000);
	size_t len = decision_request_encode(&q, buf, sizeof(buf));

	assert_true(len > 65000);
	assert_int_equal(decision_request_encode(&q, buf, len - 1), 0);
	assert_int_equal(decision_request_decode(buf, len, &q), 0);
	assert_int_equal(strlen(q.service), 65000);
	memset(service, 'x', sizeof(service) - 1);
	q.service = service;
	assert_int_equal(decision_request_encode(&q, buf, sizeof(buf)), 0);
}

static void only_whole_answers_are_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		size_t len = strlen(answers[i].text);
		struct decision_answer a;

		memcpy(buf, answers[i].text, len);
		if (decision_answer_decode(buf, len, &a) != (answers[i].ok ? 0 : DECISION_E_FORMAT))
			fail_msg("%s", answers[i].text);
	}
}

static void an_answer_says_what_was_meant(void **state)
{
	static const struct decision_answer all = {
		.allow = true,
		.autostart = true,
		.user = "DEFAULT",
		.target = "@dispvm:dvm",
		.target_uuid = "@dispvm:uuid:1",
		.requested_target = "@dispvm",
		.service = "x+y",
		.policy_source = "far",
	};
	static const struct decision_answer refusal = {0};
	struct decision_answer a;
	size_t len;

	(void)state;
	len = decision_answer_encode(&all, buf, sizeof(buf));
	assert_int_equal(decision_answer_decode(buf, len, &a), 0);
	assert_true(a.allow && a.autostart);
	assert_string_equal(a.user, all.user);
	assert_string_equal(a.target, all.target);
	assert_string_equal(a.target_uuid, all.target_uuid);
	assert_string_equal(a.requested_target, all.requested_target);
	assert_string_equal(a.service, all.service);
	assert_string_equal(a.policy_source, all.policy_source);
	len = decision_answer_encode(&refusal, buf, sizeof(buf));
	assert_int_equal(len, strlen("result=deny\n"));
	assert_memory_equal(buf, "result=deny\n", len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_whole_questions_are_questions),
		cmocka_unit_test(no_bytes_are_no_question),
		cmocka_unit_test(a_question_says_what_was_meant),
		cmocka_unit_test(what_cannot_be_said_is_not),
		cmocka_unit_test(the_longest_service_fits_and_a_longer_message_does_not),
		cmocka_unit_test(only_whole_answers_are_answers),
		cmocka_unit_test(an_answer_says_what_was_meant),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
