/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Firewall rules: one row per way to write one, right or wrong. */
#include "proto/firewall.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void a_rule_comes_back_in_its_one_form(void **state)
{
	/* clang-format off */
	static const struct {
		const char *line, *back; /* NULL: the same */
	} rows[] = {
		{"action=accept"}, {"action=drop"},
		{"action=accept dst4=10.0.0.1/8"}, {"action=accept dst4=10.0.0.1", "action=accept dst4=10.0.0.1/32"},
		{"action=accept dst4=0.0.0.0/0"}, {"action=accept dst6=::/0"},
		{"action=accept dst6=2001:DB8:0::1", "action=accept dst6=2001:db8::1/128"},
		{"action=accept dsthost=1.2.3.4", "action=accept dst4=1.2.3.4/32"},
		{"action=accept dsthost=1.2.3.0/24", "action=accept dst4=1.2.3.0/24"},
		{"action=accept dsthost=::1", "action=accept dst6=::1/128"},
		{"action=accept dsthost=www.example.org"}, {"action=accept dsthost=1.2.3.4.5"},
		{"action=accept proto=tcp dstports=22", "action=accept dstports=22-22 proto=tcp"},
		{"action=accept dstports=1-65535 proto=udp"},
		{"action=drop proto=icmp icmptype=8", "action=drop icmptype=8 proto=icmp"},
		{"action=drop proto=icmp"},
		{"action=accept specialtarget=dns expire=1700000000", "action=accept expire=1700000000 specialtarget=dns"},
		{"action=accept comment=a b  c=d action=drop"}, {"action=accept comment=", "action=accept"},
		{"action=accept dst4=1.2.3.4/32 proto=tcp expire=5 dstports=80 comment=50% of them",
		 "action=accept dst4=1.2.3.4/32 dstports=80-80 expire=5 proto=tcp comment=50% of them"},
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *back = rows[i].back ? rows[i].back : rows[i].line;
		struct firewall_rule rule;
		char line[FIREWALL_LINE_MAX + 1];

		assert_int_equal(firewall_rule_decode(rows[i].line, strlen(rows[i].line), &rule),
				 0);
		firewall_rule_encode(&rule, false, line);
		assert_string_equal(line, back);
	}
}

static void a_qube_is_told_no_expiry_and_no_comment(void **state)
{
	static const char line[] = "action=accept dsthost=a.b expire=7 proto=tcp comment=mine";
	struct firewall_rule rule;
	char back[FIREWALL_LINE_MAX + 1];

	(void)state;
	assert_int_equal(firewall_rule_decode(line, strlen(line), &rule), 0);
	assert_int_equal(rule.expire, 7);
	assert_string_equal(rule.comment, "mine");
	firewall_rule_encode(&rule, true, back);
	assert_string_equal(back, "action=accept dsthost=a.b proto=tcp");
}

static void the_longest_rule_fits(void **state)
{
	char line[2048], back[FIREWALL_LINE_MAX + 1], host[FIREWALL_HOST_MAX + 2],
		comment[FIREWALL_COMMENT_MAX + 2];
	struct firewall_rule rule;

	(void)state;
	memset(host, 'h', sizeof(host));
	memset(comment, 'c', sizeof(comment));
	for (unsigned more = 0; more < 3; more++) {
		host[FIREWALL_HOST_MAX + (more == 1)] = '\0';
		comment[FIREWALL_COMMENT_MAX + (more == 2)] = '\0';
		(void)snprintf(line, sizeof(line),
			       "action=accept dsthost=%s dstports=10000-65535 "
			       "expire=9223372036854775807 proto=tcp specialtarget=dns comment=%s",
			       host, comment);
		assert_int_equal(firewall_rule_decode(line, strlen(line), &rule),
				 more == 0   ? 0
				 : more == 1 ? FIREWALL_E_DESTINATION
					     : FIREWALL_E_COMMENT);
		if (more == 0) {
			firewall_rule_encode(&rule, false, back);
			assert_string_equal(back, line);
		}
		host[FIREWALL_HOST_MAX] = 'h';
		comment[FIREWALL_COMMENT_MAX] = 'c';
	}
}

static void what_is_no_rule_is_refused(void **state)
{
	/* clang-format off */
	static const struct {
		const char *line;
		int outcome;
	} rows[] = {
		{"", FIREWALL_E_ACTION}, {"action=", FIREWALL_E_ACTION}, {"action=reject", FIREWALL_E_ACTION},
		{"action=acceptt", FIREWALL_E_ACTION}, {" action=accept", FIREWALL_E_ACTION}, {"proto=tcp action=accept", FIREWALL_E_ACTION},
		{"action=accept ", FIREWALL_E_KEY}, {"action=accept  proto=tcp", FIREWALL_E_KEY}, {"action=accept x=1", FIREWALL_E_KEY},
		{"action=accept proto=tcp ", FIREWALL_E_KEY}, {"action=accept action=drop", FIREWALL_E_KEY}, {"action=accept proto", FIREWALL_E_KEY},
		{"action=accept\tproto=tcp", FIREWALL_E_ACTION}, {"action=accept\n", FIREWALL_E_ACTION},
		{"action=accept proto=tcp proto=tcp", FIREWALL_E_TWICE}, {"action=accept dst4=1.1.1.1 dsthost=a", FIREWALL_E_TWICE},
		{"action=accept dst4=1.1.1.1 dst6=::1", FIREWALL_E_TWICE},
		{"action=accept dst4=1.1.1", FIREWALL_E_DESTINATION}, {"action=accept dst4=1.1.1.1/33", FIREWALL_E_DESTINATION},
		{"action=accept dst4=1.1.1.1/", FIREWALL_E_DESTINATION}, {"action=accept dst4=1.1.1.1/08", FIREWALL_E_DESTINATION},
		{"action=accept dst4=::1", FIREWALL_E_DESTINATION}, {"action=accept dst6=::1/129", FIREWALL_E_DESTINATION},
		{"action=accept dst6=::1%eth0", FIREWALL_E_DESTINATION}, {"action=accept dst4=", FIREWALL_E_DESTINATION},
		{"action=accept dsthost=", FIREWALL_E_DESTINATION}, {"action=accept dsthost=a/b", FIREWALL_E_DESTINATION},
		{"action=accept dsthost=-a", FIREWALL_E_DESTINATION}, {"action=accept dsthost=\xc3\xa4.org", FIREWALL_E_DESTINATION},
		{"action=accept proto=sctp", FIREWALL_E_PROTO}, {"action=accept proto=TCP", FIREWALL_E_PROTO},
		{"action=accept dstports=80", FIREWALL_E_PORTS}, {"action=accept dstports=80 proto=icmp", FIREWALL_E_PORTS},
		{"action=accept proto=tcp dstports=80-79", FIREWALL_E_PORTS}, {"action=accept proto=tcp dstports=65536", FIREWALL_E_PORTS},
		{"action=accept proto=tcp dstports=1-2-3", FIREWALL_E_PORTS}, {"action=accept proto=tcp dstports=-5", FIREWALL_E_PORTS},
		{"action=accept icmptype=8", FIREWALL_E_ICMP}, {"action=accept proto=icmp icmptype=256", FIREWALL_E_ICMP},
		{"action=accept specialtarget=web", FIREWALL_E_TARGET},
		{"action=accept expire=0", FIREWALL_E_EXPIRE}, {"action=accept expire=+5m", FIREWALL_E_EXPIRE},
		{"action=accept expire=99999999999999999999", FIREWALL_E_EXPIRE},
		{"action=accept comment=a\tb", FIREWALL_E_COMMENT}, {"action=accept comment=\xc3\xa4", FIREWALL_E_COMMENT},
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct firewall_rule rule;

		print_message("%s\n", rows[i].line);
		assert_int_equal(firewall_rule_decode(rows[i].line, strlen(rows[i].line), &rule),
				 rows[i].outcome);
		assert_true(firewall_outcome_str(rows[i].outcome)[0] != '\0');
	}
	/* a NUL within */
	struct firewall_rule rule;

	assert_int_equal(firewall_rule_decode("action=accept proto=tcp\0x", 25, &rule),
			 FIREWALL_E_KEY);
	assert_int_equal(firewall_rule_decode("action=accept comment=a\0x", 25, &rule),
			 FIREWALL_E_COMMENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rule_comes_back_in_its_one_form),
		cmocka_unit_test(a_qube_is_told_no_expiry_and_no_comment),
		cmocka_unit_test(the_longest_rule_fits),
		cmocka_unit_test(what_is_no_rule_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
