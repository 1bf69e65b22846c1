/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "proto/vmux.h"

// clang-format off
static const struct {
	struct vmux_head h;
	bool ok;
} heads[] = {
	{{VMUX_HELLO, 0, 0, VMUX_HELLO_LEN}, true},
	{{VMUX_HELLO, 0, 1, VMUX_HELLO_LEN}, false},
	{{VMUX_HELLO, 0, 0, VMUX_HELLO_LEN - 1}, false},
	{{VMUX_LISTEN, 0, 0, 8}, true},
	{{VMUX_UNLISTEN, 0, 0, 8}, true},
	{{VMUX_LISTEN, 0, 3, 8}, false},
	{{VMUX_LISTEN, 0, 0, 9}, false},
	{{VMUX_OPEN, 0, 3, 8}, true},
	{{VMUX_OPEN, 0, 0, 8}, false},
	{{VMUX_DATA, 0, 3, 1}, true},
	{{VMUX_DATA, 0, UINT32_MAX, VMUX_PAYLOAD_MAX}, true},
	{{VMUX_DATA, 0, 3, 0}, false},
	{{VMUX_DATA, 0, 3, VMUX_PAYLOAD_MAX + 1}, false},
	{{VMUX_DATA, 0, 3, UINT32_MAX}, false},
	{{VMUX_DATA, 1, 3, 1}, false},
	{{VMUX_DATA, 0, 0, 1}, false},
	{{VMUX_CREDIT, 0, 3, 4}, true},
	{{VMUX_CREDIT, 0, 3, 5}, false},
	{{VMUX_CLOSE, 0, 3, 0}, true},
	{{VMUX_CLOSE, VMUX_ABORT, 3, 0}, true},
	{{VMUX_CLOSE, 2, 3, 0}, false},
	{{VMUX_CLOSE, 0, 3, 1}, false},
	{{0, 0, 0, 0}, false},
	{{8, 0, 3, 0}, false},
	{{255, 0, 3, 0}, false},
};
// clang-format on

static void only_the_frames_of_the_page_exist(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		uint8_t bytes[VMUX_HEAD_LEN], again[VMUX_HEAD_LEN];
		struct vmux_head h;

		vmux_head_encode(&heads[i].h, bytes);
		assert_int_equal(vmux_head_decode(bytes, &h), heads[i].ok ? 0 : VMUX_E_FORMAT);
		if (heads[i].ok) {
			vmux_head_encode(&h, again);
			assert_memory_equal(bytes, again, sizeof(bytes));
		}
		bytes[2] = 1;
		assert_int_equal(vmux_head_decode(bytes, &h), VMUX_E_FORMAT);
	}
}

static const struct vmux_hello hello = {.version = VMUX_VERSION,
					.synced = true,
					.nonce = 0x1122334455667788,
					.echo = 0x99aabbccddeeff00,
					.credit = 4096,
					.domid = 32751,
					.max_streams = 1024,
					.max_listens = 512,
					.rings = 256};

static void a_hello_reads_back(void **state)
{
	uint8_t bytes[VMUX_HELLO_FRAME_LEN];
	struct vmux_hello h;
	struct vmux_head head;

	(void)state;
	vmux_hello_encode(&hello, bytes);
	assert_int_equal(vmux_head_decode(bytes, &head), 0);
	assert_int_equal(head.type, VMUX_HELLO);
	assert_int_equal(vmux_hello_decode(bytes, sizeof(bytes), &h), 0);
	assert_true(h.synced && !h.from_qube && h.nonce == hello.nonce && h.echo == hello.echo);
	assert_int_equal(h.credit, 4096);
	assert_int_equal(h.domid, 32751);
	assert_int_equal(h.max_streams, 1024);
	assert_int_equal(h.max_listens, 512);
	assert_int_equal(h.rings, 256);
	assert_int_equal(vmux_hello_decode(bytes, sizeof(bytes) - 1, &h), VMUX_E_FORMAT);
}

static void a_damaged_hello_is_none(void **state)
{
	/* offsets: type, length, magic, flags, the low half of the nonce, the tail */
	const unsigned damage[] = {0, 8, 12, 27, 32, 35, 36, 39, 64, 67};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(damage); i++) {
		uint8_t bytes[VMUX_HELLO_FRAME_LEN];
		struct vmux_hello h;

		vmux_hello_encode(&hello, bytes);
		bytes[damage[i]] ^= 0x40;
		assert_int_equal(vmux_hello_decode(bytes, sizeof(bytes), &h), VMUX_E_FORMAT);
	}
}

static void a_hello_says_nothing_impossible(void **state)
{
	struct vmux_hello h = hello, back;
	uint8_t bytes[VMUX_HELLO_FRAME_LEN];

	(void)state;
	h.domid = VMUX_DOMID_MAX + 1;
	vmux_hello_encode(&h, bytes);
	assert_int_equal(vmux_hello_decode(bytes, sizeof(bytes), &back), VMUX_E_FORMAT);
	h = hello;
	h.from_qube = true; /* a qube does not name itself */
	vmux_hello_encode(&h, bytes);
	assert_int_equal(vmux_hello_decode(bytes, sizeof(bytes), &back), VMUX_E_FORMAT);
	h.domid = 0; /* nor does it offer rings */
	vmux_hello_encode(&h, bytes);
	assert_int_equal(vmux_hello_decode(bytes, sizeof(bytes), &back), VMUX_E_FORMAT);
	h.rings = 0;
	vmux_hello_encode(&h, bytes);
	assert_int_equal(vmux_hello_decode(bytes, sizeof(bytes), &back), 0);
	h.nonce = 0;
	vmux_hello_encode(&h, bytes);
	assert_int_equal(vmux_hello_decode(bytes, sizeof(bytes), &back), VMUX_E_FORMAT);
	h = hello;
	h.version = 2; /* all but the version is for those who speak it */
	vmux_hello_encode(&h, bytes);
	assert_int_equal(vmux_hello_decode(bytes, sizeof(bytes), &back), 0);
	assert_int_equal(back.version, 2);
	assert_true(back.nonce == 0);
}

static void a_hello_is_found_in_the_middle_of_anything(void **state)
{
	uint8_t bytes[200];

	(void)state;
	for (size_t before = 0; before < 100; before++) {
		memset(bytes, 1, sizeof(bytes)); /* each byte may be a HELLO's first */
		vmux_hello_encode(&hello, bytes + before);
		for (size_t len = 0; len <= sizeof(bytes); len++) {
			size_t at = vmux_hello_find(bytes, len);

			if (len <= before)
				assert_true(at + 1 >= len); /* at most one byte may be kept */
			else
				assert_int_equal(at, before);
		}
	}
}

static void places_are_checked(void **state)
{
	struct vmux_where w = {32751, 0, 65535}, back;
	uint8_t bytes[VMUX_WHERE_LEN];

	(void)state;
	vmux_where_encode(&w, bytes);
	assert_int_equal(vmux_where_decode(bytes, sizeof(bytes), &back), 0);
	assert_memory_equal(&w, &back, sizeof(w));
	assert_int_equal(vmux_where_decode(bytes, 7, &back), VMUX_E_FORMAT);
	bytes[7] = 1;
	assert_int_equal(vmux_where_decode(bytes, sizeof(bytes), &back), VMUX_E_FORMAT);
	w.client = 32752; /* "self" is not a name on this wire */
	vmux_where_encode(&w, bytes);
	assert_int_equal(vmux_where_decode(bytes, sizeof(bytes), &back), VMUX_E_FORMAT);
}

static void credit_of_nothing_is_refused(void **state)
{
	const uint8_t none[4] = {0}, some[5] = {1, 2};
	uint32_t n;

	(void)state;
	assert_int_equal(vmux_credit_decode(none, 4, &n), VMUX_E_FORMAT);
	assert_int_equal(vmux_credit_decode(some, 5, &n), VMUX_E_FORMAT);
	assert_int_equal(vmux_credit_decode(some, 4, &n), 0);
	assert_int_equal(n, 0x201);
}

static void a_slot_reads_back(void **state)
{
	uint8_t bytes[4];
	uint16_t slot;

	(void)state;
	vmux_ring_encode(0x1234, bytes);
	assert_int_equal(vmux_ring_decode(bytes, 4, &slot), 0);
	assert_int_equal(slot, 0x1234);
	assert_int_equal(vmux_ring_decode(bytes, 3, &slot), VMUX_E_FORMAT);
	bytes[2] = 1;
	assert_int_equal(vmux_ring_decode(bytes, 4, &slot), VMUX_E_FORMAT);
}

static void a_tag_is_never_zero(void **state)
{
	(void)state;
	assert_int_equal(vmux_tag(0x5, 0x500000000), 1);
	assert_int_equal(vmux_tag(0x5, 0x600000000), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_frames_of_the_page_exist),
		cmocka_unit_test(a_hello_reads_back),
		cmocka_unit_test(a_damaged_hello_is_none),
		cmocka_unit_test(a_hello_says_nothing_impossible),
		cmocka_unit_test(a_hello_is_found_in_the_middle_of_anything),
		cmocka_unit_test(places_are_checked),
		cmocka_unit_test(credit_of_nothing_is_refused),
		cmocka_unit_test(a_slot_reads_back),
		cmocka_unit_test(a_tag_is_never_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
