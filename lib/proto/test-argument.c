/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Words that calls carry: each way to be right and to be wrong. */
#include "proto/argument.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void a_qube_to_be(void **state)
{
	/* clang-format off */
	static const struct {
		const char *in;
		bool may_pool;
		int result;
		const char *name, *label, *volume, *pool, *bad;
	} rows[] = {
		{"name=work label=red", false, 0, "work", "red"},
		{"label=9 name=a", true, 0, "a", "9"},
		{"name=a label=red pool=default", true, 0, "a", "red", "", "default"},
		{"pool:private=p name=a label=red", true, 0, "a", "red", "private", "p"},
		{"name=a label=red pool=default", false, ARGUMENT_E_KEY, .bad = "pool"},
		{"", false, ARGUMENT_E_FORMAT}, {"name=a", false, ARGUMENT_E_FORMAT}, {"label=red", false, ARGUMENT_E_FORMAT},
		{"name label=red", false, ARGUMENT_E_FORMAT, .bad = "name"},
		{"name=a  label=red", false, ARGUMENT_E_FORMAT}, {"name=a label=red ", false, ARGUMENT_E_FORMAT},
		{"name=a name=b label=red", false, ARGUMENT_E_KEY, .bad = "name"}, {"name=a label=red label=red", false, ARGUMENT_E_KEY, .bad = "label"},
		{"name= label=red", false, ARGUMENT_E_NAME}, {"name=1a label=red", false, ARGUMENT_E_NAME, .bad = "1a"},
		{"name=none label=red", false, ARGUMENT_E_NAME}, {"name=x-dm label=red", false, ARGUMENT_E_NAME},
		{"name=a23456789012345678901234567890123 label=red", false, ARGUMENT_E_NAME},
		{"name=a label=", false, ARGUMENT_E_LABEL}, {"name=a label=re%d", false, ARGUMENT_E_LABEL, .bad = "re%d"},
		{"name=a label=red pool=../x", true, ARGUMENT_E_POOL, .bad = "../x"}, {"name=a label=red pool=.x", true, ARGUMENT_E_POOL},
		{"name=a label=red pool:=p", true, ARGUMENT_E_KEY}, {"name=a label=red pool:a/b=p", true, ARGUMENT_E_POOL, .bad = "a/b"},
		{"name=a label=red pool=p pool=p pool=p pool=p pool=p pool=p pool=p pool=p pool=p", true, ARGUMENT_E_MANY},
		{"name=a\nlabel=red", false, ARGUMENT_E_BYTES}, {"name=\xc3\xa4 label=red", false, ARGUMENT_E_BYTES},
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct argument_create a;

		print_message("row %zu\n", i);
		assert_int_equal(argument_create_decode(rows[i].in, strlen(rows[i].in),
							rows[i].may_pool, &a),
				 rows[i].result);
		if (rows[i].bad)
			assert_string_equal(a.bad, rows[i].bad);
		if (rows[i].result != 0)
			continue;
		assert_string_equal(a.name, rows[i].name);
		assert_string_equal(a.label, rows[i].label);
		assert_int_equal(a.n_pools, rows[i].pool ? 1 : 0);
		if (rows[i].pool) {
			assert_string_equal(a.pools[0].volume, rows[i].volume);
			assert_string_equal(a.pools[0].pool, rows[i].pool);
		}
	}
}

static void a_pool_to_be(void **state)
{
	/* clang-format off */
	static const struct {
		const char *in;
		int result;
		int revisions;
		bool ephemeral;
	} rows[] = {
		{"name=p\ndir_path=/a b/c", 0, 1, false}, {"dir_path=/a b/c\nname=p\n", 0, 1, false},
		{"name=p\ndir_path=/a b/c\nrevisions_to_keep=-1\nephemeral_volatile=YES", 0, -1, true},
		{"name=p\ndir_path=/a b/c\nrevisions_to_keep=64", 0, 64, false},
		{"", ARGUMENT_E_FORMAT}, {"\n", ARGUMENT_E_FORMAT}, {"name=p\ndir_path=/a\n\n", ARGUMENT_E_FORMAT}, {"name=p\n\ndir_path=/a", ARGUMENT_E_FORMAT},
		{"rubbish", ARGUMENT_E_FORMAT}, {"dir_path=/a", ARGUMENT_E_NAME}, {"name=\ndir_path=/a", ARGUMENT_E_NAME}, {"name=x/y\ndir_path=/a", ARGUMENT_E_NAME},
		{"name=p", ARGUMENT_E_DIR}, {"name=p\ndir_path=a", ARGUMENT_E_DIR}, {"name=p\ndir_path=", ARGUMENT_E_DIR},
		{"name=p\nname=p\ndir_path=/a", ARGUMENT_E_KEY}, {"name=p\ndir_path=/a\ndir_path=/a", ARGUMENT_E_KEY}, {"name=p\ndir_path=/a\nsize=5", ARGUMENT_E_KEY},
		{"name=p\ndir_path=/a\nrevisions_to_keep=1\nrevisions_to_keep=1", ARGUMENT_E_KEY},
		{"name=p\ndir_path=/a\nrevisions_to_keep=65", ARGUMENT_E_NUMBER}, {"name=p\ndir_path=/a\nrevisions_to_keep=-2", ARGUMENT_E_NUMBER},
		{"name=p\ndir_path=/a\nephemeral_volatile=maybe", ARGUMENT_E_TRUTH}, {"name=p\ndir_path=/\xc3\xa4", ARGUMENT_E_BYTES}, {"name=p\tdir_path=/a", ARGUMENT_E_BYTES},
	};
	/* clang-format on */
	char long_dir[ARGUMENT_DIR_MAX + 32] = "name=p\ndir_path=/";
	const size_t begins = strlen(long_dir) - 1;
	struct argument_pool a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		print_message("row %zu\n", i);
		assert_int_equal(argument_pool_decode(rows[i].in, strlen(rows[i].in), &a),
				 rows[i].result);
		if (rows[i].result != 0)
			continue;
		assert_string_equal(a.name, "p");
		assert_string_equal(a.dir, "/a b/c");
		assert_int_equal(a.revisions_to_keep, rows[i].revisions);
		assert_int_equal(a.ephemeral, rows[i].ephemeral);
	}
	memset(long_dir + begins + 1, 'x', ARGUMENT_DIR_MAX);
	assert_int_equal(argument_pool_decode(long_dir, begins + ARGUMENT_DIR_MAX, &a), 0);
	assert_int_equal(strlen(a.dir), ARGUMENT_DIR_MAX);
	assert_int_equal(argument_pool_decode(long_dir, begins + ARGUMENT_DIR_MAX + 1, &a),
			 ARGUMENT_E_DIR);
}

static void fields_of_a_list(void **state)
{
	static const char in[] = "name\nfeature:service.x\nsize:root\nusage:private\n";
	struct argument_field f[5];
	unsigned n = 9;

	(void)state;
	assert_int_equal(argument_fields_decode(in, strlen(in), 4, f, &n), 0);
	assert_int_equal(n, 4);
	assert_int_equal(f[0].kind, ARGUMENT_FIELD);
	assert_string_equal(argument_field_name(&f[0]), "name");
	assert_int_equal(f[1].kind, ARGUMENT_FEATURE);
	assert_string_equal(argument_field_name(&f[1]), "service.x");
	assert_string_equal(f[1].text, "feature:service.x");
	assert_int_equal(f[2].kind, ARGUMENT_SIZE);
	assert_int_equal(f[3].kind, ARGUMENT_USAGE);
	assert_int_equal(argument_fields_decode(in, strlen(in) - 1, 4, f, &n), 0);
	assert_int_equal(argument_fields_decode(in, strlen(in), 3, f, &n), ARGUMENT_E_MANY);
	assert_int_equal(argument_fields_decode("", 0, 4, f, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(argument_fields_decode("a\n\nb", 4, 4, f, &n), ARGUMENT_E_NAME);
	assert_int_equal(argument_fields_decode("feature:", 8, 4, f, &n), ARGUMENT_E_NAME);
	assert_int_equal(argument_fields_decode("a\tb", 3, 4, f, &n), ARGUMENT_E_NAME);
	assert_int_equal(argument_fields_decode("a\0b", 3, 4, f, &n), ARGUMENT_E_NAME);
}

static void how_a_qube_is_shut_down(void **state)
{
	/* clang-format off */
	static const struct {
		const char *in;
		bool own, right;
		struct argument_shutdown is;
	} rows[] = {
		{"", false, true, {0}}, {"force", false, true, {.force = true}}, {"wait+force", false, true, {.force = true, .wait = true}},
		{"after+later", true, true, {.after = true, .later = true}}, {"force+after+wait", true, true, {.force = true, .after = true, .wait = true}},
		{"after", false, false}, {"later", false, false}, {"force+force", false, false}, {"force+", false, false}, {"+", false, false}, {"forc", false, false},
		{"forcee", false, false}, {"wait+later", true, false}, {"Force", true, false},
	};
	/* clang-format on */
	struct argument_shutdown a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		print_message("row %zu\n", i);
		assert_int_equal(
			argument_shutdown_decode(rows[i].in, strlen(rows[i].in), rows[i].own, &a),
			rows[i].right ? 0 : ARGUMENT_E_FORMAT);
		if (rows[i].right)
			assert_memory_equal(&a, &rows[i].is, sizeof(a));
	}
}

static void numbers_and_truths(void **state)
{
	static const char *const no_sizes[] = {"",
					       "-1",
					       "+5",
					       " 5",
					       "5 ",
					       "05",
					       "00",
					       "0x5",
					       "1e3",
					       "9223372036854775808",
					       "18446744073709551616",
					       "\xd9\xa5"};
	static const char *const no_colors[] = {"",         "0x11223",  "0x1122334", "0X112233",
						"112233",   "0x11223g", "0x+12345",  "0x 12345",
						"0x-12345", "x0112233"};
	uint64_t size;
	uint32_t color;
	bool truth;
	int n;

	(void)state;
	assert_int_equal(argument_size_decode("9223372036854775807", 19, &size), 0);
	assert_true(size == INT64_MAX);
	assert_int_equal(argument_size_decode("0", 1, &size), 0);
	for (size_t i = 0; i < ARRAY_LEN(no_sizes); i++)
		assert_int_equal(argument_size_decode(no_sizes[i], strlen(no_sizes[i]), &size),
				 ARGUMENT_E_NUMBER);
	assert_int_equal(argument_size_decode("5\0", 2, &size), ARGUMENT_E_NUMBER);
	assert_int_equal(argument_color_decode("0x12aBcD", 8, &color), 0);
	assert_int_equal(color, 0x12abcd);
	for (size_t i = 0; i < ARRAY_LEN(no_colors); i++)
		assert_int_equal(argument_color_decode(no_colors[i], strlen(no_colors[i]), &color),
				 ARGUMENT_E_NUMBER);
	assert_int_equal(argument_revisions_decode("-1", 2, &n), 0);
	assert_int_equal(n, -1);
	assert_int_equal(argument_revisions_decode("64", 2, &n), 0);
	assert_int_equal(n, 64);
	assert_int_equal(argument_revisions_decode("65", 2, &n), ARGUMENT_E_NUMBER);
	assert_int_equal(argument_revisions_decode("-01", 3, &n), ARGUMENT_E_NUMBER);
	assert_int_equal(argument_revisions_decode("", 0, &n), ARGUMENT_E_NUMBER);
	assert_int_equal(argument_truth_decode("On", 2, &truth), 0);
	assert_true(truth);
	assert_int_equal(argument_truth_decode("FALSE", 5, &truth), 0);
	assert_false(truth);
	assert_int_equal(argument_truth_decode("", 0, &truth), ARGUMENT_E_TRUTH);
	assert_int_equal(argument_truth_decode("truee", 5, &truth), ARGUMENT_E_TRUTH);
	assert_int_equal(argument_truth_decode("no\0", 3, &truth), ARGUMENT_E_TRUTH);
}

static void an_image_with_its_size(void **state)
{
	size_t at = 0;

	(void)state;
	assert_int_equal(argument_image_decode("5\nab\0\nc", 7, &at), 0);
	assert_int_equal(at, 2);
	assert_int_equal(argument_image_decode("5\nabcd", 6, &at), ARGUMENT_E_NUMBER);
	assert_int_equal(argument_image_decode("5\nabcdef", 8, &at), ARGUMENT_E_NUMBER);
	assert_int_equal(argument_image_decode("5\0\nabcde", 8, &at), ARGUMENT_E_FORMAT);
	assert_int_equal(argument_image_decode("0\n", 2, &at), ARGUMENT_E_FORMAT);
	assert_int_equal(argument_image_decode("05\nabcde", 8, &at), ARGUMENT_E_FORMAT);
	assert_int_equal(argument_image_decode("\nabcde", 6, &at), ARGUMENT_E_FORMAT);
	assert_int_equal(argument_image_decode("5", 1, &at), ARGUMENT_E_FORMAT);
	assert_int_equal(argument_image_decode("", 0, &at), ARGUMENT_E_FORMAT);
}

static void names(void **state)
{
	char long_name[ARGUMENT_NAME_MAX + 2];

	(void)state;
	memset(long_name, 'x', sizeof(long_name));
	assert_true(argument_is_name(long_name, ARGUMENT_NAME_MAX));
	assert_false(argument_is_name(long_name, ARGUMENT_NAME_MAX + 1));
	assert_false(argument_is_name("", 0));
	assert_false(argument_is_name("a b", 3));
	assert_false(argument_is_name("a\0", 2));
	assert_true(argument_is_label("9a", 2));
	assert_false(argument_is_label("99", 2));
	assert_false(argument_is_pool(".", 1));
	assert_true(argument_is_pool("a.b-c_d", 7));
	assert_true(argument_is_printable(" ~", 2));
	assert_false(argument_is_printable("\x7f", 1));
	assert_true(argument_is_printable(NULL, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_qube_to_be),
		cmocka_unit_test(a_pool_to_be),
		cmocka_unit_test(fields_of_a_list),
		cmocka_unit_test(how_a_qube_is_shut_down),
		cmocka_unit_test(numbers_and_truths),
		cmocka_unit_test(an_image_with_its_size),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
