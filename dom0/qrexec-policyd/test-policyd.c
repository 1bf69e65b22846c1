/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A real policyd with its loader; the test is its qubesd and its callers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/program.h"
#include "base/str.h"
#include "loop/spawn.h"
#include "proto/decision.h"
#include "proto/picture.h"
#include "proto/prompt.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define WAIT_MS 20000

/* struct fixture - @serial: of the last SETTLED */
struct fixture {
	char dir[32];
	int feed_fd, pidfd;
	pid_t pid;
	uint32_t serial;
};

static struct fixture f;

static const char *path(const char *name)
{
	static char buf[2][PATH_MAX];
	static unsigned turn;
	char *to = buf[turn++ % 2];

	assert_int_equal(str_format(to, PATH_MAX, "%s/%s", f.dir, name), 0);
	return to;
}

static void put_policy(const char *name, const char *text)
{
	assert_int_equal(io_write_file(AT_FDCWD, path(name), text, strlen(text), 0600), 0);
}

/* ---- as qubesd */

static void tell(const struct picture_msg *m)
{
	uint8_t frame[4096];
	size_t len = picture_encode(m, frame, sizeof(frame));

	assert_true(len > 0);
	assert_int_equal(io_write_full(f.feed_fd, frame, len), 0);
}

static void tell_qube(unsigned qid, const char *name, const char *tag, bool running)
{
	struct picture_msg m = {PICTURE_QUBE,
				.qube = {.qid = qid,
					 .name = name,
					 .uuid = "",
					 .type = qid == 0 ? "AdminVM" : "AppVM",
					 .label = "red",
					 .colour = 0xcc0000,
					 .default_dispvm = "dvm",
					 .relayvm = "",
					 .transport_rpc = "",
					 .template_for_dispvms = strcmp(name, "dvm") == 0,
					 .running = running,
					 .n_tags = tag ? 1 : 0,
					 .tags = tag ? tag : ""}};

	tell(&m);
}

/* the next thing that policyd says */
static struct picture_msg hear(void)
{
	static uint8_t frame[4096];
	struct pollfd p = {f.feed_fd, POLLIN, 0};
	struct picture_msg m;
	size_t len;

	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	assert_int_equal(io_read_full(f.feed_fd, frame, 5), 0);
	len = frame[0] | (size_t)frame[1] << 8;
	assert_true(len <= sizeof(frame));
	assert_int_equal(io_read_full(f.feed_fd, frame + 5, len - 5), 0);
	assert_int_equal(picture_decode(frame, len, &m), 0);
	return m;
}

static void settle(void)
{
	struct picture_msg m;

	tell(&(struct picture_msg){PICTURE_SETTLED, .serial = ++f.serial});
	m = hear();
	assert_int_equal(m.type, PICTURE_KNOWN);
	assert_int_equal(m.serial, f.serial);
}

static void tell_few(void)
{
	tell_qube(0, "dom0", NULL, true);
	tell_qube(1, "dvm", NULL, false);
	tell_qube(2, "vault", NULL, false);
	tell_qube(3, "work", "trusted", true);
	settle();
}

/* ---- as a caller */

static int question_of(const struct decision_request *q)
{
	char text[1024];
	size_t len = decision_request_encode(q, text, sizeof(text));
	int fd = NO_FD;

	assert_true(len > 0);
	assert_int_equal(io_unix_connect(path(DECISION_SOCKET), SOCK_STREAM, &fd), 0);
	assert_int_equal(io_write_full(fd, text, len), 0);
	return fd;
}

static int question(const char *source, const char *target, const char *service, bool evaluate)
{
	return question_of(&(struct decision_request){
		.source = source, .target = target, .service = service, .just_evaluate = evaluate});
}

/* about a call that was answered with @decided before */
static int question_again(const char *target, const char *service, const char *decided)
{
	return question_of(&(struct decision_request){
		.source = "work", .target = target, .service = service, .decided_target = decided});
}

/* the answer's target, "" for a refusal; borrowed until the next call */
static const char *answer(int fd)
{
	static char text[4096];
	struct decision_answer a;
	size_t n = 0;
	ssize_t got;

	while ((got = read(fd, text + n, sizeof(text) - n)) > 0)
		n += (size_t)got;
	(void)close(fd);
	assert_int_equal(decision_answer_decode(text, n, &a), 0);
	return a.allow ? a.target : "";
}

static bool would(const char *source, const char *target, const char *service)
{
	return answer(question(source, target, service, true))[0] != '\0';
}

static void within_allowed(bool allowed, const char *source, const char *target,
			   const char *service)
{
	uint64_t end = io_now_ms() + WAIT_MS;

	while (would(source, target, service) != allowed) {
		assert_true(io_now_ms() < end);
		(void)usleep(2000);
	}
}

/* ---- its life */

/* user namespaces for what is executed in them: one has no inotify instance, one can watch what the policy is in, but no more */
#define WITHOUT_INOTIFY "echo 0 >/proc/sys/user/max_inotify_instances && exec \"$@\""
#define FEW_WATCHES     "echo 6 >/proc/sys/user/max_inotify_watches && exec \"$@\""

/* @limited: NULL, or one of those */
static int begin_with(const char *limited)
{
	char program[PATH_MAX], policy_dir[PATH_MAX], prompt[PATH_MAX];
	char *argv[] = {(char *)"/usr/bin/unshare",
			(char *)"--user",
			(char *)"--map-root-user",
			(char *)"sh",
			(char *)"-c",
			(char *)limited,
			(char *)"sh",
			program,
			(char *)"--feed-fd",
			(char *)"3",
			(char *)"--listen-fd",
			(char *)"4",
			(char *)"--log-fd",
			(char *)"5",
			(char *)"--log-fd",
			(char *)"5",
			(char *)"--policy-dir",
			policy_dir,
			(char *)"--prompt-socket",
			prompt,
			NULL};
	char **from = limited ? argv : argv + 7;
	int feed[2], listen_fd = NO_FD, log_fd;

	f = (struct fixture){.dir = "/tmp/test-policyd.XXXXXX", .pidfd = NO_FD};
	assert_non_null(mkdtemp(f.dir));
	memcpy(policy_dir, path("policy.d"), PATH_MAX);
	memcpy(prompt, path(PROMPT_SOCKET), PATH_MAX);
	assert_int_equal(io_mkdirs(policy_dir, 0700), 0);
	put_policy("policy.d/30-user.policy", "a.B * @tag:trusted @anyvm allow\n");
	assert_int_equal(io_unix_listen(path(DECISION_SOCKET), SOCK_STREAM, 0600, &listen_fd), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, feed), 0);
	log_fd = open(path("log"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(program_find("qrexec-policyd", program, sizeof(program)), 0);
	assert_int_equal(spawn(&(struct spawn){.path = from[0],
					       .argv = from,
					       .fds = (const struct spawn_fd[]){{feed[1], 3},
										{listen_fd, 4},
										{log_fd, 5}},
					       .n_fds = 3,
					       .death_signal = SIGKILL},
			       &f.pid, &f.pidfd),
			 0);
	(void)close(feed[1]);
	(void)close(listen_fd);
	(void)close(log_fd);
	f.feed_fd = feed[0];
	return 0;
}

static int begin(void **state)
{
	(void)state;
	return begin_with(NULL);
}

/* it ends with its qubesd, whatever became of it */
static int end(void **state)
{
	struct child_end how;

	(void)state;
	close_fd(&f.feed_fd);
	assert_int_equal(spawn_wait(f.pidfd, WAIT_MS, &how), 0);
	assert_int_equal(how.signal, 0);
	assert_int_equal(how.code, 1);
	close_fd(&f.pidfd);
	return io_remove_tree(AT_FDCWD, f.dir);
}

/* ---- what it does */

static void many_qubes_and_many_files(void **state)
{
	char name[64];

	(void)state;
	for (unsigned i = 0; i < 300; i++) {
		assert_int_equal(str_format(name, sizeof(name), "policy.d/40-%u.policy", i), 0);
		put_policy(name, "c.D * work vault allow\n");
	}
	tell_few();
	for (unsigned i = 10; i < 1010; i++) {
		assert_int_equal(str_format(name, sizeof(name), "qube-%u", i), 0);
		tell_qube(i, name, i == 700 ? "trusted" : NULL, false);
	}
	settle();
	within_allowed(true, "work", "vault", "c.D");
	assert_true(would("qube-700", "qube-10", "a.B"));
	assert_false(would("qube-701", "qube-10", "a.B"));
	assert_false(would("qube-700", "qube-9", "a.B"));
}

/* as who updates all at once does it */
static void lead_to(const char *link, const char *to)
{
	(void)unlink(path("next"));
	assert_int_equal(symlink(to, path("next")), 0);
	assert_int_equal(rename(path("next"), path(link)), 0);
}

static void a_link_on_the_way_of_a_link_may_be_led_elsewhere(void **state)
{
	(void)state;
	tell_few();
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(io_mkdirs(path(i == 0 ? "old/rules" : "new/rules"), 0700), 0);
		put_policy(i == 0 ? "old/rules/x" : "new/rules/x",
			   i == 0 ? "c.Far * work vault allow\n" : "c.Far * work vault deny\n");
	}
	/* a folder that is a link, and a link to a link */
	lead_to("now", "old");
	lead_to("one", "old/rules/x");
	lead_to("policy.d/40-far.policy", "../now/rules/x");
	within_allowed(true, "work", "vault", "c.Far");
	lead_to("now", "new");
	within_allowed(false, "work", "vault", "c.Far");
	lead_to("now", "old");
	within_allowed(true, "work", "vault", "c.Far");
	/* two ways to one file */
	lead_to("other", "old");
	lead_to("policy.d/35-far.policy", "../other/rules/x");
	(void)usleep(300000); /* nothing that is to be heard is from before */
	lead_to("now", "new");
	lead_to("other", "new");
	within_allowed(false, "work", "vault", "c.Far");
	lead_to("other", "old");
	within_allowed(true, "work", "vault", "c.Far");
	assert_int_equal(unlink(path("policy.d/35-far.policy")), 0);
	within_allowed(false, "work", "vault", "c.Far");
	lead_to("policy.d/40-far.policy", "../one");
	within_allowed(true, "work", "vault", "c.Far");
	(void)usleep(300000);
	lead_to("one", "new/rules/x");
	within_allowed(false, "work", "vault", "c.Far");
}

/* -1: closed; else what was answered */
static int ask_again(int fd, const char *source, const char *target, bool keep)
{
	const struct decision_request q = {.source = source,
					   .target = target,
					   .service = "a.B",
					   .just_evaluate = true,
					   .keep = keep};
	char text[1024];
	struct decision_answer a;
	size_t len = decision_request_encode(&q, text, sizeof(text)), n = 0;

	assert_true(len > 0);
	if (send(fd, text, len, MSG_NOSIGNAL) != (ssize_t)len)
		return -1;
	while (n < sizeof(text) && decision_answer_len(text, n) == 0) {
		ssize_t got = read(fd, text + n, sizeof(text) - n);

		if (got <= 0)
			return -1;
		n += (size_t)got;
	}
	assert_int_equal(decision_answer_len(text, n), n);
	assert_int_equal(decision_answer_decode(text, n - 1, &a), 0);
	return a.allow;
}

static int connect_to_it(void)
{
	int fd = NO_FD;

	assert_int_equal(io_unix_connect(path(DECISION_SOCKET), SOCK_STREAM, &fd), 0);
	return fd;
}

static void a_connection_may_be_kept_for_what_would_be(void **state)
{
	int fds[33];

	(void)state;
	tell_few();
	within_allowed(true, "work", "vault", "a.B");
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = connect_to_it();
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(ask_again(fds[0], "work", "vault", true), 1);
		assert_int_equal(ask_again(fds[0], "work", "work", true), 0);
	}
	/* as things are now, not as they were */
	tell_qube(3, "work", NULL, true);
	settle();
	assert_int_equal(ask_again(fds[0], "work", "vault", true), 0);
	tell_qube(3, "work", "trusted", true);
	settle();
	assert_int_equal(ask_again(fds[0], "work", "dvm", true), 1);
	/* of one caller so many, and of another one still */
	for (size_t i = 1; i < 32; i++)
		assert_int_equal(ask_again(fds[i], "work", "dvm", true), 1);
	assert_int_equal(ask_again(fds[32], "work", "dvm", true), -1);
	assert_true(would("work", "dvm", "a.B"));
	(void)close(fds[32]);
	fds[32] = connect_to_it();
	assert_true(ask_again(fds[32], "vault", "work", true) >= 0);
	/* it stays what it was kept for */
	assert_int_equal(ask_again(fds[1], "vault", "work", true), -1);
	assert_int_equal(ask_again(fds[2], "work", "dvm", false), -1);
	/* and a place is free when it goes */
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		(void)close(fds[i]);
	fds[0] = connect_to_it();
	assert_int_equal(ask_again(fds[0], "work", "dvm", true), 1);
	(void)close(fds[0]);
}

static void without_a_descriptor_for_one_more_the_others_are_answered_and_it_waits(void **state)
{
	const struct rlimit few = {24, 24};
	int fds[40], fd;

	(void)state;
	tell_few();
	within_allowed(true, "work", "vault", "a.B");
	fds[0] = connect_to_it();
	assert_int_equal(ask_again(fds[0], "work", "vault", true), 1);
	assert_int_equal(prlimit(f.pid, RLIMIT_NOFILE, &few, NULL), 0);
	for (size_t i = 1; i < ARRAY_LEN(fds); i++)
		fds[i] = connect_to_it();
	fd = question("work", "vault", "a.B", true);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(ask_again(fds[0], "work", "vault", true), 1);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		(void)close(fds[i]);
	assert_string_equal(answer(fd), "vault");
}

/* how many policies it has logged */
static unsigned n_policies(void)
{
	AUTO_FREE char *text = NULL;
	unsigned n = 0;
	size_t len;
	int fd = open(path("log"), O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(io_read_all(fd, 1 << 20, &text, &len), 0);
	(void)close(fd);
	for (const char *at = text;
	     (at = memmem(at, len - (size_t)(at - text), "verdict=policy", 14)); at++)
		n++;
	return n;
}

static int begin_if_limited(void **state, const char *limited)
{
	const struct spawn may = {.path = "/usr/bin/unshare",
				  .argv = (char *[]){(char *)"unshare", (char *)"--user",
						     (char *)"--map-root-user", (char *)"sh",
						     (char *)"-c", (char *)limited, (char *)"sh",
						     (char *)"true", NULL}};
	struct child_end how;
	int pidfd, r;

	*state = NULL;
	r = spawn(&may, NULL, &pidfd);
	if (r == 0)
		r = spawn_wait(pidfd, WAIT_MS, &how);
	if (r != 0 || how.signal != 0 || how.code != 0)
		return 0;
	close_fd(&pidfd);
	*state = &f;
	return begin_with(limited);
}

static int begin_without_inotify(void **state)
{
	return begin_if_limited(state, WITHOUT_INOTIFY);
}

static int begin_with_few_watches(void **state)
{
	return begin_if_limited(state, FEW_WATCHES);
}

static int end_if_begun(void **state)
{
	return *state ? end(state) : 0;
}

static void a_policy_that_cannot_be_watched_is_looked_at(void **state)
{
	if (!*state)
		skip(); /* it needs a user namespace whose limits can be set */
	tell_few();
	within_allowed(true, "work", "vault", "a.B");
	put_policy("policy.d/30-user.policy", "a.B * @tag:trusted @anyvm deny\n");
	within_allowed(false, "work", "vault", "a.B");
	put_policy("policy.d/30-user.policy", "a.B * @tag:trusted @anyvm allow\n");
	within_allowed(true, "work", "vault", "a.B");
	assert_int_equal(n_policies(), 3);
}

/* what a link leads to is elsewhere, where there is no watch left for it */
static void a_link_that_cannot_be_watched_is_looked_at(void **state)
{
	char link[PATH_MAX];

	if (!*state)
		skip(); /* it needs a user namespace whose limits can be set */
	tell_few();
	within_allowed(true, "work", "vault", "a.B");
	memcpy(link, path("policy.d/20-link.policy"), sizeof(link));
	put_policy("elsewhere", "a.B * @tag:trusted @anyvm deny\n");
	assert_int_equal(symlink("../elsewhere", link), 0);
	within_allowed(false, "work", "vault", "a.B");
	put_policy("elsewhere", "a.B * @tag:trusted @anyvm allow\n");
	within_allowed(true, "work", "vault", "a.B");
}

static void what_is_told_takes_effect_together(void **state)
{
	struct pollfd p = {.events = POLLIN};

	(void)state;
	tell_few();
	within_allowed(true, "work", "vault", "a.B");
	tell_qube(3, "work", NULL, true);
	tell(&(struct picture_msg){PICTURE_GONE, .gone = 2});
	/* half of it is no picture, and who asks may have heard of the other half */
	p.fd = question("work", "vault", "a.B", true);
	assert_int_equal(poll(&p, 1, 200), 0);
	tell_qube(3, "work", "trusted", true);
	settle();
	assert_string_equal(answer(p.fd), "");
	assert_true(would("work", "dvm", "a.B"));
	tell_qube(3, "work", NULL, true);
	settle();
	assert_false(would("work", "dvm", "a.B"));
}

static void a_target_that_does_not_run_is_started_first(void **state)
{
	struct picture_msg m;
	int fd, gone;

	(void)state;
	tell_few();
	within_allowed(true, "work", "vault", "a.B");
	gone = question("work", "vault", "a.B", false);
	m = hear();
	assert_int_equal(m.type, PICTURE_START);
	assert_int_equal(m.wish.qid, 2);
	assert_string_equal(m.wish.source, "work");
	(void)close(gone); /* this one does not wait for the answer */
	fd = question("work", "vault", "a.B", false);
	tell(&(struct picture_msg){PICTURE_DONE, .done = {m.wish.id, true, "vault"}});
	m = hear();
	assert_int_equal(m.type, PICTURE_START);
	/* others are answered meanwhile */
	assert_true(would("work", "vault", "a.B"));
	tell_qube(2, "vault", NULL, true);
	tell(&(struct picture_msg){PICTURE_SETTLED, .serial = ++f.serial});
	tell(&(struct picture_msg){PICTURE_DONE, .done = {m.wish.id, true, "vault"}});
	assert_string_equal(answer(fd), "vault");
	assert_int_equal(hear().type, PICTURE_KNOWN);
	/* now it runs: nothing is wished */
	assert_string_equal(answer(question("work", "vault", "a.B", false)), "vault");
	tell_qube(2, "vault", NULL, false);
	settle();
	fd = question("work", "vault", "a.B", false);
	m = hear();
	tell(&(struct picture_msg){PICTURE_DONE, .done = {m.wish.id, false, "the disk is full"}});
	assert_string_equal(answer(fd), "");
}

/* what qubesd is asked to start for this call; @fd: the caller's */
static uint32_t begin_start(const char *target, int *fd)
{
	struct picture_msg m;

	*fd = question("work", target, "a.B", false);
	m = hear();
	assert_true(m.type == PICTURE_START);
	return m.wish.id;
}

static void what_was_decided_before_a_start_is_decided_again_after_it(void **state)
{
	uint32_t wish;
	int fd;

	(void)state;
	tell_few();
	within_allowed(true, "work", "vault", "a.B");
	/* the caller has lost what the rule asks for */
	wish = begin_start("vault", &fd);
	tell_qube(3, "work", NULL, true);
	settle();
	tell(&(struct picture_msg){PICTURE_DONE, .done = {wish, true, "vault"}});
	assert_string_equal(answer(fd), "");
	tell_qube(3, "work", "trusted", true);
	settle();
	/* the rule is gone */
	wish = begin_start("vault", &fd);
	put_policy("policy.d/30-user.policy", "a.C * @tag:trusted @anyvm allow\n");
	within_allowed(true, "work", "vault", "a.C");
	tell(&(struct picture_msg){PICTURE_DONE, .done = {wish, true, "vault"}});
	assert_string_equal(answer(fd), "");
}

static void one_that_waits_for_starts_without_end_leaves_room_for_others(void **state)
{
	struct rlimit files;
	int fds[1100], fd;
	struct pollfd p;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	files.rlim_cur = files.rlim_max < 2048 ? files.rlim_max : 2048;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	tell_few();
	tell_qube(4, "other", "trusted", true);
	settle();
	within_allowed(true, "other", "work", "a.B");
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = question("work", "vault", "a.B", false);
	fd = question("other", "work", "a.B", false);
	p = (struct pollfd){fd, POLLIN, 0};
	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	assert_string_equal(answer(fd), "work");
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		(void)close(fds[i]);
}

static void many_that_wait_for_starts_leave_room_for_others(void **state)
{
	char name[20][8];
	struct rlimit files;
	int fds[20][64], fd;
	struct pollfd p;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	files.rlim_cur = files.rlim_max < 2048 ? files.rlim_max : 2048;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	tell_few();
	for (unsigned i = 0; i < ARRAY_LEN(fds); i++) {
		(void)snprintf(name[i], sizeof(name[i]), "q%u", i);
		tell_qube(10 + i, name[i], "trusted", true);
	}
	settle();
	within_allowed(true, "work", "q0", "a.B");
	for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
		for (size_t j = 0; j < ARRAY_LEN(fds[i]); j++)
			fds[i][j] = question(name[i], "vault", "a.B", false);
	fd = question("work", "q0", "a.B", false);
	p = (struct pollfd){fd, POLLIN, 0};
	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	assert_string_equal(answer(fd), "q0");
	for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
		for (size_t j = 0; j < ARRAY_LEN(fds[i]); j++)
			(void)close(fds[i][j]);
}

/* nothing is wished of qubesd: who carries the call out has it made */
static void a_disposable_is_answered_by_its_template(void **state)
{
	(void)state;
	tell_few();
	within_allowed(true, "work", "@dispvm", "a.B");
	assert_string_equal(answer(question("work", "@dispvm", "a.B", false)), "@dispvm:dvm");
	assert_string_equal(answer(question("work", "@dispvm:dvm", "a.B", false)), "@dispvm:dvm");
	assert_string_equal(answer(question("work", "@dispvm:vault", "a.B", false)), "");
}

/* ---- asking: the test is the prompt */

/* the next question, on a connection that is the caller's to close */
static int hear_question(int listen_fd, struct prompt_question *ret)
{
	static uint8_t bytes[4096];
	struct pollfd p = {listen_fd, POLLIN, 0};
	size_t len;
	int fd;

	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(io_read_full(fd, bytes, 4), 0);
	assert_int_equal(prompt_question_len(bytes, 4, &len), 0);
	assert_true(len <= sizeof(bytes));
	assert_int_equal(io_read_full(fd, bytes + 4, len - 4), 0);
	assert_int_equal(prompt_question_decode(bytes, len, ret), 0);
	return fd;
}

static void say(int fd, enum prompt_result result, uint32_t target)
{
	uint8_t bytes[PROMPT_ANSWER_LEN];

	prompt_answer_encode(&(struct prompt_answer){result, target}, bytes);
	assert_int_equal(io_write_full(fd, bytes, sizeof(bytes)), 0);
	(void)close(fd);
}

static int prompt_listen(void)
{
	int fd = NO_FD;

	assert_int_equal(io_unix_listen(path(PROMPT_SOCKET), SOCK_STREAM, 0600, &fd), 0);
	assert_int_equal(io_set_nonblock(fd, false), 0);
	return fd;
}

static bool log_has(const char *line)
{
	AUTO_FREE char *text = NULL;

	assert_int_equal(io_read_file(AT_FDCWD, path("log"), 1 << 20, &text, NULL), 0);
	return strstr(text, line) != NULL;
}

/* work may ask vault, the default, and a disposable; the policy stands when this returns */
static void begin_asking(void)
{
	put_policy("policy.d/20-ask.policy", "a.Ask * work @anyvm ask default_target=vault\n"
					     "a.Ask * work @dispvm:dvm ask default_target=vault\n"
					     "a.Ask * dvm @anyvm ask default_target=vault\n"
					     "a.Mark * work vault allow\n");
	tell_few();
	tell_qube(2, "vault", NULL, true);
	settle();
	within_allowed(true, "work", "vault", "a.Mark");
}

static void the_person_chooses_among_what_the_policy_offers(void **state)
{
	struct prompt_question q;
	struct prompt_qube t;
	int fd, prompt, listen_fd = prompt_listen();
	size_t at = 0;
	uint32_t vault = 0, n = 0;

	(void)state;
	begin_asking();
	fd = question("work", "@default", "a.Ask+x/y", false);
	prompt = hear_question(listen_fd, &q);
	assert_string_equal(q.source.name, "work");
	assert_string_equal(q.source.label, "red");
	assert_int_equal(q.source.colour, 0xcc0000);
	assert_string_equal(q.service, "a.Ask+x/y");
	assert_string_equal(q.asked, "@default");
	/* a new disposable of dvm, dvm itself, vault */
	assert_int_equal(q.n_targets, 3);
	for (; prompt_target_next(&q, &at, &t); n++)
		if (strcmp(t.name, "vault") == 0)
			vault = n;
		else
			assert_string_equal(t.name, "dvm");
	assert_int_equal(q.preselected, vault);
	/* others are decided while the person thinks */
	assert_true(would("work", "vault", "a.Mark"));
	say(prompt, PROMPT_ALLOWED, vault);
	assert_string_equal(answer(fd), "vault");
	assert_true(log_has("\tto=vault\trule=20-ask.policy:1\treason=the person chose it\t"));
	(void)close(listen_fd);
}

static void whatever_is_no_choice_is_a_refusal(void **state)
{
	static const struct {
		enum prompt_result result;
		uint32_t target;
		const char *reason;
	} rows[] = {
		{PROMPT_DENIED, 0, "reason=the person refused it"},
		{PROMPT_TIMED_OUT, 0, "reason=the person did not answer"},
		{PROMPT_BUSY, 0, "too many questions"},
		{PROMPT_NOT_SHOWN, 0, "it could not be shown"},
		{PROMPT_ALLOWED, 3, "reason=the person cannot be asked: "}, /* not among them */
	};
	int fd, prompt, listen_fd = prompt_listen();
	struct prompt_question q;

	(void)state;
	begin_asking();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		fd = question("work", "@default", "a.Ask", false);
		say(hear_question(listen_fd, &q), rows[i].result, rows[i].target);
		assert_string_equal(answer(fd), "");
		if (!log_has(rows[i].reason))
			fail_msg("%s", rows[i].reason);
	}
	/* it ends without a word; it says what is no answer */
	fd = question("work", "@default", "a.Ask", false);
	(void)close(hear_question(listen_fd, &q));
	assert_string_equal(answer(fd), "");
	fd = question("work", "@default", "a.Ask", false);
	prompt = hear_question(listen_fd, &q);
	assert_int_equal(io_write_full(prompt, "12345678", 8), 0);
	assert_string_equal(answer(fd), "");
	(void)close(prompt);
	/* nobody is asked to evaluate */
	assert_false(would("work", "vault", "a.Ask"));
	/* nobody listens */
	(void)close(listen_fd);
	assert_string_equal(answer(question("work", "@default", "a.Ask", false)), "");
	assert_true(log_has("the person cannot be asked: there is no prompt"));
}

static void a_choice_that_is_not_offered_any_more_is_a_refusal(void **state)
{
	int fd, prompt, listen_fd = prompt_listen();
	struct prompt_question q;

	(void)state;
	begin_asking();
	fd = question("work", "@default", "a.Ask", false);
	prompt = hear_question(listen_fd, &q);
	put_policy("policy.d/20-ask.policy", "a.Ask * work dvm ask\n");
	within_allowed(false, "work", "vault", "a.Mark");
	say(prompt, PROMPT_ALLOWED, q.preselected);
	assert_string_equal(answer(fd), "");
	assert_true(log_has("what the person chose is not offered any more"));
	(void)close(listen_fd);
}

static void what_was_decided_can_be_asked_again_once_it_has_started(void **state)
{
	(void)state;
	begin_asking();
	assert_string_equal(answer(question_again("@dispvm", "a.B", "@dispvm:dvm")), "@dispvm:dvm");
	assert_string_equal(answer(question_again("@dispvm", "a.B", "@dispvm:vault")), "");
	assert_string_equal(answer(question_again("@dispvm", "a.B", "@dispvm:dv")), "");
	assert_string_equal(answer(question_again("@dispvm", "a.B", "vault")), "");
	/* that it holds is no other call, so only refusals are written down */
	assert_false(log_has("\tto=@dispvm:dvm\t"));
	assert_true(log_has("reason=what was decided does not hold any more"));
	/* the person has agreed to it: nobody is asked again */
	assert_string_equal(answer(question_again("@default", "a.Ask", "@dispvm:dvm")),
			    "@dispvm:dvm");
	assert_string_equal(answer(question_again("@default", "a.Ask", "vault")), "vault");
	assert_string_equal(answer(question_again("@default", "a.Ask", "work")), "");
	put_policy("policy.d/20-ask.policy", "a.Ask * work vault ask\n");
	within_allowed(false, "work", "vault", "a.Mark");
	assert_string_equal(answer(question_again("@default", "a.Ask", "@dispvm:dvm")), "");
	/* and the qubes may have changed: @dispvm is another one now */
	tell_qube(1, "dvm2", NULL, false);
	settle();
	assert_string_equal(answer(question_again("@dispvm", "a.B", "@dispvm:dvm")), "");
	assert_string_equal(answer(question_again("@dispvm:dvm", "a.B", "@dispvm:dvm")), "");
}

static void a_caller_that_leaves_takes_its_question_back(void **state)
{
	int fd, prompt, listen_fd = prompt_listen();
	struct prompt_question q;
	struct pollfd p;

	(void)state;
	begin_asking();
	fd = question("work", "@default", "a.Ask", false);
	prompt = hear_question(listen_fd, &q);
	(void)close(fd);
	p = (struct pollfd){prompt, POLLIN, 0};
	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	assert_true(p.revents & POLLHUP);
	(void)close(prompt);
	(void)close(listen_fd);
}

static void of_one_caller_only_so_many_wait_for_the_person(void **state)
{
	int fds[9], prompts[9], listen_fd = prompt_listen();
	struct prompt_question q;
	uint32_t vault;

	(void)state;
	begin_asking();
	for (unsigned i = 0; i < 8; i++) {
		fds[i] = question("work", "@default", "a.Ask", false);
		prompts[i] = hear_question(listen_fd, &q);
	}
	vault = q.preselected;
	assert_string_equal(answer(question("work", "@default", "a.Ask", false)), "");
	assert_true(log_has("too many questions wait for the person"));
	/* another one's is asked all the same */
	fds[8] = question("dvm", "@default", "a.Ask", false);
	prompts[8] = hear_question(listen_fd, &q);
	say(prompts[8], PROMPT_DENIED, 0);
	assert_string_equal(answer(fds[8]), "");
	say(prompts[7], PROMPT_ALLOWED, vault);
	assert_string_equal(answer(fds[7]), "vault");
	fds[7] = question("work", "@default", "a.Ask", false);
	prompts[7] = hear_question(listen_fd, &q);
	for (unsigned i = 0; i < 8; i++)
		say(prompts[i], PROMPT_ALLOWED, vault);
	for (unsigned i = 0; i < 8; i++)
		assert_string_equal(answer(fds[i]), "vault");
	(void)close(listen_fd);
}

static void before_it_knows_the_qubes_it_refuses(void **state)
{
	(void)state;
	put_policy("policy.d/30-user.policy", "* * * * allow\n");
	assert_false(would("work", "vault", "a.B"));
	/* half a picture is none */
	tell_qube(0, "dom0", NULL, true);
	tell_qube(2, "vault", NULL, true);
	tell_qube(3, "work", NULL, true);
	assert_false(would("work", "vault", "a.B"));
	settle();
	within_allowed(true, "work", "vault", "a.B");
}

static void without_dom0_nothing_is_decided(void **state)
{
	(void)state;
	tell_few();
	within_allowed(true, "work", "vault", "a.B");
	tell(&(struct picture_msg){PICTURE_GONE, .gone = 0});
	settle();
	assert_false(would("work", "vault", "a.B"));
	tell_qube(0, "dom0", NULL, true);
	settle();
	assert_true(would("work", "vault", "a.B"));
}

static void garbage_from_its_qubesd_ends_it(void **state)
{
	static const char *const garbage[] = {"\x05\0\0\0\x63", "\xff\xff\xff\xff\x01",
					      "\x05\0\0\0\x10"};
	struct child_end how;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(garbage); i++) {
		if (i > 0)
			assert_int_equal(begin(state), 0);
		tell_few();
		assert_int_equal(io_write_full(f.feed_fd, garbage[i], 5), 0);
		assert_int_equal(spawn_wait(f.pidfd, WAIT_MS, &how), 0);
		assert_int_equal(how.code, 1);
		close_fd(&f.feed_fd);
		close_fd(&f.pidfd);
		assert_int_equal(io_remove_tree(AT_FDCWD, f.dir), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(many_qubes_and_many_files, begin, end),
		cmocka_unit_test_setup_teardown(what_is_told_takes_effect_together, begin, end),
		cmocka_unit_test_setup_teardown(a_link_on_the_way_of_a_link_may_be_led_elsewhere,
						begin, end),
		cmocka_unit_test_setup_teardown(a_connection_may_be_kept_for_what_would_be, begin,
						end),
		cmocka_unit_test_setup_teardown(
			without_a_descriptor_for_one_more_the_others_are_answered_and_it_waits,
			begin, end),
		cmocka_unit_test_setup_teardown(a_policy_that_cannot_be_watched_is_looked_at,
						begin_without_inotify, end_if_begun),
		cmocka_unit_test_setup_teardown(a_link_that_cannot_be_watched_is_looked_at,
						begin_with_few_watches, end_if_begun),
		cmocka_unit_test_setup_teardown(a_target_that_does_not_run_is_started_first, begin,
						end),
		cmocka_unit_test_setup_teardown(
			what_was_decided_before_a_start_is_decided_again_after_it, begin, end),
		cmocka_unit_test_setup_teardown(
			one_that_waits_for_starts_without_end_leaves_room_for_others, begin, end),
		cmocka_unit_test_setup_teardown(many_that_wait_for_starts_leave_room_for_others,
						begin, end),
		cmocka_unit_test_setup_teardown(a_disposable_is_answered_by_its_template, begin,
						end),
		cmocka_unit_test_setup_teardown(the_person_chooses_among_what_the_policy_offers,
						begin, end),
		cmocka_unit_test_setup_teardown(whatever_is_no_choice_is_a_refusal, begin, end),
		cmocka_unit_test_setup_teardown(a_choice_that_is_not_offered_any_more_is_a_refusal,
						begin, end),
		cmocka_unit_test_setup_teardown(
			what_was_decided_can_be_asked_again_once_it_has_started, begin, end),
		cmocka_unit_test_setup_teardown(a_caller_that_leaves_takes_its_question_back, begin,
						end),
		cmocka_unit_test_setup_teardown(of_one_caller_only_so_many_wait_for_the_person,
						begin, end),
		cmocka_unit_test_setup_teardown(before_it_knows_the_qubes_it_refuses, begin, end),
		cmocka_unit_test_setup_teardown(without_dom0_nothing_is_decided, begin, end),
		cmocka_unit_test_setup(garbage_from_its_qubesd_ends_it, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
