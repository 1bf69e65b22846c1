/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/str.h"
#include "broker.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define ANSWER                                                                                     \
	"user=DEFAULT\nresult=allow\ntarget=@dispvm:dvm\nautostart=True\nrequested_target=@dispvm\n"

/* what stands behind a decision, which is not looked at here */
static bool refused, reached;

void call_refuse(struct broker *b, struct call *c, const char *format, ...)
{
	(void)b, (void)format;
	refused = true;
	c->state = CALL_REFUSED;
}

void call_retry(struct call *c)
{
	c->again_ms = 1;
	if (c->until_ms == 0)
		c->until_ms = 1;
}

void callee_start(struct broker *b, struct call *c)
{
	(void)b;
	reached = true;
	c->state = CALL_CALLEE;
}

void callee_make(struct broker *b, struct call *c)
{
	(void)b;
	c->state = CALL_MAKING;
}

void call_connect_caller(struct broker *b, struct call *c)
{
	(void)b, (void)c;
	fail();
}

static void say(int listen_fd)
{
	AUTO_CLOSE int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	char question[1024];

	assert_true(fd >= 0);
	assert_true(recv(fd, question, sizeof(question), 0) > 0);
	assert_int_equal(send(fd, ANSWER, strlen(ANSWER), MSG_NOSIGNAL), strlen(ANSWER));
}

static void its_answer(struct broker *b, struct call *c)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN};

	assert_int_equal(poll(&p, 1, 10000), 1);
	decide_turn(b, c, p.revents);
}

static void a_disposable_waits_for_a_policyd_that_is_busy(void **state)
{
	char dir[] = "/tmp/decide-test-XXXXXX";
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	char service[] = "a.B+";
	struct broker b = {.name = "work", .policy_socket = at.sun_path};
	struct call c = {.fd = NO_FD, .target = "@dispvm", .service = service};
	int listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), others[16], n = 0;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(str_format(at.sun_path, sizeof(at.sun_path), "%s/policy", dir), 0);
	assert_int_equal(bind(listen_fd, (const struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(listen_fd, 0), 0);
	decide_start(&b, &c);
	say(listen_fd);
	its_answer(&b, &c);
	assert_int_equal(c.state, CALL_MAKING);
	/* it is there; what follows is one turn of the loop */
	while (io_unix_connect_now(at.sun_path, SOCK_STREAM, &others[n]) == 0)
		assert_int_not_equal(++n, ARRAY_LEN(others));
	decide_again(&b, &c);
	assert_int_equal(c.again_ms, 1);
	decide_turn(&b, &c, 0);
	assert_false(refused);
	assert_int_equal(c.state, CALL_DECIDING);
	assert_true(c.until_ms > 0);
	/* and when there is room */
	while (n > 0) {
		(void)close(accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC));
		(void)close(others[--n]);
	}
	c.again_ms = 0;
	decide_start(&b, &c);
	say(listen_fd);
	its_answer(&b, &c);
	assert_false(refused);
	assert_true(reached);
	free(c.decided);
	free(c.decided_target);
	free(c.command);
	(void)close(listen_fd);
	(void)unlink(at.sun_path);
	(void)rmdir(dir);
}

static void one_that_waited_to_be_asked_may_take_as_long_as_any(void **state)
{
	char dir[] = "/tmp/decide-test-XXXXXX";
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	char service[] = "a.B+";
	struct broker b = {.name = "work", .policy_socket = at.sun_path};
	struct call c = {.fd = NO_FD, .target = "@dispvm", .service = service};
	int listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), others[16], n = 0;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(str_format(at.sun_path, sizeof(at.sun_path), "%s/policy", dir), 0);
	assert_int_equal(bind(listen_fd, (const struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(listen_fd, 0), 0);
	while (io_unix_connect_now(at.sun_path, SOCK_STREAM, &others[n]) == 0)
		assert_int_not_equal(++n, ARRAY_LEN(others));
	decide_start(&b, &c);
	assert_true(c.until_ms > 0);
	while (n > 0) {
		(void)close(accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC));
		(void)close(others[--n]);
	}
	decide_start(&b, &c);
	assert_int_equal(c.until_ms, 0);
	close_fd(&c.fd);
	free(c.text);
	(void)close(listen_fd);
	(void)unlink(at.sun_path);
	(void)rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_disposable_waits_for_a_policyd_that_is_busy),
		cmocka_unit_test(one_that_waited_to_be_asked_may_take_as_long_as_any),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
