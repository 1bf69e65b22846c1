/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "proto/ask.h"

// clang-format off
static const struct {
	struct ask q;
	bool ok;
} questions[] = {
	{{ASK_VCHAN_BIND, 7, 0, 512}, true},
	{{ASK_VCHAN_UNLINK, 7, 0, 512}, true},
	{{ASK_VCHAN_CONNECT, 0, 32752, 65535}, true},
	{{ASK_QREXEC_BIND, 0, 0, 0}, true},
	{{ASK_QREXEC_UNLINK, 0, 0, 0}, true},
	{{ASK_AGENT_STATE, 0, 0, 0}, true},
	{{ASK_AGENT_STATE, 1, 0, 0}, true},
	{{ASK_BROKER, 0, 0, 0}, true},
	{{0, 0, 0, 0}, false},
	{{8, 0, 0, 0}, false},
	{{UINT32_MAX, 0, 0, 0}, false},
	{{ASK_VCHAN_BIND, 32753, 0, 512}, false},
	{{ASK_VCHAN_BIND, 0, UINT32_MAX, 512}, false},
	{{ASK_VCHAN_CONNECT, 0, 7, 65536}, false},
	{{ASK_QREXEC_BIND, 1, 0, 0}, false},
	{{ASK_QREXEC_UNLINK, 0, 0, 1}, false},
	{{ASK_BROKER, 0, 1, 0}, false},
	{{ASK_AGENT_STATE, 2, 0, 0}, false},
	{{ASK_AGENT_STATE, 1, 1, 0}, false},
};
// clang-format on

static void only_the_questions_of_the_page_exist(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(questions); i++) {
		const struct ask *q = &questions[i].q;
		uint8_t bytes[ASK_QUESTION_LEN];
		struct ask back;

		for (unsigned b = 0; b < 4; b++) {
			bytes[b] = (uint8_t)(q->kind >> (8 * b));
			bytes[4 + b] = (uint8_t)(q->a >> (8 * b));
			bytes[8 + b] = (uint8_t)(q->b >> (8 * b));
			bytes[12 + b] = (uint8_t)(q->c >> (8 * b));
		}
		assert_int_equal(ask_decode(bytes, sizeof(bytes), &back),
				 questions[i].ok ? 0 : ASK_E_FORMAT);
		if (questions[i].ok) {
			uint8_t again[ASK_QUESTION_LEN];

			assert_memory_equal(&back, q, sizeof(back));
			assert_int_equal(ask_encode(q, again), 0);
			assert_memory_equal(again, bytes, sizeof(again));
		} else {
			assert_int_equal(ask_encode(q, bytes), ASK_E_FORMAT);
		}
	}
}

static void other_lengths_are_refused(void **state)
{
	const uint8_t bytes[ASK_QUESTION_LEN + 1] = {ASK_QREXEC_BIND};
	struct ask q;
	int r;

	(void)state;
	for (size_t n = 0; n <= sizeof(bytes); n++)
		assert_int_equal(ask_decode(bytes, n, &q),
				 n == ASK_QUESTION_LEN ? 0 : ASK_E_FORMAT);
	assert_int_equal(ask_answer_decode(bytes, 3, &r), ASK_E_FORMAT);
	assert_int_equal(ask_answer_decode(bytes, 5, &r), ASK_E_FORMAT);
}

static void an_answer_is_zero_or_an_errno(void **state)
{
	const int results[] = {0, -EPERM, -ENOENT, -4095};
	uint8_t bytes[ASK_ANSWER_LEN] = {0, 0x10};
	int r;

	(void)state;
	assert_int_equal(ask_answer_decode(bytes, sizeof(bytes), &r), ASK_E_FORMAT);
	for (size_t i = 0; i < ARRAY_LEN(results); i++) {
		ask_answer_encode(results[i], bytes);
		assert_int_equal(ask_answer_decode(bytes, sizeof(bytes), &r), 0);
		assert_int_equal(r, results[i]);
	}
	ask_answer_encode(1, bytes); /* no outcome is sent as a success */
	assert_int_equal(ask_answer_decode(bytes, sizeof(bytes), &r), 0);
	assert_int_equal(r, -EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_questions_of_the_page_exist),
		cmocka_unit_test(other_lengths_are_refused),
		cmocka_unit_test(an_answer_is_zero_or_an_errno),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
