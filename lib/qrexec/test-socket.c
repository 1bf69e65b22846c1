/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "qrexec/service.h"
#include "qrexec/socket.h"

// clang-format off
static const struct {
	const char *link, *argument, *host, *port; /* host NULL: no address */
} addresses[] = {
	{"/dev/tcp/127.0.0.1/80", NULL, "127.0.0.1", "80"},
	{"/dev/tcp/127.0.0.1/80", "80", "127.0.0.1", "80"}, /* of a link SERVICE+80 */
	{"/dev/tcp/localhost", "65535", "localhost", "65535"},
	{"/dev/tcp/::1", "1", "::1", "1"},
	{"/dev/tcp", "127.0.0.1+80", "127.0.0.1", "80"},
	{"/dev/tcp", "++1+80", "::1", "80"},
	{"/dev/tcp", "fe80++1+80", "fe80::1", "80"},
	{"/dev/tcp", NULL, NULL, NULL},
	{"/dev/tcp", "127.0.0.1", NULL, NULL},
	{"/dev/tcp", "+80", NULL, NULL},
	{"/dev/tcp", "80", NULL, NULL},
	{"/dev/tcp", "127.0.0.1+", NULL, NULL},
	{"/dev/tcp/127.0.0.1", NULL, NULL, NULL},
	{"/dev/tcp/127.0.0.1", "127.0.0.1+80", NULL, NULL},
	{"/dev/tcp/", "127.0.0.1+80", NULL, NULL},
	{"/dev/tcp//80", NULL, NULL, NULL},
	{"/dev/tcp/127.0.0.1/", "80", NULL, NULL},
	{"/dev/tcp/127.0.0.1/80/", NULL, NULL, NULL},
	{"/dev/tcp/127.0.0.1/0", NULL, NULL, NULL},
	{"/dev/tcp/127.0.0.1/65536", NULL, NULL, NULL},
	{"/dev/tcp/127.0.0.1", "080", NULL, NULL},
	{"/dev/tcp/a b", "80", NULL, NULL},
	{"/dev/tcpx", "127.0.0.1+80", NULL, NULL},
	{"/dev/udp", "127.0.0.1+80", NULL, NULL},
};
// clang-format on

static void a_link_and_an_argument_make_an_address(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
		struct tcp_address a;
		int r = tcp_address_make(addresses[i].link, addresses[i].argument, &a);

		if (!addresses[i].host) {
			if (r != SERVICE_E_BROKEN)
				fail_msg("%s with %s is an address", addresses[i].link,
					 addresses[i].argument ? addresses[i].argument : "nothing");
			continue;
		}
		assert_int_equal(r, 0);
		assert_string_equal(a.host, addresses[i].host);
		assert_string_equal(a.port, addresses[i].port);
	}
}

static void a_host_that_is_too_long_is_none(void **state)
{
	char link[512] = "/dev/tcp/";
	struct tcp_address a;

	(void)state;
	memset(link + strlen(link), 'a', 256);
	assert_int_equal(tcp_address_make(link, "80", &a), SERVICE_E_BROKEN);
	link[strlen(link) - 1] = '\0';
	assert_int_equal(tcp_address_make(link, "80", &a), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_link_and_an_argument_make_an_address),
		cmocka_unit_test(a_host_that_is_too_long_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
