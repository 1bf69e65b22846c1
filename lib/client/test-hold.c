/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Holding a disposable; the test is qubesd. */
#include "client/hold.h"

#include "base/io.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#define WAIT_MS 20000

static char path[64];
static int listen_fd;

#define BYTES(s) s, sizeof(s) - 1

static void listen_here(void)
{
	assert_int_equal(io_unix_listen(path, SOCK_STREAM, 0700, &listen_fd), 0);
}

static int begin(void **state)
{
	(void)state;
	(void)snprintf(path, sizeof(path), "/tmp/test-hold.%d.sock", getpid());
	listen_here();
	return 0;
}

static int end(void **state)
{
	(void)state;
	close_fd(&listen_fd);
	(void)unlink(path);
	return 0;
}

/* until @h is in @state */
static void until(struct hold *h, enum hold_state state)
{
	const uint64_t give_up_ms = io_now_ms() + WAIT_MS;

	while (hold_turn(h) != state) {
		struct pollfd p = {hold_fd(h), POLLIN, 0};
		int ms = hold_timeout_ms(h);

		assert_true(io_now_ms() < give_up_ms);
		assert_true(poll(&p, 1, ms < 0 ? WAIT_MS : ms) >= 0);
	}
}

/* the next connection, whose request is @want; @h is what connects, if it has not yet */
static int hear(struct hold *h, const char *want, size_t want_len)
{
	const uint64_t give_up_ms = io_now_ms() + WAIT_MS;
	char request[512];
	size_t len = 0;
	ssize_t n = 1;
	int fd = NO_FD;

	while (fd < 0) {
		struct pollfd p = {listen_fd, POLLIN, 0};

		assert_true(io_now_ms() < give_up_ms);
		(void)hold_turn(h);
		assert_true(poll(&p, 1, 50) >= 0);
		fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	}
	for (; n > 0; len += (size_t)n) {
		n = read(fd, request + len, sizeof(request) - len);
		assert_true(n >= 0);
	}
	assert_int_equal(len, want_len);
	assert_memory_equal(request, want, want_len);
	return fd;
}

static void tell(int fd, const char *bytes, size_t len)
{
	assert_int_equal(io_write_full(fd, bytes, len), 0);
}

static const char wish[] = "bulkhead.vm.Disposable+ work name dvm";
static const char created[] = "1\0dvm\0progress\0stage\0created\0text\0disp7\0";
static const char running[] = "1\0disp7\0disposable\0name\0disp7\0uuid\0u-7\0";
static const char again[] = "bulkhead.vm.Disposable+ work name disp7";

static struct hold *must_wish(void)
{
	struct hold *h = NULL;

	assert_int_equal(hold_new(path, "work", "dvm", &h), 0);
	assert_int_equal(hold_turn(h), HOLD_STARTING);
	return h;
}

static void it_lives_until_it_is_let_go(void **state)
{
	struct hold *h = must_wish();
	int fd = hear(h, wish, sizeof(wish));
	char byte;

	(void)state;
	tell(fd, created, sizeof(created));
	tell(fd, running, 10); /* a piece of it is nothing yet */
	assert_int_equal(hold_turn(h), HOLD_STARTING);
	assert_string_equal(hold_name(h), "");
	tell(fd, running + 10, sizeof(running) - 10);
	until(h, HOLD_RUNNING);
	assert_string_equal(hold_name(h), "disp7");
	assert_string_equal(hold_uuid(h), "u-7");
	assert_int_equal(hold_timeout_ms(h), -1);
	assert_int_equal(io_set_nonblock(fd, true), 0);
	/* the connection stands, but for our side of it, which was shut behind the request */
	tell(fd, created, sizeof(created));
	hold_free(h);
	(void)!read(fd, &byte, 1);
	assert_true(send(fd, "x", 1, MSG_NOSIGNAL) < 0);
	close_fd(&fd);
}

static void why_it_is_not_there_is_told(void **state)
{
	static const struct {
		const char *answer;
		size_t len;
		const char *why;
	} rows[] = {
		{BYTES("2\0QubesException\0\0it has no kernel\0"), "it has no kernel"},
		{BYTES("0\0"), "qubesd gave no answer"},
		{BYTES("x"), "qubesd gave no answer"},
		{BYTES("1\0a\0disposable\0name\0"
		       "a name that is longer than that of any qube that could be, by far, by far"
		       "\0uuid\0u\0\0"),
		 "qubesd gives it a name that is none"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct hold *h = must_wish();
		int fd = hear(h, wish, sizeof(wish));

		tell(fd, created, sizeof(created));
		tell(fd, rows[i].answer, rows[i].len);
		close_fd(&fd);
		until(h, HOLD_ENDED);
		assert_string_equal(hold_why(h), rows[i].why);
		assert_int_equal(hold_fd(h), NO_FD);
		assert_int_equal(hold_timeout_ms(h), -1);
		assert_int_equal(hold_turn(h), HOLD_ENDED);
		hold_free(h);
	}
}

static void a_new_qubesd_is_told_which_one_is_held(void **state)
{
	struct hold *h = must_wish();
	int fd = hear(h, wish, sizeof(wish));

	(void)state;
	/* gone before anything was made: the wish again */
	close_fd(&fd);
	fd = hear(h, wish, sizeof(wish));
	/* gone while it starts, and afterwards, and for a while */
	tell(fd, created, sizeof(created));
	assert_int_equal(hold_turn(h), HOLD_STARTING);
	close_fd(&fd);
	fd = hear(h, again, sizeof(again));
	tell(fd, running, sizeof(running));
	until(h, HOLD_RUNNING);
	(void)end(NULL);
	close_fd(&fd);
	for (unsigned i = 0; i < 3; i++) {
		(void)poll(NULL, 0, 350);
		assert_int_equal(hold_turn(h), HOLD_RUNNING);
	}
	listen_here();
	fd = hear(h, again, sizeof(again));
	tell(fd, BYTES("2\0QubesVMNotFoundError\0\0there is no qube 'disp7'\0"));
	close_fd(&fd);
	until(h, HOLD_ENDED);
	assert_string_equal(hold_why(h), "there is no qube 'disp7'");
	assert_string_equal(hold_name(h), "disp7");
	hold_free(h);
}

static void what_cannot_be_wished_for_is_refused_at_once(void **state)
{
	struct hold *h = NULL;

	(void)state;
	assert_int_equal(hold_new(path, "work", "a b", &h), -EINVAL);
	assert_int_equal(
		hold_new(path, "work",
			 "a-name-that-is-longer-than-that-of-any-qube-that-could-ever-be-made", &h),
		-EINVAL);
	assert_int_equal(hold_new("/nonexistent/qubesd.sock", "work", "dvm", &h), -ENOENT);
	assert_null(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(it_lives_until_it_is_let_go, begin, end),
		cmocka_unit_test_setup_teardown(why_it_is_not_there_is_told, begin, end),
		cmocka_unit_test_setup_teardown(a_new_qubesd_is_told_which_one_is_held, begin, end),
		cmocka_unit_test_setup_teardown(what_cannot_be_wished_for_is_refused_at_once, begin,
						end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
