/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The monitor's wire: what decodes encodes to the same bytes, but for a MEMORY without its last word. First byte: number of descriptors. */
#include "fuzz.h"

#include "proto/monitor.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t buf[MONITOR_MSG_MAX];
	static struct monitor_msg m;
	size_t len;
	int r;

	if (size < 1)
		return 0;
	r = monitor_decode(data + 1, size - 1, data[0], &m);
	FUZZ_CHECK(r == 0 || r == MONITOR_E_FORMAT);
	if (r > 0)
		return 0;
	FUZZ_CHECK(data[0] <= MONITOR_MAX_FDS);
	len = monitor_encode(&m, buf, sizeof(buf));
	FUZZ_CHECK(len == size - 1 ||
		   (m.type == MONITOR_MEMORY && m.memory.swapped_out == 0 && len == size - 1 + 8));
	FUZZ_CHECK(memcmp(buf, data + 1, size - 1) == 0);
	return 0;
}
