/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "proto/prompt.h"

static uint8_t buf[PROMPT_MAX + 64], room[PROMPT_MAX];

static const struct prompt_qube work = {PROMPT_APP, 0xcc0000, "red", "work"};
static const struct prompt_qube dvm = {PROMPT_NEW_DISPOSABLE, 0xf57900, "orange", "dvm"};
static const struct prompt_qube dom0 = {PROMPT_DOM0, 0, "black", "dom0"};

static struct prompt_question question(const struct prompt_qube *targets, unsigned n)
{
	size_t len = 0;

	for (unsigned i = 0; i < n; i++) {
		size_t more = prompt_target_put(&targets[i], room + len, sizeof(room) - len);

		assert_true(more > 0);
		len += more;
	}
	return (struct prompt_question){
		.timeout_ms = 60000,
		.source = work,
		.remote = "",
		.service = "qubes.Filecopy",
		.asked = "",
		.preselected = PROMPT_NONE,
		.n_targets = n,
		.targets = room,
		.targets_len = len,
	};
}

static void a_question_says_what_was_meant(void **state)
{
	const struct prompt_qube targets[] = {dvm, dom0, work};
	struct prompt_question q = question(targets, ARRAY_LEN(targets)), back;
	struct prompt_qube t;
	size_t at = 0, len;

	(void)state;
	q.remote = "far";
	q.service = "x.Y+\x01\xff \xe2\x80\xae<b>"; /* NOLINT(misc-misleading-bidirectional) */
	q.asked = "@dispvm";
	q.preselected = 2;
	len = prompt_question_encode(&q, buf, sizeof(buf));
	assert_true(len > 0);
	assert_int_equal(prompt_question_decode(buf, len, &back), 0);
	assert_int_equal(back.timeout_ms, 60000);
	assert_string_equal(back.source.name, "work");
	assert_string_equal(back.source.label, "red");
	assert_int_equal(back.source.colour, 0xcc0000);
	assert_string_equal(back.remote, q.remote);
	assert_string_equal(back.service, q.service);
	assert_string_equal(back.asked, q.asked);
	assert_int_equal(back.preselected, 2);
	for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
		assert_true(prompt_target_next(&back, &at, &t));
		assert_int_equal(t.kind, targets[i].kind);
		assert_int_equal(t.colour, targets[i].colour);
		assert_string_equal(t.label, targets[i].label);
		assert_string_equal(t.name, targets[i].name);
	}
	assert_false(prompt_target_next(&back, &at, &t));
	assert_int_equal(prompt_question_encode(&q, buf, len - 1), 0);
}

/* cut anywhere, longer than it says, each byte of it different: never more than was sent */
static void only_whole_questions_are_questions(void **state)
{
	const struct prompt_qube targets[] = {dvm, dom0};
	const struct prompt_question q = question(targets, ARRAY_LEN(targets));
	size_t len = prompt_question_encode(&q, buf, sizeof(buf)), whole;
	struct prompt_question back;

	(void)state;
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(prompt_question_decode(buf, cut, &back), PROMPT_E_FORMAT);
	buf[len] = 0;
	assert_int_equal(prompt_question_decode(buf, len + 1, &back), PROMPT_E_FORMAT);
	buf[0]++;
	assert_int_equal(prompt_question_decode(buf, len + 1, &back), PROMPT_E_FORMAT);
	buf[0]--;
	assert_int_equal(prompt_question_decode(buf, len, &back), 0);
	assert_int_equal(prompt_question_len(buf, 3, &whole), PROMPT_E_SHORT);
	assert_int_equal(prompt_question_len(buf, 4, &whole), 0);
	assert_int_equal(whole, len);
	assert_int_equal(prompt_question_len("\4\0\0", 4, &whole), PROMPT_E_FORMAT);
	assert_int_equal(prompt_question_len("\1\0\x10", 4, &whole), PROMPT_E_FORMAT);
}

static void what_cannot_be_said_is_not(void **state)
{
	static const struct prompt_qube bad[] = {
		{0, 0, "red", "work"},
		{PROMPT_REMOTE + 1, 0, "red", "work"},
		{PROMPT_APP, 0x1000000, "red", "work"},
		{PROMPT_APP, 0, "", "work"},
		{PROMPT_APP, 0, "<red>", "work"},
		{PROMPT_APP, 0, "red", ""},
		{PROMPT_APP, 0, "red", "two words"},
		{PROMPT_APP, 0, "red", "<b>work</b>"},
		{PROMPT_APP, 0, "red", "a23456789012345678901234567890123"},
		{PROMPT_APP, 0, "red", "dom0"},
		{PROMPT_DOM0, 0, "red", "work"},
	};
	uint8_t one[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(prompt_target_put(&bad[i], one, sizeof(one)), 0);

	for (unsigned i = 0; i < 9; i++) {
		struct prompt_question q = question(&work, 1);

		switch (i) {
		case 0:
			q.timeout_ms = PROMPT_TIMEOUT_MIN_MS - 1;
			break;
		case 1:
			q.timeout_ms = PROMPT_TIMEOUT_MAX_MS + 1;
			break;
		case 2:
			q.source = dvm;
			break;
		case 3:
			q.remote = "<far>";
			break;
		case 4:
			q.service = "";
			break;
		case 5:
			q.preselected = 1;
			break;
		case 6:
			q.n_targets = 0;
			break;
		case 7:
			q.n_targets = 2;
			break;
		default:
			q.targets_len--;
			break;
		}
		if (prompt_question_encode(&q, buf, sizeof(buf)) != 0)
			fail_msg("question %u", i);
	}
}

static void the_longest_service_and_ten_thousand_targets_fit(void **state)
{
	static struct prompt_qube targets[10000];
	static char service[65535];
	struct prompt_question q, back;
	size_t len;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(targets); i++)
		targets[i] = (struct prompt_qube){PROMPT_APP, 0xcc0000, "a-label-of-some-length",
						  "a-qube-with-a-name-of-full-size"};
	q = question(targets, ARRAY_LEN(targets));
	memset(service, 'x', sizeof(service) - 1);
	q.service = service;
	len = prompt_question_encode(&q, buf, sizeof(buf));
	assert_true(len > 0);
	assert_int_equal(prompt_question_decode(buf, len, &back), 0);
	assert_int_equal(strlen(back.service), sizeof(service) - 1);
}

static void an_answer_is_one_of_five(void **state)
{
	struct prompt_answer back;
	uint8_t bytes[PROMPT_ANSWER_LEN + 1] = {0};

	(void)state;
	for (unsigned i = 0; i <= PROMPT_NOT_SHOWN + 1; i++) {
		const struct prompt_answer a = {(enum prompt_result)i, 7};
		bool is_one = i >= PROMPT_ALLOWED && i <= PROMPT_NOT_SHOWN;

		prompt_answer_encode(&a, bytes);
		assert_int_equal(prompt_answer_decode(bytes, PROMPT_ANSWER_LEN, &back),
				 is_one ? 0 : PROMPT_E_FORMAT);
		if (!is_one)
			continue;
		assert_int_equal(back.result, i);
		assert_int_equal(back.target, i == PROMPT_ALLOWED ? 7 : 0);
		assert_int_equal(prompt_answer_decode(bytes, PROMPT_ANSWER_LEN - 1, &back),
				 PROMPT_E_FORMAT);
		assert_int_equal(prompt_answer_decode(bytes, sizeof(bytes), &back),
				 PROMPT_E_FORMAT);
		bytes[1] = 1;
		assert_int_equal(prompt_answer_decode(bytes, PROMPT_ANSWER_LEN, &back),
				 PROMPT_E_FORMAT);
	}
	/* a refusal has no target */
	assert_int_equal(prompt_answer_decode("\2\0\0\0\1\0\0", PROMPT_ANSWER_LEN, &back),
			 PROMPT_E_FORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_question_says_what_was_meant),
		cmocka_unit_test(only_whole_questions_are_questions),
		cmocka_unit_test(what_cannot_be_said_is_not),
		cmocka_unit_test(the_longest_service_and_ten_thousand_targets_fit),
		cmocka_unit_test(an_answer_is_one_of_five),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
