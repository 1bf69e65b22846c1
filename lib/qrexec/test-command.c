/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qrexec/command.h"

#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* clang-format off */
static const struct {
	const char *text;
	int outcome;
	const char *user, *shell, *full, *service, *argument, *source, *type, *target;
} rows[] = {
	{"user:true", 0, "user", "true", NULL, NULL, NULL, NULL, NULL, NULL},
	{"root:a:b", 0, "root", "a:b", NULL, NULL, NULL, NULL, NULL, NULL},
	{"user:", 0, "user", "", NULL, NULL, NULL, NULL, NULL, NULL},
	{"user:nogui:true", 0, "user", "true", NULL, NULL, NULL, NULL, NULL, NULL},
	{"user:QUBESRPC a.B dom0", 0, "user", NULL, "a.B", "a.B", NULL, "dom0", "", ""},
	{"user:QUBESRPC a.B+ dom0", 0, "user", NULL, "a.B+", "a.B", "", "dom0", "", ""},
	{"user:QUBESRPC a.B+c+d dom0", 0, "user", NULL, "a.B+c+d", "a.B", "c+d", "dom0", "", ""},
	{"user:nogui:QUBESRPC a.B x name work", 0, "user", NULL, "a.B", "a.B", NULL, "x", "name", "work"},
	{"user:QUBESRPC a.B x keyword adminvm", 0, "user", NULL, "a.B", "a.B", NULL, "x", "keyword", "adminvm"},
	{"true", COMMAND_E_USER, 0},
	{":true", COMMAND_E_USER, 0},
	{"a b:true", COMMAND_E_USER, 0},
	{"../x:true", COMMAND_E_USER, 0},
	{"user:QUBESRPC a.B", COMMAND_E_SERVICE, 0},
	{"user:QUBESRPC  dom0", COMMAND_E_SERVICE, 0},
	{"user:QUBESRPC +a dom0", COMMAND_E_SERVICE, 0},
	{"user:QUBESRPC a/../b dom0", COMMAND_E_SERVICE, 0},
	{"user:QUBESRPC .. dom0", COMMAND_E_SERVICE, 0},
	{"user:QUBESRPC a.B x name", COMMAND_E_SERVICE, 0},
	{"user:QUBESRPC a.B x other work", COMMAND_E_SERVICE, 0},
	{"user:QUBESRPC a.B x name work more", COMMAND_E_SERVICE, 0},
};
/* clang-format on */

static bool same(const char *a, const char *b)
{
	return a == b || str_eq(a, b);
}

static void commands_are_taken_apart_or_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct qrexec_command c = {0};

		if (qrexec_command_parse(rows[i].text, &c) != rows[i].outcome)
			fail_msg("%s: outcome", rows[i].text);
		if (!same(c.user, rows[i].user) || !same(c.shell, rows[i].shell) ||
		    !same(c.full_name, rows[i].full) || !same(c.service, rows[i].service) ||
		    !same(c.argument, rows[i].argument) || !same(c.source, rows[i].source) ||
		    !same(c.target_type, rows[i].type) || !same(c.target, rows[i].target))
			fail_msg("%s: content", rows[i].text);
		qrexec_command_done(&c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_are_taken_apart_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
