/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a request to an answer. */
#include "policy/view.h"

#include "base/bytes.h"
#include "base/str.h"

#define NO_STRING (POLICY_NONE - 1) /* is none of the policy's, and not "any" either */

/* a request in the numbers of policy and view */
struct asked {
	uint32_t service, argument;
	uint32_t source; /* qube; n_qubes: it is none, but the policy may name it still */
	const char *source_name;
	enum token_kind kind; /* of the target */
	uint32_t target;      /* qube, for kinds that have one */
	const char *target_name;
};

static const char *given(const char *s)
{
	return s && s[0] != '\0' ? s : NULL;
}

/* the source's, NULL if it has none */
static const char *default_dispvm(const struct policy_view *v, const struct asked *a)
{
	return a->source == v->n_qubes ? NULL : given(v->qubes[a->source].default_dispvm);
}

static uint32_t string_of(const struct policy *p, const char *text)
{
	uint32_t string = policy_find(p, text, strlen(text));

	return string == POLICY_NONE ? NO_STRING : string;
}

/* who really asks: a relay speaks for its remote qube */
static enum policy_reason resolve_source(const struct policy_view *v,
					 const struct policy_request *q, const char **ret)
{
	const struct policy_qube *remote;
	uint32_t i;

	*ret = q->source;
	if (!given(q->requested_source))
		return POLICY_BY_RULE;
	i = view_find(v, q->requested_source, NULL);
	if (i == POLICY_NONE)
		return POLICY_UNKNOWN_SOURCE;
	remote = &v->qubes[i];
	if (!str_eq(remote->type, "RemoteVM"))
		return POLICY_NOT_REMOTE;
	if (!given(remote->relayvm))
		return POLICY_NOT_RELAY;
	i = view_find(v, remote->relayvm, NULL);
	if (i == POLICY_NONE || i != view_find(v, q->source, NULL))
		return POLICY_NOT_RELAY;
	*ret = q->requested_source;
	return POLICY_BY_RULE;
}

/* POLICY_BY_RULE: the rules decide */
static enum policy_reason resolve(const struct policy_view *v, const struct policy_request *q,
				  struct asked *a)
{
	const char *target = given(q->target) ? q->target : "@default";
	enum policy_reason reason;
	struct text value;

	reason = resolve_source(v, q, &a->source_name);
	if (reason != POLICY_BY_RULE)
		return reason;
	a->service = string_of(v->p, q->service);
	a->argument = string_of(v->p, q->argument);
	a->source = view_find(v, a->source_name, NULL);
	if (a->source == POLICY_NONE)
		a->source = v->n_qubes;
	if (token_parse((struct text){target, strlen(target)}, PLACE_REQUEST, &a->kind, &value) !=
	    0)
		return POLICY_BAD_TARGET;
	a->target = POLICY_NONE;
	a->target_name = value.at; /* the rest of the target, so it ends with it */
	if (a->kind == TOKEN_ADMINVM) {
		a->target = v->dom0;
	} else if (a->kind == TOKEN_NAME) {
		a->target = view_find(v, a->target_name, NULL);
		if (a->target == POLICY_NONE)
			a->kind = TOKEN_DEFAULT;
	} else if (a->kind == TOKEN_DISPVM_OF) {
		a->target = view_find(v, a->target_name, NULL);
		if (a->target == POLICY_NONE || !set_has(v->templates, a->target))
			return POLICY_NOT_A_TEMPLATE;
	}
	return POLICY_BY_RULE;
}

/* --- does a rule match --- */

/* a source that is no qube may still be named by a rule */
static bool is_named_by(const struct policy_view *v, const struct probe *p, const char *name)
{
	const struct rule *r = &policy_rules(v->p)[p->rule];

	return p->qube == POLICY_NONE &&
	       policy_tokens(v->p)[r->source].text == string_of(v->p, name);
}

static bool matches_but_target(const struct policy_view *v, const struct probe *p,
			       const struct asked *a)
{
	/* all are looked at, since which of them matters cannot be foreseen by the processor */
	unsigned argument = (p->argument == POLICY_NONE) | (p->argument == a->argument);
	unsigned source =
		(unsigned)(p->qube == a->source) | set_has(view_set(v, p->set), a->source);

	if (argument & source)
		return true;
	return a->source == v->n_qubes && argument && is_named_by(v, p, a->source_name);
}

/* @dispvm as asked for, against "@dispvm:X" or "@dispvm:@tag:X" */
static enum policy_step default_dispvm_matches(const struct policy_view *v, const struct probe *p,
					       const struct asked *a)
{
	const char *dispvm = default_dispvm(v, a);
	const struct token *t;
	uint32_t i;

	if (p->target_kind == TOKEN_DISPVM_OF) {
		if (!dispvm)
			return POLICY_CANNOT_TELL;
		/* by name: a rule that has the template's uuid does not mean @dispvm */
		t = &policy_tokens(v->p)[policy_rules(v->p)[p->rule].target];
		return strcmp(policy_text(v->p, t->text), dispvm) == 0 ? POLICY_MATCHES
								       : POLICY_OTHER_TARGET;
	}
	if (!dispvm)
		return POLICY_OTHER_TARGET;
	i = view_find(v, dispvm, NULL);
	if (i == POLICY_NONE)
		return POLICY_CANNOT_TELL;
	return set_has(view_set(v, p->target), i) ? POLICY_MATCHES : POLICY_OTHER_TARGET;
}

/* POLICY_MATCHES, POLICY_OTHER_TARGET or POLICY_CANNOT_TELL */
static enum policy_step target_matches(const struct policy_view *v, const struct probe *p,
				       const struct asked *a)
{
	bool is_qube = a->kind == TOKEN_NAME || a->kind == TOKEN_ADMINVM, matches = false;

	switch ((enum token_kind)p->target_kind) {
	case TOKEN_ALL:
		matches = true;
		break;
	case TOKEN_ANYVM:
		matches = !is_qube || set_has(v->not_admin, a->target);
		break;
	case TOKEN_ADMINVM:
		matches = is_qube && a->target == v->dom0;
		break;
	case TOKEN_NAME:
		matches = is_qube && a->target == p->target;
		break;
	case TOKEN_TYPE:
	case TOKEN_TAG:
		matches = is_qube && set_has(view_set(v, p->target), a->target);
		break;
	case TOKEN_DEFAULT:
	case TOKEN_DISPVM:
		matches = a->kind == (enum token_kind)p->target_kind;
		break;
	case TOKEN_DISPVM_OF:
	case TOKEN_DISPVM_TAG:
		if (a->kind == TOKEN_DISPVM)
			return default_dispvm_matches(v, p, a);
		if (a->kind == TOKEN_DISPVM_OF)
			matches = p->target_kind == TOKEN_DISPVM_OF
					  ? a->target == p->target
					  : set_has(view_set(v, p->target), a->target);
		break;
	case N_TOKEN_KINDS:
		break;
	}
	return matches ? POLICY_MATCHES : POLICY_OTHER_TARGET;
}

/* --- the rules that match but for their target: of one service and of every service, merged --- */

struct walk {
	const struct policy_view *v;
	const struct asked *a;
	const struct probe *own, *own_end, *any, *any_end;
};

static struct walk walk_of(const struct policy_view *v, const struct asked *a)
{
	const struct policy *p = v->p;
	const struct probe *any = v->probes + p->any.first;
	struct walk w = {v, a, v->probes, v->probes, any, any + p->any.n};

	if (a->service < p->n_strings) {
		w.own = v->probes + policy_spans(p)[a->service].first;
		w.own_end = w.own + policy_spans(p)[a->service].n;
	}
	return w;
}

/* the first that matches, or @end */
static const struct probe *skip(const struct walk *w, const struct probe *p,
				const struct probe *end)
{
	while (p < end && !matches_but_target(w->v, p, w->a))
		p++;
	return p;
}

/* behind the last that matches, or @begin */
static const struct probe *skip_back(const struct walk *w, const struct probe *begin,
				     const struct probe *end)
{
	while (end > begin && !matches_but_target(w->v, end - 1, w->a))
		end--;
	return end;
}

/* the next rule, or NULL */
static const struct probe *walk_next(struct walk *w)
{
	w->own = skip(w, w->own, w->own_end);
	w->any = skip(w, w->any, w->any_end);
	if (w->own == w->own_end)
		return w->any == w->any_end ? NULL : w->any++;
	if (w->any == w->any_end || w->own->rule < w->any->rule)
		return w->own++;
	return w->any++;
}

static const struct probe *walk_last(struct walk *w)
{
	w->own_end = skip_back(w, w->own, w->own_end);
	w->any_end = skip_back(w, w->any, w->any_end);
	if (w->own == w->own_end)
		return w->any == w->any_end ? NULL : --w->any_end;
	if (w->any == w->any_end || w->own_end[-1].rule > w->any_end[-1].rule)
		return --w->own_end;
	return --w->any_end;
}

/* --- what the person may choose from --- */

/* what a token stands for: of @names, @disposables and the default disposable */
struct choice {
	uint64_t *names, *disposables;
	bool dispvm;
};

static void apply(uint64_t *to, const uint64_t *set, uint32_t n_words, bool remove)
{
	for (uint32_t i = 0; i < n_words; i++)
		to[i] = remove ? to[i] & ~set[i] : to[i] | set[i];
}

static void apply_one(uint64_t *to, uint32_t i, bool remove)
{
	uint64_t bit = (uint64_t)1 << i % 64;

	to[i / 64] = remove ? to[i / 64] & ~bit : to[i / 64] | bit;
}

/* add what @token stands for, or remove it; false if it speaks of a qube that does not exist */
static bool choose(const struct policy_view *v, struct choice *c, uint32_t token, bool remove)
{
	const struct token *t = &policy_tokens(v->p)[token];
	const struct slot *s = &v->slots[token];

	switch ((enum token_kind)t->kind) {
	case TOKEN_ALL:
	case TOKEN_ANYVM:
		apply(c->names, t->kind == TOKEN_ALL ? v->all : v->not_admin, v->n_words, remove);
		apply(c->disposables, v->templates, v->n_words, remove);
		c->dispvm = !remove;
		break;
	case TOKEN_ADMINVM:
		apply_one(c->names, v->dom0, remove);
		break;
	case TOKEN_NAME:
		if (s->qube != POLICY_NONE)
			apply_one(c->names, s->qube, remove);
		break;
	case TOKEN_TYPE:
	case TOKEN_TAG:
		apply(c->names, view_set(v, s->set), v->n_words, remove);
		break;
	case TOKEN_DISPVM:
		c->dispvm = !remove;
		break;
	case TOKEN_DISPVM_OF:
		if (s->qube == POLICY_NONE)
			return false;
		if (set_has(v->templates, s->qube))
			apply_one(c->disposables, s->qube, remove);
		break;
	case TOKEN_DISPVM_TAG:
		apply(c->disposables, view_set(v, s->set), v->n_words, remove);
		break;
	case TOKEN_DEFAULT:
	case N_TOKEN_KINDS:
		break;
	}
	return true;
}

/*
 * All that some rule would let the caller reach: from the last rule to the first, each adding what it
 * allows and removing what it denies. Never the caller itself, nor what is internal.
 */
static bool collect(struct policy_view *v, const struct asked *a)
{
	struct choice c = {v->names, v->disposables, false};
	struct walk w = walk_of(v, a);
	size_t len = v->n_words * sizeof(uint64_t);
	const char *dispvm = default_dispvm(v, a);
	const struct probe *probe;

	memset(v->names, 0, len);
	memset(v->disposables, 0, len);
	while ((probe = walk_last(&w))) {
		const struct rule *r = &policy_rules(v->p)[probe->rule];

		if (!choose(v, &c, r->redirect != POLICY_NONE ? r->redirect : r->target,
			    r->action == POLICY_DENY))
			return false;
	}
	if (c.dispvm && dispvm) {
		uint32_t i = view_find(v, dispvm, NULL);

		if (i != POLICY_NONE)
			set_add(v->disposables, i);
	}
	if (a->source != v->n_qubes)
		apply_one(v->names, a->source, true);
	apply(v->names, v->internal, v->n_words, true);
	apply(v->disposables, v->internal, v->n_words, true);
	return true;
}

/* --- what a rule that matched says --- */

/* what a redirect or default_target stands for */
static struct policy_target token_target(const struct policy_view *v, uint32_t token)
{
	const struct token *t = &policy_tokens(v->p)[token];

	if (t->kind == TOKEN_ADMINVM)
		return (struct policy_target){"", "dom0", v->dom0};
	if (t->kind == TOKEN_DISPVM)
		return (struct policy_target){"", token_prefixes[TOKEN_DISPVM], POLICY_NONE};
	return (struct policy_target){t->kind == TOKEN_DISPVM_OF ? token_prefixes[TOKEN_DISPVM_OF]
								 : "",
				      policy_text(v->p, t->text), v->slots[token].qube};
}

static bool is_dispvm(const struct policy_target *t)
{
	return strcmp(t->name, token_prefixes[TOKEN_DISPVM]) == 0;
}

static struct policy_target disposable_of(const struct policy_view *v, const char *template)
{
	return (struct policy_target){token_prefixes[TOKEN_DISPVM_OF], template,
				      view_find(v, template, NULL)};
}

static bool same_target(const struct policy_target *a, const struct policy_target *b)
{
	return strcmp(a->prefix, b->prefix) == 0 && strcmp(a->name, b->name) == 0;
}

/* the target may be called without being started */
static bool is_up(const struct policy_view *v, const struct policy_target *t)
{
	return t->prefix[0] == '\0' && t->qube != POLICY_NONE && set_has(v->running, t->qube);
}

static enum policy_reason allow(const struct policy_view *v, const struct asked *a,
				const struct rule *r, struct policy_answer *ret)
{
	struct policy_target t = {a->kind == TOKEN_DISPVM_OF ? token_prefixes[TOKEN_DISPVM_OF] : "",
				  a->target_name, a->target};
	const char *dispvm = default_dispvm(v, a);
	const struct policy_qube *q;

	if (r->redirect != POLICY_NONE) {
		t = token_target(v, r->redirect);
		if (t.prefix[0] != '\0' &&
		    (t.qube == POLICY_NONE || !set_has(v->templates, t.qube)))
			return POLICY_NOT_A_TEMPLATE;
	} else if (a->kind == TOKEN_ADMINVM) {
		t.name = "dom0";
	} else if (a->kind == TOKEN_DISPVM) {
		t.name = token_prefixes[TOKEN_DISPVM];
	}
	if (is_dispvm(&t)) {
		if (!dispvm)
			return POLICY_NO_DISPVM;
		t = disposable_of(v, dispvm);
	} else if (t.qube == POLICY_NONE) {
		return POLICY_NO_TARGET;
	}
	if (!r->autostart && !is_up(v, &t)) {
		ret->notify = r->notify;
		return POLICY_AUTOSTART;
	}
	ret->target = t;
	if (t.prefix[0] != '\0')
		return POLICY_BY_RULE;
	if (strcmp(t.name, a->source_name) == 0)
		return POLICY_LOOPBACK;
	q = &v->qubes[t.qube];
	if (str_eq(q->type, "RemoteVM")) {
		if (!given(q->relayvm))
			return POLICY_NO_RELAY;
		if (!given(q->transport_rpc))
			return POLICY_NO_TRANSPORT;
	}
	return POLICY_BY_RULE;
}

static enum policy_reason ask(struct policy_view *v, const struct asked *a, const struct rule *r,
			      struct policy_answer *ret)
{
	const char *dispvm = default_dispvm(v, a);
	struct policy_target t;
	bool any = false, chosen;

	ret->redirected = r->redirect != POLICY_NONE;
	if (ret->redirected) {
		t = token_target(v, r->redirect);
		if (t.qube == v->dom0 && t.prefix[0] == '\0')
			t.name = "dom0";
		if (!r->autostart && !is_up(v, &t))
			return t.qube == POLICY_NONE && !is_dispvm(&t) && t.prefix[0] == '\0'
				       ? POLICY_UNDECIDABLE
				       : POLICY_NO_CHOICE;
		ret->target = t;
	} else {
		if (!collect(v, a))
			return POLICY_UNDECIDABLE;
		for (uint32_t i = 0; i < v->n_words; i++) {
			if (!r->autostart) {
				v->names[i] &= v->running[i];
				v->disposables[i] = 0;
			}
			any = any || v->names[i] != 0 || v->disposables[i] != 0;
		}
		if (!any)
			return POLICY_NO_CHOICE;
	}
	if (r->default_target == POLICY_NONE)
		return POLICY_BY_RULE;
	t = token_target(v, r->default_target);
	if (is_dispvm(&t)) {
		if (!dispvm)
			return POLICY_BY_RULE;
		t = disposable_of(v, dispvm);
	}
	if (t.qube == v->dom0 && t.prefix[0] == '\0')
		t.name = "dom0";
	/* only what is offered can be preselected, and it is offered by name */
	if (ret->redirected)
		chosen = same_target(&t, &ret->target);
	else
		chosen = t.qube != POLICY_NONE && strcmp(t.name, v->qubes[t.qube].name) == 0 &&
			 set_has(t.prefix[0] != '\0' ? v->disposables : v->names, t.qube);
	if (chosen)
		ret->default_target = t;
	return POLICY_BY_RULE;
}

/* the first rule that matches, or POLICY_NONE; false if that cannot be told */
static bool find_rule(const struct policy_view *v, const struct asked *a, uint32_t *ret)
{
	struct walk w = walk_of(v, a);
	const struct probe *probe;

	while ((probe = walk_next(&w))) {
		enum policy_step step;

		*ret = probe->rule;
		step = target_matches(v, probe, a);
		if (step != POLICY_OTHER_TARGET)
			return step == POLICY_MATCHES;
	}
	*ret = POLICY_NONE;
	return true;
}

void policy_decide(struct policy_view *v, const struct policy_request *q, struct policy_answer *ret)
{
	const struct rule *r;
	struct asked a;

	*ret = (struct policy_answer){
		.verdict = POLICY_DENY, .rule = POLICY_NONE, .notify = true, .view = v};
	ret->reason = resolve(v, q, &a);
	if (ret->reason != POLICY_BY_RULE)
		return;
	if (!find_rule(v, &a, &ret->rule)) {
		ret->reason = POLICY_UNDECIDABLE;
		return;
	}
	if (ret->rule == POLICY_NONE) {
		ret->reason = POLICY_NO_RULE;
		return;
	}
	r = &policy_rules(v->p)[ret->rule];
	if (r->action == POLICY_DENY) {
		ret->notify = r->notify;
		return;
	}
	ret->reason = r->action == POLICY_ALLOW ? allow(v, &a, r, ret) : ask(v, &a, r, ret);
	if (ret->reason != POLICY_BY_RULE)
		return;
	ret->verdict = (enum policy_action)r->action;
	ret->user = policy_string(v->p, r->user);
	ret->notify = r->notify;
	ret->autostart = r->autostart;
}

bool policy_target_next(const struct policy_answer *a, uint32_t *at, struct policy_target *ret)
{
	const struct policy_view *v = a->view;

	if (a->verdict != POLICY_ASK)
		return false;
	if (a->redirected) {
		*ret = a->target;
		return (*at)++ == 0;
	}
	for (; *at < 2 * v->n_qubes; (*at)++) {
		bool disposable = *at < v->n_qubes;
		uint32_t i = disposable ? *at : *at - v->n_qubes;

		if (!set_has(disposable ? v->disposables : v->names, i))
			continue;
		*ret = (struct policy_target){disposable ? token_prefixes[TOKEN_DISPVM_OF] : "",
					      v->qubes[i].name, i};
		(*at)++;
		return true;
	}
	return false;
}

enum policy_step policy_rule_step(struct policy_view *v, const struct policy_request *q,
				  uint32_t rule)
{
	const struct rule *r = &policy_rules(v->p)[rule];
	struct walk w;
	const struct probe *probe;
	struct asked a;

	if (resolve(v, q, &a) != POLICY_BY_RULE)
		return POLICY_NEVER;
	if (r->service != POLICY_NONE && r->service != a.service)
		return POLICY_OTHER_SERVICE;
	if (r->argument != POLICY_NONE && r->argument != a.argument)
		return POLICY_OTHER_ARGUMENT;
	w = walk_of(v, &a);
	do
		probe = walk_next(&w);
	while (probe && probe->rule < rule);
	if (!probe || probe->rule != rule)
		return POLICY_OTHER_SOURCE;
	return target_matches(v, probe, &a);
}

static void put(struct wr *w, const char *a, const char *b)
{
	wr_bytes(w, a, strlen(a));
	wr_bytes(w, b, strlen(b));
}

/* no line of a reply can be cut in two */
static bool is_one_line(const char *text)
{
	for (; *text != '\0'; text++)
		if ((uint8_t)*text < 0x20 || *text == 0x7f)
			return false;
	return true;
}

int policy_reply(const struct policy_view *v, const struct policy_request *q,
		 const struct policy_target *target, const char *user, bool autostart, char *to,
		 size_t size)
{
	const char *name = target->name, *asked_for = q->target;
	const struct policy_qube *qube, *remote = NULL;
	bool to_dom0 = target->qube == v->dom0 && target->prefix[0] == '\0';
	struct wr w = wr_of(to, size);
	struct asked a;

	if (resolve(v, q, &a) != POLICY_BY_RULE || target->qube >= v->n_qubes ||
	    !is_one_line(q->service) || !is_one_line(q->argument) || (user && !is_one_line(user)))
		return -EINVAL;
	if (a.kind == TOKEN_DEFAULT)
		asked_for = token_prefixes[TOKEN_DEFAULT];
	qube = &v->qubes[target->qube];
	if (target->prefix[0] == '\0' && str_eq(qube->type, "RemoteVM")) {
		uint32_t relay =
			given(qube->relayvm) ? view_find(v, qube->relayvm, NULL) : POLICY_NONE;

		if (relay == POLICY_NONE || !given(qube->transport_rpc) ||
		    !is_one_line(qube->transport_rpc))
			return -EINVAL;
		remote = qube;
		qube = &v->qubes[relay];
		name = qube->name;
	}
	put(&w, "user=", given(user) ? user : "DEFAULT");
	put(&w, "\nresult=allow\ntarget=", target->prefix);
	put(&w, to_dom0 ? "dom0" : name, "");
	if (!to_dom0) {
		put(&w, "\ntarget_uuid=", target->prefix);
		put(&w, "uuid:", given(qube->uuid) ? qube->uuid : "");
	}
	put(&w, "\nautostart=", autostart ? "True" : "False");
	put(&w, "\nrequested_target=", asked_for);
	if (remote) {
		put(&w, "\nservice=", remote->transport_rpc);
		put(&w, "+", asked_for);
		put(&w, "+", q->service);
		put(&w, "+", q->argument);
	}
	if (given(q->requested_source) && !to_dom0)
		put(&w, "\npolicy_source=", q->requested_source);
	put(&w, "\n", "");
	wr_u8(&w, 0);
	return wr_done(&w) > 0 ? 0 : -ENAMETOOLONG;
}

const char *policy_reason_text(enum policy_reason reason)
{
	switch (reason) {
	case POLICY_BY_RULE:
		return "a rule says so";
	case POLICY_NO_RULE:
		return "no rule matches";
	case POLICY_BAD_TARGET:
		return "the target is not one that can be asked for";
	case POLICY_NOT_A_TEMPLATE:
		return "no disposables are made from this template";
	case POLICY_NO_TARGET:
		return "neither the caller nor the rule names a target that exists";
	case POLICY_NO_DISPVM:
		return "the caller has no default_dispvm";
	case POLICY_NO_CHOICE:
		return "there is no target to choose from";
	case POLICY_AUTOSTART:
		return "the target does not run, and the rule does not have it started";
	case POLICY_LOOPBACK:
		return "a qube cannot call itself";
	case POLICY_UNDECIDABLE:
		return "a rule before any that matches speaks of a qube or a default_dispvm that "
		       "does not exist";
	case POLICY_NO_RELAY:
		return "the remote qube has no relayvm";
	case POLICY_NO_TRANSPORT:
		return "the remote qube has no transport_rpc";
	case POLICY_UNKNOWN_SOURCE:
		return "there is no qube of the requested source's name";
	case POLICY_NOT_REMOTE:
		return "the requested source is not a RemoteVM";
	case POLICY_NOT_RELAY:
		return "the caller is not the relay of the requested source";
	}
	return "";
}
