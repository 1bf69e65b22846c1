/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "proto/ticket.h"

// clang-format off
static const struct {
	struct ticket t;
	bool ok;
} tickets[] = {
	{{TICKET_GRANT, 1, 2, 513}, true},
	{{TICKET_GRANT, 32751, 1, 65535}, true},
	{{TICKET_REVOKE, 2, 1, 0}, true},
	{{0, 1, 2, 513}, false},
	{{TICKET_VOID, 1, 2, 513}, true},
	{{4, 1, 2, 513}, false},
	{{TICKET_GRANT, 0, 2, 513}, false},
	{{TICKET_GRANT, 2, 0, 513}, false},
	{{TICKET_GRANT, 2, 2, 513}, false},
	{{TICKET_GRANT, 32752, 2, 513}, false},
	{{TICKET_GRANT, 2, 32752, 513}, false},
};
// clang-format on

static void only_streams_between_two_qubes_exist(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(tickets); i++) {
		const struct ticket *t = &tickets[i].t;
		uint8_t bytes[TICKET_LEN] = {'t', 'k', 't', '1', t->kind};
		uint8_t again[TICKET_LEN];
		struct ticket back;

		bytes[10] = (uint8_t)t->server;
		bytes[11] = (uint8_t)(t->server >> 8);
		bytes[12] = (uint8_t)t->client;
		bytes[13] = (uint8_t)(t->client >> 8);
		bytes[14] = (uint8_t)t->port;
		bytes[15] = (uint8_t)(t->port >> 8);
		assert_int_equal(ticket_decode(bytes, sizeof(bytes), &back),
				 tickets[i].ok ? 0 : TICKET_E_FORMAT);
		assert_int_equal(ticket_encode(t, again), tickets[i].ok ? 0 : TICKET_E_FORMAT);
		if (!tickets[i].ok)
			continue;
		assert_memory_equal(again, bytes, sizeof(again));
		assert_int_equal(back.port, t->port);
		for (unsigned at = 0; at < 10; at++) {
			memcpy(again, bytes, sizeof(again));
			again[at] ^= 0x80;
			assert_int_equal(ticket_decode(again, sizeof(again), &back),
					 TICKET_E_FORMAT);
		}
		assert_int_equal(ticket_decode(bytes, TICKET_LEN - 1, &back), TICKET_E_FORMAT);
	}
}

static void an_answer_is_zero_or_an_errno(void **state)
{
	uint8_t bytes[TICKET_ANSWER_LEN + 1] = {0};
	int r;

	(void)state;
	ticket_answer_encode(-EBUSY, bytes);
	assert_int_equal(ticket_answer_decode(bytes, TICKET_ANSWER_LEN, &r), 0);
	assert_int_equal(r, -EBUSY);
	assert_int_equal(ticket_answer_decode(bytes, sizeof(bytes), &r), TICKET_E_FORMAT);
	bytes[1] = 0x10;
	assert_int_equal(ticket_answer_decode(bytes, TICKET_ANSWER_LEN, &r), TICKET_E_FORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_streams_between_two_qubes_exist),
		cmocka_unit_test(an_answer_is_zero_or_an_errno),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
