/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pair.h"

#include "base/io.h"
#include "base/str.h"
#include "policy/policy.h"
#include "proto/decision.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define N_RULES  156
#define READY_MS 10000

extern char **environ;

static struct pair *pair;
static char build_dir[PATH_MAX];

NORETURN void pair_give_up(const char *what)
{
	(void)fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
	pair_end();
	exit(EXIT_FAILURE);
}

/* where this program's own build tree is: BUILD/bench/X */
static void find_build(void)
{
	ssize_t n = readlink("/proc/self/exe", build_dir, sizeof(build_dir) - 1);

	if (n < 0)
		pair_give_up("/proc/self/exe cannot be read");
	build_dir[n] = '\0';
	for (unsigned i = 0; i < 2; i++)
		*strrchr(build_dir, '/') = '\0';
}

/* ---- who decides --------------------------------------------------------------------------- */

/* the rules that all but the last pass over are other services' */
static void policy_write(char *to, size_t size)
{
	size_t n = 0;

	for (unsigned i = 1; i < N_RULES; i++)
		n += (size_t)snprintf(to + n, size - n,
				      "service.Number%03u * @tag:t%u @anyvm deny\n", i, i % 7);
	(void)snprintf(to + n, size - n, "test.Service * work vault allow\n");
}

static struct policy_view *policy_make(void)
{
	static char text[N_RULES * 64];
	static const struct policy_qube qubes[] = {
		{.name = "dom0",
		 .uuid = "00000000-0000-0000-0000-000000000000",
		 .type = "AdminVM",
		 .running = true},
		{.name = "vault",
		 .uuid = "00000000-0000-0000-0000-000000000043",
		 .type = "AppVM",
		 .running = true},
		{.name = "work",
		 .uuid = "00000000-0000-0000-0000-000000000042",
		 .type = "AppVM",
		 .running = true},
	};
	struct policy_file file = {"50-bench.policy", text, 0};
	const struct policy_files files = {.files = &file, .n_files = 1};
	struct policy_error error;
	const struct policy *p;
	struct policy_view *v;
	void *room;
	size_t len;

	policy_write(text, sizeof(text));
	file.len = strlen(text);
	if (policy_measure(&files, &len, &error) != 0)
		pair_give_up(error.reason);
	room = malloc(len);
	if (!room || policy_compile(&files, room, len, &p, &error) != 0)
		pair_give_up("the policy does not compile");
	len = policy_view_size(p, ARRAY_LEN(qubes));
	room = malloc(len);
	if (!room || policy_view_make(p, qubes, ARRAY_LEN(qubes), room, len, &v) != 0)
		pair_give_up("the qubes are not in order");
	return v;
}

/* one question, in the child */
static void answer(struct policy_view *v, int fd)
{
	static char bytes[DECISION_MAX];
	struct decision_answer a = {.user = "DEFAULT",
				    .target = "vault",
				    .requested_target = "vault",
				    .autostart = true};
	struct decision_request q;
	struct policy_request request;
	struct policy_answer decided;
	const char *plus;
	size_t n = 0;

	while (decision_request_len(bytes, n) == 0) {
		const ssize_t more = read(fd, bytes + n, sizeof(bytes) - n);

		if (more <= 0)
			return;
		n += (size_t)more;
	}
	if (decision_request_decode(bytes, n, &q) != 0)
		return;
	plus = strchrnul(q.service, '+');
	request =
		(struct policy_request){.source = q.source,
					.target = q.target,
					.service = strndupa(q.service, (size_t)(plus - q.service)),
					.argument = *plus == '+' ? plus + 1 : ""};
	policy_decide(v, &request, &decided);
	a.allow = decided.verdict == POLICY_ALLOW;
	if (!a.allow)
		a = (struct decision_answer){0};
	n = decision_answer_encode(&a, bytes, sizeof(bytes));
	(void)!write(fd, bytes, n);
}

static pid_t decider_start(const char *path)
{
	struct policy_view *v = policy_make();
	int fd, r = io_unix_listen(path, SOCK_STREAM, 0600, &fd);
	pid_t pid;

	if (r < 0 || io_set_nonblock(fd, false) < 0)
		pair_give_up("the policy's socket cannot be made");
	pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;) {
			AUTO_CLOSE int conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

			if (conn >= 0)
				answer(v, conn);
		}
	}
	(void)close(fd);
	return pid;
}

/* ---- the processes ------------------------------------------------------------------------- */

static pid_t start(char *const *argv)
{
	char log[128];
	posix_spawn_file_actions_t actions;
	pid_t pid = 0;
	int r;

	(void)snprintf(log, sizeof(log), "%s/log", pair->dir);
	r = posix_spawn_file_actions_init(&actions);
	if (r == 0)
		r = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log,
						     O_WRONLY | O_APPEND | O_CREAT, 0600);
	/* who waits for a caller that was killed outlives us: nobody is to wait for it by our output */
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
	if (r == 0)
		r = posix_spawn(&pid, argv[0], &actions, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	if (r != 0) {
		(void)fprintf(stderr, "%s\n", argv[0]);
		pair_give_up("cannot be started: build first");
	}
	return pid;
}

static void wait_for(const char *format, unsigned domid)
{
	const double until = now_ms() + READY_MS;
	char path[128];
	struct stat st;

	(void)snprintf(path, sizeof(path), format, pair->dir, domid);
	while (stat(path, &st) < 0) {
		if (now_ms() > until)
			pair_give_up("a qube is not there");
		(void)poll(NULL, 0, 5);
	}
}

static void qube_start(unsigned domid, const char *name, pid_t pids[2])
{
	char number[16], agent[PATH_MAX + 64], daemon[PATH_MAX + 64], dir[96], local[96],
		policy[96], uuid[64];
	char *const agent_argv[] = {agent, (char *)"--no-fork-server", local, NULL};
	char *const daemon_argv[] = {daemon, dir,          policy,         uuid, (char *)"--direct",
				     number, (char *)name, (char *)"root", NULL};

	(void)snprintf(number, sizeof(number), "%u", domid);
	(void)snprintf(agent, sizeof(agent), "%s/qube/agent/qrexec-agent", build_dir);
	(void)snprintf(daemon, sizeof(daemon), "%s/dom0/qrexec-daemon/qrexec-daemon", build_dir);
	(void)snprintf(dir, sizeof(dir), "--socket-dir=%s", pair->dir);
	(void)snprintf(uuid, sizeof(uuid), "--uuid=00000000-0000-0000-0000-%012u", domid);
	(void)snprintf(local, sizeof(local), "--agent-socket=%s/agent.%u", pair->dir, domid);
	(void)snprintf(policy, sizeof(policy), "--policy-socket=%s/policy.sock", pair->dir);
	(void)setenv("VCHAN_DOMAIN", number, 1);
	pids[0] = start(agent_argv);
	(void)unsetenv("VCHAN_DOMAIN");
	pids[1] = start(daemon_argv);
	wait_for("%s/qrexec.%u", domid);
}

void pair_begin(struct pair *p, const char *service)
{
	char path[128];

	find_build();
	*p = (struct pair){.dir = "/dev/shm/bench-qrexec.XXXXXX"};
	if (!mkdtemp(p->dir))
		pair_give_up("no folder in /tmp");
	pair = p;
	(void)atexit(pair_end);
	(void)snprintf(path, sizeof(path), "%s/rpc", p->dir);
	if (mkdir(path, 0755) < 0 || setenv("QREXEC_SERVICE_PATH", path, 1) < 0 ||
	    setenv("VCHAN_SOCKET_DIR", p->dir, 1) < 0)
		pair_give_up("the services' folder cannot be made");
	(void)snprintf(path, sizeof(path), "%s/rpc/test.Service", p->dir);
	if (symlink(service, path) < 0)
		pair_give_up("the service cannot be made");
	(void)snprintf(p->client, sizeof(p->client), "%s/qube/agent/qrexec-client-vm", build_dir);
	(void)snprintf(p->agent_socket, sizeof(p->agent_socket), "--agent-socket=%s/agent.42",
		       p->dir);
	(void)snprintf(path, sizeof(path), "%s/policy.sock", p->dir);
	p->pids[4] = decider_start(path);
	qube_start(42, "work", p->pids);
	qube_start(43, "vault", p->pids + 2);
	(void)setenv("VCHAN_DOMAIN", "42", 1);
}

void pair_end(void)
{
	struct pair *p = pair;

	pair = NULL;
	for (unsigned i = 0; p && i < ARRAY_LEN(p->pids); i++)
		if (p->pids[i] > 0) {
			(void)kill(p->pids[i], i == 4 ? SIGKILL : SIGTERM);
			(void)waitpid(p->pids[i], NULL, 0);
		}
	/* the parents and brokers of the daemons end by themselves, and with them the last sockets */
	for (unsigned i = 0; p && i < 100 && io_remove_tree(AT_FDCWD, p->dir) < 0; i++)
		(void)poll(NULL, 0, 20);
}

void pair_print_log(const struct pair *p)
{
	char path[128], line[512];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/log", p->dir);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		(void)fputs(line, stdout);
	if (f)
		(void)fclose(f);
}

static pid_t spawn_with(const char *path, char *const *argv, int in, int out)
{
	posix_spawn_file_actions_t actions;
	pid_t pid = 0;
	int r = posix_spawn_file_actions_init(&actions);

	if (r == 0)
		r = in >= 0 ? posix_spawn_file_actions_adddup2(&actions, in, 0)
			    : posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY,
							       0);
	if (r == 0)
		r = out >= 0 ? posix_spawn_file_actions_adddup2(&actions, out, 1)
			     : posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY,
								0);
	if (r == 0)
		r = posix_spawn(&pid, path, &actions, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	if (r != 0)
		pair_give_up("a program cannot be started");
	return pid;
}

pid_t pair_call_service(const struct pair *p, const char *service, int in, int out)
{
	char *const argv[] = {(char *)p->client, (char *)p->agent_socket, (char *)"vault",
			      (char *)service, NULL};

	return spawn_with(p->client, argv, in, out);
}

pid_t pair_call(const struct pair *p, int in, int out)
{
	return pair_call_service(p, "test.Service", in, out);
}

pid_t pair_spawn(const char *path, int in, int out)
{
	char *const argv[] = {(char *)path, NULL};

	return spawn_with(path, argv, in, out);
}

int pair_wait(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
