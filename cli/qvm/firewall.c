/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qvm-firewall: where a qube may connect to; a rule is written one way (proto/firewall.h) */
#include "qvm.h"

#include "base/str.h"
#include "grid.h"
#include "proto/firewall.h"
#include "qubesd.h"
#include "ui.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { BEFORE = OPTION_OWN, RULE_NO, RAW, RELOAD, JSON };

struct rules {
	char (*lines)[FIREWALL_LINE_MAX + 1];
	size_t n;
};

/* the rules of @qube as qubesd has them, with room for one more */
static int load(const struct args *a, const char *qube, struct rules *ret)
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	size_t n = 1;

	*ret = (struct rules){0};
	if (qubesd_call(a, "admin.vm.firewall.Get", qube, NULL, NULL, &answer) != 0)
		return 1;
	for (const char *at = answer.data; *at != '\0'; at++)
		n += *at == '\n';
	ret->lines = calloc(n + 1, sizeof(*ret->lines));
	if (!ret->lines)
		return ui_fail(a, "out of memory");
	for (const char *at = answer.data; *at != '\0';) {
		size_t len = strcspn(at, "\n");

		if (len > 0 && str_copy(ret->lines[ret->n++], sizeof(*ret->lines), at, len) < 0)
			return ui_fail(a, "%s: qubesd's answer cannot be understood", qube);
		at += len + (at[len] == '\n');
	}
	return 0;
}

static int save(const struct args *a, const char *qube, const struct rules *rules)
{
	AUTO_FREE char *text = calloc(rules->n + 1, sizeof(*rules->lines) + 1);
	char *at = text;

	if (!text)
		return ui_fail(a, "out of memory");
	assert(rules->lines);
	for (size_t i = 0; i < rules->n; i++)
		at = stpcpy(stpcpy(at, rules->lines[i]), "\n");
	return qubesd_call(a, "admin.vm.firewall.Set", qube, NULL, text, NULL);
}

/* expire=+SECONDS counts from now */
static int add_expire(char *to, size_t size, const char *value)
{
	uint64_t seconds;

	if (value[0] != '+')
		return str_format(to, size, " expire=%s", value);
	if (str_u64(value + 1, UINT32_MAX, &seconds) < 0)
		return -EINVAL;
	return str_format(to, size, " expire=%llu", (unsigned long long)time(NULL) + seconds);
}

/* key=value pairs, or bare words in the order of @places; what each is, is put behind @to */
static int add_word(char *to, size_t size, const char *word, unsigned *place, bool *icmp)
{
	static const char *const places[] = {"action", "dsthost", "proto", "dstports"};
	static const char *const keys[] = {"action",   "dst4",          "dst6",
					   "dsthost",  "proto",         "dstports",
					   "icmptype", "specialtarget", "expire"};
	const char *equals = strchr(word, '='), *value = equals ? equals + 1 : word;
	size_t len = equals ? (size_t)(equals - word) : 0, n = strlen(to);
	char key[16];

	if (!equals) {
		if (*place >= ARRAY_LEN(places))
			return -EINVAL;
		(void)snprintf(key, sizeof(key), "%s",
			       *place == 3 && *icmp ? "icmptype" : places[*place]);
	} else if (str_copy(key, sizeof(key), word, len) < 0) {
		return -EINVAL;
	}
	for (unsigned i = 0; i < ARRAY_LEN(places); i++) {
		if (str_eq(key, places[i]) || (i == 3 && str_eq(key, "icmptype")) ||
		    (i == 1 && str_starts(key, "dst") && !str_eq(key, "dstports")))
			*place = i + 1;
	}
	*icmp = *icmp || (str_eq(key, "proto") && str_eq(value, "icmp"));
	if (str_eq(key, "expire"))
		return add_expire(to + n, size - n, value);
	/* a network may be given for any of the three */
	if (str_eq(key, "dst4") || str_eq(key, "dst6"))
		(void)snprintf(key, sizeof(key), "dsthost");
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		if (str_eq(keys[i], key))
			return str_format(to + n, size - n, "%s%s=%s", n > 0 ? " " : "", key,
					  value);
	}
	return -EINVAL;
}

/* a rule of the command line, as qubesd writes it; 0, or ARGS_E_USAGE and said so */
static int parse_rule(const struct args *a, const char *const *words, unsigned n,
		      char to[FIREWALL_LINE_MAX + 1])
{
	char line[FIREWALL_LINE_MAX + 1] = "";
	const char *comment = NULL;
	struct firewall_rule rule;
	unsigned place = 0;
	bool icmp = false;
	size_t len;
	int r;

	for (unsigned i = 0; i < n; i++) {
		if (str_starts(words[i], "comment=")) {
			comment = words[i];
			continue;
		}
		if (strpbrk(words[i], " \n") ||
		    add_word(line, sizeof(line), words[i], &place, &icmp) < 0)
			return ui_usage(a, "'%s' is no part of a rule; qvm-firewall --help",
					words[i]);
	}
	len = strlen(line);
	if (comment && str_format(line + len, sizeof(line) - len, " %s", comment) < 0)
		return ui_usage(a, "the rule is too long");
	r = firewall_rule_decode(line, strlen(line), &rule);
	if (r != 0)
		return ui_usage(a, "this is no rule: %s", firewall_outcome_str(r));
	firewall_rule_encode(&rule, false, to);
	return 0;
}

/* where @line stands among the rules; -1 if it does not */
static int find(const struct rules *rules, const char *line)
{
	for (size_t i = 0; i < rules->n; i++) {
		if (str_eq(rules->lines[i], line))
			return (int)i;
	}
	return -1;
}

static int add(const struct args *a, struct rules *rules, const char *const *words, unsigned n)
{
	const char *before = args_value(a, BEFORE);
	char line[FIREWALL_LINE_MAX + 1];
	uint64_t at = rules->n;

	if (parse_rule(a, words, n, line) != 0)
		return 2;
	if (before && str_u64(before, rules->n, &at) < 0)
		return ui_fail(a, "there is no rule %s to put it before; the last one is %zu",
			       before, rules->n > 0 ? rules->n - 1 : 0);
	memmove(rules->lines + at + 1, rules->lines + at, (rules->n - at) * sizeof(*rules->lines));
	memcpy(rules->lines[at], line, sizeof(line));
	rules->n++;
	return 0;
}

static int del(const struct args *a, struct rules *rules, const char *const *words, unsigned n)
{
	const char *number = args_value(a, RULE_NO);
	char line[FIREWALL_LINE_MAX + 1];
	uint64_t at = 0;

	if (number) {
		if (str_u64(number, UINT32_MAX, &at) < 0 || at >= rules->n)
			return ui_fail(a, "there is no rule %s; list shows their numbers", number);
	} else {
		int found;

		if (parse_rule(a, words, n, line) != 0)
			return 2;
		found = find(rules, line);
		if (found < 0)
			return ui_fail(a, "there is no rule '%s'; list --raw shows what there is",
				       line);
		at = (uint64_t)found;
	}
	rules->n--;
	memmove(rules->lines + at, rules->lines + at + 1, (rules->n - at) * sizeof(*rules->lines));
	return 0;
}

/* the rule in words, into the cells of one row */
static void add_row(struct grid *g, size_t number, const char *line)
{
	static const char *const protos[] = {"", "tcp", "udp", "icmp"};
	struct firewall_rule rule;
	char host[FIREWALL_HOST_MAX + 8] = "", when[32] = "";

	if (firewall_rule_decode(line, strlen(line), &rule) != 0)
		return;
	if (rule.destination == FIREWALL_HOST) {
		(void)snprintf(host, sizeof(host), "%s", rule.host);
	} else if (rule.destination != FIREWALL_ANYWHERE) {
		(void)inet_ntop(rule.destination == FIREWALL_4 ? AF_INET : AF_INET6, rule.address,
				host, INET6_ADDRSTRLEN);
		(void)snprintf(host + strlen(host), 5, "/%u", rule.prefix);
	}
	if (rule.expire > 0) {
		time_t t = (time_t)rule.expire;
		struct tm tm;

		if (localtime_r(&t, &tm))
			(void)strftime(when, sizeof(when), "%F %T", &tm);
	}
	grid_add(g, "%zu", number);
	grid_add(g, "%s", rule.accept ? "accept" : "drop");
	grid_add(g, "%s", host);
	grid_add(g, "%s", protos[rule.proto]);
	if (!rule.has_ports)
		grid_add(g, "%s", "");
	else if (rule.port_first == rule.port_last)
		grid_add(g, "%u", rule.port_first);
	else
		grid_add(g, "%u-%u", rule.port_first, rule.port_last);
	grid_add(g, "%s", rule.dns ? "dns" : "");
	if (rule.has_icmp_type)
		grid_add(g, "%u", rule.icmp_type);
	else
		grid_add(g, "%s", "");
	grid_add(g, "%s", when);
	grid_add(g, "%s", rule.comment);
}

static int list(const struct args *a, const struct rules *rules)
{
	static const char *const titles[] = {
		"NO",        "ACTION", "HOST",    "PROTOCOL", "PORT(S)", "SPECIAL TARGET",
		"ICMP TYPE", "EXPIRE", "COMMENT", NULL};
	AUTO(grid_done) struct grid g = {.titles = titles};

	if (args_has(a, RAW)) {
		for (size_t i = 0; i < rules->n; i++)
			(void)puts(rules->lines[i]);
		return 0;
	}
	for (size_t i = 0; i < rules->n; i++)
		add_row(&g, i, rules->lines[i]);
	return grid_put(a, &g, args_has(a, JSON) ? GRID_JSON : GRID_TABLE);
}

static int act(const struct args *a, const char *qube, const char *verb, struct rules *rules)
{
	const char *const *words = a->words + 2;
	unsigned n = a->n_words > 2 ? a->n_words - 2 : 0;
	int r;

	if (str_eq(verb, "list"))
		return list(a, rules);
	if (str_eq(verb, "add")) {
		r = add(a, rules, words, n);
	} else if (str_eq(verb, "del")) {
		r = del(a, rules, words, n);
	} else {
		rules->n = 1;
		(void)snprintf(rules->lines[0], sizeof(*rules->lines), "action=accept");
		r = 0;
	}
	return r != 0 ? r : save(a, qube, rules);
}

static int wrong(const struct args *a, const char *verb)
{
	bool takes_rule = str_eq(verb, "add") || (str_eq(verb, "del") && !args_has(a, RULE_NO));

	if (a->n_words == 0)
		return ui_usage(a, "name a qube");
	if (str_eq(verb, "policy"))
		return ui_usage(
			a, "what no rule accepts is dropped; \"add drop\" or \"add accept\" as the "
			   "last rule says otherwise");
	if (!str_eq(verb, "list") && !str_eq(verb, "add") && !str_eq(verb, "del") &&
	    !str_eq(verb, "reset"))
		return ui_usage(a, "behind the qube stands list, add, del or reset, not %s", verb);
	if (takes_rule && a->n_words < 3)
		return ui_usage(a, str_eq(verb, "add") ? "say what rule"
						       : "say what rule, or --rule-no");
	if (!takes_rule && a->n_words > 2)
		return ui_usage(a, "there is no rule to be said here");
	if (args_has(a, BEFORE) && !str_eq(verb, "add"))
		return ui_usage(a, "--before goes with add");
	if (args_has(a, RULE_NO) && !str_eq(verb, "del"))
		return ui_usage(a, "--rule-no goes with del");
	return 0;
}

static int run(const struct args *a)
{
	const char *verb = a->n_words > 1 ? a->words[1] : "list";
	struct rules rules;
	int r;

	if (wrong(a, verb) != 0)
		return 2;
	r = load(a, a->words[0], &rules);
	r = r != 0 ? r : act(a, a->words[0], verb, &rules);
	free(rules.lines);
	if (r == 0 && args_has(a, RELOAD))
		r = qubesd_call(a, "admin.vm.firewall.Reload", a->words[0], NULL, NULL, NULL);
	return r;
}

static const struct option options[] = {
	{BEFORE, 0, "before", "NUMBER",
	 "add: before the rule of this number instead of at the end"},
	{RULE_NO, 0, "rule-no", "NUMBER", "del: the rule of this number, as list shows it"},
	{RAW, 0, "raw", NULL, "list: rules as they are written, a line each"},
	{JSON, 0, "json", NULL, "list: for programs, as objects"},
	{RELOAD, 'r', "reload", NULL, "apply the rules again even if they are the same"},
	{0},
};

const struct command qvm_firewall = {
	.name = "firewall",
	.summary = "say where a qube may connect to",
	.synopses = {"[--raw] QUBE [list]", "QUBE add [--before=NUMBER] RULE", "QUBE del RULE",
		     "QUBE del --rule-no=NUMBER", "QUBE reset"},
	.text = "The rules of a qube are looked at in their order; the first that fits decides, and "
		"what none accepts is\n"
		"dropped. A new qube has one rule, which accepts everything; reset goes back to "
		"that. Numbers begin at 0.\n\n"
		"The rules are applied by the qube's netvm.",
	.sections =
		{
			{"RULES",
			 "A rule is accept or drop, and what it is about: a destination, a protocol, "
			 "ports or an ICMP type, in\n"
			 "this order or as KEY=VALUE in any.\n\n"
			 "\tdsthost=HOST         an address, a network like 10.0.0.0/8, or a name\n"
			 "\tproto=PROTOCOL       tcp, udp or icmp\n"
			 "\tdstports=PORTS       443 or 1000-2000, of tcp or udp\n"
			 "\ticmptype=NUMBER      of icmp\n"
			 "\tspecialtarget=dns    the name servers the qube was told\n"
			 "\texpire=TIME          gone then: seconds since 1970, or +SECONDS from now\n"
			 "\tcomment=TEXT"},
			{"EXAMPLES",
			 "\tqvm-firewall work\n"
			 "\tqvm-firewall work del --rule-no 0\n"
			 "\tqvm-firewall work add accept specialtarget=dns\n"
			 "\tqvm-firewall work add accept mail.example.org tcp 993\n"
			 "\tqvm-firewall work add --before 0 drop dsthost=192.168.0.0/16\n"
			 "\tqvm-firewall work add accept 10.1.1.1 expire=+600"},
		},
	.options = options,
	.words = {WORDS_QUBE, WORDS_FIREWALL_VERB, WORDS_TEXT},
	.run = run,
};
