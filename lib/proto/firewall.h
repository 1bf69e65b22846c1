/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * A rule of a qube's firewall: a line of admin.vm.firewall.Get and .Set, and (without what concerns
 * dom0 alone) of QubesDB's /qubes-firewall. doc/protocol/firewall.md has the rows.
 *
 * There is one way to write a rule; what is decoded is encoded that way.
 */
#include "base/attr.h"

/** FIREWALL_LINE_MAX - bytes of an encoded rule, without a NUL */
#define FIREWALL_LINE_MAX    1023
#define FIREWALL_HOST_MAX    253
#define FIREWALL_COMMENT_MAX 256

/** enum firewall_outcome */
enum firewall_outcome {
	FIREWALL_E_ACTION = 1,  /* it does not begin with action=accept or action=drop */
	FIREWALL_E_KEY,         /* a key that there is not */
	FIREWALL_E_TWICE,       /* a key again, or a second destination */
	FIREWALL_E_DESTINATION, /* no address, prefix or name of a host */
	FIREWALL_E_PROTO,       /* no protocol */
	FIREWALL_E_PORTS,       /* no ports, or neither tcp nor udp */
	FIREWALL_E_ICMP,        /* no type, or not icmp */
	FIREWALL_E_TARGET,      /* a special target that there is not */
	FIREWALL_E_EXPIRE,      /* no number of seconds */
	FIREWALL_E_COMMENT,     /* too long, or not printable ASCII */
};

enum firewall_destination { FIREWALL_ANYWHERE, FIREWALL_4, FIREWALL_6, FIREWALL_HOST };
enum firewall_proto { FIREWALL_ANY, FIREWALL_TCP, FIREWALL_UDP, FIREWALL_ICMP };

/**
 * struct firewall_rule
 * @address:	of FIREWALL_4 its first four bytes, of FIREWALL_6 all; @prefix its bits that count
 * @expire:	seconds since 1970; 0 = never
 */
struct firewall_rule {
	bool accept, has_ports, has_icmp_type, dns;
	enum firewall_destination destination;
	enum firewall_proto proto;
	uint8_t address[16], prefix, icmp_type;
	uint16_t port_first, port_last;
	uint64_t expire;
	char host[FIREWALL_HOST_MAX + 1];
	char comment[FIREWALL_COMMENT_MAX + 1];
};

/** firewall_rule_decode() - one line, without its newline. Return: 0; an outcome */
MUST_CHECK int firewall_rule_decode(const char *line, size_t len, struct firewall_rule *ret);

/**
 * firewall_rule_encode() - the line, NUL-terminated
 * @for_qube:	as the qube that enforces it is told: without expire and comment
 * @to:		room for FIREWALL_LINE_MAX + 1 bytes
 */
void firewall_rule_encode(const struct firewall_rule *rule, bool for_qube, char *to);

const char *firewall_outcome_str(int outcome);
