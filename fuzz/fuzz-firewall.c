/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Firewall rules: what decodes is encoded to a line that decodes alike, and is encoded the same. */
#include "fuzz.h"

#include "proto/firewall.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char line[FIREWALL_LINE_MAX + 1], again[FIREWALL_LINE_MAX + 1];
	struct firewall_rule rule, back;
	int r = firewall_rule_decode((const char *)data, size, &rule);

	FUZZ_CHECK(r >= 0 && r <= FIREWALL_E_COMMENT);
	if (r > 0)
		return 0;
	firewall_rule_encode(&rule, false, line);
	FUZZ_CHECK(strlen(line) < FIREWALL_LINE_MAX);
	FUZZ_CHECK(firewall_rule_decode(line, strlen(line), &back) == 0);
	FUZZ_CHECK(back.accept == rule.accept && back.destination == rule.destination);
	FUZZ_CHECK(back.proto == rule.proto && back.expire == rule.expire);
	FUZZ_CHECK(memcmp(back.address, rule.address, 16) == 0 && back.prefix == rule.prefix);
	FUZZ_CHECK(strcmp(back.host, rule.host) == 0 && strcmp(back.comment, rule.comment) == 0);
	firewall_rule_encode(&back, false, again);
	FUZZ_CHECK(strcmp(line, again) == 0);
	firewall_rule_encode(&rule, true, line);
	FUZZ_CHECK(firewall_rule_decode(line, strlen(line), &back) == 0);
	return 0;
}
