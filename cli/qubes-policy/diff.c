/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qubes-policy explain --diff: what another policy would decide otherwise. Asked is every call that
 * any qube could make of the services that rules name or the log has seen: a qube as the target, a
 * disposable, or none.
 */
#include "qubes-policy.h"

#include "base/str.h"
#include "proto/audit.h"
#include "ui.h"

#include <stdio.h>
#include <string.h>

#define SHOWN_MAX 100

/* texts, each once when they are sorted */
struct texts {
	char **at;
	size_t n, room;
	bool failed;
};

struct diff {
	const struct args *args;
	const struct policy *policies[2];
	struct policy_view *views[2];
	unsigned n_asked, n_differ;
};

static void texts_done(struct texts *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->at[i]);
	free(t->at);
	*t = (struct texts){0};
}

/* @text is taken */
static void texts_add(struct texts *t, char *text)
{
	size_t room = t->room > 0 ? 2 * t->room : 64;
	char **more;

	if (t->n == t->room) {
		more = realloc(t->at, room * sizeof(*more));
		if (!more) {
			t->failed = true;
			free(text);
			return;
		}
		t->at = more;
		t->room = room;
	}
	if (text)
		t->at[t->n++] = text;
	else
		t->failed = true;
}

static int compare(const void *a, const void *b)
{
	char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

static void texts_sort(struct texts *t)
{
	size_t n = 0;

	if (t->n > 0)
		qsort(t->at, t->n, sizeof(*t->at), compare);
	for (size_t i = 0; i < t->n; i++)
		if (n > 0 && strcmp(t->at[n - 1], t->at[i]) == 0)
			free(t->at[i]);
		else
			t->at[n++] = t->at[i];
	t->n = n;
}

/* --- what is asked --- */

static char *format(const char *a, const char *between, const char *b)
{
	char *text;

	return asprintf(&text, "%s%s%s", a, between, b) < 0 ? NULL : text;
}

static void add_seen(void *data, const struct audit_entry *e)
{
	if (e->service[0] != '\0')
		texts_add(data, strchr(e->service, '+') ? strdup(e->service)
							: format(e->service, "+", ""));
}

/* "SERVICE+ARGUMENT" of all rules of both, and of the log */
static void find_services(const struct diff *d, struct texts *ret)
{
	for (unsigned k = 0; k < 2; k++)
		for (uint32_t i = 0; i < policy_n_rules(d->policies[k]); i++) {
			struct policy_rule rule;

			policy_rule_get(d->policies[k], i, &rule);
			if (rule.service)
				texts_add(ret, format(rule.service, "+",
						      rule.argument ? rule.argument : ""));
		}
	log_each(add_seen, ret);
	texts_sort(ret);
}

static void find_targets(const struct system *s, struct texts *ret)
{
	texts_add(ret, strdup("@default"));
	texts_add(ret, strdup("@dispvm"));
	for (unsigned i = 0; i < s->n_qubes; i++) {
		texts_add(ret, strdup(s->qubes[i].name));
		if (s->qubes[i].template_for_dispvms)
			texts_add(ret, format("@dispvm:", "", s->qubes[i].name));
	}
	texts_sort(ret);
}

/* --- comparing --- */

static bool same_text(const char *a, const char *b)
{
	return a == b || str_eq(a, b);
}

static bool same_target(const struct policy_target *a, const struct policy_target *b)
{
	return same_text(a->prefix, b->prefix) && same_text(a->name, b->name);
}

static bool same_choice(const struct policy_answer *a, const struct policy_answer *b)
{
	uint32_t at_a = 0, at_b = 0;
	struct policy_target x, y;
	bool more_a, more_b;

	do {
		more_a = policy_target_next(a, &at_a, &x);
		more_b = policy_target_next(b, &at_b, &y);
		if (more_a != more_b || (more_a && !same_target(&x, &y)))
			return false;
	} while (more_a);
	return same_target(&a->default_target, &b->default_target);
}

static bool same(const struct policy_answer *a, const struct policy_answer *b)
{
	if (a->verdict != b->verdict)
		return false;
	if (a->verdict == POLICY_DENY)
		return true;
	if (!same_text(a->user, b->user) || a->autostart != b->autostart)
		return false;
	return a->verdict == POLICY_ALLOW ? same_target(&a->target, &b->target) : same_choice(a, b);
}

/* "allow vault (30-user.policy:3)" */
static void put_answer(const struct policy *p, const struct policy_answer *a)
{
	static const char *const verdicts[] = {
		[POLICY_DENY] = "deny", [POLICY_ALLOW] = "allow", [POLICY_ASK] = "ask"};
	struct policy_rule rule;

	(void)printf("%s", verdicts[a->verdict]);
	if (a->verdict == POLICY_ALLOW)
		(void)printf(" %s%s", a->target.prefix, a->target.name);
	if (a->verdict == POLICY_ASK && a->default_target.name)
		(void)printf(" %s%s", a->default_target.prefix, a->default_target.name);
	if (a->verdict != POLICY_DENY && a->user)
		(void)printf(" as %s", a->user);
	if (a->rule == POLICY_NONE) {
		(void)printf(" (no rule)");
		return;
	}
	policy_rule_get(p, a->rule, &rule);
	(void)printf(" (%s:%u)", rule.file, rule.line);
}

static void ask_both(struct diff *d, const struct policy_request *q)
{
	struct policy_answer a[2];

	for (unsigned k = 0; k < 2; k++)
		policy_decide(d->views[k], q, &a[k]);
	d->n_asked++;
	if (same(&a[0], &a[1]))
		return;
	if (++d->n_differ > SHOWN_MAX && d->args->verbose <= 0)
		return;
	(void)printf("%s -> %s  %s%s%s: ", q->source, q->target, q->service,
		     q->argument[0] ? "+" : "", q->argument);
	put_answer(d->policies[0], &a[0]);
	(void)printf(" => ");
	put_answer(d->policies[1], &a[1]);
	(void)putchar('\n');
}

/* of one service, every caller and target; @service: "SERVICE+ARGUMENT", written to */
static void ask_service(struct diff *d, const struct system *s, char *service,
			const struct texts *targets)
{
	char *plus = strchr(service, '+');
	struct policy_request q = {.service = service};

	if (!plus)
		return; /* each has one */
	*plus = '\0';
	q.argument = plus + 1;
	for (unsigned i = 0; i < s->n_qubes; i++) {
		if (str_eq(s->qubes[i].type, "AdminVM"))
			continue;
		q.source = s->qubes[i].name;
		for (size_t t = 0; t < targets->n; t++) {
			q.target = targets->at[t];
			ask_both(d, &q);
		}
	}
}

int diff_show(const struct args *a, const struct policy *old, const struct policy *new,
	      const struct system *s)
{
	struct texts AUTO(texts_done) services = {0}, AUTO(texts_done) targets = {0};
	AUTO_FREE struct policy_view *old_view = NULL;
	AUTO_FREE struct policy_view *new_view = NULL;
	struct diff d = {.args = a, .policies = {old, new}};
	int r = view_new(old, s, &old_view);

	if (r == 0)
		r = view_new(new, s, &new_view);
	if (r != 0)
		return ui_fail_errno(a, "the qubes", fault(r));
	d.views[0] = old_view;
	d.views[1] = new_view;
	find_services(&d, &services);
	find_targets(s, &targets);
	if (services.failed || targets.failed)
		return ui_fail_errno(a, NULL, -ENOMEM);
	for (size_t i = 0; i < services.n; i++)
		ask_service(&d, s, services.at[i], &targets);
	if (d.n_differ > SHOWN_MAX && a->verbose <= 0)
		(void)printf("... and %u more; -v shows all\n", d.n_differ - SHOWN_MAX);
	if (a->verbose >= 0)
		(void)printf("%u of %u calls would be decided otherwise\n", d.n_differ, d.n_asked);
	return 0;
}
