/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "proto/filecopy.h"

// clang-format off
static const struct {
	uint32_t name_len, mode;
	uint64_t size;
	uint32_t atime, atime_ns, mtime, mtime_ns;
	int outcome;
	enum filecopy_kind kind;
} headers[] = {
	{0, 0, 0, 0, 0, 0, 0, 0, FILECOPY_END},
	{2, 0100644, 0, 1, 2, 3, 4, 0, FILECOPY_FILE},
	{16383, 0100000, INT64_MAX, UINT32_MAX, 999999999, UINT32_MAX, 999999999, 0, FILECOPY_FILE},
	{5, 0107777, 9, 0, 0, 0, 0, 0, FILECOPY_FILE},	/* set-id and sticky bits mean nothing */
	{5, 0040755, 0, 0, 0, 0, 0, 0, FILECOPY_FOLDER},
	{5, 0120777, 1, 0, 0, 0, 0, 0, FILECOPY_LINK},
	{5, 0120777, 16383, 0, 0, 0, 0, 0, FILECOPY_LINK},
	/* an end that is none */
	{0, 0100644, 0, 0, 0, 0, 0, FILECOPY_E_FORMAT, 0},
	{0, 0, 1, 0, 0, 0, 0, FILECOPY_E_FORMAT, 0},
	{0, 0, 0, 0, 0, 0, 1, FILECOPY_E_FORMAT, 0},
	/* names */
	{1, 0100644, 0, 0, 0, 0, 0, FILECOPY_E_FORMAT, 0},
	{16384, 0100644, 0, 0, 0, 0, 0, FILECOPY_E_TOO_LONG, 0},
	{UINT32_MAX, 0100644, 0, 0, 0, 0, 0, FILECOPY_E_TOO_LONG, 0},
	/* kinds */
	{5, 0, 0, 0, 0, 0, 0, FILECOPY_E_FORMAT, 0},
	{5, 0000644, 0, 0, 0, 0, 0, FILECOPY_E_FORMAT, 0},
	{5, 0010644, 0, 0, 0, 0, 0, FILECOPY_E_FORMAT, 0},
	{5, 0020644, 0, 0, 0, 0, 0, FILECOPY_E_FORMAT, 0},
	{5, 0060644, 0, 0, 0, 0, 0, FILECOPY_E_FORMAT, 0},
	{5, 0140644, 0, 0, 0, 0, 0, FILECOPY_E_FORMAT, 0},
	{5, 0160644, 0, 0, 0, 0, 0, FILECOPY_E_FORMAT, 0},
	{5, 0170644, 0, 0, 0, 0, 0, FILECOPY_E_FORMAT, 0},
	{5, 0300644, 0, 0, 0, 0, 0, FILECOPY_E_FORMAT, 0},
	{5, 0x80008180, 0, 0, 0, 0, 0, FILECOPY_E_FORMAT, 0},
	/* sizes */
	{5, 0100644, (uint64_t)INT64_MAX + 1, 0, 0, 0, 0, FILECOPY_E_SIZE, 0},
	{5, 0100644, UINT64_MAX, 0, 0, 0, 0, FILECOPY_E_SIZE, 0},
	{5, 0040755, 1, 0, 0, 0, 0, FILECOPY_E_FORMAT, 0},
	{5, 0120777, 0, 0, 0, 0, 0, FILECOPY_E_FORMAT, 0},
	{5, 0120777, 16384, 0, 0, 0, 0, FILECOPY_E_TOO_LONG, 0},
	{5, 0120777, UINT64_MAX, 0, 0, 0, 0, FILECOPY_E_TOO_LONG, 0},
	/* times */
	{5, 0100644, 0, 0, 1000000000, 0, 0, FILECOPY_E_FORMAT, 0},
	{5, 0100644, 0, 0, 0, 0, UINT32_MAX, FILECOPY_E_FORMAT, 0},
};

static const struct {
	const char *name;
	unsigned allow;
	int outcome;
	unsigned depth;
} names[] = {
	{"a", 0, 0, 1},
	{"a/b", 0, 0, 2},
	{"a/b c/.d/..e/f..", 0, 0, 5},
	{"...", 0, 0, 1},
	{"Größe/報告書", 0, 0, 2},
	{"", 0, FILECOPY_E_NAME, 0},
	{"/", 0, FILECOPY_E_NAME, 0},
	{"/a", 0, FILECOPY_E_NAME, 0},
	{"a/", 0, FILECOPY_E_NAME, 0},
	{"a//b", 0, FILECOPY_E_NAME, 0},
	{".", 0, FILECOPY_E_NAME, 0},
	{"..", 0, FILECOPY_E_NAME, 0},
	{"./a", 0, FILECOPY_E_NAME, 0},
	{"../a", 0, FILECOPY_E_NAME, 0},
	{"a/..", 0, FILECOPY_E_NAME, 0},
	{"a/../../b", 0, FILECOPY_E_NAME, 0},
	{"a/./b", 0, FILECOPY_E_NAME, 0},
	{"a\nb", 0, FILECOPY_E_NAME, 0},
	{"\xff", 0, FILECOPY_E_NAME, 0},
	{"a\xe2\x80\x8b" "b", 0, FILECOPY_E_NAME, 0},
	{"a\nb", FILECOPY_ALL_NAMES, 0, 1},
	{"\xff/\x01", FILECOPY_ALL_NAMES, 0, 2},
	{"a\nb", FILECOPY_ALL_LINKS, FILECOPY_E_NAME, 0},
	/* where a name leads is never a matter of characters */
	{"..", FILECOPY_ALL_NAMES | FILECOPY_ALL_LINKS, FILECOPY_E_NAME, 0},
	{"a/../../b", FILECOPY_ALL_NAMES | FILECOPY_ALL_LINKS, FILECOPY_E_NAME, 0},
	{"/a", FILECOPY_ALL_NAMES | FILECOPY_ALL_LINKS, FILECOPY_E_NAME, 0},
	{"", FILECOPY_ALL_NAMES | FILECOPY_ALL_LINKS, FILECOPY_E_NAME, 0},
};

static const struct {
	unsigned depth;
	const char *target;
	unsigned allow;
	int outcome;
} links[] = {
	{2, "b", 0, 0},
	{2, "b/c/", 0, 0},
	{2, "./b//c", 0, 0},
	{3, "..", 0, 0},
	{3, "../b", 0, 0},
	{4, "../.././b", 0, 0},
	{1, "b", 0, FILECOPY_E_LINK},
	{2, "..", 0, FILECOPY_E_LINK},
	{2, "../b", 0, FILECOPY_E_LINK},
	{2, "./../b", 0, FILECOPY_E_LINK},
	{3, "../../b", 0, FILECOPY_E_LINK},
	{4, "b/../c", 0, FILECOPY_E_LINK},
	{4, "../b/..", 0, FILECOPY_E_LINK},
	{4, "/", 0, FILECOPY_E_LINK},
	{4, "/etc/passwd", 0, FILECOPY_E_LINK},
	{4, "//b", 0, FILECOPY_E_LINK},
	{2, "", 0, FILECOPY_E_FORMAT},
	{2, "b\n", 0, FILECOPY_E_NAME},
	{2, "b\n", FILECOPY_ALL_NAMES, 0},
	{2, "../b\n", FILECOPY_ALL_NAMES, FILECOPY_E_LINK},
	{1, "b", FILECOPY_ALL_LINKS, 0},
	{1, "/etc/passwd", FILECOPY_ALL_LINKS, 0},
	{2, "../../..", FILECOPY_ALL_LINKS, 0},
	{1, "", FILECOPY_ALL_LINKS, FILECOPY_E_FORMAT},
	{1, "\x1b", FILECOPY_ALL_LINKS, FILECOPY_E_NAME},
};
// clang-format on

static void headers_decode_or_not(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
		uint8_t bytes[FILECOPY_HEADER_LEN + 1] = {0}, again[FILECOPY_HEADER_LEN];
		struct wr w = wr_of(bytes, FILECOPY_HEADER_LEN);
		struct filecopy_entry e = {0};
		int r;

		wr_le32(&w, headers[i].name_len);
		wr_le32(&w, headers[i].mode);
		wr_le64(&w, headers[i].size);
		wr_le32(&w, headers[i].atime);
		wr_le32(&w, headers[i].atime_ns);
		wr_le32(&w, headers[i].mtime);
		wr_le32(&w, headers[i].mtime_ns);
		r = filecopy_header_decode(bytes, FILECOPY_HEADER_LEN, &e);
		if (r != headers[i].outcome || (r == 0 && e.kind != headers[i].kind))
			fail_msg("row %zu: %d, kind %d", i, r, (int)e.kind);
		if (r != 0)
			continue;
		assert_int_equal(e.mode, headers[i].mode & 0777);
		assert_int_equal(e.size, headers[i].size);
		assert_int_equal(e.mtime.ns, headers[i].mtime_ns);
		assert_int_equal(filecopy_header_encode(&e, again), 0);
		bytes[5] &= 0xf1; /* the three bits that are dropped */
		assert_memory_equal(again, bytes, sizeof(again));
		assert_int_equal(filecopy_header_decode(bytes, FILECOPY_HEADER_LEN - 1, &e),
				 FILECOPY_E_FORMAT);
		assert_int_equal(filecopy_header_decode(bytes, FILECOPY_HEADER_LEN + 1, &e),
				 FILECOPY_E_FORMAT);
	}
}

static void no_header_says_what_does_not_exist(void **state)
{
	static const struct filecopy_entry rows[] = {
		{.kind = FILECOPY_FILE, .name_len = 1},
		{.kind = FILECOPY_FILE, .name_len = FILECOPY_NAME_MAX + 1},
		{.kind = FILECOPY_FILE, .name_len = 2, .mode = 01000},
		{.kind = FILECOPY_FILE, .name_len = 2, .size = UINT64_MAX},
		{.kind = FILECOPY_FOLDER, .name_len = 2, .size = 1},
		{.kind = FILECOPY_LINK, .name_len = 2},
		{.kind = FILECOPY_FILE, .name_len = 2, .mtime = {.ns = 1000000000}},
	};
	uint8_t bytes[FILECOPY_HEADER_LEN];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(filecopy_header_encode(&rows[i], bytes), FILECOPY_E_FORMAT);
}

static void names_stay_below(void **state)
{
	static char longest[FILECOPY_NAME_MAX + 1];
	unsigned depth;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		int r = filecopy_name_check(names[i].name, strlen(names[i].name) + 1,
					    names[i].allow, &depth);

		if (r != names[i].outcome || (r == 0 && depth != names[i].depth))
			fail_msg("row %zu (%s): %d, depth %u", i, names[i].name, r, depth);
	}
	memset(longest, 'a', FILECOPY_NAME_MAX);
	assert_int_equal(filecopy_name_check(longest, sizeof(longest), 0, &depth),
			 FILECOPY_E_FORMAT);
	longest[FILECOPY_NAME_MAX - 1] = '\0';
	assert_int_equal(filecopy_name_check(longest, FILECOPY_NAME_MAX, 0, &depth), 0);
}

static void a_name_ends_in_its_only_nul(void **state)
{
	unsigned depth;

	(void)state;
	for (unsigned allow = 0; allow < 4; allow++) {
		assert_int_equal(filecopy_name_check("ab", 2, allow, &depth), FILECOPY_E_FORMAT);
		assert_int_equal(filecopy_name_check("a\0b", 4, allow, &depth), FILECOPY_E_FORMAT);
		assert_int_equal(filecopy_name_check("a\0", 3, allow, &depth), FILECOPY_E_FORMAT);
		assert_int_equal(filecopy_name_check("", 0, allow, &depth), FILECOPY_E_FORMAT);
	}
}

static void links_stay_within_their_first_folder(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(links); i++) {
		int r = filecopy_link_check(links[i].depth, links[i].target,
					    strlen(links[i].target), links[i].allow);

		if (r != links[i].outcome)
			fail_msg("row %zu (%s): %d", i, links[i].target, r);
	}
	assert_int_equal(filecopy_link_check(3, "a\0b", 3, FILECOPY_ALL_NAMES), FILECOPY_E_FORMAT);
}

static void answers(void **state)
{
	static const uint8_t bytes[] = {28,   0,    0,    0,    0, 0, 0, 0,
					0x26, 0x39, 0xf4, 0xcb, 0, 0, 0, 0};
	uint8_t again[FILECOPY_ANSWER_LEN];
	struct filecopy_answer a;
	uint32_t len;

	(void)state;
	assert_int_equal(filecopy_answer_decode(bytes, sizeof(bytes), &a), 0);
	assert_int_equal(a.error, 28);
	assert_int_equal(a.crc, 0xCBF43926u);
	filecopy_answer_encode(&a, again);
	assert_memory_equal(again, bytes, sizeof(again));
	for (unsigned at = 4; at < 16; at == 7 ? at += 5 : at++) {
		memcpy(again, bytes, sizeof(again));
		again[at] ^= 1;
		assert_int_equal(filecopy_answer_decode(again, sizeof(again), &a),
				 FILECOPY_E_FORMAT);
	}
	assert_int_equal(filecopy_answer_decode(bytes, 15, &a), FILECOPY_E_FORMAT);
	filecopy_last_encode(FILECOPY_NAME_MAX, again);
	assert_int_equal(filecopy_last_decode(again, &len), 0);
	assert_int_equal(len, FILECOPY_NAME_MAX);
	filecopy_last_encode(FILECOPY_NAME_MAX + 1, again);
	assert_int_equal(filecopy_last_decode(again, &len), FILECOPY_E_TOO_LONG);
}

static void outcomes_are_the_errors_of_the_page(void **state)
{
	(void)state;
	assert_int_equal(filecopy_errno(FILECOPY_E_FORMAT), EINVAL);
	assert_int_equal(filecopy_errno(FILECOPY_E_TOO_LONG), ENAMETOOLONG);
	assert_int_equal(filecopy_errno(FILECOPY_E_SIZE), EDQUOT);
	assert_int_equal(filecopy_errno(FILECOPY_E_NAME), EILSEQ);
	assert_int_equal(filecopy_errno(FILECOPY_E_LINK), ENOLINK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_decode_or_not),
		cmocka_unit_test(no_header_says_what_does_not_exist),
		cmocka_unit_test(names_stay_below),
		cmocka_unit_test(a_name_ends_in_its_only_nul),
		cmocka_unit_test(links_stay_within_their_first_folder),
		cmocka_unit_test(answers),
		cmocka_unit_test(outcomes_are_the_errors_of_the_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
