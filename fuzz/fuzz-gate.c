/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Admin calls over qrexec: what is made of a call is a request that is one, for the gate, for qubesd and on the wire between them. */
#include "fuzz.h"

#include "proto/gate.h"

#include <string.h>

/* SERVICE NUL SOURCE NUL TYPE NUL TARGET NUL PAYLOAD */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char bytes[ADMIN_MAX_REQUEST + 1], wire[ADMIN_MAX_REQUEST];
	char *words[4], *at = bytes, line[ADMIN_MAX_NAME + 1], service[128];
	const char *list = bytes, *got;
	const struct gate_method *m;
	struct admin_request q, back;
	size_t len, line_len;
	uint64_t sized;

	if (size > ADMIN_MAX_REQUEST)
		return 0;
	memcpy(bytes, data, size);
	bytes[size] = '\0';
	while (gate_list_line(&list, bytes + size, &got, &line_len, line))
		FUZZ_CHECK(got[line_len - 1] == '\n' && got + line_len == list && line[0] != '\0');
	if (gate_sized_decode(data, size, &sized) == 0)
		FUZZ_CHECK(sized > 0 && size <= GATE_SIZED_MAX);
	gate_event_service("admin.Events", bytes, service, sizeof(service));
	FUZZ_CHECK(strlen(service) < sizeof(service) && !strpbrk(service, " \n=:@/"));
	for (unsigned i = 0; i < 4; i++) {
		words[i] = at;
		at += strlen(at) + 1;
		if (at > bytes + size)
			return 0;
	}
	if (gate_request_make(words[0], words[1], words[2], words[3], &q) != 0)
		return 0;
	m = gate_method_find(q.method);
	FUZZ_CHECK(m != NULL);
	q.payload = (const uint8_t *)at;
	q.payload_len = size - (size_t)(at - bytes);
	FUZZ_CHECK((gate_payload_check(m, q.payload, q.payload_len) == 0) == (gate_check(&q) == 0));
	if (gate_check(&q) != 0 || admin_request_encode(&q, wire, sizeof(wire), &len) != 0)
		return 0;
	FUZZ_CHECK(admin_request_decode(wire, len, &back) == 0 && gate_check(&back) == 0);
	FUZZ_CHECK(strcmp(q.method, back.method) == 0 && strcmp(q.arg, back.arg) == 0 &&
		   strcmp(q.source, back.source) == 0 && strcmp(q.dest, back.dest) == 0);
	return 0;
}
