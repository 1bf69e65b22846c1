/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Input: one byte direction, one byte version, then a message.
 *
 * What is accepted stands within the bounds of its type, and encoding it again gives the same
 * bytes: there is one way to write each message.
 */
#include "fuzz.h"
#include "proto/qrexec.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t again[QREXEC_MESSAGE_MAX];
	struct qrexec_header h;
	struct qrexec_msg m;
	enum qrexec_way way;
	uint32_t version;
	size_t len;

	if (size < 2 + QREXEC_HEADER_LEN)
		return 0;
	way = (enum qrexec_way)(data[0] % QREXEC_N_WAYS);
	version = QREXEC_VERSION_MIN + data[1] % (QREXEC_VERSION - QREXEC_VERSION_MIN + 1);
	data += 2;
	size -= 2;
	if (qrexec_header_decode(way, version, data, &h) != 0)
		return 0;
	FUZZ_CHECK(h.len <= QREXEC_MESSAGE_MAX - QREXEC_HEADER_LEN);
	if (h.len != size - QREXEC_HEADER_LEN)
		return 0;
	if (qrexec_payload_decode(way, version, &h, data + QREXEC_HEADER_LEN, &m) != 0)
		return 0;
	FUZZ_CHECK(strlen(m.ident) < sizeof(m.ident));
	FUZZ_CHECK(strlen(m.source) < sizeof(m.source));
	FUZZ_CHECK(strlen(m.target) < sizeof(m.target));
	FUZZ_CHECK(!m.command || strlen(m.command) == m.command_len);
	len = qrexec_msg_encode(&m, again, sizeof(again));
	FUZZ_CHECK(len == size);
	FUZZ_CHECK(memcmp(again, data, size) == 0);
	return 0;
}
