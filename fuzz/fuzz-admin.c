/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The Admin API's frames: whatever decodes, encodes again to something that decodes alike. */
#include "fuzz.h"

#include "proto/admin.h"

#include <string.h>

static void request(const uint8_t *data, size_t size)
{
	static uint8_t buf[2 * ADMIN_MAX_REQUEST];
	struct admin_request q, back;
	size_t len;
	int r = admin_request_decode(data, size, &q);

	FUZZ_CHECK(r >= 0 && r <= ADMIN_E_LONG);
	if (r > 0)
		return;
	FUZZ_CHECK(q.payload + q.payload_len == data + size);
	r = admin_request_encode(&q, buf, sizeof(buf), &len);
	FUZZ_CHECK(r == 0 || r == ADMIN_E_LONG); /* "keyword adminvm" may grow by some bytes */
	if (r > 0)
		return;
	FUZZ_CHECK(admin_request_decode(buf, len, &back) == 0);
	FUZZ_CHECK(strcmp(q.method, back.method) == 0 && strcmp(q.arg, back.arg) == 0);
	FUZZ_CHECK(strcmp(q.source, back.source) == 0 && strcmp(q.dest, back.dest) == 0);
	FUZZ_CHECK(q.payload_len == back.payload_len);
}

static void answer(const uint8_t *data, size_t size)
{
	struct admin_answer a;
	char text[200], again[200];
	uint8_t buf[1024];
	size_t len;
	int r = admin_answer_decode(data, size, &a);

	FUZZ_CHECK(r >= 0);
	if (r > 0 || a.kind != ADMIN_EXCEPTION)
		return;
	FUZZ_CHECK(strlen(admin_answer_text(&a, text, sizeof(text))) < sizeof(text));
	len = admin_exception_encode(a.type, text, buf, sizeof(buf));
	FUZZ_CHECK(admin_answer_decode(buf, len, &a) == 0);
	FUZZ_CHECK(strcmp(admin_answer_text(&a, again, sizeof(again)), text) == 0);
}

static void event(const uint8_t *data, size_t size)
{
	static uint8_t buf[ADMIN_MAX_EVENT];
	struct admin_event e;
	size_t used, len;
	int r = admin_event_decode(data, size, &e, &used);

	FUZZ_CHECK(r == 0 || r == ADMIN_E_FORMAT || r == ADMIN_E_MORE);
	if (r > 0)
		return;
	FUZZ_CHECK(used <= size && used <= ADMIN_MAX_EVENT);
	FUZZ_CHECK(admin_event_encode(&e, buf, sizeof(buf), &len) == 0);
	FUZZ_CHECK(len == used && memcmp(buf, data, used) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	request(data, size);
	answer(data, size);
	event(data, size);
	return 0;
}
