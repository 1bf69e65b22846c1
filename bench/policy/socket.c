/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "socket.h"

#include "base/io.h"
#include "base/program.h"
#include "base/str.h"
#include "loop/spawn.h"
#include "proto/decision.h"
#include "proto/picture.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define N_RELOADS 21
#define N_BARE    4001
#define WAIT_US   10e6
#define PAUSE_US  200
#define PROBE     "probe.Reload"

static void must(int r, const char *what)
{
	if (r < 0)
		give_up(what);
}

static void path_of(const struct server *s, const char *name, char *to)
{
	must(str_format(to, PATH_MAX, "%s/%s", s->dir, name), "a path");
}

/* ---- its qubesd */

static void tell_qube(int fd, const struct world *w, unsigned i)
{
	static uint8_t frame[PICTURE_MAX];
	const struct policy_qube *q = &w->qubes[i];
	char tags[64];
	size_t n = 0, len;

	for (unsigned t = 0; t < q->n_tags; t++)
		n += (size_t)snprintf(tags + n, sizeof(tags) - n, "%s", q->tags[t]) + 1;
	len = picture_encode(
		&(struct picture_msg){PICTURE_QUBE,
				      .qube = {.qid = i,
					       .name = q->name,
					       .uuid = q->uuid,
					       .type = q->type,
					       .label = "red",
					       .default_dispvm = q->default_dispvm,
					       .relayvm = "",
					       .transport_rpc = "",
					       .template_for_dispvms = q->template_for_dispvms,
					       .running = q->running,
					       .n_tags = q->n_tags,
					       .tags = tags}},
		frame, sizeof(frame));
	if (len == 0)
		give_up("a qube that cannot be told");
	must(io_write_full(fd, frame, len), "policyd is gone");
}

static void tell_all(int fd, const struct world *w)
{
	uint8_t frame[64];
	size_t len;

	for (unsigned i = 0; i < w->n_qubes; i++)
		tell_qube(fd, w, i);
	len = picture_encode(&(struct picture_msg){PICTURE_SETTLED, .serial = 1}, frame,
			     sizeof(frame));
	must(io_write_full(fd, frame, len), "policyd is gone");
	must(io_read_full(fd, frame, len), "policyd does not know");
}

/* ---- questions */

/* of a connection: what comes until its end */
static size_t ask(const char *path, const char *question, size_t len, char *answer, size_t size)
{
	size_t n = 0;
	ssize_t got;
	int fd = NO_FD;

	must(io_unix_connect(path, SOCK_STREAM, &fd), "nobody to ask");
	must(io_write_full(fd, question, len), "nobody listens");
	while ((got = read(fd, answer + n, size - n)) > 0)
		n += (size_t)got;
	(void)close(fd);
	return n;
}

static size_t make_question(const struct policy_request *q, char *to, size_t size)
{
	char service[128];
	const struct decision_request d = {.source = q->source,
					   .target = q->target,
					   .service = service,
					   .just_evaluate = true};

	(void)snprintf(service, sizeof(service), "%s+%s", q->service, q->argument);
	return decision_request_encode(&d, to, size);
}

/* whether the probe is allowed now */
static bool probe(const struct server *s)
{
	const struct policy_request q = {.source = s->w->names[1].name,
					 .target = s->w->names[2].name,
					 .service = PROBE,
					 .argument = ""};
	char path[PATH_MAX], question[1024], answer[4096];
	size_t len = make_question(&q, question, sizeof(question));

	path_of(s, DECISION_SOCKET, path);
	len = ask(path, question, len, answer, sizeof(answer));
	return len > 0 && memmem(answer, len, "result=allow", strlen("result=allow")) != NULL;
}

static double wait_for(const struct server *s, bool allowed)
{
	double began = now_us();

	/* the pauses leave the processor to those who read the policy */
	while (probe(s) != allowed) {
		if (now_us() - began > WAIT_US)
			give_up("the policy does not take effect");
		(void)usleep(PAUSE_US);
	}
	return now_us() - began;
}

static void put_policy(const struct server *s, bool allowed)
{
	size_t size = strlen(s->w->text) + 256;
	char *text = malloc(size), path[PATH_MAX], new[PATH_MAX];
	int fd, n;

	if (!text)
		give_up("out of memory");
	path_of(s, "policy.d/50-bench.policy", path);
	path_of(s, "policy.new", new);
	n = snprintf(text, size, "%s" PROBE " * @anyvm @anyvm %s\n", s->w->text,
		     allowed ? "allow" : "deny");
	fd = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	must(fd, new);
	must(io_write_full(fd, text, (size_t)n), new);
	(void)close(fd);
	free(text);
	must(rename(new, path), path);
}

void server_start(struct server *s, struct world *w)
{
	char program[PATH_MAX], path[PATH_MAX], policy_dir[PATH_MAX];
	char *argv[] = {program, "--feed-fd", "3", "--listen-fd",  "4",        "--log-fd",
			"5",     "--log-fd",  "6", "--policy-dir", policy_dir, NULL};
	int feed[2], listen_fd = NO_FD, logs[2];

	*s = (struct server){.w = w, .dir = "/tmp/bench-policy.XXXXXX", .pidfd = NO_FD};
	if (!mkdtemp(s->dir))
		give_up(s->dir);
	path_of(s, "policy.d", policy_dir);
	must(io_mkdirs(policy_dir, 0700), policy_dir);
	put_policy(s, true);
	path_of(s, DECISION_SOCKET, path);
	must(io_unix_listen(path, SOCK_STREAM, 0600, &listen_fd), path);
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, feed), "a socket");
	for (int i = 0; i < 2; i++) {
		path_of(s, i == 0 ? "policy-0.log" : "policy-1.log", path);
		logs[i] = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
		must(logs[i], path);
	}
	must(program_find("qrexec-policyd", program, sizeof(program)), "no qrexec-policyd");
	must(spawn(&(struct spawn){.path = program,
				   .argv = argv,
				   .fds = (const struct spawn_fd[]){{feed[1], 3},
								    {listen_fd, 4},
								    {logs[0], 5},
								    {logs[1], 6}},
				   .n_fds = 4,
				   .death_signal = SIGKILL},
		   NULL, &s->pidfd),
	     program);
	(void)close(feed[1]);
	(void)close(listen_fd);
	(void)close(logs[0]);
	(void)close(logs[1]);
	s->feed_fd = feed[0];
	tell_all(s->feed_fd, w);
	(void)wait_for(s, true);
}

void server_end(struct server *s)
{
	struct child_end end;

	(void)close(s->feed_fd); /* it ends with its qubesd */
	must(spawn_wait(s->pidfd, 10000, &end), "policyd does not end");
	(void)close(s->pidfd);
	must(io_remove_tree(AT_FDCWD, s->dir), s->dir);
}

void questions_us(struct server *a, struct server *b)
{
	struct server *servers[] = {a, b};
	static double took[2][N_REQUESTS];

	for (unsigned i = 0; i < N_REQUESTS; i++)
		for (unsigned k = 0; k < 2; k++) {
			char path[PATH_MAX], question[1024], answer[4096];
			size_t len = make_question(&servers[k]->w->questions[i].request, question,
						   sizeof(question));
			double began;

			path_of(servers[k], DECISION_SOCKET, path);
			began = now_us();
			if (ask(path, question, len, answer, sizeof(answer)) == 0)
				give_up("no answer");
			took[k][i] = now_us() - began;
		}
	for (unsigned k = 0; k < 2; k++) {
		qsort(took[k], N_REQUESTS, sizeof(took[k][0]), compare);
		servers[k]->w->socket_us = took[k][N_REQUESTS / 2];
	}
}

double server_reload_ms(struct server *s)
{
	double took[N_RELOADS];

	for (unsigned i = 0; i < N_RELOADS; i++) {
		put_policy(s, i % 2 == 1);
		took[i] = wait_for(s, i % 2 == 1) / 1e3;
	}
	qsort(took, N_RELOADS, sizeof(*took), compare);
	return took[N_RELOADS / 2];
}

static NORETURN void answer_bare(int listen_fd)
{
	char line[1024];
	int fd;

	while ((fd = accept(listen_fd, NULL, NULL)) >= 0) {
		if (read(fd, line, sizeof(line)) <= 0 || write(fd, "no\n", 3) != 3)
			_exit(1);
		(void)close(fd);
	}
	_exit(1);
}

double bare_us(void)
{
	static double took[N_BARE];
	struct server s = {.dir = "/tmp/bench-policy.XXXXXX"};
	char path[PATH_MAX], answer[16];
	int fd = NO_FD;
	pid_t pid;

	if (!mkdtemp(s.dir))
		give_up(s.dir);
	path_of(&s, "bare.sock", path);
	must(io_unix_listen(path, SOCK_STREAM, 0600, &fd), path);
	must(io_set_nonblock(fd, false), path);
	pid = fork();
	must(pid, "fork");
	if (pid == 0)
		answer_bare(fd);
	(void)close(fd);
	for (unsigned i = 0; i < N_BARE; i++) {
		double began = now_us();

		(void)ask(path, "a question\n", strlen("a question\n"), answer, sizeof(answer));
		took[i] = now_us() - began;
	}
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	must(io_remove_tree(AT_FDCWD, s.dir), s.dir);
	qsort(took, N_BARE, sizeof(*took), compare);
	return took[N_BARE / 2];
}
