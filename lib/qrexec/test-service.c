/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qrexec/service.h"

#include "base/escape.h"
#include "base/io.h"
#include "qrexec/command.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static char dir[] = "/tmp/qrexec-service-XXXXXX";

static void configurations_are_read_strictly(void **state)
{
	static const struct {
		const char *text;
		int outcome;
		bool wait, skip;
		const char *user;
	} rows[] = {
		{"", 0, false, false, ""},
		{"\n# nothing\n  \n", 0, false, false, ""},
		{"wait-for-session=1\n", 0, true, false, ""},
		{"wait-for-session = true # why", 0, true, false, ""},
		{"wait-for-session = 0\nskip-service-descriptor = true\n", 0, false, true, ""},
		{"force-user = 'joe'\n", 0, false, false, "joe"},
		{"force-user=\"j.o-e\" # x\n", 0, false, false, "j.o-e"},
		{"exit-on-client-eof = false\nexit-on-service-eof = 1\n", 0, false, false, ""},
		{"wait-for-session = 00\n", SERVICE_E_BROKEN, 0, 0, NULL},
		{"wait-for-session = 01\n", SERVICE_E_BROKEN, 0, 0, NULL},
		{"wait-for-session = \n", SERVICE_E_BROKEN, 0, 0, NULL},
		{"wait-for-session = 'a'\n", SERVICE_E_BROKEN, 0, 0, NULL},
		{"wait-for-session\n", SERVICE_E_BROKEN, 0, 0, NULL},
		{"wait-for-session=1\nwait-for-session=1\n", SERVICE_E_BROKEN, 0, 0, NULL},
		{"force-user = joe\n", SERVICE_E_BROKEN, 0, 0, NULL},
		{"force-user = 'joe\n", SERVICE_E_BROKEN, 0, 0, NULL},
		{"force-user = ''\n", SERVICE_E_BROKEN, 0, 0, NULL},
		{"force-user = 'a:b'\n", SERVICE_E_BROKEN, 0, 0, NULL},
		{"unknown = 1\n", SERVICE_E_BROKEN, 0, 0, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct service_config c;
		const char *text = rows[i].text;

		if (service_config_parse(text, strlen(text), &c) != rows[i].outcome)
			fail_msg("row %zu: %s", i, text);
		if (rows[i].outcome != 0)
			continue;
		assert_int_equal(c.wait_for_session, rows[i].wait);
		assert_int_equal(c.skip_service_descriptor, rows[i].skip);
		assert_string_equal(c.force_user, rows[i].user);
	}
}

static void file_make(const char *name, mode_t mode)
{
	char path[256];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, mode);
	assert_true(fd >= 0);
	(void)close(fd);
}

static void link_make(const char *to, const char *name)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(symlink(to, path), 0);
}

static void services_are_found_by_argument_first(void **state)
{
	static const struct {
		const char *call;
		int outcome;
		enum service_kind kind;
		const char *file;
	} rows[] = {
		{"QUBESRPC plain x", 0, SERVICE_EXECUTABLE, "b/plain"},
		{"QUBESRPC plain+arg x", 0, SERVICE_EXECUTABLE, "b/plain"},
		{"QUBESRPC both+arg x", 0, SERVICE_EXECUTABLE, "b/both+arg"},
		{"QUBESRPC both+other x", 0, SERVICE_EXECUTABLE, "a/both"},
		{"QUBESRPC empty x", 0, SERVICE_EXECUTABLE, "b/empty+"},
		{"QUBESRPC both+a/../arg x", 0, SERVICE_EXECUTABLE, "a/both"},
		{"QUBESRPC tcp+1 x", 0, SERVICE_TCP, "a/tcp"},
		{"QUBESRPC absent x", SERVICE_E_ABSENT, 0, NULL},
		{"QUBESRPC dangling x", SERVICE_E_BROKEN, 0, NULL},
		{"QUBESRPC plainfile x", SERVICE_E_BROKEN, 0, NULL},
	};
	char path[256];

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/a", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/b", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	file_make("b/plain", 0700);
	file_make("a/both", 0700);
	file_make("b/both+arg", 0700);
	file_make("b/empty+", 0700);
	file_make("a/empty", 0700);
	file_make("a/plainfile", 0600);
	link_make("/dev/tcp/127.0.0.1", "a/tcp");
	link_make("/nonexistent", "a/dangling");
	(void)snprintf(path, sizeof(path), "%s/a:%s/b", dir, dir);
	assert_int_equal(setenv("QREXEC_SERVICE_PATH", path, 1), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct qrexec_command c;
		struct service s;

		assert_int_equal(qrexec_command_words(rows[i].call, &c), 0);
		if (service_find(&c, &s) != rows[i].outcome)
			fail_msg("%s", rows[i].call);
		qrexec_command_done(&c);
		if (rows[i].outcome != 0)
			continue;
		assert_int_equal(s.kind, rows[i].kind);
		(void)snprintf(path, sizeof(path), "%s/%s", dir, rows[i].file);
		assert_string_equal(s.path, path);
	}
	assert_int_equal(io_remove_tree(AT_FDCWD, dir), 0);
}

static void folder_make(const char *name)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(mkdir(path, 0700), 0);
}

static void write_file(const char *name, const char *text)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(io_write_file(AT_FDCWD, path, text, strlen(text), 0600), 0);
}

/* the service and the user of @call, as dom0 finds them */
static void expect(const char *call, const char *file, const char *user)
{
	struct qrexec_command c;
	struct service_config config;
	struct service s;
	char path[256];

	assert_int_equal(qrexec_command_words(call, &c), 0);
	assert_int_equal(service_find(&c, &s), 0);
	(void)snprintf(path, sizeof(path), "%s/%s", dir, file);
	assert_string_equal(s.path, path);
	assert_int_equal(service_config_load(&c, &config), 0);
	assert_string_equal(config.force_user, user);
	qrexec_command_done(&c);
}

static void the_services_of_dom0_are_its_administrators_then_ours(void **state)
{
	char path[256];

	(void)state;
	(void)stpcpy(dir, "/tmp/qrexec-service-XXXXXX");
	assert_non_null(mkdtemp(dir));
	folder_make("config");
	folder_make("ours");
	(void)snprintf(path, sizeof(path), "%s/config", dir);
	assert_int_equal(unsetenv("QREXEC_SERVICE_PATH"), 0);
	assert_int_equal(unsetenv("QUBES_RPC_CONFIG_PATH"), 0);
	/* nothing is installed: the administrator's alone */
	(void)snprintf(path, sizeof(path), "%s/ours", dir);
	assert_int_equal(setenv("BULKHEAD_LIBEXEC", path, 1), 0);
	assert_int_equal(service_places_dom0("/c"), 0);
	assert_string_equal(getenv("QREXEC_SERVICE_PATH"), "/c/qubes-rpc");
	assert_string_equal(getenv("QUBES_RPC_CONFIG_PATH"), "/c/rpc-config");
	/* what is set already stays */
	assert_int_equal(service_places_dom0("/d"), 0);
	assert_string_equal(getenv("QREXEC_SERVICE_PATH"), "/c/qubes-rpc");
	assert_int_equal(unsetenv("QREXEC_SERVICE_PATH"), 0);
	assert_int_equal(unsetenv("QUBES_RPC_CONFIG_PATH"), 0);
	folder_make("ours/qubes-rpc");
	folder_make("ours/rpc-config");
	assert_int_equal(service_places_dom0(NULL), 0);
	(void)snprintf(path, sizeof(path),
		       "/usr/local/etc/qubes-rpc:/etc/qubes-rpc:%s/ours/qubes-rpc", dir);
	assert_string_equal(getenv("QREXEC_SERVICE_PATH"), path);
	(void)snprintf(path, sizeof(path), "/etc/qubes/rpc-config:%s/ours/rpc-config", dir);
	assert_string_equal(getenv("QUBES_RPC_CONFIG_PATH"), path);
	assert_int_equal(unsetenv("QREXEC_SERVICE_PATH"), 0);
	assert_int_equal(unsetenv("QUBES_RPC_CONFIG_PATH"), 0);
	(void)snprintf(path, sizeof(path), "%s/config", dir);
	assert_int_equal(service_places_dom0(path), 0);
	file_make("ours/qubes-rpc/a", 0700);
	file_make("ours/qubes-rpc/b", 0700);
	write_file("ours/rpc-config/a", "force-user='ours'\n");
	write_file("ours/rpc-config/b", "force-user='ours'\n");
	expect("QUBESRPC a x", "ours/qubes-rpc/a", "ours");
	folder_make("config/qubes-rpc");
	folder_make("config/rpc-config");
	file_make("config/qubes-rpc/a", 0700);
	write_file("config/rpc-config/a", "force-user='theirs'\n");
	expect("QUBESRPC a x", "config/qubes-rpc/a", "theirs");
	expect("QUBESRPC b+x x", "ours/qubes-rpc/b", "ours");
	write_file("config/rpc-config/b+x", "force-user='x'\n");
	expect("QUBESRPC b+x x", "ours/qubes-rpc/b", "x");
	assert_int_equal(unsetenv("BULKHEAD_LIBEXEC"), 0);
	assert_int_equal(io_remove_tree(AT_FDCWD, dir), 0);
}

static void a_service_is_told_this_call_and_nothing_older(void **state)
{
	struct qrexec_command c;

	(void)state;
	assert_int_equal(setenv("QREXEC_SERVICE_ARGUMENT", "old", 1), 0);
	assert_int_equal(setenv("QREXEC_REQUESTED_TARGET", "old", 1), 0);
	assert_int_equal(qrexec_command_words("QUBESRPC a.B dom0", &c), 0);
	assert_int_equal(service_setenv(&c), 0);
	assert_string_equal(getenv("QREXEC_REMOTE_DOMAIN"), "dom0");
	assert_string_equal(getenv("QREXEC_REQUESTED_TARGET_TYPE"), "");
	assert_null(getenv("QREXEC_SERVICE_ARGUMENT"));
	assert_null(getenv("QREXEC_REQUESTED_TARGET"));
	qrexec_command_done(&c);
	assert_int_equal(qrexec_command_words("QUBESRPC a.B+x w keyword default", &c), 0);
	assert_int_equal(service_setenv(&c), 0);
	assert_string_equal(getenv("QREXEC_SERVICE_ARGUMENT"), "x");
	assert_string_equal(getenv("QREXEC_SERVICE_FULL_NAME"), "a.B+x");
	assert_string_equal(getenv("QREXEC_REQUESTED_TARGET_KEYWORD"), "default");
	qrexec_command_done(&c);
}

static void a_terminal_is_shown_text(void **state)
{
	uint8_t text[] = "a\033[31m\x7f\x9b\xc3\xa4\t\r\n\b\a~ z";

	(void)state;
	escape_filter(text, sizeof(text) - 1);
	assert_string_equal(text, "a_[31m____\t\r\n\b\a~ z");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(configurations_are_read_strictly),
		cmocka_unit_test(services_are_found_by_argument_first),
		cmocka_unit_test(the_services_of_dom0_are_its_administrators_then_ours),
		cmocka_unit_test(a_service_is_told_this_call_and_nothing_older),
		cmocka_unit_test(a_terminal_is_shown_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
