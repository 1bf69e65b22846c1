/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "qdb/conn.h"

/* what @from wants to send, @n bytes at a time, arrives at @to */
static void carry(struct qdb_conn *from, struct qdb_conn *to, size_t n)
{
	size_t size, len;
	const uint8_t *bytes = qdb_conn_pending(from, &len);
	uint8_t *room = qdb_conn_room(to, &size);

	n = n > len ? len : n;
	n = n > size ? size : n;
	if (n > 0)
		memcpy(room, bytes, n);
	qdb_conn_filled(to, n);
	qdb_conn_sent(from, n);
}

static void messages_survive_any_cut(void **state)
{
	static const size_t cuts[] = {1, 71, 72, 73, 100, 4096};
	static char value[QDB_VALUE_MAX];

	(void)state;
	memset(value, 'v', sizeof(value));
	for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
		struct qdb_conn a, b;
		unsigned n = 0;

		qdb_conn_init(&a);
		qdb_conn_init(&b);
		for (unsigned k = 0; k < 40; k++)
			assert_int_equal(
				qdb_conn_put(&a, QDB_WRITE, "/key", 4, value, k * 78 % 3072), 0);
		while (n < 40) {
			struct qdb_msg m;
			int r = qdb_conn_next(&b, &m);

			if (r == QDB_C_MORE) {
				carry(&a, &b, cuts[i]);
				continue;
			}
			assert_int_equal(r, 0);
			assert_string_equal(m.head.path, "/key");
			assert_int_equal(m.head.value_len, n * 78 % 3072);
			assert_memory_equal(m.value, value, m.head.value_len);
			n++;
		}
		assert_int_equal(qdb_conn_n_pending(&a), 0);
		qdb_conn_done(&a);
		qdb_conn_done(&b);
	}
}

static void a_bad_message_is_told_from_a_lost_stream(void **state)
{
	struct qdb_conn a, b;
	struct qdb_msg m;

	(void)state;
	qdb_conn_init(&a);
	qdb_conn_init(&b);
	assert_int_equal(qdb_conn_put(&a, QDB_WRITE, "/a", 2, "x\0y", 3), 0);
	assert_int_equal(qdb_conn_put(&a, QDB_READ, "/b", 2, NULL, 0), 0);
	assert_int_equal(qdb_conn_put(&a, QDB_READ, "/b/", 3, NULL, 0), -EINVAL);
	assert_int_equal(qdb_conn_put(&a, QDB_READ, "/b", 2, "v", 1), -EINVAL);
	carry(&a, &b, 4096);
	assert_int_equal(qdb_conn_next(&b, &m), QDB_E_VALUE);
	assert_int_equal(qdb_conn_next(&b, &m), 0); /* the stream goes on */
	assert_string_equal(m.head.path, "/b");
	memset(qdb_conn_room(&b, &(size_t){0}), 0xff, QDB_HEADER);
	qdb_conn_filled(&b, QDB_HEADER);
	assert_int_equal(qdb_conn_next(&b, &m), QDB_E_FORMAT);
	assert_int_equal(qdb_conn_next(&b, &m), QDB_E_FORMAT);
	qdb_conn_done(&a);
	qdb_conn_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_survive_any_cut),
		cmocka_unit_test(a_bad_message_is_told_from_a_lost_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
