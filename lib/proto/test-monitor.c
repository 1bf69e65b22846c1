/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/monitor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static uint8_t buf[MONITOR_MSG_MAX];

static void what_is_written_reads_back(void **state)
{
	static const struct {
		struct monitor_msg m;
		size_t n_fds;
	} rows[] = {
		{{.type = MONITOR_FDS, .fds = {.n = 2, .to = {16, 1023}}}, 2},
		{{.type = MONITOR_START,
		  .start = {.domid = 7,
			    .uid = 0x70000007,
			    .memory_mib = 400,
			    .more_mib = 3600,
			    .qrexec = true,
			    .name = "work",
			    .uuid = "u",
			    .default_user = "user",
			    .run_dir = "/run/x",
			    .program = "/usr/bin/qemu",
			    .n_args = 2,
			    .args = {"qemu", "-S"},
			    .n_qdb = 1,
			    .qdb_path = {"/name"},
			    .qdb_value = {"work"}}},
		 1},
		{{.type = MONITOR_START,
		  .start = {.domid = 8,
			    .mode = MONITOR_FORK,
			    .private_size = UINT64_C(1) << 31,
			    .volatile_size = 1 << 20,
			    .name = "work",
			    .uuid = "u",
			    .default_user = "user",
			    .run_dir = "/run/x",
			    .program = "/usr/bin/qemu"}},
		 2},
		{{.type = MONITOR_SHUTDOWN, .id = 1}, 0},
		{{.type = MONITOR_KILL, .id = 2}, 0},
		{{.type = MONITOR_PAUSE, .id = 3}, 0},
		{{.type = MONITOR_UNPAUSE, .id = 4}, 0},
		{{.type = MONITOR_DISK_ADD,
		  .id = 5,
		  .device = {.name = "x", .n_chain = 2, .qcow2 = {true, false}, .writable = true}},
		 2},
		{{.type = MONITOR_DISK_REMOVE, .id = 6, .device = {.name = "x"}}, 0},
		{{.type = MONITOR_DISK_RESIZE, .id = 7, .device = {.name = "x", .size = 1u << 30}},
		 0},
		{{.type = MONITOR_NIC_ADD,
		  .id = 8,
		  .device = {.name = "n", .mac = "00:16:3e:5e:6c:00"}},
		 1},
		{{.type = MONITOR_NIC_REMOVE, .id = 9, .device = {.name = "n"}}, 0},
		{{.type = MONITOR_QDB_WRITE, .id = 10, .qdb = {.path = "/a", .value = "b"}}, 0},
		{{.type = MONITOR_QDB_RM, .id = 11, .qdb = {.path = "/a"}}, 0},
		{{.type = MONITOR_STATUS,
		  .status = {.state = MONITOR_GONE,
			     .stage = MONITOR_READY,
			     .clean = true,
			     .agent = true,
			     .error = 5,
			     .domid = 7,
			     .qemu_pid = 99,
			     .pressed_s = 12,
			     .name = "work",
			     .uuid = "u",
			     .why = ""}},
		 0},
		{{.type = MONITOR_STATUS,
		  .status = {.state = MONITOR_PAUSED,
			     .stage = MONITOR_READY,
			     .error = 28, /* ENOSPC */
			     .domid = 7,
			     .pressed_s = MONITOR_NEVER,
			     .name = "work",
			     .uuid = "u",
			     .why = ""}},
		 0},
		{{.type = MONITOR_MEMORY_ASK, .id = 12, .memory = {.asked = 1u << 30}}, 0},
		{{.type = MONITOR_MEMORY,
		  .memory = {.base = 400u << 20,
			     .most = UINT64_C(3600) << 20,
			     .asked = 1u << 30,
			     .has = 1u << 29,
			     .available = MONITOR_UNKNOWN,
			     .swapped_out = 1u << 28}},
		 0},
		{{.type = MONITOR_REPLY, .id = 12, .reply = {.error = 0, .text = ""}}, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		static uint8_t again[MONITOR_MSG_MAX];
		static struct monitor_msg m;
		size_t len = monitor_encode(&rows[i].m, buf, sizeof(buf));

		assert_true(len > 0);
		assert_int_equal(monitor_decode(buf, len, rows[i].n_fds, &m), 0);
		assert_int_equal(m.type, rows[i].m.type);
		assert_int_equal(m.id, rows[i].m.id);
		assert_int_equal(monitor_encode(&m, again, sizeof(again)), len);
		assert_memory_equal(buf, again, len);
		/* cut anywhere, made longer, or with another number of descriptors: refused */
		for (size_t n = 0; n < len; n++)
			assert_int_equal(monitor_decode(buf, n, rows[i].n_fds, &m),
					 rows[i].m.type == MONITOR_MEMORY && n + 8 == len
						 ? 0
						 : MONITOR_E_FORMAT);
		buf[len] = 0;
		assert_int_equal(monitor_decode(buf, len + 1, rows[i].n_fds, &m), MONITOR_E_FORMAT);
		assert_int_equal(monitor_decode(buf, len, rows[i].n_fds + 1, &m), MONITOR_E_FORMAT);
		assert_int_equal(monitor_encode(&rows[i].m, buf, len - 1), 0);
	}
}

/* qubes outlive the qubesd that started them, and meet a newer one */
static void memory_without_its_last_word_is_understood(void **state)
{
	const struct monitor_msg old = {.type = MONITOR_MEMORY,
					.memory = {.base = 1, .available = 5, .swapped_out = 6}};
	static struct monitor_msg m;
	size_t len = monitor_encode(&old, buf, sizeof(buf));

	(void)state;
	assert_int_equal(monitor_decode(buf, len - 8, 0, &m), 0);
	assert_int_equal(m.memory.available, 5);
	assert_int_equal(m.memory.swapped_out, 0);
}

static void numbers_of_old_mean_what_they_did(void **state)
{
	static const uint8_t stages[] = {MONITOR_SPAWNED, MONITOR_BOOTING, MONITOR_READY,
					 MONITOR_AWAKE};
	static struct monitor_msg m;
	const size_t at = 4 + 4 + 1; /* type, id, state */

	(void)state;
	for (size_t i = 0; i < sizeof(stages) + 1; i++) {
		size_t len;

		m = (struct monitor_msg){.type = MONITOR_STATUS,
					 .status = {.name = "a", .uuid = "u", .why = ""}};
		len = monitor_encode(&m, buf, sizeof(buf));
		buf[at] = (uint8_t)i;
		if (i == sizeof(stages)) {
			assert_int_equal(monitor_decode(buf, len, 0, &m), MONITOR_E_FORMAT);
			break;
		}
		assert_int_equal(monitor_decode(buf, len, 0, &m), 0);
		assert_int_equal(m.status.stage, stages[i]);
	}
}

static void limits_hold_on_both_sides(void **state)
{
	static struct monitor_msg m;
	static char text[UINT16_MAX + 1];
	size_t len;

	(void)state;
	m = (struct monitor_msg){.type = MONITOR_FDS, .fds = {.n = MONITOR_MAX_FDS + 1}};
	assert_int_equal(monitor_encode(&m, buf, sizeof(buf)), 0);
	m = (struct monitor_msg){.type = MONITOR_FDS, .fds = {.n = 1, .to = {15}}};
	len = monitor_encode(&m, buf, sizeof(buf));
	assert_int_equal(monitor_decode(buf, len, 1, &m), MONITOR_E_FORMAT);
	m = (struct monitor_msg){.type = MONITOR_FDS};
	len = monitor_encode(&m, buf, sizeof(buf));
	assert_int_equal(monitor_decode(buf, len, 0, &m), MONITOR_E_FORMAT);
	memset(text, 'x', sizeof(text) - 1);
	m = (struct monitor_msg){.type = MONITOR_REPLY, .reply = {.text = text}};
	assert_int_equal(monitor_encode(&m, buf, sizeof(buf)), 0);
	m = (struct monitor_msg){.type = MONITOR_REPLY, .reply = {.text = "text"}};
	len = monitor_encode(&m, buf, sizeof(buf));
	buf[len - 2] = 0; /* a NUL inside */
	assert_int_equal(monitor_decode(buf, len, 0, &m), MONITOR_E_FORMAT);
	m = (struct monitor_msg){.type = (enum monitor_type)99};
	len = monitor_encode(&m, buf, sizeof(buf));
	assert_int_equal(monitor_decode(buf, len, 0, &m), MONITOR_E_FORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_reads_back),
		cmocka_unit_test(memory_without_its_last_word_is_understood),
		cmocka_unit_test(numbers_of_old_mean_what_they_did),
		cmocka_unit_test(limits_hold_on_both_sides),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
