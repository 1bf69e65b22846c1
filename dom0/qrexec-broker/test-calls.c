/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/io.h"
#include "broker.h"
#include "qrexec/local.h"
#include "qrexec/peer.h"
#include "vchan/vchan.h"

#include <string.h>
#include <sys/socket.h>

/* ---- the broker's other parts, of which nothing is wanted here */

void decide_start(struct broker *b, struct call *c)
{
	(void)b, (void)c;
}

void decide_turn(struct broker *b, struct call *c, short revents)
{
	(void)b, (void)c, (void)revents;
}

void callee_hold(struct broker *b, struct call *c)
{
	(void)b, (void)c;
}

void callee_start(struct broker *b, struct call *c)
{
	(void)b, (void)c;
}

void callee_leave(struct broker *b, struct call *c)
{
	(void)b, (void)c;
}

void callees_dispatch(struct broker *b)
{
	(void)b;
}

void callee_turn(struct broker *b, struct call *c)
{
	(void)b, (void)c;
}

void callee_started(struct broker *b, struct call *c, short revents)
{
	(void)b, (void)c, (void)revents;
}

int callee_serve_dom0(struct broker *b, const struct call *c)
{
	(void)b, (void)c;
	return -ENOTSUP;
}

void cancel_start(struct broker *b, struct call *c)
{
	(void)b, (void)c;
}

static unsigned n_callers_told;

void cancel_caller(struct broker *b, struct call *c)
{
	(void)b;
	n_callers_told++;
	c->again_ms = 0;
}

void cancel_turn(struct call *c)
{
	(void)c;
}

int seat_take(int seats_fd, int *ret_fd)
{
	(void)seats_fd, (void)ret_fd;
	return -EAGAIN;
}

void tickets_turn(struct broker *b, struct call *c, const short revents[2])
{
	(void)b, (void)c, (void)revents;
}

void tickets_grant(struct broker *b, struct call *c)
{
	(void)b, (void)c;
}

static unsigned n_revoked;

void tickets_revoke(const struct broker *b, const struct call *c)
{
	(void)b, (void)c;
	n_revoked++;
}

/* ---- */

static struct pollfd p[1 + 4 * CALL_FDS];

static struct call *call_begin(struct broker *b)
{
	const struct qrexec_msg m = {
		.target = "vault", .ident = "SOCKET1", .service = "a.B", .service_len = 3};

	assert_int_equal(call_new(b, &m), 0);
	return b->calls;
}

/* a local client whose daemon is gone already */
static struct qrexec_peer *gone(void)
{
	struct qrexec_peer *peer;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(local_peer_new(&pair[0], &peer), 0);
	assert_int_equal(qrexec_peer_flush(peer), 0);
	(void)close(pair[1]);
	return peer;
}

/* how many descriptors have news for the broker; then it takes them */
static int turn(struct broker *b)
{
	const unsigned n = 1 + calls_poll(b, p + 1, 1);
	int ready;

	p[0].fd = NO_FD;
	ready = poll(p, n, 0);
	assert_int_equal(calls_turn(b, p, n), 0);
	return ready;
}

static void what_is_tried_again_later_is_not_woken_up_for(void **state)
{
	struct broker b = {.name = "work"};
	struct vchan *v = NULL;
	struct call *c;
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(vchan_new_from_fd(&pair[0], &v), 0);
	assert_int_equal(qrexec_peer_new(&v, QREXEC_AGENT_TO_DAEMON, QREXEC_VERSION, &b.daemon), 0);
	assert_int_equal(qrexec_peer_flush(b.daemon), 0);
	c = call_begin(&b);
	c->state = CALL_CALLER;
	c->callee = gone();
	call_retry(c);
	c->again_ms += 60000;
	assert_int_equal(turn(&b), 0);
	assert_int_equal(c->state, CALL_CALLER);
	assert_true(calls_timeout_ms(&b) > 0);
	/* it is, when it has been tried; and what was to connect the two qubes is void */
	c->again_ms = 0;
	assert_int_equal(turn(&b), 1);
	assert_int_equal(b.n_calls, 0);
	assert_int_equal(n_revoked, 1);
	qrexec_peer_free(b.daemon);
	(void)close(pair[1]);
}

static void a_caller_whose_callee_is_gone_is_told_once(void **state)
{
	struct broker b = {.name = "work"};
	struct qrexec_peer *caller;
	struct call *c;
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(local_peer_new(&pair[0], &caller), 0);
	assert_int_equal(qrexec_peer_flush(caller), 0);
	n_revoked = 0;
	c = call_begin(&b);
	c->state = CALL_LIVE;
	c->caller = caller;
	c->callee = gone();
	assert_int_equal(turn(&b), 1);
	assert_int_equal(n_callers_told, 0);
	assert_true(c->again_ms > 0);
	/* it may take as long as it likes, and nothing wakes us up till then */
	c->again_ms = 1;
	assert_int_equal(turn(&b), 0);
	assert_int_equal(n_callers_told, 1);
	assert_int_equal(turn(&b), 0);
	assert_int_equal(n_callers_told, 1);
	assert_int_equal(b.n_calls, 1);
	(void)close(pair[1]);
	assert_int_equal(turn(&b), 1);
	assert_int_equal(turn(&b), 1);
	assert_int_equal(b.n_calls, 0);
	assert_int_equal(n_revoked, 1);
}

static void say(int fd, const struct qrexec_msg *m)
{
	uint8_t bytes[64];
	const size_t len = qrexec_msg_encode(m, bytes, sizeof(bytes));

	assert_true(len > 0);
	assert_int_equal(write(fd, bytes, len), len);
}

/* refused, a caller that was told already would wait for nobody for as long as it waits for any */
static void a_callee_that_ends_while_the_caller_is_told_is_one_of_a_live_call(void **state)
{
	struct broker b = {.name = "work"};
	struct qrexec_peer *caller;
	struct call *c;
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
			 0);
	assert_int_equal(local_peer_new(&pair[0], &caller), 0);
	assert_int_equal(qrexec_peer_flush(caller), 0);
	n_revoked = n_callers_told = 0;
	c = call_begin(&b);
	c->state = CALL_CALLER;
	c->caller = caller;
	c->callee = gone();
	c->asked = true;
	assert_int_equal(turn(&b), 0);
	assert_int_equal(c->state, CALL_CALLER);
	say(pair[1], &(struct qrexec_msg){.type = QREXEC_HELLO, .version = QREXEC_VERSION_LOCAL});
	say(pair[1], &(struct qrexec_msg){.type = QREXEC_SERVICE_CONNECT, .domid = 7, .port = 514});
	for (unsigned i = 0; c->state == CALL_CALLER && i < 10; i++)
		(void)turn(&b);
	assert_int_equal(c->state, CALL_LIVE);
	assert_int_equal(n_revoked, 0);
	assert_int_equal(turn(&b), 1);
	c->again_ms = 1;
	assert_int_equal(turn(&b), 0);
	assert_int_equal(n_callers_told, 1);
	assert_int_equal(n_revoked, 0);
	calls_drop_all(&b);
	(void)close(pair[1]);
}

static void a_caller_that_may_know_of_the_call_keeps_it_when_its_daemon_is_gone(void **state)
{
	(void)state;
	for (unsigned asked = 0; asked < 2; asked++) {
		struct broker b = {.name = "work"};
		struct call *c;

		n_revoked = 0;
		c = call_begin(&b);
		c->state = CALL_CALLER;
		c->asked = asked;
		calls_drop_all(&b);
		assert_int_equal(b.n_calls, 0);
		assert_int_equal(n_revoked, !asked);
	}
}

/* whose daemon lives and does not answer: what began with its tickets ends with it */
static void a_caller_that_is_told_for_too_long_is_refused_and_nothing_of_the_call_goes_on(
	void **state)
{
	struct broker b = {.name = "work"};
	struct call *c;
	int pair[2][2];

	(void)state;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(
			socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair[i]),
			0);
	assert_int_equal(local_peer_new(&pair[0][0], &b.daemon), 0);
	n_revoked = 0;
	c = call_begin(&b);
	assert_int_equal(local_peer_new(&pair[1][0], &c->caller), 0);
	c->state = CALL_CALLER;
	c->asked = true;
	c->until_ms = 1;
	(void)turn(&b);
	assert_int_equal(n_revoked, 1);
	calls_drop_all(&b);
	assert_int_equal(n_revoked, 1);
	qrexec_peer_free(b.daemon);
	(void)close(pair[0][1]);
	(void)close(pair[1][1]);
}

static void calls_with_long_names_are_fewer(void **state)
{
	static char name[60000];
	struct broker b = {.name = "work", .noise = {.interval_s = 60}};
	const struct qrexec_msg m = {.target = "vault",
				     .ident = "SOCKET1",
				     .service = name,
				     .service_len = sizeof(name)};
	unsigned n = 0, n_refused = 0;

	(void)state;
	memset(name, 'a', sizeof(name));
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(call_new(&b, &m), 0);
	(void)call_begin(&b);
	for (const struct call *c = b.calls; c; c = c->next, n++)
		n_refused += c->state == CALL_REFUSED;
	assert_int_equal(n, 101);
	assert_int_equal(n_refused, 101 - NAMES_MAX / sizeof(name));
	calls_drop_all(&b);
	assert_int_equal(b.names_len, 0);
	assert_int_equal(call_begin(&b)->state, CALL_DECIDING);
	calls_drop_all(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_tried_again_later_is_not_woken_up_for),
		cmocka_unit_test(a_caller_whose_callee_is_gone_is_told_once),
		cmocka_unit_test(a_callee_that_ends_while_the_caller_is_told_is_one_of_a_live_call),
		cmocka_unit_test(
			a_caller_that_may_know_of_the_call_keeps_it_when_its_daemon_is_gone),
		cmocka_unit_test(
			a_caller_that_is_told_for_too_long_is_refused_and_nothing_of_the_call_goes_on),
		cmocka_unit_test(calls_with_long_names_are_fewer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
