/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/str.h"
#include "broker.h"
#include "proto/ticket.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define OURS 7
#define ITS  9
#define PORT 514

/* ---- the rest of a call, which only counts */

static bool refused, told;
static unsigned n_retries;

void call_refuse(struct broker *b, struct call *c, const char *format, ...)
{
	(void)b, (void)c, (void)format;
	refused = true;
}

void call_retry(struct call *c)
{
	(void)c;
	n_retries++;
}

void call_connect_caller(struct broker *b, struct call *c)
{
	(void)b;
	told = true;
	c->state = CALL_CALLER;
}

/* ---- two vchands with room for one that waits each */

static char dir[32];
static int vchands[2];

static int vchand_new(unsigned domid)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_int_equal(str_format(at.sun_path, sizeof(at.sun_path), "%s/q/%u", dir, domid), 0);
	assert_int_equal(mkdir(at.sun_path, 0700), 0);
	assert_int_equal(
		str_format(at.sun_path, sizeof(at.sun_path), "%s/q/%u/vchand.sock", dir, domid), 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 0), 0);
	return fd;
}

static int set_up(void **state)
{
	char path[64];

	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/tickets-test-XXXXXX");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/q", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	vchands[0] = vchand_new(OURS);
	vchands[1] = vchand_new(ITS);
	refused = told = false;
	n_retries = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	close_fd(&vchands[0]);
	close_fd(&vchands[1]);
	return io_remove_tree(AT_FDCWD, dir);
}

/* what the next one says to it; NO_FD: nobody is there */
static int hear(int vchand, enum ticket_kind *ret_kind, int *ret_stream)
{
	struct pollfd p = {.fd = vchand, .events = POLLIN};
	uint8_t bytes[TICKET_LEN + 1];
	size_t len, n_fds;
	struct ticket t;
	int fd;

	if (poll(&p, 1, 0) == 0)
		return NO_FD;
	fd = accept4(vchand, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd >= 0);
	*ret_stream = NO_FD;
	assert_int_equal(io_recv_msg(fd, bytes, sizeof(bytes), &len, ret_stream, 1, &n_fds), 0);
	assert_int_equal(ticket_decode(bytes, len, &t), 0);
	assert_int_equal(t.server, OURS);
	assert_int_equal(t.client, ITS);
	assert_int_equal(t.port, PORT);
	*ret_kind = t.kind;
	return fd;
}

/* the other end of @stream is nobody's */
static bool has_ended(int stream)
{
	struct pollfd p = {.fd = stream, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

static void say_yes(int fd)
{
	uint8_t answer[TICKET_ANSWER_LEN];

	ticket_answer_encode(0, answer);
	assert_int_equal(io_send_msg(fd, answer, sizeof(answer), NULL, 0), 0);
}

static void a_vchand_that_is_busy_is_asked_again_and_the_other_has_a_new_end(void **state)
{
	struct broker b = {.name = "work", .domid = OURS, .run_dir = dir};
	struct call c = {.tickets = {NO_FD, NO_FD}, .domid = ITS, .port = PORT};
	const short both[2] = {POLLIN, POLLIN};
	int first, streams[3] = {NO_FD, NO_FD, NO_FD}, fds[2], stand_in[8], n = 0;
	enum ticket_kind kind = (enum ticket_kind)0;
	char path[64];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/q/%u/vchand.sock", dir, ITS);
	while (io_unix_connect_now(path, SOCK_SEQPACKET, &stand_in[n]) == 0)
		assert_int_not_equal(++n, ARRAY_LEN(stand_in));
	tickets_grant(&b, &c);
	assert_int_equal(n_retries, 1);
	assert_false(refused);
	first = hear(vchands[0], &kind, &streams[0]);
	assert_int_equal(kind, TICKET_GRANT);
	assert_true(has_ended(streams[0]));
	while (n > 0) {
		(void)close(accept4(vchands[1], NULL, NULL, SOCK_CLOEXEC));
		(void)close(stand_in[--n]);
	}
	tickets_grant(&b, &c);
	assert_int_equal(n_retries, 1);
	/* an answer to the first question is nobody's by now */
	assert_true(has_ended(first));
	for (unsigned i = 0; i < 2; i++) {
		fds[i] = hear(vchands[i], &kind, &streams[1 + i]);
		assert_int_equal(kind, TICKET_GRANT);
		assert_false(has_ended(streams[1 + i]));
		tickets_turn(&b, &c, both);
		assert_false(told);
		say_yes(fds[i]);
	}
	assert_int_equal(write(streams[1], "x", 1), 1);
	assert_true(has_ended(streams[2])); /* or has something to say, as here */
	tickets_turn(&b, &c, both);
	assert_true(told);
	assert_false(refused);
	close_fd(&first);
	for (unsigned i = 0; i < ARRAY_LEN(streams); i++)
		close_fd(&streams[i]);
	close_fd(&fds[0]);
	close_fd(&fds[1]);
}

static void what_another_call_has_by_now_is_not_taken_back(void **state)
{
	struct call next = {.state = CALL_TICKETS, .domid = ITS, .port = PORT};
	struct call c = {.next = &next, .state = CALL_LIVE, .domid = ITS, .port = PORT};
	struct broker b = {.name = "work", .domid = OURS, .run_dir = dir, .calls = &c};
	static const struct {
		enum call_state state;
		unsigned domid, port;
		bool taken;
	} rows[] = {
		{CALL_TICKETS, ITS, PORT, true},   {CALL_CALLER, ITS, PORT, true},
		{CALL_LIVE, ITS, PORT, true},      {CALL_CALLEE, ITS, PORT, false},
		{CALL_REFUSED, ITS, PORT, false},  {CALL_GONE, ITS, PORT, false},
		{CALL_LIVE, ITS, PORT + 2, false}, {CALL_LIVE, ITS + 1, PORT, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		next.state = rows[i].state;
		next.domid = rows[i].domid;
		next.port = rows[i].port;
		assert_int_equal(tickets_are_anothers(&b, &c), rows[i].taken);
		tickets_revoke(&b, &c);
		for (unsigned v = 0; v < 2; v++) {
			enum ticket_kind kind;
			int stream, fd = hear(vchands[v], &kind, &stream);

			assert_int_equal(fd < 0, rows[i].taken);
			if (fd >= 0)
				assert_int_equal(kind, TICKET_REVOKE);
			close_fd(&fd);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_vchand_that_is_busy_is_asked_again_and_the_other_has_a_new_end, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(what_another_call_has_by_now_is_not_taken_back,
						set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
