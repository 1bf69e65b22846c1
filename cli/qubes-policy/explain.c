/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qubes-policy explain: what would be decided, by which rule, and why not by those before it */
#include "qubes-policy.h"

#include "base/str.h"
#include "ui.h"

#include <stdio.h>
#include <string.h>

enum { POLICY_DIR = OPTION_OWN, LEGACY, SYSTEM_INFO, ALL, DIFF };

static void put_token(const char *before, const struct policy_token_text *t)
{
	if (t->prefix)
		(void)printf("%s%s%s", before, t->prefix, t->value);
}

static void put_rule(const struct policy_rule *r)
{
	static const char *const actions[] = {
		[POLICY_DENY] = "deny", [POLICY_ALLOW] = "allow", [POLICY_ASK] = "ask"};

	(void)printf("%s:%u  %s %s%s", r->file, r->line, r->service ? r->service : "*",
		     r->argument ? "+" : "*", r->argument ? r->argument : "");
	put_token(" ", &r->source);
	put_token(" ", &r->target);
	(void)printf(" %s", actions[r->action]);
	put_token(" target=", &r->redirect);
	put_token(" default_target=", &r->default_target);
	if (r->user)
		(void)printf(" user=%s", r->user);
	if (r->notify != (r->action == POLICY_DENY))
		(void)printf(" notify=%s", r->notify ? "yes" : "no");
	if (!r->autostart)
		(void)fputs(" autostart=no", stdout);
}

static void put_answer(const struct policy_answer *a)
{
	struct policy_target t;
	uint32_t at = 0;

	if (a->verdict == POLICY_DENY) {
		(void)printf("refused: %s\n", policy_reason_text(a->reason));
		return;
	}
	if (a->verdict == POLICY_ALLOW) {
		(void)printf("allowed: %s%s", a->target.prefix, a->target.name);
	} else {
		(void)fputs("asked:", stdout);
		while (policy_target_next(a, &at, &t))
			(void)printf(" %s%s", t.prefix, t.name);
		if (a->default_target.name)
			(void)printf("; %s%s is preselected", a->default_target.prefix,
				     a->default_target.name);
	}
	(void)printf("%s%s\n", a->user ? "; as user " : "", a->user ? a->user : "");
}

/* the rules up to the one that decided, or all */
static void put_rules(const struct policy *p, struct policy_view *v, const struct policy_request *q,
		      const struct policy_answer *a, bool all)
{
	static const char *const why[] = {
		[POLICY_OTHER_SERVICE] = "another service",
		[POLICY_OTHER_ARGUMENT] = "another argument",
		[POLICY_OTHER_SOURCE] = "another source",
		[POLICY_OTHER_TARGET] = "another target",
		[POLICY_MATCHES] = "matches",
		[POLICY_CANNOT_TELL] = "cannot be decided, and so refuses",
		[POLICY_NEVER] = "not looked at",
	};
	unsigned n_other = 0;

	for (uint32_t i = 0; i < policy_n_rules(p); i++) {
		enum policy_step step = policy_rule_step(v, q, i);
		bool last = i == a->rule ||
			    (a->reason == POLICY_UNDECIDABLE && step == POLICY_CANNOT_TELL);
		struct policy_rule rule;

		if (step == POLICY_NEVER || (step == POLICY_OTHER_SERVICE && !all)) {
			n_other++;
			continue;
		}
		policy_rule_get(p, i, &rule);
		(void)printf("%s ", last ? "=>" : "  ");
		put_rule(&rule);
		(void)printf("  (%s)\n", last && i == a->rule ? "decided" : why[step]);
		if (last && !all)
			break;
	}
	if (n_other > 0)
		(void)printf("   %u %s for other services or not looked at\n", n_other,
			     n_other == 1 ? "rule" : "rules");
}

static bool is_qube(const struct system *s, const char *name)
{
	static const char uuid[] = "uuid:";

	for (unsigned i = 0; i < s->n_qubes; i++)
		if (str_eq(s->qubes[i].name, name) ||
		    (str_starts(name, uuid) && str_eq(s->qubes[i].uuid, name + strlen(uuid))))
			return true;
	return false;
}

/* what no daemon would ask is no question: each puts other characters than these in order first */
static int check_words(const struct args *a)
{
	for (unsigned i = 0; i < 2; i++)
		if (!bytes_are_alnum_or(a->words[i], strlen(a->words[i]), "_.-@:*")) {
			(void)ui_usage(a, "'%s' is neither a qube nor another target", a->words[i]);
			return 2;
		}
	if (a->words[2][0] == '\0' || a->words[2][0] == '+' ||
	    !bytes_are_alnum_or(a->words[2], strlen(a->words[2]), "_.-+")) {
		(void)ui_usage(a, "'%s' is no SERVICE or SERVICE+ARGUMENT", a->words[2]);
		return 2;
	}
	return 0;
}

/* a name that no qube has, and no other token either */
static bool is_nobody(const struct system *s, const char *target)
{
	return target[0] != '\0' && target[0] != '@' && target[0] != '*' && !is_qube(s, target);
}

static int explain(const struct args *a, const struct policy *p, const struct system *s)
{
	AUTO_FREE struct policy_view *v = NULL;
	AUTO_FREE char *service = strdup(a->words[2]);
	char *plus = service ? strchr(service, '+') : NULL;
	struct policy_request q = {.source = a->words[0], .target = a->words[1], .argument = ""};
	struct policy_answer answer;
	int result = 0, r;

	if (!service)
		return ui_fail_errno(a, NULL, -ENOMEM);
	if (!is_qube(s, q.source))
		return ui_fail(a, "there is no qube '%s'; qvm-ls shows which there are", q.source);
	if (is_nobody(s, q.target))
		result = ui_fail(
			a, "there is no qube '%s': a call to it is decided as one to @default",
			q.target);
	if (plus) {
		*plus = '\0';
		q.argument = plus + 1;
	}
	q.service = service;
	r = view_new(p, s, &v);
	if (r != 0)
		return ui_fail_errno(a, "the qubes", fault(r));
	policy_decide(v, &q, &answer);
	put_answer(&answer);
	put_rules(p, v, &q, &answer, args_has(a, ALL));
	return result;
}

static int run(const struct args *a)
{
	struct system AUTO(system_done) system = {0};
	AUTO_FREE struct policy *p = NULL;
	AUTO_FREE struct policy *changed = NULL;
	const char *other = args_value(a, DIFF);

	if (a->n_words != (other ? 0u : 3u)) {
		(void)ui_usage(a, "it takes a source, a target and a service, or --diff alone");
		return 2;
	}
	if (!other && check_words(a) != 0)
		return 2;
	if (policy_load(a, args_value(a, POLICY_DIR), args_value(a, LEGACY), &p) != 0 ||
	    system_load(a, args_value(a, SYSTEM_INFO), &system) != 0)
		return 1;
	if (!other)
		return explain(a, p, &system);
	if (policy_load(a, other, args_value(a, LEGACY), &changed) != 0)
		return 1;
	return diff_show(a, p, changed, &system);
}

static const struct option options[] = {
	{ALL, 'a', "all", NULL, "show every rule, those behind the one that decided too"},
	{DIFF, 0, "diff", "DIR", "what the policy in this folder would decide otherwise",
	 .words = WORDS_FILE},
	{POLICY_DIR, 0, "policy-dir", "DIR", "the policy, instead of this instance's",
	 .words = WORDS_FILE},
	{LEGACY, 0, "legacy-dir", "DIR", "the R4.0 policy, instead of " RULESET_LEGACY_DIR,
	 .words = WORDS_FILE},
	{SYSTEM_INFO, 0, "system-info", "FILE",
	 "the qubes, as internal.GetSystemInfo tells them, instead of this instance's",
	 .words = WORDS_FILE},
	{0},
};

const struct command policy_explain = {
	.name = "explain",
	.summary = "say what is decided for a call, and why",
	.synopses = {"[OPTION]... SOURCE TARGET SERVICE[+ARGUMENT]", "[OPTION]... --diff DIR"},
	.text = "TARGET is what the caller would write: a qube, @default, @dispvm, @dispvm:NAME, "
		"dom0. Shown are the\n"
		"decision, the rule that made it, and those before it, each with what kept it from "
		"matching:\n"
		"\n"
		"\tqubes-policy explain work @dispvm qubes.OpenURL\n"
		"\n"
		"With --diff a changed policy is compared with this one: for every qube, every target, and "
		"every service that\n"
		"a rule names or that the log of decisions has seen, a line for each call that would be "
		"decided otherwise.\n"
		"\n"
		"Nothing is called and nobody is asked. A policy with a fault explains itself: it "
		"refuses every call.\n"
		"The exit status is 1 if SOURCE or TARGET does not exist.",
	.options = options,
	.words = {WORDS_ANY_QUBE, WORDS_ANY_QUBE, WORDS_NONE},
	.run = run,
};
