/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/gate.h"

// clang-format off
static const struct {
	const char *service, *source, *type, *target;
	int outcome;
	const char *method, *arg, *dest;
} calls[] = {
	{"admin.vm.List", "mgmt", "keyword", "adminvm", 0, "admin.vm.List", "", "dom0"},
	{"admin.vm.List+", "mgmt", "name", "dom0", 0, "admin.vm.List", "", "dom0"},
	{"admin.vm.property.Set+netvm", "mgmt", "name", "work", 0, "admin.vm.property.Set", "netvm", "work"},
	{"admin.vm.volume.Import+root", "dom0", "", "work", 0, "admin.vm.volume.Import", "root", "work"},
	{"admin.vm.Shutdown+force+wait", "mgmt", "name", "work", 0, "admin.vm.Shutdown", "force+wait", "work"},
	{"admin.vm.device.usb.Attach+sys+1-1+a", "mgmt", "name", "work", 0, "admin.vm.device.usb.Attach", "sys+1-1+a", "work"},
	{"admin.vm.Start", "mgmt", "name", "uuid:01234567-89ab-cdef-0123-456789abcdef", 0, "admin.vm.Start", "",
	 "uuid:01234567-89ab-cdef-0123-456789abcdef"},
	{"admin.vm.List", "mgmt", "keyword", "default", GATE_E_FORMAT},
	{"admin.vm.List", "mgmt", "word", "dom0", GATE_E_FORMAT},
	{"admin.vm.List", "mgmt", "name", "", GATE_E_FORMAT},
	{"admin.vm.List", "mgmt", "name", "two words", GATE_E_FORMAT},
	{"admin.vm.List", "mgmt", "name", "@adminvm", GATE_E_FORMAT},
	{"admin.vm.List", "mgmt", "name", "uuid:short", GATE_E_FORMAT},
	{"admin.vm.List", "", "name", "dom0", GATE_E_FORMAT},
	{"admin.vm.List", "1st", "name", "dom0", GATE_E_FORMAT},
	{"admin.vm.List", "mgmt\n", "name", "dom0", GATE_E_FORMAT},
	{"bulkhead.Quit", "mgmt", "name", "dom0", GATE_E_METHOD},
	{"bulkhead.vm.volume.ImportFile+root", "mgmt", "name", "dom0", GATE_E_METHOD},
	{"internal.GetSystemInfo", "mgmt", "name", "dom0", GATE_E_METHOD},
	{"admin.vm.device.usb.At tach+a", "mgmt", "name", "dom0", GATE_E_METHOD},
	{"", "mgmt", "name", "dom0", GATE_E_METHOD},
	{"admin.vm.property.Get+a+b", "mgmt", "name", "dom0", GATE_E_ARG},
	{"admin.vm.property.Get+a b", "mgmt", "name", "dom0", GATE_E_ARG},
	{"admin.vm.property.Get+a/../b", "mgmt", "name", "dom0", GATE_E_ARG},
	{"admin.vm.tag.Set+\xc3\xa4", "mgmt", "name", "dom0", GATE_E_ARG},
	{"admin.vm.Shutdown+force,wait", "mgmt", "name", "dom0", GATE_E_ARG},
};

static const struct {
	const char *method, *bytes;
	size_t len;
	int outcome;
} payloads[] = {
	{"admin.vm.List", "", 0, 0},
	{"admin.vm.List", "x", 1, GATE_E_PAYLOAD},
	{"admin.vm.Create.AppVM", "name=a label=red", 16, 0},
	{"admin.vm.Create.AppVM", "name=a\nlabel=red", 16, GATE_E_PAYLOAD},
	{"admin.vm.Create.AppVM", "name=\xff", 6, GATE_E_PAYLOAD},
	{"admin.vm.firewall.Set", "action=drop\n", 12, 0},
	{"admin.vm.firewall.Set", "action=drop\r\n", 13, GATE_E_PAYLOAD},
	{"admin.vm.notes.Set", "\xc3\xa4\t\n", 4, 0},
	{"admin.vm.notes.Set", "a\0b", 3, GATE_E_PAYLOAD},
	{"admin.vm.volume.Import", "", 0, 0},
	{"admin.vm.volume.Import", "x", 1, GATE_E_PAYLOAD},
	{"admin.vm.volume.ImportWithSize", "512\n", 4, 0},
	{"admin.vm.volume.ImportWithSize", "9223372036854775807\n", 20, 0},
	{"admin.vm.volume.ImportWithSize", "9223372036854775808\n", 20, GATE_E_PAYLOAD},
	{"admin.vm.volume.ImportWithSize", "0\n", 2, GATE_E_PAYLOAD},
	{"admin.vm.volume.ImportWithSize", "0512\n", 5, GATE_E_PAYLOAD},
	{"admin.vm.volume.ImportWithSize", "+512\n", 5, GATE_E_PAYLOAD},
	{"admin.vm.volume.ImportWithSize", "5\0002\n", 4, GATE_E_PAYLOAD},
	{"admin.vm.volume.ImportWithSize", "512", 3, GATE_E_PAYLOAD},
	{"admin.vm.volume.ImportWithSize", "\n", 1, GATE_E_PAYLOAD},
	{"admin.vm.volume.ImportWithSize", "", 0, GATE_E_PAYLOAD},
};
// clang-format on

static void a_call_becomes_a_request_or_nothing(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		struct admin_request q = {0};
		int r = gate_request_make(calls[i].service, calls[i].source, calls[i].type,
					  calls[i].target, &q);

		if (r != calls[i].outcome)
			fail_msg("%s of %s about %s: %d", calls[i].service, calls[i].source,
				 calls[i].target, r);
		if (r != 0)
			continue;
		assert_string_equal(q.method, calls[i].method);
		assert_string_equal(q.arg, calls[i].arg);
		assert_string_equal(q.source, calls[i].source);
		assert_string_equal(q.dest, calls[i].dest);
		assert_int_equal(q.payload_len, 0);
	}
}

static void what_is_too_long_is_no_call(void **state)
{
	char service[ADMIN_MAX_ARG + 64];
	struct admin_request q;

	(void)state;
	(void)snprintf(service, sizeof(service), "admin.vm.tag.Get+%0*d", ADMIN_MAX_ARG, 0);
	assert_int_equal(gate_request_make(service, "mgmt", "name", "dom0", &q), 0);
	(void)snprintf(service, sizeof(service), "admin.vm.tag.Get+%0*d", ADMIN_MAX_ARG + 1, 0);
	assert_int_equal(gate_request_make(service, "mgmt", "name", "dom0", &q), GATE_E_LONG);
	(void)snprintf(service, sizeof(service), "admin.vm.device.%0*d", ADMIN_MAX_METHOD, 0);
	assert_int_equal(gate_request_make(service, "mgmt", "name", "dom0", &q), GATE_E_LONG);
}

static void a_payload_is_what_its_method_takes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(payloads); i++) {
		struct admin_request q = {.source = "mgmt",
					  .dest = "work",
					  .payload = (const uint8_t *)payloads[i].bytes,
					  .payload_len = payloads[i].len};

		(void)snprintf(q.method, sizeof(q.method), "%s", payloads[i].method);
		if (gate_check(&q) != payloads[i].outcome)
			fail_msg("%s, %zu", payloads[i].method, i);
	}
}

static void events_are_named_as_the_policy_can_say(void **state)
{
	char to[40];

	(void)state;
	gate_event_service("admin.Events", "property-set:netvm", to, sizeof(to));
	assert_string_equal(to, "admin.Events+property-set_netvm");
	gate_event_service("admin.Events", "domain-qdb-change:/a b", to, sizeof(to));
	assert_string_equal(to, "admin.Events+domain-qdb-change__a_b");
	gate_event_service("admin.Events", "0123456789012345678901234567890123456789", to,
			   sizeof(to));
	assert_string_equal(to, "admin.Events+01234567890123456789012345");
	gate_event_service("admin.vm.Stats", "vm-stats", to, sizeof(to));
	assert_string_equal(to, "admin.vm.Stats+");
}

static void a_list_is_read_line_by_line(void **state)
{
	static const char list[] =
		"dom0 class=AdminVM state=Running uuid=0\nwork class=AppVM\nhalf class=";
	const char *at = list, *line;
	char name[ADMIN_MAX_NAME + 1];
	size_t len;

	(void)state;
	assert_true(gate_list_line(&at, list + strlen(list), &line, &len, name));
	assert_string_equal(name, "dom0");
	assert_int_equal(len, 40);
	assert_true(gate_list_line(&at, list + strlen(list), &line, &len, name));
	assert_string_equal(name, "work");
	assert_false(gate_list_line(&at, list + strlen(list), &line, &len, name));
	at = "two  lines\n";
	assert_true(gate_list_line(&at, at + 11, &line, &len, name));
	at = " class=AppVM\n";
	assert_false(gate_list_line(&at, at + 13, &line, &len, name));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_becomes_a_request_or_nothing),
		cmocka_unit_test(what_is_too_long_is_no_call),
		cmocka_unit_test(a_payload_is_what_its_method_takes),
		cmocka_unit_test(events_are_named_as_the_policy_can_say),
		cmocka_unit_test(a_list_is_read_line_by_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
