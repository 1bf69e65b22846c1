/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a decision costs, in the library and asked of policyd by its socket, and the reload of a policy.
 *
 * Two systems: 156 rules (as many as Qubes' default policy has) with 30 qubes, and 1,000 rules with
 * 1,000 qubes. Both speak of the same 40 services, narrow rules before broad ones, so most requests
 * pass all rules of their service; a third of the answers asks, with its list of targets. Bounds: a
 * decision 20 us, by socket 150 us, in the larger system at most twice what it costs in the smaller;
 * reading 1,000 rules anew and looking at all qubes 20 ms, from the change of the file to the first
 * answer by it too.
 */
#include "socket.h"
#include "world.h"

#include <stdio.h>
#include <string.h>

#define N_ROUNDS       101
#define N_RELOADS      51
#define DECISION_BOUND 20.0  /* us */
#define SOCKET_BOUND   150.0 /* us */
#define RATIO_BOUND    2.0
#define RELOAD_BOUND   20.0 /* ms */

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

		world_unload(w);
		began = now_us();
		world_load(w);
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

/* the same figures by socket; whether their bounds hold */
static bool by_socket(struct world *small, struct world *large)
{
	struct server servers[2];
	double bare, reload, ratio;

	server_start(&servers[0], small);
	server_start(&servers[1], large);
	bare = bare_us();
	questions_us(&servers[0], &servers[1]);
	reload = server_reload_ms(&servers[1]);
	server_end(&servers[0]);
	server_end(&servers[1]);
	ratio = large->socket_us / small->socket_us;
	(void)printf(
		"by socket, a connection each (a bare one takes %.0f us): %u rules and %u qubes "
		"%.0f us, %u and %u %.0f us, %.2fx (bound: at most %.0f us, %.0fx)\n",
		bare, small->n_rules, small->n_qubes, small->socket_us, large->n_rules,
		large->n_qubes, large->socket_us, ratio, SOCKET_BOUND, RATIO_BOUND);
	(void)printf("from the change of a file of %u rules to the first answer by it: %.1f ms "
		     "(bound: %.0f ms)\n",
		     large->n_rules, reload, RELOAD_BOUND);
	return small->socket_us <= SOCKET_BOUND && ratio <= RATIO_BOUND && reload <= RELOAD_BOUND;
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
	held = by_socket(&small, &large);
	ratio = large.mean_us / small.mean_us;
	(void)printf("policy: %.2fx (bound: at most %.0fx; a decision at most %.0f us)\n", ratio,
		     RATIO_BOUND, DECISION_BOUND);
	held = held && ratio <= RATIO_BOUND && small.slowest_us <= DECISION_BOUND &&
	       large.slowest_us <= RATIO_BOUND * DECISION_BOUND && reload <= RELOAD_BOUND;
	world_done(&small);
	world_done(&large);
	return held ? EXIT_SUCCESS : EXIT_FAILURE;
}
