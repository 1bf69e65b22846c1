/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a decision of lib/policy costs, and the reload of a policy.
 *
 * Two systems: 156 rules (as many as Qubes' default policy has) with 30 qubes, and 1,000 rules with
 * 1,000 qubes. Both speak of the same 40 services, narrow rules before broad ones, so most requests
 * pass all rules of their service; a third of the answers asks, with its list of targets. Bounds: a
 * decision 20 us, in the larger system at most twice what it costs in the smaller; reading 1,000
 * rules anew and looking at all qubes 20 ms.
 */
#include "policy/policy.h"
#include "base/attr.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define N_SERVICES     40
#define N_REQUESTS     4096
#define N_ROUNDS       101
#define N_RELOADS      51
#define DECISION_BOUND 20.0 /* us */
#define RATIO_BOUND    2.0
#define RELOAD_BOUND   20.0 /* ms */

static uint64_t seed = 7;

static unsigned below(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed >> 33) % n;
}

static NORETURN void give_up(const char *what)
{
	(void)fprintf(stderr, "policy: %s\n", what);
	exit(EXIT_FAILURE);
}

static void *must(void *p)
{
	if (!p)
		give_up("out of memory");
	return p;
}

static double now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* --- a system --- */

struct name {
	char name[16], uuid[40];
};
struct question {
	char service[24];
	struct policy_request request;
};
struct world {
	unsigned n_rules, n_qubes;
	struct name *names;
	struct policy_qube *qubes;
	char *text;
	void *room, *view_room;
	const struct policy *p;
	struct policy_view *v;
	struct question *questions;
	unsigned counts[3];
	double mean_us, slowest_us;
};

static const char *const tags[] = {"t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9"};

static void make_qubes(struct world *w)
{
	w->names = must(calloc(w->n_qubes, sizeof(*w->names)));
	w->qubes = must(calloc(w->n_qubes, sizeof(*w->qubes)));
	for (unsigned i = 0; i < w->n_qubes; i++) {
		struct name *n = &w->names[i];

		if (i == 0)
			(void)snprintf(n->name, sizeof(n->name), "dom0");
		else
			(void)snprintf(n->name, sizeof(n->name), "qube-%04u", i);
		(void)snprintf(n->uuid, sizeof(n->uuid), "00000000-0000-0000-0000-%012u", i);
		w->qubes[i] = (struct policy_qube){
			.name = n->name,
			.uuid = n->uuid,
			.type = i == 0 ? "AdminVM" : "AppVM",
			.default_dispvm = w->names[i % 30 < 2 ? i : 1].name,
			.tags = tags + below(ARRAY_LEN(tags) - 2),
			.n_tags = 2,
			.template_for_dispvms = i % 30 == 1,
			.running = below(2) == 0,
		};
	}
}

static size_t put_rule(char *to, size_t size, unsigned i, unsigned n_rules, unsigned n_qubes)
{
	static const char *const broad_targets[] = {"@anyvm", "*", "@type:AppVM", "@adminvm",
						    "@dispvm"};
	static const char *const actions[] = {"deny", "ask", "allow"};
	unsigned service = i % N_SERVICES;
	char source[24], target[24];
	bool broad = n_rules - i <= N_SERVICES;
	int n;

	if (below(3) == 0)
		(void)snprintf(source, sizeof(source), "@tag:%s", tags[below(ARRAY_LEN(tags))]);
	else
		(void)snprintf(source, sizeof(source), "qube-%04u", 1 + below(n_qubes - 1));
	(void)snprintf(target, sizeof(target), "qube-%04u", 1 + below(n_qubes - 1));
	n = broad ? snprintf(to, size, "service.Number%02u * @anyvm %s %s\n", service,
			     broad_targets[below(ARRAY_LEN(broad_targets))],
			     actions[below(ARRAY_LEN(actions))])
		  : snprintf(to, size, "service.Number%02u %s %s %s %s\n", service,
			     below(5) ? "*" : "+argument", source, target,
			     actions[below(ARRAY_LEN(actions))]);
	return (size_t)n;
}

static void make_text(struct world *w)
{
	size_t size = (size_t)w->n_rules * 128, n = 0;

	w->text = must(malloc(size));
	for (unsigned i = 0; i < w->n_rules; i++)
		n += put_rule(w->text + n, size - n, i, w->n_rules, w->n_qubes);
}

/* what a change of a file costs: parse, compile, and the qubes */
static void load(struct world *w)
{
	const struct policy_file file = {"50-bench.policy", w->text, strlen(w->text)};
	const struct policy_files files = {.files = &file, .n_files = 1};
	struct policy_error error;
	size_t size;

	if (policy_measure(&files, &size, &error) != 0)
		give_up(error.reason);
	w->room = must(malloc(size));
	if (policy_compile(&files, w->room, size, &w->p, &error) != 0)
		give_up("the policy does not compile");
	size = policy_view_size(w->p, w->n_qubes);
	w->view_room = must(malloc(size));
	if (policy_view_make(w->p, w->qubes, w->n_qubes, w->view_room, size, &w->v) != 0)
		give_up("the qubes are not in order");
}

static void unload(struct world *w)
{
	free(w->room);
	free(w->view_room);
}

static void make_questions(struct world *w)
{
	w->questions = must(calloc(N_REQUESTS, sizeof(*w->questions)));
	for (unsigned i = 0; i < N_REQUESTS; i++) {
		struct question *q = &w->questions[i];
		unsigned kind = below(10);

		(void)snprintf(q->service, sizeof(q->service), "service.Number%02u",
			       below(N_SERVICES + 2));
		q->request = (struct policy_request){
			.source = w->names[1 + below(w->n_qubes - 1)].name,
			.target = kind == 0   ? "@default"
				  : kind == 1 ? "@dispvm"
				  : kind == 2 ? "dom0"
					      : w->names[1 + below(w->n_qubes - 1)].name,
			.service = q->service,
			.argument = below(2) ? "argument" : "",
		};
	}
}

static void world_init(struct world *w, unsigned n_rules, unsigned n_qubes)
{
	*w = (struct world){.n_rules = n_rules, .n_qubes = n_qubes};
	make_qubes(w);
	make_text(w);
	make_questions(w);
	load(w);
}

static void world_done(struct world *w)
{
	unload(w);
	free(w->names);
	free(w->qubes);
	free(w->text);
	free(w->questions);
}

/* --- the figures --- */

/* one round of all questions: the mean of a decision */
static double round_us(struct world *w)
{
	double began = now_us();

	memset(w->counts, 0, sizeof(w->counts));
	for (unsigned i = 0; i < N_REQUESTS; i++) {
		struct policy_answer a;

		policy_decide(w->v, &w->questions[i].request, &a);
		w->counts[a.verdict]++;
	}
	return (now_us() - began) / N_REQUESTS;
}

/* both in turn, since others use this machine too: the medians of several rounds */
static void decisions_us(struct world *a, struct world *b)
{
	double took[2][N_ROUNDS];

	for (unsigned i = 0; i < N_ROUNDS; i++) {
		took[0][i] = round_us(a);
		took[1][i] = round_us(b);
	}
	qsort(took[0], N_ROUNDS, sizeof(took[0][0]), compare);
	qsort(took[1], N_ROUNDS, sizeof(took[1][0]), compare);
	a->mean_us = took[0][N_ROUNDS / 2];
	b->mean_us = took[1][N_ROUNDS / 2];
}

/* the slowest of all questions, each at its best */
static double slowest_us(struct world *w)
{
	double slowest = 0;

	for (unsigned i = 0; i < N_REQUESTS; i++) {
		double best = 0;

		for (unsigned round = 0; round < 5; round++) {
			struct policy_answer a;
			double began = now_us(), took;

			policy_decide(w->v, &w->questions[i].request, &a);
			took = now_us() - began;
			if (round == 0 || took < best)
				best = took;
		}
		if (best > slowest)
			slowest = best;
	}
	return slowest;
}

static double reload_ms(struct world *w)
{
	double took[N_RELOADS];

	for (unsigned i = 0; i < N_RELOADS; i++) {
		double began;

		unload(w);
		began = now_us();
		load(w);
		took[i] = (now_us() - began) / 1e3;
	}
	qsort(took, N_RELOADS, sizeof(*took), compare);
	return took[N_RELOADS / 2];
}

static void show(struct world *w)
{
	w->slowest_us = slowest_us(w);
	(void)printf(
		"%u rules, %u qubes: a decision %.3f us, the slowest %.3f us; of %u: %u denied, "
		"%u allowed, %u asked\n",
		w->n_rules, w->n_qubes, w->mean_us, w->slowest_us, N_REQUESTS,
		w->counts[POLICY_DENY], w->counts[POLICY_ALLOW], w->counts[POLICY_ASK]);
}

int main(void)
{
	struct world small, large;
	double reload, ratio;
	bool held;

	world_init(&small, 156, 30);
	world_init(&large, 1000, 1000);
	decisions_us(&small, &large);
	show(&small);
	show(&large);
	reload = reload_ms(&large);
	(void)printf("reload of %u rules: %.2f ms (bound: %.0f ms), %zu KiB\n", large.n_rules,
		     reload, RELOAD_BOUND, policy_len(large.p) / 1024);
	ratio = large.mean_us / small.mean_us;
	(void)printf("policy: %.2fx (bound: at most %.0fx; a decision at most %.0f us)\n", ratio,
		     RATIO_BOUND, DECISION_BOUND);
	held = ratio <= RATIO_BOUND && small.slowest_us <= DECISION_BOUND &&
	       large.slowest_us <= RATIO_BOUND * DECISION_BOUND && reload <= RELOAD_BOUND;
	world_done(&small);
	world_done(&large);
	return held ? EXIT_SUCCESS : EXIT_FAILURE;
}
