/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long `qvm-ls` takes with 1,000 qubes in the store.
 *
 * An instance of its own, filled through the Admin API; then qvm-ls in turn with `true` (what
 * starting any program costs here at this moment) and a bare request on a socket. Bounds: 20 ms wall
 * (median), of it 5 ms of processor time in qubesd.
 *
 *	bench/list [N_QUBES]
 */
#include "base/io.h"
#include "base/str.h"
#include "client/client.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#define N_ROUNDS     51
#define WALL_BOUND   20.0
#define QUBESD_BOUND 5.0

extern char **environ;

static char home[] = "/tmp/bench-list.XXXXXX";
static char build_dir[PATH_MAX];
static pid_t qubesd_pid;

static double now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static NORETURN void give_up(const char *what)
{
	(void)fprintf(stderr, "list: %s\n", what);
	if (qubesd_pid > 0)
		(void)kill(qubesd_pid, SIGTERM);
	exit(EXIT_FAILURE);
}

/* where this program's own build tree is: BUILD/bench/list */
static void find_build(void)
{
	ssize_t n = readlink("/proc/self/exe", build_dir, sizeof(build_dir) - 1);

	if (n < 0)
		give_up("/proc/self/exe cannot be read");
	build_dir[n] = '\0';
	for (unsigned i = 0; i < 2; i++)
		*strrchr(build_dir, '/') = '\0';
}

static pid_t start(const char *path, const char *name, bool quiet)
{
	char *const argv[] = {(char *)name, NULL};
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int r;

	(void)posix_spawn_file_actions_init(&actions);
	if (quiet)
		(void)posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null",
						       O_WRONLY, 0);
	r = posix_spawn(&pid, path, &actions, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	return r == 0 ? pid : -1;
}

static void run_once(const char *path, const char *name)
{
	pid_t pid = start(path, name, true);
	int status = 1;

	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		give_up(path);
}

/* a call whose failure ends the measurement; the answer's text is the caller's */
static char *call(const char *method, const char *arg, const char *payload)
{
	struct client_answer AUTO(client_answer_done) a = {0};
	char *text;
	int r = client_call(NULL, method, "dom0", arg, payload, payload ? strlen(payload) : 0,
			    NO_FD, &a);

	if (r != 0)
		give_up(r == CLIENT_E_EXCEPTION && a.data ? a.data : method);
	text = a.data;
	a.data = NULL;
	return text;
}

static uint64_t qubesd_cpu_us(void)
{
	AUTO_FREE char *status = call("bulkhead.Status", NULL, NULL);
	const char *at = status ? strstr(status, "cpu_us=") : NULL;

	return at ? strtoull(at + strlen("cpu_us="), NULL, 10) : 0;
}

static void begin(unsigned n_qubes)
{
	char path[PATH_MAX], payload[64];

	if (!mkdtemp(home) || setenv("BULKHEAD_HOME", home, 1) < 0)
		give_up("no folder in /tmp");
	if (str_format(path, sizeof(path), "%s/dom0/qubesd/qubesd", build_dir) < 0)
		give_up("the path is too long");
	qubesd_pid = start(path, "qubesd", false);
	if (qubesd_pid < 0)
		give_up(path);
	for (unsigned i = 0;; i++) {
		struct client_answer AUTO(client_answer_done) a = {0};

		if (client_call(NULL, "admin.vm.List", "dom0", NULL, NULL, 0, NO_FD, &a) == 0)
			break;
		if (i == 500)
			give_up("qubesd does not answer");
		(void)usleep(20000);
	}
	free(call("admin.vm.Create.TemplateVM", NULL, "name=template label=black"));
	for (unsigned i = 2; i <= n_qubes; i++) {
		(void)snprintf(payload, sizeof(payload), "name=qube-%u label=blue", i);
		free(call("admin.vm.Create.AppVM", "template", payload));
		if (i % 100 == 0)
			(void)fprintf(stderr, "\rlist: %u of %u qubes made", i, n_qubes);
	}
	(void)fprintf(stderr, "\n");
}

static void end(void)
{
	(void)kill(qubesd_pid, SIGTERM);
	(void)waitpid(qubesd_pid, NULL, 0);
	char run[PATH_MAX], link[PATH_MAX];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "%s/run", home);
	n = readlink(link, run, sizeof(run) - 1);
	if (n > 0) {
		run[n] = '\0';
		(void)!io_remove_tree(AT_FDCWD, run);
	}
	(void)!io_remove_tree(AT_FDCWD, home);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, unsigned n)
{
	qsort(v, n, sizeof(*v), compare);
	return v[n / 2];
}

int main(int argc, char **argv)
{
	double list[N_ROUNDS], bare[N_ROUNDS], program[N_ROUNDS], qubesd = 0, list_ms, true_ms,
								  bare_ms;
	uint64_t n_qubes = 1000;
	char qvm[PATH_MAX];
	bool held;

	if (argc > 1 && str_u64(argv[1], 9000, &n_qubes) < 0) {
		(void)fprintf(stderr, "usage: %s [N_QUBES]\n", argv[0]);
		return 2;
	}
	find_build();
	if (str_format(qvm, sizeof(qvm), "%s/cli/qvm/qvm", build_dir) < 0)
		give_up("the path is too long");
	begin((unsigned)n_qubes);
	for (unsigned i = 0; i < N_ROUNDS; i++) {
		uint64_t cpu = qubesd_cpu_us();
		double t = now_ms();

		run_once(qvm, "qvm-ls");
		list[i] = now_ms() - t;
		qubesd += (double)(qubesd_cpu_us() - cpu) / 1e3;
		t = now_ms();
		run_once("/bin/true", "true");
		program[i] = now_ms() - t;
		t = now_ms();
		free(call("admin.label.Index", "red", NULL));
		bare[i] = now_ms() - t;
	}
	list_ms = median(list, N_ROUNDS);
	true_ms = median(program, N_ROUNDS);
	bare_ms = median(bare, N_ROUNDS);
	/* each round's figure holds one bulkhead.Status too: a little more than qvm-ls alone */
	qubesd /= N_ROUNDS;
	held = list_ms < WALL_BOUND && qubesd < QUBESD_BOUND;
	(void)printf("qvm-ls, %u qubes: %.2f ms (p90 %.2f), in qubesd %.2f ms of processor time\n",
		     (unsigned)n_qubes, list_ms, list[N_ROUNDS * 9 / 10], qubesd);
	(void)printf("one spawn of true: %.2f ms; one bare request: %.3f ms\n", true_ms, bare_ms);
	(void)printf(
		"list: %.2f ms (bound %.0f), %.2f ms in qubesd (bound %.0f), %.1fx one spawn of "
		"true\n",
		list_ms, WALL_BOUND, qubesd, QUBESD_BOUND, list_ms / true_ms);
	end();
	return held ? EXIT_SUCCESS : EXIT_FAILURE;
}
