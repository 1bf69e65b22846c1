/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "proto/qcow2.h"

static const struct qcow2_header example = {
	.size = UINT64_C(10) << 30,
	.l1_at = 3 * QCOW2_CLUSTER,
	.n_l1 = 20,
	.refs_at = QCOW2_CLUSTER,
	.n_refs_clusters = 1,
	.backing = "41.qcow2",
	.backing_len = 8,
};
enum { FILE_SIZE = 4 * 65536 };

static void what_is_written_reads_back(void **state)
{
	struct qcow2_header in = example, h;
	uint8_t buf[512] = {0};

	(void)state;
	assert_int_equal(qcow2_header_encode(&example, buf, sizeof(buf)), 112 + 24 + 8);
	assert_int_equal(qcow2_header_decode(buf, sizeof(buf), FILE_SIZE, &h), 0);
	assert_true(h.size == example.size && h.l1_at == example.l1_at && h.n_l1 == example.n_l1);
	assert_true(h.refs_at == example.refs_at && h.n_refs_clusters == example.n_refs_clusters);
	assert_int_equal(h.backing_len, 8);
	assert_memory_equal(h.backing, "41.qcow2", 8);
	assert_false(h.backing_is_raw);

	in.backing_is_raw = true;
	assert_int_equal(qcow2_header_encode(&in, buf, sizeof(buf)), 112 + 24 + 8);
	assert_memory_equal(buf + 112, "\xe2\x79\x2a\xca\0\0\0\3raw\0\0\0\0\0", 16);
	assert_int_equal(qcow2_header_decode(buf, sizeof(buf), FILE_SIZE, &h), 0);
	assert_true(h.backing_is_raw);
	assert_memory_equal(h.backing, "41.qcow2", 8);
}

static void a_header_without_backing_file_reads_back(void **state)
{
	struct qcow2_header in = example, h;
	uint8_t buf[512] = {0};

	(void)state;
	in.backing = NULL;
	in.backing_len = 0;
	assert_int_equal(qcow2_header_encode(&in, buf, sizeof(buf)), 112 + 8);
	assert_int_equal(qcow2_header_decode(buf, sizeof(buf), FILE_SIZE, &h), 0);
	assert_null(h.backing);
}

static void each_wrong_field_is_refused(void **state)
{
	static const struct {
		const char *what;
		unsigned at, len;
		uint64_t value;
		int outcome;
	} rows[] = {
		{"magic", 0, 4, 0x514649fa, QCOW2_E_FORMAT},
		{"version 2", 4, 4, 2, QCOW2_E_FEATURE},
		{"version 4", 4, 4, 4, QCOW2_E_FEATURE},
		{"name in the header", 8, 8, 100, QCOW2_E_FORMAT},
		{"name behind the cluster", 8, 8, 510, QCOW2_E_FORMAT},
		{"name far away", 8, 8, UINT64_MAX, QCOW2_E_FORMAT},
		{"empty name", 16, 4, 0, QCOW2_E_FORMAT},
		{"long name", 16, 4, 1024, QCOW2_E_FORMAT},
		{"name with NUL", 16, 4, 9, QCOW2_E_FORMAT},
		{"cluster size", 20, 4, 9, QCOW2_E_FEATURE},
		{"half a sector", 24, 8, 256, QCOW2_E_FORMAT},
		{"larger than its L1 table", 24, 8, UINT64_C(11) << 30, QCOW2_E_FORMAT},
		{"too large a disk", 24, 8, QCOW2_MAX_SIZE + 512, QCOW2_E_FORMAT},
		{"encryption", 32, 4, 2, QCOW2_E_FEATURE},
		{"L1 entries too few", 36, 4, 19, QCOW2_E_FORMAT},
		{"L1 entries too many", 36, 4, 8193, QCOW2_E_BOUNDS},
		{"L1 entries far too many", 36, 4, UINT32_MAX, QCOW2_E_FORMAT},
		{"L1 table in the header", 40, 8, 0, QCOW2_E_BOUNDS},
		{"L1 table not aligned", 40, 8, 0x30200, QCOW2_E_BOUNDS},
		{"L1 table behind the end", 40, 8, 0x40000, QCOW2_E_BOUNDS},
		{"L1 table at the top", 40, 8, UINT64_C(0xffffffffffff0000), QCOW2_E_BOUNDS},
		{"reference table behind the end", 48, 8, 0x40000, QCOW2_E_BOUNDS},
		{"reference table too long", 56, 4, 4, QCOW2_E_BOUNDS},
		{"no reference table", 56, 4, 0, QCOW2_E_FORMAT},
		{"reference table longer than any file needs", 56, 4, 65, QCOW2_E_FORMAT},
		{"snapshots", 60, 4, 1, QCOW2_E_FEATURE},
		{"dirty", 72, 8, 1, QCOW2_E_CORRUPT},
		{"corrupt", 72, 8, 2, QCOW2_E_CORRUPT},
		{"external data file", 72, 8, 4, QCOW2_E_FEATURE},
		{"extended entries", 72, 8, 16, QCOW2_E_FEATURE},
		{"unknown incompatible feature", 72, 8, UINT64_C(1) << 63, QCOW2_E_FEATURE},
		{"lazy references", 80, 8, 1, QCOW2_E_FEATURE},
		{"bitmaps", 88, 8, 1, QCOW2_E_FEATURE},
		{"width of references", 96, 4, 6, QCOW2_E_FEATURE},
		{"header length", 100, 4, 120, QCOW2_E_FEATURE},
		{"compression", 104, 1, 1, QCOW2_E_FEATURE},
		{"cut backing format", 112 + 4, 4, 3, QCOW2_E_FEATURE},
		{"unknown extension", 112, 4, 0x44415441, QCOW2_E_FEATURE},
		{"extension longer than the cluster", 116, 4, UINT32_MAX, QCOW2_E_FORMAT},
		{"end with a length", 112 + 20, 4, 8, QCOW2_E_FORMAT},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t buf[512] = {0};
		struct qcow2_header h;
		struct wr w;

		assert_true(qcow2_header_encode(&example, buf, sizeof(buf)) > 0);
		w = wr_of(buf + rows[i].at, rows[i].len);
		if (rows[i].len == 8)
			wr_be64(&w, rows[i].value);
		else if (rows[i].len == 4)
			wr_be32(&w, (uint32_t)rows[i].value);
		else
			wr_u8(&w, (uint8_t)rows[i].value);
		if (qcow2_header_decode(buf, sizeof(buf), FILE_SIZE, &h) != rows[i].outcome)
			fail_msg("%s", rows[i].what);
	}
}

static void a_header_cut_short_is_refused(void **state)
{
	uint8_t buf[512] = {0};
	struct qcow2_header h;

	(void)state;
	assert_true(qcow2_header_encode(&example, buf, sizeof(buf)) > 0);
	for (size_t n = 0; n < 144; n++)
		assert_int_equal(qcow2_header_decode(buf, n, FILE_SIZE, &h), QCOW2_E_FORMAT);
	assert_int_equal(qcow2_header_decode(buf, 144, FILE_SIZE, &h), 0);
	assert_int_equal(qcow2_header_decode(buf, 512, FILE_SIZE - 65536, &h), QCOW2_E_BOUNDS);
	assert_int_equal(qcow2_header_decode(buf, 512, 511, &h), QCOW2_E_FORMAT);
}

static void nothing_is_written_that_would_be_refused(void **state)
{
	uint8_t buf[2048];
	struct qcow2_header h = example;
	char name[QCOW2_MAX_BACKING + 1];

	(void)state;
	assert_int_equal(qcow2_header_encode(&h, buf, 143), 0);
	h.size++;
	assert_int_equal(qcow2_header_encode(&h, buf, sizeof(buf)), 0);
	h = example;
	h.n_l1 = 1;
	assert_int_equal(qcow2_header_encode(&h, buf, sizeof(buf)), 0);
	h = example;
	memset(name, 'a', sizeof(name));
	h.backing = name;
	h.backing_len = sizeof(name);
	assert_int_equal(qcow2_header_encode(&h, buf, sizeof(buf)), 0);
	h.backing_len--;
	assert_true(qcow2_header_encode(&h, buf, sizeof(buf)) > 0);
}

static void table_entries_point_into_the_file_or_are_refused(void **state)
{
	enum { L1, L2, REFS };
	static const struct {
		int table;
		uint64_t raw;
		int outcome;
		uint64_t at;
		enum qcow2_kind kind;
	} rows[] = {
		{L1, 0, 0, 0, 0},
		{L1, 0x8000000000030000, 0, 0x30000, 0},
		{L1, 0x0000000000030000, 0, 0x30000, 0},
		{L1, 0x8000000000000000, QCOW2_E_FORMAT, 0, 0},
		{L1, 0x8000000000030001, QCOW2_E_FORMAT, 0, 0},
		{L1, 0xc000000000030000, QCOW2_E_FORMAT, 0, 0},
		{L1, 0x8000000000030200, QCOW2_E_BOUNDS, 0, 0},
		{L1, 0x8000000000040000, QCOW2_E_BOUNDS, 0, 0},
		{L1, 0x80ffffffffff0000, QCOW2_E_BOUNDS, 0, 0},
		{L2, 0, 0, 0, QCOW2_ABSENT},
		{L2, 1, 0, 0, QCOW2_ZERO},
		{L2, 0x8000000000030000, 0, 0x30000, QCOW2_DATA},
		{L2, 0x8000000000030001, 0, 0x30000, QCOW2_ZERO},
		{L2, 0x8000000000000000, QCOW2_E_FORMAT, 0, 0},
		{L2, 0x8000000000030002, QCOW2_E_FORMAT, 0, 0},
		{L2, 0x4000000000030000, QCOW2_E_FEATURE, 0, 0},
		{L2, 0x8000000000038000, QCOW2_E_BOUNDS, 0, 0},
		{L2, 0x8000000000040000, QCOW2_E_BOUNDS, 0, 0},
		{REFS, 0, 0, 0, 0},
		{REFS, 0x20000, 0, 0x20000, 0},
		{REFS, 0x20001, QCOW2_E_FORMAT, 0, 0},
		{REFS, 0x20200, QCOW2_E_BOUNDS, 0, 0},
		{REFS, 0x8000000000020000, QCOW2_E_BOUNDS, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct qcow2_cluster c = {0};
		uint64_t raw = rows[i].raw;
		int r = rows[i].table == L1   ? qcow2_l1_decode(raw, FILE_SIZE, &c.at)
			: rows[i].table == L2 ? qcow2_l2_decode(raw, FILE_SIZE, &c)
					      : qcow2_refs_decode(raw, FILE_SIZE, &c.at);

		if (r != rows[i].outcome ||
		    (r == 0 && (c.at != rows[i].at || c.kind != rows[i].kind)))
			fail_msg("row %zu", i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_reads_back),
		cmocka_unit_test(a_header_without_backing_file_reads_back),
		cmocka_unit_test(each_wrong_field_is_refused),
		cmocka_unit_test(a_header_cut_short_is_refused),
		cmocka_unit_test(nothing_is_written_that_would_be_refused),
		cmocka_unit_test(table_entries_point_into_the_file_or_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
