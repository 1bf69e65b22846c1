/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames between two vchands: what decodes encodes to itself, and a HELLO is found where it is. */
#include "fuzz.h"

#include "proto/vmux.h"

#include <string.h>

static void hello(const uint8_t *data, size_t size)
{
	size_t at = vmux_hello_find(data, size);
	uint8_t again[VMUX_HELLO_FRAME_LEN];
	struct vmux_hello h;
	int r;

	FUZZ_CHECK(at <= size);
	FUZZ_CHECK(vmux_hello_find(data + at, size - at) == 0);
	r = vmux_hello_decode(data, size, &h);
	FUZZ_CHECK(r == 0 || r == VMUX_E_FORMAT);
	if (r > 0 || h.version != VMUX_VERSION)
		return;
	FUZZ_CHECK(at == 0 && size == sizeof(again));
	vmux_hello_encode(&h, again);
	FUZZ_CHECK(memcmp(again, data, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t again[VMUX_HEAD_LEN];
	struct vmux_head h;
	struct vmux_where w;
	uint32_t more;

	hello(data, size);
	if (size >= VMUX_HEAD_LEN && vmux_head_decode(data, &h) == 0) {
		FUZZ_CHECK(h.len <= VMUX_PAYLOAD_MAX);
		vmux_head_encode(&h, again);
		FUZZ_CHECK(memcmp(again, data, sizeof(again)) == 0);
	}
	if (vmux_where_decode(data, size, &w) == 0) {
		FUZZ_CHECK(size == VMUX_WHERE_LEN && w.server <= VMUX_DOMID_MAX);
		vmux_where_encode(&w, again);
		FUZZ_CHECK(memcmp(again, data, size) == 0);
	}
	if (vmux_credit_decode(data, size, &more) == 0)
		FUZZ_CHECK(size == VMUX_CREDIT_LEN && more > 0);
	return 0;
}
