/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/admin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define BYTES(s) (s), sizeof(s) - 1

struct request_row {
	const char *bytes;
	size_t len;
	int r;
	const char *method, *arg, *source, *dest, *payload;
};

static void requests_decode_as_the_page_says(void **state)
{
	/* clang-format off */
	static const struct request_row rows[] = {
		{BYTES("admin.vm.List dom0 name dom0\0"), 0, "admin.vm.List", "", "dom0", "dom0", ""},
		{BYTES("admin.vm.List+ dom0 keyword adminvm\0"), 0, "admin.vm.List", "", "dom0", "dom0", ""},
		{BYTES("a+b+c x name y\0pay"), 0, "a", "b+c", "x", "y", "pay"},
		{BYTES("a x name uuid:00000000-0000-0000-0000-000000000000\0p"), 0, "a", "", "x",
			"uuid:00000000-0000-0000-0000-000000000000", "p"},
		{BYTES(""), ADMIN_E_FORMAT},
		{BYTES("\0"), ADMIN_E_FORMAT},
		{BYTES("a x name y"), ADMIN_E_FORMAT},
		{BYTES("a x name \0"), ADMIN_E_FORMAT},
		{BYTES("a x name\0"), ADMIN_E_FORMAT},
		{BYTES("a x name y z\0"), ADMIN_E_FORMAT},
		{BYTES("a  x name y\0"), ADMIN_E_FORMAT},
		{BYTES(" a x name y\0"), ADMIN_E_FORMAT},
		{BYTES("+b x name y\0"), ADMIN_E_FORMAT},
		{BYTES("a x keyword dom0\0"), ADMIN_E_FORMAT},
		{BYTES("a x Name y\0"), ADMIN_E_FORMAT},
		{BYTES("a\x01 x name y\0"), ADMIN_E_FORMAT},
		{BYTES("a x name y\xc3\xa4\0"), ADMIN_E_FORMAT},
		{BYTES("a x name y\n\0"), ADMIN_E_FORMAT},
		{BYTES("a x name aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\0"), ADMIN_E_LONG},
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct admin_request q;

		print_message("%zu: %s\n", i, rows[i].bytes);
		assert_int_equal(admin_request_decode(rows[i].bytes, rows[i].len, &q), rows[i].r);
		if (rows[i].r != 0)
			continue;
		assert_string_equal(q.method, rows[i].method);
		assert_string_equal(q.arg, rows[i].arg);
		assert_string_equal(q.source, rows[i].source);
		assert_string_equal(q.dest, rows[i].dest);
		assert_int_equal(q.payload_len, strlen(rows[i].payload));
		assert_memory_equal(q.payload, rows[i].payload, q.payload_len);
	}
}

static void a_request_has_at_most_64_kib(void **state)
{
	static char bytes[ADMIN_MAX_REQUEST + 1] = "a x name y";
	struct admin_request q;

	(void)state;
	assert_int_equal(admin_request_decode(bytes, ADMIN_MAX_REQUEST, &q), 0);
	assert_int_equal(admin_request_decode(bytes, ADMIN_MAX_REQUEST + 1, &q), ADMIN_E_FORMAT);
}

static void a_request_that_no_header_can_carry_is_not_written(void **state)
{
	static const struct {
		const char *method, *arg, *source, *dest;
		int r;
	} rows[] = {
		{"a", "", "dom0", "dom0", 0},
		{"a", "b+c", "dom0", "dom0", 0},
		{"", "", "dom0", "dom0", ADMIN_E_FORMAT},
		{"a+b", "", "dom0", "dom0", ADMIN_E_FORMAT},
		{"a", "b c", "dom0", "dom0", ADMIN_E_FORMAT},
		{"a", "", "", "dom0", ADMIN_E_FORMAT},
		{"a", "", "dom0", "x y", ADMIN_E_FORMAT},
		{"a", "", "dom0", "x\ny", ADMIN_E_FORMAT},
	};
	char buf[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct admin_request q = {.payload = (const uint8_t *)"p", .payload_len = 1}, back;
		size_t len;

		(void)snprintf(q.method, sizeof(q.method), "%s", rows[i].method);
		(void)snprintf(q.arg, sizeof(q.arg), "%s", rows[i].arg);
		(void)snprintf(q.source, sizeof(q.source), "%s", rows[i].source);
		(void)snprintf(q.dest, sizeof(q.dest), "%s", rows[i].dest);
		assert_int_equal(admin_request_encode(&q, buf, sizeof(buf), &len), rows[i].r);
		if (rows[i].r != 0)
			continue;
		assert_int_equal(admin_request_encode(&q, buf, len - 1, &len), ADMIN_E_LONG);
		assert_int_equal(admin_request_encode(&q, buf, sizeof(buf), &len), 0);
		assert_int_equal(admin_request_decode(buf, len, &back), 0);
		assert_string_equal(back.arg, rows[i].arg);
	}
}

static void answers_decode_as_the_page_says(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		int r;
		const char *body_or_text;
	} rows[] = {
		{BYTES("0\0"), 0, ""},
		{BYTES("0\0abc\0d"), 0, "abc"},
		{BYTES("2\0T\0\0text\0"), 0, "text"},
		{BYTES("2\0T\0trace\0at 50%% of %s, %d\0this\0"
		       "7\0"),
		 0, "at 50% of this, 7"},
		{BYTES("2\0T\0\0%s %s\0one\0"), 0, "one %s"},
		{BYTES("2\0T\0\0end%\0"), 0, "end%"},
		{BYTES(""), ADMIN_E_FORMAT},
		{BYTES("0"), ADMIN_E_FORMAT},
		{BYTES("3\0"), ADMIN_E_FORMAT},
		{BYTES("1\0\0x\0\0"), ADMIN_E_FORMAT},
		{BYTES("2\0"), ADMIN_E_FORMAT},
		{BYTES("2\0\0\0text\0"), ADMIN_E_FORMAT},
		{BYTES("2\0T\0\0text"), ADMIN_E_FORMAT},
		{BYTES("2\0T\0\0text\0arg"), ADMIN_E_FORMAT},
		{BYTES("2\0T\0\0t\0"
		       "1\0"
		       "2\0"
		       "3\0"
		       "4\0"
		       "5\0"
		       "6\0"
		       "7\0"
		       "8\0"
		       "9\0"),
		 ADMIN_E_LONG},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct admin_answer a;
		char text[64];

		assert_int_equal(admin_answer_decode(rows[i].bytes, rows[i].len, &a), rows[i].r);
		if (rows[i].r != 0)
			continue;
		if (a.kind == ADMIN_OK)
			assert_memory_equal(a.body, rows[i].body_or_text,
					    strlen(rows[i].body_or_text));
		else
			assert_string_equal(admin_answer_text(&a, text, sizeof(text)),
					    rows[i].body_or_text);
	}
}

static void percent_signs_survive_an_exception(void **state)
{
	char buf[256], text[256];
	struct admin_answer a;
	size_t len;

	(void)state;
	len = admin_exception_encode("QubesVMError", "50% of %s", buf, sizeof(buf));
	assert_int_equal(admin_answer_decode(buf, len, &a), 0);
	assert_string_equal(a.format, "50%% of %%s");
	assert_string_equal(a.type, "QubesVMError");
	assert_string_equal(admin_answer_text(&a, text, sizeof(text)), "50% of %s");
	assert_string_equal(admin_answer_text(&a, text, 4), "50%");
}

static void a_long_exception_is_cut(void **state)
{
	char long_text[400], buf[128];
	struct admin_answer a;
	size_t len;

	(void)state;
	memset(long_text, '%', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	len = admin_exception_encode("T", long_text, buf, sizeof(buf));
	assert_true(len > 100);
	assert_int_equal(admin_answer_decode(buf, len, &a), 0);
	assert_int_equal(strlen(a.format) % 2, 0);
}

static void events_decode_once_they_are_whole(void **state)
{
	static const char bytes[] = "1\0work\0property-set:label\0name\0label\0newvalue\0red\0\0";
	struct admin_event e;
	size_t used;

	(void)state;
	for (size_t len = 0; len < sizeof(bytes) - 1; len++)
		assert_int_equal(admin_event_decode(bytes, len, &e, &used), ADMIN_E_MORE);
	assert_int_equal(admin_event_decode(bytes, sizeof(bytes), &e, &used), 0);
	assert_int_equal(used, sizeof(bytes) - 1);
	assert_string_equal(e.subject, "work");
	assert_string_equal(e.name, "property-set:label");
	assert_int_equal(e.n, 2);
	assert_string_equal(e.keys[1], "newvalue");
	assert_string_equal(e.values[1], "red");
	assert_int_equal(admin_event_decode(BYTES("0\0"), &e, &used), ADMIN_E_FORMAT);
	assert_int_equal(admin_event_decode(BYTES("1x"), &e, &used), ADMIN_E_FORMAT);
}

static void an_endless_event_is_refused(void **state)
{
	static char bytes[ADMIN_MAX_EVENT + 10];
	struct admin_event e;
	size_t used;

	(void)state;
	memset(bytes, 'x', sizeof(bytes));
	bytes[0] = '1';
	bytes[1] = '\0';
	assert_int_equal(admin_event_decode(bytes, 1000, &e, &used), ADMIN_E_MORE);
	assert_int_equal(admin_event_decode(bytes, sizeof(bytes), &e, &used), ADMIN_E_FORMAT);
}

static void events_survive_the_round_trip(void **state)
{
	const struct admin_event
		e = {.subject = "", .name = "domain-add", .keys = {"vm"}, .values = {""}, .n = 1},
		no_key = {.subject = "", .name = "x", .keys = {""}, .values = {"v"}, .n = 1};
	struct admin_event back;
	char buf[64];
	size_t len, used;

	(void)state;
	assert_int_equal(admin_event_encode(&e, buf, sizeof(buf), &len), 0);
	assert_int_equal(admin_event_decode(buf, len, &back, &used), 0);
	assert_int_equal(used, len);
	assert_string_equal(back.subject, "");
	assert_string_equal(back.values[0], "");
	assert_int_equal(admin_event_encode(&e, buf, len - 1, &len), ADMIN_E_LONG);
	assert_int_equal(admin_event_encode(&no_key, buf, sizeof(buf), &len), ADMIN_E_FORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_decode_as_the_page_says),
		cmocka_unit_test(a_request_has_at_most_64_kib),
		cmocka_unit_test(a_request_that_no_header_can_carry_is_not_written),
		cmocka_unit_test(answers_decode_as_the_page_says),
		cmocka_unit_test(percent_signs_survive_an_exception),
		cmocka_unit_test(a_long_exception_is_cut),
		cmocka_unit_test(events_decode_once_they_are_whole),
		cmocka_unit_test(an_endless_event_is_refused),
		cmocka_unit_test(events_survive_the_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
