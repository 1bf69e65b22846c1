/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/firewall.h"

#include "base/bytes.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <string.h>

/* a word of a rule: copied, so that it ends with a NUL; longer ones mean nothing anywhere */
#define WORD_MAX 287

const char *firewall_outcome_str(int outcome)
{
	static const char keys[] = "its keys are dst4, dst6, dsthost, dstports, expire, icmptype, "
				   "proto, specialtarget and, as the last one, comment";
	static const char *const texts[] = {
		[FIREWALL_E_ACTION] = "a rule begins with action=accept or action=drop",
		[FIREWALL_E_KEY] = keys,
		[FIREWALL_E_TWICE] = "each key stands there once, and of the destinations one",
		[FIREWALL_E_DESTINATION] = "a destination is an address, ADDRESS/BITS or a host",
		[FIREWALL_E_PROTO] = "proto is tcp, udp or icmp",
		[FIREWALL_E_PORTS] = "dstports is PORT or FIRST-LAST, with proto=tcp or proto=udp",
		[FIREWALL_E_ICMP] = "icmptype is a number from 0 to 255, with proto=icmp",
		[FIREWALL_E_TARGET] = "specialtarget is dns",
		[FIREWALL_E_EXPIRE] = "expire is a number of seconds since 1970",
		[FIREWALL_E_COMMENT] = "a comment is at most 256 characters of printable ASCII",
	};

	return outcome > 0 && (size_t)outcome < ARRAY_LEN(texts) ? texts[outcome] : "";
}

/* ADDRESS or ADDRESS/BITS */
static bool take_address(int family, const char *value, struct firewall_rule *rule)
{
	const unsigned most = family == AF_INET ? 32 : 128;
	const char *slash = strchr(value, '/');
	char address[INET6_ADDRSTRLEN];
	uint8_t bytes[16] = {0};
	uint64_t bits = most;
	size_t len = slash ? (size_t)(slash - value) : strlen(value);

	if (str_copy(address, sizeof(address), value, len) < 0 ||
	    inet_pton(family, address, bytes) != 1 ||
	    (slash && str_u64(slash + 1, most, &bits) < 0))
		return false;
	rule->destination = family == AF_INET ? FIREWALL_4 : FIREWALL_6;
	memcpy(rule->address, bytes, sizeof(bytes));
	rule->prefix = (uint8_t)bits;
	return true;
}

static bool take_host(const char *value, struct firewall_rule *rule)
{
	size_t len = strlen(value);

	if (take_address(AF_INET, value, rule) || take_address(AF_INET6, value, rule))
		return true;
	if (len == 0 || len > FIREWALL_HOST_MAX || value[0] == '-' || value[0] == '.' ||
	    !bytes_are_alnum_or(value, len, "_.-"))
		return false;
	rule->destination = FIREWALL_HOST;
	memcpy(rule->host, value, len + 1);
	return true;
}

static int take_ports(const char *value, struct firewall_rule *rule)
{
	const char *dash = strchr(value, '-');
	char first[8];
	uint64_t a, b;

	if (str_copy(first, sizeof(first), value, dash ? (size_t)(dash - value) : strlen(value)) <
		    0 ||
	    str_u64(first, UINT16_MAX, &a) < 0 ||
	    str_u64(dash ? dash + 1 : first, UINT16_MAX, &b) < 0 || a > b)
		return FIREWALL_E_PORTS;
	rule->port_first = (uint16_t)a;
	rule->port_last = (uint16_t)b;
	rule->has_ports = true;
	return 0;
}

static int take_proto(const char *value, struct firewall_rule *rule)
{
	if (strcmp(value, "tcp") == 0)
		rule->proto = FIREWALL_TCP;
	else if (strcmp(value, "udp") == 0)
		rule->proto = FIREWALL_UDP;
	else if (strcmp(value, "icmp") == 0)
		rule->proto = FIREWALL_ICMP;
	else
		return FIREWALL_E_PROTO;
	return 0;
}

enum key { DST4, DST6, DSTHOST, DSTPORTS, EXPIRE, ICMPTYPE, PROTO, SPECIALTARGET, N_KEYS };

static int take_value(enum key key, const char *value, struct firewall_rule *rule)
{
	uint64_t n;

	switch (key) {
	case DST4:
		return take_address(AF_INET, value, rule) ? 0 : FIREWALL_E_DESTINATION;
	case DST6:
		return take_address(AF_INET6, value, rule) ? 0 : FIREWALL_E_DESTINATION;
	case DSTHOST:
		return take_host(value, rule) ? 0 : FIREWALL_E_DESTINATION;
	case DSTPORTS:
		return take_ports(value, rule);
	case EXPIRE:
		if (str_u64(value, INT64_MAX, &n) < 0 || n == 0)
			return FIREWALL_E_EXPIRE;
		rule->expire = n;
		return 0;
	case ICMPTYPE:
		if (str_u64(value, UINT8_MAX, &n) < 0)
			return FIREWALL_E_ICMP;
		rule->icmp_type = (uint8_t)n;
		rule->has_icmp_type = true;
		return 0;
	case PROTO:
		return take_proto(value, rule);
	case SPECIALTARGET:
		rule->dns = strcmp(value, "dns") == 0;
		return rule->dns ? 0 : FIREWALL_E_TARGET;
	case N_KEYS:
		break;
	}
	return FIREWALL_E_KEY;
}

/* "KEY=VALUE" */
static int take_word(const char *bytes, size_t len, struct firewall_rule *rule, unsigned *seen)
{
	static const char *const keys[N_KEYS] = {
		[DST4] = "dst4=",       [DST6] = "dst6=",
		[DSTHOST] = "dsthost=", [DSTPORTS] = "dstports=",
		[EXPIRE] = "expire=",   [ICMPTYPE] = "icmptype=",
		[PROTO] = "proto=",     [SPECIALTARGET] = "specialtarget=",
	};
	const unsigned destinations = 1u << DST4 | 1u << DST6 | 1u << DSTHOST;
	char word[WORD_MAX + 1];

	if (len > WORD_MAX || memchr(bytes, '\0', len) ||
	    str_copy(word, sizeof(word), bytes, len) < 0)
		return FIREWALL_E_KEY;
	for (unsigned k = 0; k < N_KEYS; k++) {
		const unsigned bit = 1u << k;

		if (!str_starts(word, keys[k]))
			continue;
		if ((bit & destinations ? destinations : bit) & *seen)
			return FIREWALL_E_TWICE;
		*seen |= bit;
		return take_value((enum key)k, word + strlen(keys[k]), rule);
	}
	return FIREWALL_E_KEY;
}

static bool is_printable(const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i] < 0x20 || bytes[i] >= 0x7f)
			return false;
	return true;
}

static bool begins(const char *at, const char *end, const char *with)
{
	size_t len = strlen(with);

	return (size_t)(end - at) >= len && memcmp(at, with, len) == 0;
}

int firewall_rule_decode(const char *line, size_t len, struct firewall_rule *ret)
{
	static const char accept[] = "action=accept", drop[] = "action=drop",
			  comment[] = "comment=";
	const char *at = line, *end = line + len;
	struct firewall_rule rule = {0};
	unsigned seen = 0;
	int r;

	rule.accept = begins(at, end, accept);
	if (!rule.accept && !begins(at, end, drop))
		return FIREWALL_E_ACTION;
	at += rule.accept ? strlen(accept) : strlen(drop);
	while (at < end) {
		const char *space;

		if (*at++ != ' ')
			return seen == 0 ? FIREWALL_E_ACTION : FIREWALL_E_KEY;
		if (begins(at, end, comment)) {
			size_t n = (size_t)(end - at) - strlen(comment);

			at += strlen(comment);
			if (n > FIREWALL_COMMENT_MAX || !is_printable(at, n))
				return FIREWALL_E_COMMENT;
			memcpy(rule.comment, at, n);
			break;
		}
		space = memchr(at, ' ', (size_t)(end - at));
		r = take_word(at, (size_t)((space ? space : end) - at), &rule, &seen);
		if (r != 0)
			return r;
		at = space ? space : end;
	}
	if (rule.has_ports && rule.proto != FIREWALL_TCP && rule.proto != FIREWALL_UDP)
		return FIREWALL_E_PORTS;
	if (rule.has_icmp_type && rule.proto != FIREWALL_ICMP)
		return FIREWALL_E_ICMP;
	*ret = rule;
	return 0;
}

static void put_text(struct wr *w, const char *text)
{
	wr_bytes(w, text, strlen(text));
}

static void put_number(struct wr *w, const char *key, uint64_t n)
{
	char digits[24];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	put_text(w, key);
	wr_bytes(w, digits + at, sizeof(digits) - at);
}

static void put_destination(const struct firewall_rule *rule, struct wr *w)
{
	const bool is_4 = rule->destination == FIREWALL_4;
	char address[INET6_ADDRSTRLEN] = "";

	switch (rule->destination) {
	case FIREWALL_ANYWHERE:
		return;
	case FIREWALL_HOST:
		put_text(w, " dsthost=");
		put_text(w, rule->host);
		return;
	case FIREWALL_4:
	case FIREWALL_6:
		(void)inet_ntop(is_4 ? AF_INET : AF_INET6, rule->address, address, sizeof(address));
		put_text(w, is_4 ? " dst4=" : " dst6=");
		put_text(w, address);
		put_number(w, "/", rule->prefix);
		return;
	}
}

void firewall_rule_encode(const struct firewall_rule *rule, bool for_qube, char *to)
{
	static const char *const protos[] = {[FIREWALL_ANY] = "",
					     [FIREWALL_TCP] = " proto=tcp",
					     [FIREWALL_UDP] = " proto=udp",
					     [FIREWALL_ICMP] = " proto=icmp"};
	/* the longest line, with a host and a comment, is far shorter */
	struct wr w = wr_of(to, FIREWALL_LINE_MAX + 1);

	put_text(&w, rule->accept ? "action=accept" : "action=drop");
	put_destination(rule, &w);
	if (rule->has_ports) {
		put_number(&w, " dstports=", rule->port_first);
		put_number(&w, "-", rule->port_last);
	}
	if (rule->expire > 0 && !for_qube)
		put_number(&w, " expire=", rule->expire);
	if (rule->has_icmp_type)
		put_number(&w, " icmptype=", rule->icmp_type);
	put_text(&w, protos[rule->proto]);
	if (rule->dns)
		put_text(&w, " specialtarget=dns");
	if (rule->comment[0] != '\0' && !for_qube) {
		put_text(&w, " comment=");
		put_text(&w, rule->comment);
	}
	wr_u8(&w, 0);
}
