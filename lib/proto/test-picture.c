/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "proto/picture.h"

#define QUBE                                                                                       \
	{                                                                                          \
		.qid = 7, .name = "work", .uuid = "u", .type = "AppVM", .label = "blue",           \
		.colour = 0x3465a4, .default_dispvm = "dvm", .relayvm = "", .transport_rpc = "",   \
		.template_for_dispvms = true, .running = true, .n_tags = 2, .tags = "one\0two"     \
	}

static const struct picture_msg messages[] = {
	{PICTURE_QUBE, .qube = QUBE},
	{PICTURE_QUBE,
	 .qube = {0, "dom0", "", "AdminVM", "", "", "", "", 0, false, true, true, 0, ""}},
	{PICTURE_GONE, .gone = PICTURE_QID_MAX},
	{PICTURE_SETTLED, .serial = 0x01020304},
	{PICTURE_KNOWN, .serial = UINT32_MAX},
	{PICTURE_DONE, .done = {9, true, "work"}},
	{PICTURE_DONE, .done = {9, false, "the disk is full"}},
	{PICTURE_START, .wish = {5, 7, "untrusted"}},
};

static uint8_t buf[PICTURE_MAX], again[PICTURE_MAX];

static void what_is_told_is_heard(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(messages); i++) {
		struct picture_msg m;
		size_t len = picture_encode(&messages[i], buf, sizeof(buf)), frame_len;

		assert_true(len > 0);
		assert_int_equal(picture_frame(buf, len, &frame_len), 0);
		assert_int_equal(frame_len, len);
		assert_int_equal(picture_decode(buf, len, &m), 0);
		assert_int_equal(m.type, messages[i].type);
		assert_int_equal(picture_encode(&m, again, sizeof(again)), len);
		assert_memory_equal(again, buf, len);
		/* too short, too long, too little room */
		assert_int_equal(picture_frame(buf, len - 1, &frame_len), PICTURE_E_SHORT);
		assert_int_equal(picture_decode(buf, len - 1, &m), PICTURE_E_FORMAT);
		assert_int_equal(picture_decode(buf, len + 1, &m), PICTURE_E_FORMAT);
		assert_int_equal(picture_encode(&messages[i], again, len - 1), 0);
	}
}

static void a_qube_is_told_whole(void **state)
{
	struct picture_msg m;
	size_t len = picture_encode(&messages[0], buf, sizeof(buf));

	(void)state;
	assert_int_equal(picture_decode(buf, len, &m), 0);
	assert_int_equal(m.qube.qid, 7);
	assert_string_equal(m.qube.name, "work");
	assert_string_equal(m.qube.uuid, "u");
	assert_string_equal(m.qube.type, "AppVM");
	assert_string_equal(m.qube.label, "blue");
	assert_int_equal(m.qube.colour, 0x3465a4);
	assert_string_equal(m.qube.default_dispvm, "dvm");
	assert_string_equal(m.qube.relayvm, "");
	assert_true(m.qube.template_for_dispvms && !m.qube.internal && m.qube.running);
	assert_int_equal(m.qube.n_tags, 2);
	assert_memory_equal(m.qube.tags, "one\0two", 8);
}

static void a_frame_begins_with_its_length(void **state)
{
	static const struct {
		uint8_t bytes[8];
		size_t len;
		int r;
	} rows[] = {
		{{5, 0, 0}, 3, PICTURE_E_SHORT},       {{4, 0, 0, 0}, 4, PICTURE_E_FORMAT},
		{{0, 0, 0, 0}, 4, PICTURE_E_FORMAT},   {{0, 0, 0, 1}, 4, PICTURE_E_FORMAT},
		{{6, 0, 0, 0, 2}, 5, PICTURE_E_SHORT}, {{5, 0, 0, 0, 2}, 5, 0},
		{{5, 0, 0, 0, 2, 5, 0, 0}, 8, 0},
	};
	size_t len;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(picture_frame(rows[i].bytes, rows[i].len, &len), rows[i].r);
}

/* each byte of a qube's frame that must be what it is */
static void what_the_page_does_not_describe_is_refused(void **state)
{
	size_t len = picture_encode(&messages[0], buf, sizeof(buf));
	const size_t flags = len - strlen("one") - strlen("two") - 2 - 2 - 3;
	const struct {
		size_t at;
		uint8_t value;
	} rows[] = {
		{4, 0},
		{4, 5},
		{4, 99},   /* types */
		{6, 0x40}, /* a number that no qube has */
		{7, 0},
		{7, 1}, /* the name's length */
		{flags, 2},
		{flags + 2, 0xff}, /* neither yes nor no */
		{flags + 3, 1},
		{flags + 3, 3},
		{flags + 4, 0xff}, /* how many tags */
		{len - 1, 'x'},
		{len - 4, 0},
	};
	struct picture_msg m;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		memcpy(again, buf, len);
		again[rows[i].at] = rows[i].value;
		if (picture_decode(again, len, &m) != PICTURE_E_FORMAT)
			fail_msg("byte %zu as %u", rows[i].at, rows[i].value);
	}
}

static void what_goes_over_a_limit_is_not_told(void **state)
{
	static char tags[2 * (PICTURE_TAGS_MAX + 1)], text[UINT16_MAX + 1];
	struct picture_msg m = {PICTURE_QUBE, .qube = QUBE};

	(void)state;
	for (size_t i = 0; i <= PICTURE_TAGS_MAX; i++)
		tags[2 * i] = 'x';
	m.qube.tags = tags;
	m.qube.n_tags = PICTURE_TAGS_MAX;
	assert_true(picture_encode(&m, buf, sizeof(buf)) > 0);
	m.qube.n_tags++;
	assert_int_equal(picture_encode(&m, buf, sizeof(buf)), 0);
	m = messages[0];
	m.qube.name = "";
	assert_int_equal(picture_encode(&m, buf, sizeof(buf)), 0);
	m = messages[0];
	m.qube.qid = PICTURE_QID_MAX + 1;
	assert_int_equal(picture_encode(&m, buf, sizeof(buf)), 0);
	m = messages[0];
	memset(text, 'x', UINT16_MAX);
	m.qube.transport_rpc = text;
	assert_int_equal(picture_encode(&m, buf, sizeof(buf)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_told_is_heard),
		cmocka_unit_test(a_qube_is_told_whole),
		cmocka_unit_test(a_frame_begins_with_its_length),
		cmocka_unit_test(what_the_page_does_not_describe_is_refused),
		cmocka_unit_test(what_goes_over_a_limit_is_not_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
