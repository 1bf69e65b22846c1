/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/io.h"
#include "loop/ask.h"

static char dir[] = "/tmp/ask-test-XXXXXX";
static int parent_fd, child_fd;
static int agent_up;

static void agent_state(void *data, bool up)
{
	*(int *)data = up ? 1 : 0;
}

/* one that has said a word already */
static int broker(void *data, int *ret_fd)
{
	int pair[2];

	(void)data;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ||
	    write(pair[1], "b", 1) != 1)
		return -EIO;
	(void)close(pair[1]);
	*ret_fd = pair[0];
	return 0;
}

static struct ask_rules rules = {
	.kinds = 1 << ASK_VCHAN_BIND | 1 << ASK_VCHAN_UNLINK | 1 << ASK_VCHAN_CONNECT |
		 1 << ASK_QREXEC_BIND | 1 << ASK_QREXEC_UNLINK | 1 << ASK_AGENT_STATE |
		 1 << ASK_BROKER,
	.vchan_dir = dir,
	.bind_server = 7,
	.bind_client = 0,
	.bind_port = ASK_ANY,
	.connect_server = 0,
	.connect_client = 7,
	.connect_port = ASK_ANY,
	.qrexec_dir = dir,
	.name = "work",
	.uuid = "d0e3c5e0-0000-4000-8000-000000000007",
	.domid = 7,
	.agent_state = agent_state,
	.broker = broker,
	.data = &agent_up,
};

static int set_up(void **state)
{
	int fd[2];

	(void)state;
	memset(dir + strlen(dir) - 6, 'X', 6);
	if (!mkdtemp(dir) || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) < 0)
		return -1;
	parent_fd = fd[0];
	child_fd = fd[1];
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	close_fd(&parent_fd);
	close_fd(&child_fd);
	return io_remove_tree(AT_FDCWD, dir);
}

/* A parent that answers until the child has gone; its last result is its exit code. */
static pid_t answerer(void)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		int r;

		(void)alarm(20);
		(void)close(child_fd);
		do
			r = ask_answer(parent_fd, &rules);
		while (r == 0 || r == -EAGAIN);
		_exit(r == -ECONNRESET ? 0 : 1);
	}
	close_fd(&parent_fd);
	return pid;
}

static void end_answerer(pid_t pid)
{
	int status;

	close_fd(&child_fd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static int ask(uint32_t kind, uint32_t a, uint32_t b, uint32_t c, int *ret_fd)
{
	const struct ask q = {kind, a, b, c};

	return ask_call(child_fd, &q, ret_fd);
}

static int connect_to(const char *name)
{
	char path[256];
	int fd, r;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	r = io_unix_connect(path, SOCK_STREAM, &fd);
	if (r == 0)
		(void)close(fd);
	return r;
}

static void sockets_are_bound_connected_and_removed(void **state)
{
	AUTO_CLOSE int listener = NO_FD, client = NO_FD, peer = NO_FD;
	char path[256];
	pid_t pid = answerer();

	(void)state;
	assert_int_equal(ask(ASK_VCHAN_BIND, 7, 0, 512, &listener), 0);
	assert_int_equal(fcntl(listener, F_GETFD), FD_CLOEXEC);
	assert_int_equal(connect_to("vchan.7.0.512.sock"), 0);
	assert_int_equal(ask(ASK_VCHAN_UNLINK, 7, 0, 512, NULL), 0);
	assert_int_equal(connect_to("vchan.7.0.512.sock"), -ENOENT);
	assert_int_equal(ask(ASK_VCHAN_UNLINK, 7, 0, 512, NULL), 0); /* absent is fine */

	assert_int_equal(ask(ASK_VCHAN_CONNECT, 0, 7, 111, &client), -ENOENT);
	close_fd(&listener);
	(void)snprintf(path, sizeof(path), "%s/vchan.0.7.111.sock", dir);
	assert_int_equal(io_unix_listen(path, SOCK_STREAM, 0600, &listener), 0);
	assert_int_equal(ask(ASK_VCHAN_CONNECT, 0, 7, 111, &client), 0);
	peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(peer >= 0);
	assert_int_equal(write(client, "x", 1), 1);
	close_fd(&listener);
	assert_int_equal(ask(ASK_VCHAN_CONNECT, 0, 7, 111, &listener), -ECONNREFUSED);
	end_answerer(pid);
}

static void a_full_queue_does_not_hold_up_the_parent(void **state)
{
	AUTO_CLOSE int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd[64], r = 0, n = 0;
	pid_t pid;

	(void)state;
	{
		char path[256];
		int first;

		(void)snprintf(path, sizeof(path), "%s/vchan.0.7.9.sock", dir);
		assert_int_equal(io_unix_listen(path, SOCK_STREAM, 0600, &first), 0);
		assert_int_equal(listen(first, 1), 0);
		close_fd(&listener);
		listener = first;
	}
	pid = answerer();
	while (n < 64 && (r = ask(ASK_VCHAN_CONNECT, 0, 7, 9, &fd[n])) == 0)
		n++;
	assert_int_equal(r, -EAGAIN);
	while (n > 0)
		(void)close(fd[--n]);
	end_answerer(pid);
}

static void the_table_decides(void **state)
{
	static const struct ask refused[] = {
		{ASK_VCHAN_BIND, 0, 7, 512}, /* a server of dom0 is not its to make */
		{ASK_VCHAN_BIND, 8, 0, 512}, /* another qube */
		{ASK_VCHAN_BIND, 7, 8, 512},    {ASK_VCHAN_UNLINK, 0, 7, 512},
		{ASK_VCHAN_CONNECT, 7, 0, 512}, {ASK_VCHAN_CONNECT, 0, 8, 512},
	};
	pid_t pid = answerer();
	int fd = NO_FD;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		assert_int_equal(ask_call(child_fd, &refused[i], &fd), -EPERM);
	assert_int_equal(fd, NO_FD);
	end_answerer(pid);
}

static void a_kind_outside_the_table_is_refused(void **state)
{
	uint32_t all = rules.kinds;
	pid_t pid;
	int fd;

	(void)state;
	rules.kinds = 1 << ASK_VCHAN_CONNECT;
	pid = answerer();
	rules.kinds = all;
	assert_int_equal(ask(ASK_VCHAN_BIND, 7, 0, 1, &fd), -EPERM);
	assert_int_equal(ask(ASK_QREXEC_BIND, 0, 0, 0, &fd), -EPERM);
	assert_int_equal(ask(ASK_AGENT_STATE, 1, 0, 0, NULL), -EPERM);
	assert_int_equal(ask(ASK_BROKER, 0, 0, 0, &fd), -EPERM);
	end_answerer(pid);
}

static void a_broker_is_a_socket_to_it(void **state)
{
	AUTO_CLOSE int fd = NO_FD;
	pid_t pid = answerer();
	char c = 0;

	(void)state;
	assert_int_equal(ask(ASK_BROKER, 0, 0, 0, &fd), 0);
	assert_int_equal(read(fd, &c, 1), 1);
	assert_int_equal(c, 'b');
	end_answerer(pid);
}

static void check_link(const char *name, const char *want)
{
	char path[256], at[64] = "";
	ssize_t n;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	n = readlink(path, at, sizeof(at) - 1);
	if (!want) {
		assert_true(n < 0);
		return;
	}
	assert_true(n > 0);
	assert_string_equal(at, want);
}

static void the_qrexec_socket_comes_and_goes_with_its_links(void **state)
{
	const char *by_uuid = "qrexec.uuid:d0e3c5e0-0000-4000-8000-000000000007";
	AUTO_CLOSE int fd = NO_FD;
	char path[256];
	pid_t pid;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/qrexec.work", dir);
	assert_int_equal(symlink("qrexec.3", path), 0); /* of an earlier start */
	pid = answerer();
	assert_int_equal(ask(ASK_QREXEC_BIND, 0, 0, 0, &fd), 0);
	check_link("qrexec.work", "qrexec.7");
	check_link(by_uuid, "qrexec.7");
	assert_int_equal(connect_to("qrexec.7"), 0);
	assert_int_equal(connect_to("qrexec.work"), 0);
	assert_int_equal(ask(ASK_QREXEC_UNLINK, 0, 0, 0, NULL), 0);
	check_link("qrexec.work", NULL);
	check_link(by_uuid, NULL);
	assert_int_equal(connect_to("qrexec.7"), -ENOENT);
	close_fd(&fd);
	assert_int_equal(ask(ASK_QREXEC_BIND, 0, 0, 0, &fd), 0); /* and comes back */
	assert_int_equal(connect_to(by_uuid), 0);

	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("qrexec.8", path), 0); /* a later start took the name */
	assert_int_equal(ask(ASK_QREXEC_UNLINK, 0, 0, 0, NULL), 0);
	check_link("qrexec.work", "qrexec.8");
	end_answerer(pid);
}

static void the_links_of_a_qube_with_a_similar_name_stay(void **state)
{
	AUTO_CLOSE int fd = NO_FD;
	char path[256];
	pid_t pid;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/qrexec.work.new", dir);
	assert_int_equal(symlink("qrexec.9", path), 0);
	pid = answerer();
	assert_int_equal(ask(ASK_QREXEC_BIND, 0, 0, 0, &fd), 0);
	check_link("qrexec.work", "qrexec.7");
	check_link("qrexec.work.new", "qrexec.9");
	end_answerer(pid);
}

static void the_agents_state_is_told(void **state)
{
	const struct ask up = {ASK_AGENT_STATE, 1, 0, 0}, down = {ASK_AGENT_STATE, 0, 0, 0};
	uint8_t bytes[ASK_QUESTION_LEN];

	(void)state;
	agent_up = -1;
	assert_int_equal(ask_answer(parent_fd, &rules), -EAGAIN);
	assert_int_equal(ask_encode(&up, bytes), 0);
	assert_int_equal(write(child_fd, bytes, sizeof(bytes)), sizeof(bytes));
	assert_int_equal(ask_answer(parent_fd, &rules), 0);
	assert_int_equal(agent_up, 1);
	assert_int_equal(ask_encode(&down, bytes), 0);
	assert_int_equal(write(child_fd, bytes, sizeof(bytes)), sizeof(bytes));
	assert_int_equal(ask_answer(parent_fd, &rules), 0);
	assert_int_equal(agent_up, 0);
}

static void a_child_that_breaks_the_rules_of_asking_is_found_out(void **state)
{
	const uint8_t garbage[ASK_QUESTION_LEN + 4] = {9};
	uint8_t bytes[ASK_QUESTION_LEN];
	const struct ask q = {ASK_AGENT_STATE, 1, 0, 0};
	int r = 0;

	(void)state;
	assert_int_equal(write(child_fd, garbage, ASK_QUESTION_LEN), ASK_QUESTION_LEN);
	assert_int_equal(ask_answer(parent_fd, &rules), -EPROTO);
	assert_int_equal(write(child_fd, garbage, sizeof(garbage)), sizeof(garbage));
	assert_int_equal(ask_answer(parent_fd, &rules), -EPROTO);

	assert_int_equal(ask_encode(&q, bytes), 0); /* asks on and on and never reads */
	for (unsigned i = 0; i < 100000 && r == 0; i++) {
		assert_int_equal(write(child_fd, bytes, sizeof(bytes)), sizeof(bytes));
		r = ask_answer(parent_fd, &rules);
	}
	assert_int_equal(r, -EPROTO);
	close_fd(&child_fd);
	assert_int_equal(ask_answer(parent_fd, &rules), -ECONNRESET);
}

static void a_parent_that_is_gone_is_told_apart(void **state)
{
	(void)state;
	close_fd(&parent_fd);
	assert_int_equal(ask(ASK_AGENT_STATE, 1, 0, 0, NULL), -EPIPE);
	assert_int_equal(ask(ASK_AGENT_STATE, 2, 0, 0, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(sockets_are_bound_connected_and_removed, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_full_queue_does_not_hold_up_the_parent, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(the_table_decides, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_kind_outside_the_table_is_refused, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(the_qrexec_socket_comes_and_goes_with_its_links,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_links_of_a_qube_with_a_similar_name_stay,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_agents_state_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_broker_is_a_socket_to_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_child_that_breaks_the_rules_of_asking_is_found_out, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_parent_that_is_gone_is_told_apart, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
