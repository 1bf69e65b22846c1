/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a call from qube to qube costs, against starting its service's program directly.
 *
 * Agents, daemons and brokers of two qubes over vchan sockets, a policy of 156 rules, every call a qrexec-client-vm of its
 * own. In turn with each call the service is spawned and awaited; 8 and 64 at a time run in turn with as many chains that
 * spawn two trivial programs after each other. Bounds: the median of a call 3.5x that of a spawn; the rate of calls at
 * least half that of the pairs.
 *
 *	bench/qrexec-call			the figures
 *	bench/qrexec-call --cpu N		processor time of N calls and of N pairs of spawns, 8 at a time: on a busy machine
 *						it says what a change is worth. Daemons and all that they start are in it
 *	bench/qrexec-call --lost N SEED		N calls, 8 at a time, some killed at any moment: none of the others may be lost.
 *						How long the slowest took is a figure, as it is of a spawn beside them: on a
 *						machine that is as busy as it can be both are long
 */
#include "pair.h"

#include "base/str.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define SERVICE     "/bin/true"
#define N_ROUNDS    401
#define N_PAIRS     9 /* of runs with several at a time */
#define N_AT_ONCE   200
#define P50_BOUND   3.5
#define RATE_BOUND  0.5
#define MAX_AT_ONCE 64
/** SLOW_MS - a call that takes longer hangs; no machine here is that busy */
#define SLOW_MS 60000

static uint64_t seed;

static unsigned below(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed >> 33) % n;
}

static double timed_ms(const struct pair *p)
{
	const double began = now_ms();
	const int code =
		pair_wait(p ? pair_call(p, NO_FD, NO_FD) : pair_spawn(SERVICE, NO_FD, NO_FD));

	if (code != 0)
		pair_give_up("a call failed");
	return now_ms() - began;
}

static double one_by_one(const struct pair *p)
{
	static double calls[N_ROUNDS], spawns[N_ROUNDS];
	double call, spawn;

	for (unsigned i = 0; i < N_ROUNDS; i++) {
		calls[i] = timed_ms(p);
		spawns[i] = timed_ms(NULL);
	}
	call = median(calls, N_ROUNDS);
	spawn = median(spawns, N_ROUNDS);
	(void)printf(
		"a call: p50 %.2f ms, p99 %.2f ms, most %.2f ms; a spawn: p50 %.2f ms: %.2fx\n",
		call, calls[N_ROUNDS * 99 / 100], calls[N_ROUNDS - 1], spawn, call / spawn);
	return call / spawn;
}

/* @n calls, or @n pairs of spawns one after the other, @width at a time: per second */
static double rate(const struct pair *p, unsigned width, unsigned n)
{
	struct {
		pid_t pid;
		unsigned left;
	} slots[MAX_AT_ONCE] = {0};
	const double began = now_ms();
	unsigned done = 0, begun = 0;

	for (unsigned i = 0; i < width; i++, begun++) {
		slots[i].left = 1;
		slots[i].pid = p ? pair_call(p, NO_FD, NO_FD) : pair_spawn(SERVICE, NO_FD, NO_FD);
	}
	while (done < n) {
		int status;
		const pid_t pid = wait(&status);

		for (unsigned i = 0; i < width; i++) {
			if (slots[i].pid != pid)
				continue;
			if (status != 0)
				pair_give_up("a call failed");
			slots[i].pid = 0;
			if (!p && slots[i].left-- > 0) {
				slots[i].pid = pair_spawn(SERVICE, NO_FD, NO_FD);
				continue;
			}
			done++;
			if (begun++ >= n)
				continue;
			slots[i].left = 1;
			slots[i].pid =
				p ? pair_call(p, NO_FD, NO_FD) : pair_spawn(SERVICE, NO_FD, NO_FD);
		}
	}
	return n * 1e3 / (now_ms() - began);
}

static double at_once(const struct pair *p, unsigned width)
{
	double calls[N_PAIRS], pairs[N_PAIRS], ratios[N_PAIRS], ratio;

	/* they take turns at being first: what a pair is compared by is the same moment of the machine */
	for (unsigned i = 0; i < N_PAIRS; i++) {
		if (i % 2 != 0)
			pairs[i] = rate(NULL, width, N_AT_ONCE);
		calls[i] = rate(p, width, N_AT_ONCE);
		if (i % 2 == 0)
			pairs[i] = rate(NULL, width, N_AT_ONCE);
		ratios[i] = calls[i] / pairs[i];
	}
	ratio = median(ratios, N_PAIRS);
	(void)printf("%2u at a time: %.0f calls/s; two spawns: %.0f/s: %.2fx, %.2fx to %.2fx\n",
		     width, median(calls, N_PAIRS), median(pairs, N_PAIRS), ratio, ratios[0],
		     ratios[N_PAIRS - 1]);
	return ratio;
}

/* of ourselves and of all that has ended below us */
static double cpu_ms(void)
{
	static const int who[] = {RUSAGE_SELF, RUSAGE_CHILDREN};
	double sum = 0;

	for (unsigned i = 0; i < ARRAY_LEN(who); i++) {
		struct rusage u;

		(void)getrusage(who[i], &u);
		sum += (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e3 +
		       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e3;
	}
	return sum;
}

static int cpu(struct pair *p, unsigned n)
{
	double call, spawns;

	/* brokers and the daemons' parents become our children once theirs are gone: their time counts when they end */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		pair_give_up("cannot be told of all that ends");
	pair_begin(p, SERVICE);
	(void)rate(p, 8, n);
	pair_end();
	while (wait(NULL) > 0)
		;
	call = cpu_ms() / n;
	(void)rate(NULL, 8, n);
	spawns = cpu_ms() / n - call;
	(void)printf("processor time: a call %.3f ms, two spawns %.3f ms: %.2fx\n", call, spawns,
		     call / spawns);
	return EXIT_SUCCESS;
}

/* ---- none is lost -------------------------------------------------------------------------- */

struct running {
	pid_t pid;
	double began_ms, kill_ms; /* kill_ms 0: it is to succeed */
};

struct outcome {
	unsigned n, killed, failed, over_1s;
	double most_ms;
};

/* one that has ended */
static void count(struct outcome *o, const struct running *s, int status, double took_ms)
{
	o->n++;
	if (s->kill_ms > 0) {
		o->killed++;
		return;
	}
	if (status != 0) {
		o->failed++;
		(void)printf("a call of %.0f ms ended with status %#x\n", took_ms,
			     (unsigned)status);
	}
	o->over_1s += took_ms > 1000;
	o->most_ms = took_ms > o->most_ms ? took_ms : o->most_ms;
}

/* true: it has ended, and @s is free */
static bool look_at(struct running *s, struct outcome *o)
{
	const double now = now_ms();
	int status;

	if ((s->kill_ms > 0 && now >= s->kill_ms) || now - s->began_ms > SLOW_MS)
		(void)kill(s->pid, SIGKILL);
	if (waitpid(s->pid, &status, WNOHANG) == 0)
		return false;
	count(o, s, status, now - s->began_ms);
	s->pid = 0;
	return true;
}

static int lost(const struct pair *p, unsigned n)
{
	struct running slots[8] = {0}, spawn = {0};
	struct outcome calls = {0}, spawns = {0};
	unsigned begun = 0;

	while (calls.n < n) {
		for (unsigned i = 0; i < ARRAY_LEN(slots); i++) {
			struct running *s = &slots[i];

			if (s->pid > 0) {
				(void)look_at(s, &calls);
				continue;
			}
			if (begun == n)
				continue;
			begun++;
			*s = (struct running){.began_ms = now_ms()};
			s->pid = pair_call(p, NO_FD, NO_FD);
			if (below(10) == 0)
				s->kill_ms = s->began_ms + below(8);
		}
		if (spawn.pid == 0 || look_at(&spawn, &spawns)) {
			spawn.began_ms = now_ms();
			spawn.pid = pair_spawn(SERVICE, NO_FD, NO_FD);
		}
		(void)usleep(200);
	}
	(void)waitpid(spawn.pid, NULL, 0);
	(void)printf(
		"%u calls, %u of them killed: %u lost, %u over 1 s, the slowest %.0f ms; of %u "
		"spawns beside them the slowest %.0f ms\n",
		n, calls.killed, calls.failed, calls.over_1s, calls.most_ms, spawns.n,
		spawns.most_ms);
	if (calls.failed > 0)
		pair_print_log(p);
	return calls.failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	uint64_t n = 0;
	static struct pair p; /* looked at at exit */
	double p50, eight, many;

	if (argc == 3 && str_eq(argv[1], "--cpu")) {
		if (str_u64(argv[2], 1000000, &n) != 0 || n == 0)
			pair_give_up("--cpu N wants a number");
		return cpu(&p, (unsigned)n);
	}
	if (argc == 4 && str_eq(argv[1], "--lost")) {
		if (str_u64(argv[2], 100000000, &n) != 0 ||
		    str_u64(argv[3], UINT32_MAX, &seed) != 0 || seed == 0)
			pair_give_up("--lost N SEED wants two numbers");
	} else if (argc != 1) {
		pair_give_up("no such argument");
	}
	pair_begin(&p, SERVICE);
	if (n > 0)
		return lost(&p, (unsigned)n);
	p50 = one_by_one(&p);
	eight = at_once(&p, 8);
	many = at_once(&p, MAX_AT_ONCE);
	(void)printf(
		"qrexec-call: %.2fx a spawn (bound: at most %.1fx); the rate of two, %.2fx 8 and "
		"%.2fx %d at a time (bound: at least %.1fx)\n",
		p50, P50_BOUND, eight, many, MAX_AT_ONCE, RATE_BOUND);
	return p50 <= P50_BOUND && eight >= RATE_BOUND && many >= RATE_BOUND ? EXIT_SUCCESS
									     : EXIT_FAILURE;
}
