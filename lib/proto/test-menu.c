/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/menu.h"

#define F      "/usr/share/applications/a.desktop:"
#define TEXT64 "0123456789012345678901234567890123456789012345678901234567890123"

// clang-format off
/* one line, and what becomes of a menu that has heard nothing else */
static const struct {
	const char *line, *form;
} lines[] = {
	{F "Name=Firefox ESR", "[a]\nName=Firefox ESR\n"},
	{F "Name = Spaces \r", "[a]\nName=Spaces\n"},
	{"a.desktop:Name=A", "[a]\nName=A\n"},
	{"/x/y/org.gnome.Nautilus.desktop:Name=Files", "[org.gnome.Nautilus]\nName=Files\n"},
	{"/o:dd/a.desktop:Name=A", "[a]\nName=A\n"},
	/* a title in another script, or that a menu would take for more than a title */
	{F "Name=\xd0\x96", "[a]\nName=a\n"},
	{F "Name=<b>bank</b>", "[a]\nName=a\n"},
	{F "Name=x\\nExec=y", "[a]\nName=a\n"},
	{F "Name=%c", "[a]\nName=a\n"},
	{F "Name=" TEXT64 TEXT64 TEXT64 TEXT64, "[a]\nName=a\n"},
	{F "Name=", "[a]\nName=a\n"},
	{F "Name[de]=B", ""},
	{F "Exec=rm -rf /", "[a]\nName=a\n"},
	{F "X-Other=1", "[a]\nName=a\n"},
	{F "GenericName=Web Browser", "[a]\nName=a\nGenericName=Web Browser\n"},
	{F "Comment=Browse (fast) & more, 1/2: yes.", "[a]\nName=a\nComment=Browse (fast) & more, 1/2: yes.\n"},
	{F "Categories=Network;X-Evil;TrayIcon;WebBrowser", "[a]\nName=a\nCategories=Network;WebBrowser;\n"},
	{F "Categories=X-Evil;", "[a]\nName=a\n"},
	{F "Categories=;;", "[a]\nName=a\n"},
	{F "Categories=a\"b;Office;", "[a]\nName=a\nCategories=Office;\n"},
	{F "StartupWMClass=Navigator", "[a]\nName=a\nStartupWMClass=Navigator\n"},
	{F "StartupWMClass=a b", "[a]\nName=a\n"},
	/* no application */
	{F "Type=Link", ""},
	{F "NoDisplay=true", ""},
	{F "Hidden = true", ""},
	{F "Type=Application", "[a]\nName=a\n"},
	/* no name */
	{"/usr/share/applications/a b.desktop:Name=A", ""},
	{"/usr/share/applications/.desktop:Name=A", ""},
	{"/usr/share/applications/..desktop:Name=A", ""},
	{"/usr/share/applications/-a.desktop:Name=A", ""},
	{"/usr/share/applications/$(id).desktop:Name=A", ""},
	{"a.desktop.desktop:Name=A", ""},
	{TEXT64 TEXT64 ".desktop:Name=A", "[" TEXT64 TEXT64 "]\nName=A\n"},
	{TEXT64 TEXT64 "0.desktop:Name=A", ""},
	/* nothing */
	{"", ""},
	{"a.desktop", ""},
	{"a.desktop:", ""},
	{"a.desktop:Name", ""},
	{"a.desktop:=A", ""},
	{"a.desktop:# Name=A", ""},
	{"a:Name=A", ""},
	{":=", ""},
};

static const struct {
	const char *bytes;
	int outcome;
	unsigned n;
} forms[] = {
	{"", 0, 0},
	{"[a]\nName=A\n", 0, 1},
	{"[a]\nName=A\nGenericName=B\nComment=C\nCategories=D;\nStartupWMClass=E\n[b]\nName=A\n", 0, 2},
	{"[a]\n", MENU_E_FORMAT, 0},
	{"[a]\n[b]\nName=B\n", MENU_E_FORMAT, 0},
	{"[a]\nName=A", MENU_E_FORMAT, 0},
	{"[a]\nName=A\n\n", MENU_E_FORMAT, 0},
	{"Name=A\n", MENU_E_FORMAT, 0},
	{"[a\nName=A\n", MENU_E_FORMAT, 0},
	{"[]\nName=A\n", MENU_E_FORMAT, 0},
	{"[\n", MENU_E_FORMAT, 0},
	{"[../a]\nName=A\n", MENU_E_FORMAT, 0},
	{"[b]\nName=A\n[a]\nName=A\n", MENU_E_FORMAT, 0},
	{"[a]\nName=A\n[a]\nName=A\n", MENU_E_FORMAT, 0},
	{"[a]\nName=A\nName=A\n", MENU_E_FORMAT, 0},
	{"[a]\nComment=A\nName=A\n", MENU_E_FORMAT, 0},
	{"[a]\nName=A\nComment=A\nGenericName=A\n", MENU_E_FORMAT, 0},
	{"[a]\nName= A\n", MENU_E_FORMAT, 0},
	{"[a]\nName=\n", MENU_E_FORMAT, 0},
	{"[a]\nName=A%\n", MENU_E_FORMAT, 0},
	{"[a]\nName=A\nExec=x\n", MENU_E_FORMAT, 0},
	{"[a]\nName=A\nCategories=B\n", MENU_E_FORMAT, 0},
	{"[a]\nName=A\nCategories=Shell;\n", MENU_E_FORMAT, 0},
	{"[a]\nName=A\nNoDisplay=true\n", MENU_E_FORMAT, 0},
};
// clang-format on

static struct menu menu, again;
static char bytes[MENU_LEN_MAX + 2];

static void hear(const char *line)
{
	assert_int_equal(menu_hear(&menu, line, strlen(line)), 0);
}

static void lines_are_heard_or_are_nothing(void **state)
{
	size_t len = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		menu.n = 0;
		hear(lines[i].line);
		menu_settle(&menu);
		assert_int_equal(menu_encode(&menu, bytes, &len), 0);
		if (len != strlen(lines[i].form) || memcmp(bytes, lines[i].form, len) != 0)
			fail_msg("row %zu: %s -> %.*s", i, lines[i].line, (int)len, bytes);
	}
	menu.n = 0;
	assert_int_equal(menu_hear(&menu, F "Name=A\0B", sizeof(F "Name=A\0B") - 1), 0);
	menu_settle(&menu);
	assert_string_equal(menu_find(&menu, "a")->values[MENU_TITLE], "a");
}

static void a_longer_line_is_nothing(void **state)
{
	static char line[MENU_LINE_MAX + 1];

	(void)state;
	menu.n = 0;
	(void)snprintf(line, sizeof(line), F "Comment=");
	memset(line + strlen(line), 'x', sizeof(line) - strlen(line));
	assert_int_equal(menu_hear(&menu, line, sizeof(line)), 0);
	assert_int_equal(menu.n, 0);
	assert_int_equal(menu_hear(&menu, line, sizeof(line) - 1), 0);
	assert_int_equal(menu.n, 1);
	assert_string_equal(menu.entries[0].values[MENU_COMMENT], "");
}

static void a_menu_is_sorted_and_the_first_of_a_name_counts(void **state)
{
	size_t len = 0;

	(void)state;
	menu.n = 0;
	hear("/usr/local/share/applications/b.desktop:Name=Mine");
	hear("/usr/share/applications/c.desktop:Name=C");
	hear("/usr/share/applications/c.desktop:NoDisplay=true");
	hear("/usr/share/applications/b.desktop:Name=Theirs");
	hear("/usr/share/applications/a.desktop:Name=A");
	menu_settle(&menu);
	assert_int_equal(menu.n, 2);
	assert_string_equal(menu_find(&menu, "b")->values[MENU_TITLE], "Mine");
	assert_null(menu_find(&menu, "c"));
	assert_int_equal(menu_encode(&menu, bytes, &len), 0);
	assert_memory_equal(bytes, "[a]\nName=A\n[b]\nName=Mine\n", len);
}

static void no_more_than_there_is_room_for(void **state)
{
	char line[64];
	size_t len = 0;

	(void)state;
	menu.n = 0;
	for (unsigned i = 0; i < MENU_ENTRIES_MAX; i++) {
		(void)snprintf(line, sizeof(line), "%u.desktop:Name=A", i);
		hear(line);
	}
	assert_int_equal(menu_hear(&menu, "more.desktop:Name=A", 19), MENU_E_MANY);
	menu_settle(&menu);
	assert_int_equal(menu_encode(&menu, bytes, &len), 0);
	assert_int_equal(menu_decode(bytes, len, &again), 0);
	assert_int_equal(again.n, MENU_ENTRIES_MAX);
	assert_int_equal(menu_decode("[zz]\nName=A\n", 12, &menu), 0);
	(void)snprintf(bytes + len, sizeof(bytes) - len, "[zz]\nName=A\n");
	assert_int_equal(menu_decode(bytes, len + 12, &menu), MENU_E_MANY);
	/* of many bytes each */
	for (unsigned i = 0; i < again.n; i++)
		memset(again.entries[i].values[MENU_COMMENT], 'x', MENU_VALUE_MAX);
	assert_int_equal(menu_encode(&again, bytes, &len), MENU_E_LONG);
	memset(bytes, '\n', sizeof(bytes));
	assert_int_equal(menu_decode(bytes, MENU_LEN_MAX + 1, &menu), MENU_E_FORMAT);
}

static void forms_decode_or_not(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		if (menu_decode(forms[i].bytes, strlen(forms[i].bytes), &menu) != forms[i].outcome)
			fail_msg("row %zu", i);
		if (forms[i].outcome == 0)
			assert_int_equal(menu.n, forms[i].n);
	}
	assert_int_equal(menu_decode("[a]\nName=\0\n", 11, &menu), MENU_E_FORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_heard_or_are_nothing),
		cmocka_unit_test(a_longer_line_is_nothing),
		cmocka_unit_test(a_menu_is_sorted_and_the_first_of_a_name_counts),
		cmocka_unit_test(no_more_than_there_is_room_for),
		cmocka_unit_test(forms_decode_or_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
