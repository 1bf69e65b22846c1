/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/qrexec.h"

#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* header and payload as one byte string, through both decoders */
static int decode(enum qrexec_way way, uint32_t version, const void *bytes, size_t len,
		  struct qrexec_msg *ret)
{
	struct qrexec_header h;
	int r = qrexec_header_decode(way, version, bytes, &h);

	if (r != 0)
		return r;
	assert_int_equal(h.len, len - QREXEC_HEADER_LEN);
	return qrexec_payload_decode(way, version, &h, (const uint8_t *)bytes + QREXEC_HEADER_LEN,
				     ret);
}

static void headers_of_each_way(void **state)
{
	/* clang-format off */
	static const struct {
		enum qrexec_way way;
		uint32_t version, type, len;
		int outcome;
	} rows[] = {
		{QREXEC_AGENT_TO_DAEMON, 2, QREXEC_HELLO, 4, 0},
		{QREXEC_AGENT_TO_DAEMON, 2, QREXEC_HELLO, 8, QREXEC_E_LENGTH},
		{QREXEC_LOCAL_TO_AGENT, 4, QREXEC_HELLO, 4, QREXEC_E_TYPE},
		{QREXEC_AGENT_TO_DAEMON, 4, QREXEC_EXEC_CMDLINE, 10, QREXEC_E_TYPE},
		{QREXEC_DAEMON_TO_AGENT, 4, QREXEC_EXEC_CMDLINE, 10, 0},
		{QREXEC_DAEMON_TO_AGENT, 4, QREXEC_EXEC_CMDLINE, 9, QREXEC_E_LENGTH},
		{QREXEC_DAEMON_TO_AGENT, 4, QREXEC_EXEC_CMDLINE, 8 + 65535, 0},
		{QREXEC_DAEMON_TO_AGENT, 4, QREXEC_EXEC_CMDLINE, 8 + 65536, QREXEC_E_LENGTH},
		{QREXEC_DAEMON_TO_CLIENT, 3, QREXEC_JUST_EXEC, 8, 0},
		{QREXEC_DAEMON_TO_CLIENT, 3, QREXEC_JUST_EXEC, 10, QREXEC_E_LENGTH},
		{QREXEC_CLIENT_TO_DAEMON, 3, QREXEC_SERVICE_CONNECT, 40, 0},
		{QREXEC_CLIENT_TO_DAEMON, 3, QREXEC_CONNECTION_TERMINATED, 8, QREXEC_E_TYPE},
		{QREXEC_AGENT_TO_DAEMON, 2, QREXEC_CONNECTION_TERMINATED, 8, 0},
		{QREXEC_AGENT_TO_DAEMON, 2, QREXEC_CONNECTION_TERMINATED, 7, QREXEC_E_LENGTH},
		{QREXEC_AGENT_TO_DAEMON, 2, QREXEC_TRIGGER_SERVICE, 128, 0},
		{QREXEC_AGENT_TO_DAEMON, 2, QREXEC_TRIGGER_SERVICE3, 97, QREXEC_E_TYPE},
		{QREXEC_AGENT_TO_DAEMON, 3, QREXEC_TRIGGER_SERVICE3, 97, 0},
		{QREXEC_AGENT_TO_DAEMON, 3, QREXEC_TRIGGER_SERVICE4, 161, QREXEC_E_TYPE},
		{QREXEC_AGENT_TO_DAEMON, 4, QREXEC_TRIGGER_SERVICE4, 161, 0},
		{QREXEC_AGENT_TO_DAEMON, 4, QREXEC_TRIGGER_SERVICE4, 160, QREXEC_E_LENGTH},
		{QREXEC_AGENT_TO_DAEMON, 4, QREXEC_TRIGGER_SERVICE4, 160 + 65001, 0},
		{QREXEC_AGENT_TO_DAEMON, 4, QREXEC_TRIGGER_SERVICE4, 160 + 65002, QREXEC_E_LENGTH},
		{QREXEC_LOCAL_TO_AGENT, 4, QREXEC_TRIGGER_SERVICE4, 161, 0},
		{QREXEC_CALLER_TO_SERVICE, 2, QREXEC_DATA_STDIN, 4096, 0},
		{QREXEC_CALLER_TO_SERVICE, 2, QREXEC_DATA_STDIN, 4097, QREXEC_E_LENGTH},
		{QREXEC_CALLER_TO_SERVICE, 3, QREXEC_DATA_STDIN, 65536, 0},
		{QREXEC_CALLER_TO_SERVICE, 3, QREXEC_DATA_STDIN, 65537, QREXEC_E_LENGTH},
		{QREXEC_CALLER_TO_SERVICE, 3, QREXEC_DATA_STDOUT, 1, QREXEC_E_TYPE},
		{QREXEC_SERVICE_TO_CALLER, 3, QREXEC_DATA_STDIN, 1, QREXEC_E_TYPE},
		{QREXEC_SERVICE_TO_CALLER, 3, QREXEC_DATA_EXIT_CODE, 4, 0},
		{QREXEC_SERVICE_TO_CALLER, 3, QREXEC_DATA_EXIT_CODE, 0, QREXEC_E_LENGTH},
		{QREXEC_SERVICE_TO_CALLER, 3, 0xffffffff, 0xffffffff, QREXEC_E_TYPE},
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t bytes[QREXEC_HEADER_LEN];
		struct qrexec_header h;

		qrexec_header_encode((enum qrexec_type)rows[i].type, rows[i].len, bytes);
		if (qrexec_header_decode(rows[i].way, rows[i].version, bytes, &h) !=
		    rows[i].outcome)
			fail_msg("row %zu", i);
		if (rows[i].outcome == 0 && rows[i].len > QREXEC_MESSAGE_MAX - QREXEC_HEADER_LEN)
			fail_msg("row %zu is longer than the longest message", i);
	}
}

static void a_command_is_text_that_ends_once(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		int outcome;
	} rows[] = {
		{"user:true", 10, 0},         {"x", 2, 0},
		{"\0", 2, QREXEC_E_FORMAT},   /* empty, and more behind it */
		{"a\0b", 4, QREXEC_E_FORMAT}, /* two texts */
		{"abc", 3, QREXEC_E_FORMAT},  /* no end */
		{"a\0", 3, QREXEC_E_FORMAT},  /* two ends */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t bytes[64];
		struct wr w = wr_of(bytes, sizeof(bytes));
		struct qrexec_msg m;
		int r;

		wr_le32(&w, QREXEC_EXEC_CMDLINE);
		wr_le32(&w, (uint32_t)(8 + rows[i].len));
		wr_le32(&w, 7);
		wr_le32(&w, 513);
		wr_bytes(&w, rows[i].bytes, rows[i].len);
		r = decode(QREXEC_DAEMON_TO_AGENT, 4, bytes, wr_done(&w), &m);
		if (r != rows[i].outcome)
			fail_msg("row %zu: %d", i, r);
		if (r == 0) {
			assert_int_equal(m.domid, 7);
			assert_int_equal(m.port, 513);
			assert_string_equal(m.command, rows[i].bytes);
			assert_int_equal(m.command_len, strlen(rows[i].bytes));
		}
	}
}

static void an_ident_has_few_letters_and_a_clean_end(void **state)
{
	static const struct {
		char ident[33];
		int outcome;
	} rows[] = {
		{"SOCKET42", 0},
		{"a_b.c-d e", 0},
		{"", QREXEC_E_FORMAT},
		{"a/b", QREXEC_E_FORMAT},
		{"a\n", QREXEC_E_FORMAT},
		{"a\0b", QREXEC_E_FORMAT},
		{"\xc3\xa4", QREXEC_E_FORMAT},
		{"0123456789012345678901234567890", 0},
		{"01234567890123456789012345678901", QREXEC_E_FORMAT},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t bytes[40];
		struct qrexec_msg m;

		qrexec_header_encode(QREXEC_SERVICE_REFUSED, 32, bytes);
		memcpy(bytes + 8, rows[i].ident, 32);
		if (decode(QREXEC_DAEMON_TO_AGENT, 4, bytes, 40, &m) != rows[i].outcome)
			fail_msg("row %zu", i);
	}
}

static void which_services_may_be_asked_for(void **state)
{
	static char huge[QREXEC_SERVICE_MAX + 2];

	(void)state;
	memset(huge, 'a', sizeof(huge));
	assert_true(qrexec_service_valid("qubes.GetDate", 13));
	assert_true(qrexec_service_valid("qubes.GetDate+", 14));
	assert_true(qrexec_service_valid(huge, QREXEC_SERVICE_MAX));
	assert_false(qrexec_service_valid(huge, QREXEC_SERVICE_MAX + 1));
	assert_false(qrexec_service_valid("", 0));
	assert_false(qrexec_service_valid("+x", 2));
	assert_false(qrexec_service_valid("a\0b", 3));
}

static void every_message_comes_back_as_it_was(void **state)
{
	static const struct {
		enum qrexec_way way;
		struct qrexec_msg m;
	} rows[] = {
		{QREXEC_AGENT_TO_DAEMON, {.type = QREXEC_HELLO, .version = 4}},
		{QREXEC_DAEMON_TO_AGENT,
		 {.type = QREXEC_JUST_EXEC, .port = 600, .command = "u:x", .command_len = 3}},
		{QREXEC_DAEMON_TO_CLIENT, {.type = QREXEC_EXEC_CMDLINE, .domid = 9, .port = 513}},
		{QREXEC_DAEMON_TO_AGENT,
		 {.type = QREXEC_SERVICE_CONNECT, .domid = 9, .port = 513, .ident = "S1"}},
		{QREXEC_DAEMON_TO_AGENT, {.type = QREXEC_SERVICE_REFUSED, .ident = "S1"}},
		{QREXEC_AGENT_TO_DAEMON,
		 {.type = QREXEC_CONNECTION_TERMINATED, .domid = 0, .port = 768}},
		{QREXEC_AGENT_TO_DAEMON,
		 {.type = QREXEC_TRIGGER_SERVICE,
		  .target = "work",
		  .ident = "S1",
		  .service = "a.B",
		  .service_len = 3}},
		{QREXEC_AGENT_TO_DAEMON,
		 {.type = QREXEC_TRIGGER_SERVICE3,
		  .target = "@default",
		  .ident = "S1",
		  .service = "a.B+c",
		  .service_len = 5}},
		{QREXEC_AGENT_TO_DAEMON,
		 {.type = QREXEC_TRIGGER_SERVICE4,
		  .source = "x",
		  .target = "",
		  .ident = "S1",
		  .service = "",
		  .service_len = 0}},
		{QREXEC_CALLER_TO_SERVICE,
		 {.type = QREXEC_DATA_STDIN, .data = (const uint8_t *)"hi", .data_len = 2}},
		{QREXEC_SERVICE_TO_CALLER, {.type = QREXEC_DATA_STDERR}},
		{QREXEC_SERVICE_TO_CALLER, {.type = QREXEC_DATA_EXIT_CODE, .exit_code = 255}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct qrexec_msg *m = &rows[i].m;
		uint8_t bytes[512];
		size_t len = qrexec_msg_encode(m, bytes, sizeof(bytes));
		struct qrexec_msg back = {0};

		assert_true(len >= QREXEC_HEADER_LEN);
		assert_int_equal(decode(rows[i].way, 4, bytes, len, &back), 0);
		assert_int_equal(back.type, m->type);
		assert_int_equal(back.version, m->version);
		assert_int_equal(back.domid, m->domid);
		assert_int_equal(back.port, m->port);
		assert_string_equal(back.ident, m->ident);
		assert_string_equal(back.source, m->source);
		assert_string_equal(back.target, m->target);
		assert_int_equal(back.service_len, m->service_len);
		assert_int_equal(back.data_len, m->data_len);
		assert_int_equal(back.exit_code, m->exit_code);
		assert_int_equal(qrexec_msg_encode(m, bytes, len - 1), 0);
	}
}

static void both_sides_speak_the_older_version(void **state)
{
	(void)state;
	assert_int_equal(qrexec_version_agree(4, 4), 4);
	assert_int_equal(qrexec_version_agree(4, 99), 4);
	assert_int_equal(qrexec_version_agree(4, 2), 2);
	assert_int_equal(qrexec_version_agree(4, 1), 0);
	assert_int_equal(qrexec_chunk_max(2), 4096);
	assert_int_equal(qrexec_chunk_max(4), 65536);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_of_each_way),
		cmocka_unit_test(a_command_is_text_that_ends_once),
		cmocka_unit_test(an_ident_has_few_letters_and_a_clean_end),
		cmocka_unit_test(which_services_may_be_asked_for),
		cmocka_unit_test(every_message_comes_back_as_it_was),
		cmocka_unit_test(both_sides_speak_the_older_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
