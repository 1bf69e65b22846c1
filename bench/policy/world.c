/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "world.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static uint64_t seed = 7;

static unsigned below(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed >> 33) % n;
}

void give_up(const char *what)
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

double now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

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

void world_load(struct world *w)
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

void world_unload(struct world *w)
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

void world_init(struct world *w, unsigned n_rules, unsigned n_qubes)
{
	*w = (struct world){.n_rules = n_rules, .n_qubes = n_qubes};
	make_qubes(w);
	make_text(w);
	make_questions(w);
	world_load(w);
}

void world_done(struct world *w)
{
	world_unload(w);
	free(w->names);
	free(w->qubes);
	free(w->text);
	free(w->questions);
}
