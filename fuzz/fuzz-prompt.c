/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Questions to the person and their answers: what decodes encodes to itself, and holds its limits. */
#include "fuzz.h"

#include "proto/prompt.h"

#include <string.h>

static uint8_t again[PROMPT_MAX];

static void question(const uint8_t *data, size_t size)
{
	struct prompt_question q;
	struct prompt_qube t;
	size_t at = 0, whole;
	unsigned n = 0;

	if (prompt_question_decode(data, size, &q) != 0)
		return;
	FUZZ_CHECK(prompt_question_len(data, size, &whole) == 0 && whole == size);
	while (prompt_target_next(&q, &at, &t)) {
		FUZZ_CHECK(t.name[0] != '\0' && !strpbrk(t.name, "<>& \n"));
		n++;
	}
	FUZZ_CHECK(n == q.n_targets && at == q.targets_len);
	FUZZ_CHECK(q.preselected == PROMPT_NONE || q.preselected < n);
	FUZZ_CHECK(prompt_question_encode(&q, again, sizeof(again)) == size);
	FUZZ_CHECK(memcmp(again, data, size) == 0);
}

static void answer(const uint8_t *data, size_t size)
{
	struct prompt_answer a;

	if (prompt_answer_decode(data, size, &a) != 0)
		return;
	FUZZ_CHECK(size == PROMPT_ANSWER_LEN && (a.result == PROMPT_ALLOWED || a.target == 0));
	prompt_answer_encode(&a, again);
	FUZZ_CHECK(memcmp(again, data, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	question(data, size);
	answer(data, size);
	return 0;
}
