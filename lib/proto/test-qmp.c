/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/str.h"
#include "proto/qmp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void lines_are_understood(void **state)
{
	static const struct {
		const char *line;
		struct qmp_msg m;
	} rows[] = {
		{"{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, "
		 "\"package\": \"Debian\"}, \"capabilities\": [\"oob\"]}}\r",
		 {.kind = QMP_GREETING}},
		{"{\"return\": {}, \"id\": 7}", {.kind = QMP_RETURN, .has_id = true, .id = 7}},
		{"{\"return\": [1, -2.5e+3, \"x\", null, true]}", {.kind = QMP_RETURN}},
		{"{\"return\": {\"running\": true, \"status\": \"paused\"}, \"id\": 1}",
		 {.kind = QMP_RETURN, .has_id = true, .id = 1, .status = "paused"}},
		{"{\"id\": 9, \"error\": {\"class\": \"GenericError\", \"desc\": \"no "
		 "\\\"x\\\"\"}}",
		 {.kind = QMP_ERROR,
		  .has_id = true,
		  .id = 9,
		  .error_class = "GenericError",
		  .error_desc = "no \"x\""}},
		{"{\"error\": {\"class\": \"GenericError\", \"desc\": \"\\u00e9\\ud83d\\ude00\"}}",
		 {.kind = QMP_ERROR,
		  .error_class = "GenericError",
		  .error_desc = "\xc3\xa9\xf0\x9f\x98\x80"}},
		{"{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": \"SHUTDOWN\", "
		 "\"data\": {\"guest\": true, \"reason\": \"guest-shutdown\"}}",
		 {.kind = QMP_EVENT,
		  .event = QMP_EVENT_SHUTDOWN,
		  .guest = true,
		  .reason = "guest-shutdown"}},
		{"{\"data\": {\"path\": \"/machine\", \"device\": \"dev-x\"}, \"event\": "
		 "\"DEVICE_DELETED\"}",
		 {.kind = QMP_EVENT, .event = QMP_EVENT_DEVICE_DELETED, .device = "dev-x"}},
		{"{\"event\": \"STOP\"}", {.kind = QMP_EVENT, .event = QMP_EVENT_STOP}},
		{"{\"event\": \"BLOCK_IO_ERROR\", \"data\": {\"device\": \"\", \"nospace\": true, "
		 "\"node-name\": \"disk-private\", \"reason\": \"No space left on device\", "
		 "\"operation\": \"write\", \"action\": \"stop\"}}",
		 {.kind = QMP_EVENT,
		  .event = QMP_EVENT_BLOCK_IO_ERROR,
		  .no_space = true,
		  .reason = "No space left on device",
		  .node = "disk-private"}},
		{"{\"event\": \"NIC_RX_FILTER_CHANGED\", \"data\": {\"guest\": {\"a\": []}}}", {0}},
		{"{\"event\": \"RTC_CHANGE\", \"data\": {\"offset\": 78}}",
		 {.kind = QMP_EVENT, .event = QMP_EVENT_OTHER}},
		{"{\"event\": \"VSERPORT_CHANGE\", \"data\": {\"open\": true, \"id\": \"vchan\"}}",
		 {.kind = QMP_EVENT,
		  .event = QMP_EVENT_VSERPORT_CHANGE,
		  .open = true,
		  .device = "vchan"}},
		{"{\"event\": \"MEMORY_DEVICE_SIZE_CHANGE\", \"data\": {\"size\": 134217728, "
		 "\"qom-path\": \"/machine/peripheral/more\", \"id\": \"more\"}}",
		 {.kind = QMP_EVENT,
		  .event = QMP_EVENT_MEMORY_SIZE,
		  .size = 134217728,
		  .device = "more"}},
		{"{\"return\": {\"stats\": {\"stat-htlb-pgalloc\": 0, \"stat-swap-out\": "
		 "18446744073709551615, \"stat-available-memory\": 342003712, "
		 "\"stat-htlb-pgfail\": 0}, \"last-update\": 1795358566}, \"id\": 3}",
		 {.kind = QMP_RETURN,
		  .has_id = true,
		  .id = 3,
		  .has_available = true,
		  .available = 342003712,
		  .swapped_out = UINT64_MAX}},
		{"{\"return\": {\"stats\": {\"stat-available-memory\": 4096, \"stat-swap-out\": "
		 "40812544, \"stat-total-memory\": 8192}}}",
		 {.kind = QMP_RETURN,
		  .has_available = true,
		  .available = 4096,
		  .total = 8192,
		  .swapped_out = 40812544}},
		{"{\"return\": {\"stat-swap-out\": \"nor this\"}}", {.kind = QMP_RETURN}},
		{"{\"return\": {\"stat-total-memory\": []}}", {.kind = QMP_RETURN}},
		{"{\"return\": {\"stats\": {\"stat-available-memory\": 18446744073709551615}}}",
		 {.kind = QMP_RETURN, .has_available = true, .available = UINT64_MAX}},
		{"{\"return\": {\"stat-available-memory\": \"not looked at here\"}}",
		 {.kind = QMP_RETURN}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct qmp_msg m;
		int r = qmp_decode(rows[i].line, strlen(rows[i].line), &m);

		if (i == 10) { /* "guest" is no bool here: refused, whatever the event */
			assert_int_equal(r, QMP_E_FORMAT);
			continue;
		}
		assert_int_equal(r, 0);
		assert_memory_equal(&m, &rows[i].m, sizeof(m));
	}
}

static void everything_else_is_refused(void **state)
{
	static const char *const lines[] = {
		"",
		"{}",
		"[]",
		"null",
		"{\"return\": {}} x",
		"{\"return\": {}",
		"{\"return\": {},}",
		"{\"return\": {} \"id\": 1}",
		"{\"return\": {}, \"return\": {}}",
		"{\"return\": {}, \"error\": {\"class\": \"\", \"desc\": \"\"}}",
		"{\"error\": {\"class\": \"GenericError\"}}",
		"{\"error\": \"text\"}",
		"{\"event\": \"STOP\", \"id\": 1}",
		"{\"data\": {}}",
		"{\"event\": 5}",
		"{\"event\": \"SHUTDOWN\", \"data\": []}",
		"{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true, \"guest\": false}}",
		"{\"return\": {}, \"id\": -1}",
		"{\"return\": {}, \"id\": 1.0}",
		"{\"return\": {}, \"id\": 01}",
		"{\"return\": {}, \"id\": 18446744073709551616}",
		"{\"return\": {}, \"id\": \"1\"}",
		"{\"return\": {\"stats\": 5}}",
		"{\"return\": {\"stats\": {\"stat-available-memory\": -1}}}",
		"{\"return\": {\"stats\": {\"stat-swap-out\": -1}}}",
		"{\"return\": {\"stats\": {\"stat-total-memory\": \"1\"}}}",
		"{\"return\": {\"stats\": {\"stat-swap-out\": 1, \"stat-swap-out\": 1}}}",
		"{\"return\": {\"stats\": {\"stat-available-memory\": 18446744073709551616}}}",
		("{\"return\": {\"stats\": {\"stat-available-memory\": 1, "
		 "\"stat-available-memory\": 2}}}"),
		"{\"return\": {\"stats\": {}, \"stats\": {}}}",
		"{\"event\": \"MEMORY_DEVICE_SIZE_CHANGE\", \"data\": {\"size\": \"x\"}}",
		"{\"return\": \"\\u0000\"}",
		"{\"return\": \"\\ud800\"}",
		"{\"return\": \"\\udc00\"}",
		"{\"return\": \"\\x\"}",
		"{\"return\": \"\\u12g4\"}",
		"{\"return\": \"\xc3\xa9\"}",
		"{\"return\": \"a\nb\"}",
		"{\"return\": 1.}",
		"{\"return\": 1e}",
		"{\"return\": tru}",
		"{\"return\": [1 2]}",
		"{\"return\": [1,]}",
		"{return: {}}",
		"{\"return\": [[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]}",
	};
	static char long_line[QMP_LINE_MAX + 1];
	struct qmp_msg m;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		assert_int_equal(qmp_decode(lines[i], strlen(lines[i]), &m), QMP_E_FORMAT);
	memset(long_line, ' ', sizeof(long_line));
	assert_int_equal(qmp_decode(long_line, sizeof(long_line), &m), QMP_E_LENGTH);
}

static void long_texts_are_cut_between_characters(void **state)
{
	char line[2048], *at = line;
	struct qmp_msg m;

	(void)state;
	at += sprintf(at, "{\"error\": {\"class\": \"%0100d\", \"desc\": \"", 0);
	for (int i = 0; i < 200; i++)
		at += sprintf(at, "\\u00e9");
	at += sprintf(at, "\"}}");
	assert_int_equal(qmp_decode(line, (size_t)(at - line), &m), 0);
	assert_int_equal(strlen(m.error_class), sizeof(m.error_class) - 1);
	assert_int_equal(strlen(m.error_desc), 254); /* 127 characters of two bytes */
}

static void commands_are_written_as_qemu_reads_them(void **state)
{
	const struct qmp_disk disk = {.name = "root",
				      .n_chain = 2,
				      .qcow2 = {true, false},
				      .writable = true,
				      .first_set = 4};
	const struct qmp_disk sealed = {.name = "volatile",
					.n_chain = 1,
					.qcow2 = {true},
					.writable = true,
					.encrypted = true,
					.first_set = 9};
	char buf[QMP_COMMAND_MAX];
	struct jw w = jw_of(buf, sizeof(buf));
	size_t len;

	(void)state;
	qmp_begin(&w, "blockdev-add", 12);
	qmp_put_blockdev(&w, &disk);
	len = qmp_end(&w);
	assert_int_equal(len, strlen(buf));
	assert_string_equal(
		buf,
		"{\"execute\":\"blockdev-add\",\"id\":12,\"arguments\":{\"node-name\":\"disk-"
		"root\","
		"\"driver\":\"qcow2\",\"read-only\":false,\"discard\":\"unmap\",\"file\":{"
		"\"driver\":\"file\",\"filename\":\"/dev/fdset/4\",\"read-only\":false,"
		"\"aio\":\"threads\",\"drop-cache\":false,\"discard\":\"unmap\"},\"backing\":{\"node-name\":"
		"\"backing1-root\",\"driver\":\"raw\",\"read-only\":true,\"discard\":"
		"\"unmap\",\"file\":{\"driver\":\"file\",\"filename\":\"/dev/fdset/5\","
		"\"read-only\":true,\"aio\":\"threads\",\"drop-cache\":false,\"discard\":\"unmap\"}}}}\n");
	w = jw_of(buf, sizeof(buf));
	qmp_begin(&w, "blockdev-add", 12);
	qmp_put_blockdev(&w, &sealed);
	len = qmp_end(&w);
	assert_int_equal(len, strlen(buf));
	assert_string_equal(
		buf,
		"{\"execute\":\"blockdev-add\",\"id\":12,\"arguments\":{\"node-name\":\"disk-"
		"volatile\",\"driver\":\"luks\",\"read-only\":false,\"key-secret\":\"key-volatile\","
		"\"file\":{\"node-name\":\"sealed-volatile\",\"driver\":\"qcow2\",\"read-only\":false,"
		"\"discard\":\"unmap\",\"file\":{\"driver\":\"file\",\"filename\":\"/dev/fdset/9\","
		"\"read-only\":false,\"aio\":\"threads\",\"drop-cache\":false,\"discard\":\"unmap\"},"
		"\"backing\":null}}}\n");
	w = jw_of(buf, sizeof(buf));
	qmp_begin(&w, "x", UINT64_MAX);
	jw_key(&w, "k");
	jw_str(&w, "a\"\\\n\x7f");
	assert_true(qmp_end(&w) > 0);
	assert_string_equal(buf, "{\"execute\":\"x\",\"id\":18446744073709551615,\"arguments\":{"
				 "\"k\":\"a\\\"\\\\\\u000a\\u007f\"}}\n");
	w = jw_of(buf, 20);
	qmp_begin(&w, "system_powerdown", 1);
	assert_int_equal(qmp_end(&w), 0);
}

static void the_longest_disk_fits_a_command(void **state)
{
	struct qmp_disk disk = {.name = "a2345678901234567890",
				.n_chain = QMP_MAX_CHAIN,
				.writable = true,
				.encrypted = true,
				.first_set = 4000000000u};
	char buf[QMP_COMMAND_MAX];
	struct jw w = jw_of(buf, sizeof(buf));

	(void)state;
	memset(disk.qcow2, true, sizeof(disk.qcow2));
	qmp_begin(&w, "blockdev-add", UINT64_MAX);
	qmp_put_blockdev(&w, &disk);
	assert_true(qmp_end(&w) > 0);
}

static void names_are_checked(void **state)
{
	static const struct {
		const char *name;
		bool ok;
	} rows[] = {
		{"root", true},
		{"a2345678901234567890", true},
		{"a23456789012345678901", false},
		{"", false},
		{"-a", false},
		{"a/b", false},
		{"a,b=c", false},
		{"nic0.1_x-y", true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(qmp_name_ok(rows[i].name), rows[i].ok);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_understood),
		cmocka_unit_test(everything_else_is_refused),
		cmocka_unit_test(long_texts_are_cut_between_characters),
		cmocka_unit_test(commands_are_written_as_qemu_reads_them),
		cmocka_unit_test(the_longest_disk_fits_a_command),
		cmocka_unit_test(names_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
