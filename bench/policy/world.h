/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* A system to measure with: rules, qubes and questions, the same at each run. */
#include "base/attr.h"
#include "policy/policy.h"

#define N_SERVICES 40
#define N_REQUESTS 4096

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
	char *text; /* of the policy's only file */
	void *room, *view_room;
	const struct policy *p;
	struct policy_view *v;
	struct question *questions;
	unsigned counts[3];
	double mean_us, slowest_us, socket_us;
};

void world_init(struct world *w, unsigned n_rules, unsigned n_qubes);
void world_done(struct world *w);
/** world_load() - what a change of a file costs: parse, compile, and the qubes. world_unload() first */
void world_load(struct world *w);
void world_unload(struct world *w);

NORETURN void give_up(const char *what);
double now_us(void);
/** compare() - doubles, for qsort() */
int compare(const void *a, const void *b);
