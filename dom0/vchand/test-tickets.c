/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/io.h"
#include "proto/ticket.h"
#include "tickets.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define DOMID       7
#define N_AT_A_TIME 8

/* ---- what stands behind tickets: a loop that looks at what it was given when told to */

static struct carry_source *sources[64];
static unsigned n_sources, n_aborted, n_opened;
static bool no_room; /* to watch one more */
static bool is_full; /* the carrier */

int carry_add(struct carry *c, struct carry_source *src, uint32_t events)
{
	(void)c, (void)events;
	if (no_room)
		return -ENOSPC;
	assert_true(n_sources < ARRAY_LEN(sources));
	sources[n_sources++] = src;
	return 0;
}

void carry_remove(struct carry *c, struct carry_source *src)
{
	(void)c;
	for (unsigned i = 0; i < n_sources; i++)
		if (sources[i] == src)
			sources[i] = sources[--n_sources];
}

static void (*timer)(void *data);
static void *timer_data;

void carry_timer(struct carry *c, unsigned delay_ms, void (*fn)(void *data), void *data)
{
	(void)c, (void)delay_ms;
	assert_null(timer); /* one that is set again and again never fires */
	timer = fn;
	timer_data = data;
}

static void time_is_over(void)
{
	void (*fn)(void *data) = timer;

	assert_non_null(fn);
	timer = NULL;
	fn(timer_data);
}

int carry_server(struct carry *c, const struct vmux_where *where, bool there)
{
	(void)c, (void)where, (void)there;
	return 0;
}

int carry_open(struct carry *c, const struct vmux_where *where, int *fd)
{
	(void)c, (void)where;
	if (is_full)
		return -EAGAIN;
	n_opened++;
	close_fd(fd);
	return 0;
}

void carry_abort(struct carry *c, const struct vmux_where *where)
{
	(void)c, (void)where;
	n_aborted++;
}

/* level-triggered, until nothing is ready; more turns than anything here can need are one that never sleeps */
static void turns(void)
{
	for (unsigned n = 0; n < 1000; n++) {
		struct carry_source *ready = NULL;

		for (unsigned i = 0; i < n_sources && !ready; i++) {
			struct pollfd p = {.fd = sources[i]->fd, .events = POLLIN};

			if (poll(&p, 1, 0) > 0)
				ready = sources[i];
		}
		if (!ready)
			return;
		ready->fn(ready, EPOLLIN);
	}
	fail_msg("it never sleeps");
}

/* ---- who sends tickets */

static char dir[] = "/tmp/tickets-test-XXXXXX", path[64];
static struct tickets *tickets[8]; /* a program has them for its life: they cannot be freed */
static unsigned n_tickets;

static int set_up(void **state)
{
	int fd;

	(void)state;
	memset(dir + strlen(dir) - 6, 'X', 6);
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/s", dir);
	n_sources = n_aborted = n_opened = 0;
	timer = NULL;
	no_room = is_full = false;
	if (io_unix_listen(path, SOCK_SEQPACKET, 0600, &fd) < 0 ||
	    tickets_new("work", DOMID, &fd, &tickets[n_tickets]) < 0)
		return -1;
	return tickets_start(tickets[n_tickets++], NULL);
}

static int tear_down(void **state)
{
	(void)state;
	for (unsigned i = 0; i < n_sources; i++)
		close_fd(&sources[i]->fd);
	return io_remove_tree(AT_FDCWD, dir);
}

static int connect_one(void)
{
	int fd;

	assert_int_equal(io_unix_connect_now(path, SOCK_SEQPACKET, &fd), 0);
	return fd;
}

static void send_one(int fd, uint8_t kind, uint16_t port)
{
	const struct ticket t = {.kind = kind, .server = DOMID, .client = 9, .port = port};
	AUTO_CLOSE int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	uint8_t bytes[TICKET_LEN];

	assert_int_equal(ticket_encode(&t, bytes), 0);
	assert_int_equal(io_send_msg(fd, bytes, sizeof(bytes), &null, kind == TICKET_GRANT ? 1 : 0),
			 0);
}

/* 1: none yet */
static int answer_get(int fd)
{
	uint8_t bytes[TICKET_ANSWER_LEN + 1];
	size_t len, n_fds;
	int result, r = io_recv_msg(fd, bytes, sizeof(bytes), &len, NULL, 0, &n_fds);

	if (r == -EAGAIN)
		return 1;
	assert_int_equal(r, 0);
	assert_int_equal(ticket_answer_decode(bytes, len, &result), 0);
	return result;
}

static void more_than_there_is_room_for_wait_and_are_served(void **state)
{
	int fds[3 * N_AT_A_TIME];

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = connect_one();
		send_one(fds[i], TICKET_GRANT, (uint16_t)(513 + i));
	}
	turns();
	for (unsigned i = 0; i < ARRAY_LEN(fds); i++) {
		if (i % N_AT_A_TIME == 0 && i > 0)
			for (unsigned j = i - N_AT_A_TIME; j < i; j++) {
				assert_int_equal(answer_get(fds[i]), 1);
				close_fd(&fds[j]);
				if (j == i - 1)
					turns();
			}
		assert_int_equal(answer_get(fds[i]), 0);
	}
	for (unsigned i = 2 * N_AT_A_TIME; i < ARRAY_LEN(fds); i++)
		close_fd(&fds[i]);
	turns();
	fds[0] = connect_one();
	send_one(fds[0], TICKET_GRANT, 513);
	turns();
	assert_int_equal(answer_get(fds[0]), 0);
	close_fd(&fds[0]);
}

/* where its descriptor leads to */
static int grant_one(uint16_t port)
{
	const struct ticket t = {TICKET_GRANT, DOMID, 9, port};
	uint8_t bytes[TICKET_LEN];
	int fd = connect_one(), pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(ticket_encode(&t, bytes), 0);
	assert_int_equal(io_send_msg(fd, bytes, sizeof(bytes), &pair[1], 1), 0);
	close_fd(&pair[1]);
	turns();
	assert_int_equal(answer_get(fd), 0);
	close_fd(&fd);
	return pair[0];
}

static bool has_ended(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

static void one_that_was_left_behind_makes_room_for_the_next(void **state)
{
	int left = grant_one(513), next = grant_one(513), other = grant_one(514), fd;

	(void)state;
	assert_true(has_ended(left));
	assert_false(has_ended(next));
	fd = connect_one();
	send_one(fd, TICKET_VOID, 513);
	turns();
	assert_int_equal(answer_get(fd), 0);
	assert_true(has_ended(next));
	assert_false(has_ended(other));
	assert_int_equal(n_aborted, 0);
	close_fd(&fd);
	close_fd(&left);
	close_fd(&next);
	close_fd(&other);
}

static void who_says_nothing_keeps_nobody_out(void **state)
{
	int fds[2 * N_AT_A_TIME], fd;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = connect_one();
	fd = connect_one();
	send_one(fd, TICKET_GRANT, 513);
	for (unsigned i = 0; i < 2; i++) {
		turns();
		assert_int_equal(answer_get(fd), 1);
		(void)usleep(2 * TICKET_SILENT_MS * 1000);
		/* and the listener is not forgotten where it cannot be watched at once */
		no_room = true;
		time_is_over();
		turns();
		assert_int_equal(answer_get(fd), 1);
		no_room = false;
		time_is_over();
	}
	turns();
	assert_int_equal(answer_get(fd), 0);
	for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
		close_fd(&fds[i]);
	close_fd(&fd);
}

static void one_that_leaves_at_once_is_listened_to(void **state)
{
	int fd = connect_one();

	(void)state;
	send_one(fd, TICKET_GRANT, 513);
	close_fd(&fd);
	fd = connect_one();
	send_one(fd, TICKET_REVOKE, 513);
	close_fd(&fd);
	turns();
	assert_int_equal(n_aborted, 1);
	fd = connect_one();
	send_one(fd, TICKET_GRANT, 513);
	turns();
	assert_int_equal(answer_get(fd), 0);
	close_fd(&fd);
}

static void what_a_full_carrier_does_not_take_is_opened_later(void **state)
{
	struct tickets *t = tickets[n_tickets - 1];
	const struct vmux_where first = {DOMID, 9, 513}, second = {DOMID, 9, 515};
	int early, late;

	(void)state;
	is_full = true;
	early = grant_one(513);
	tickets_announced(t, &first, true);
	tickets_announced(t, &second, true);
	late = grant_one(515);
	time_is_over();
	assert_int_equal(n_opened, 0);
	assert_false(has_ended(early));
	assert_false(has_ended(late));
	is_full = false;
	time_is_over();
	assert_int_equal(n_opened, 2);
	/* once */
	is_full = true;
	assert_true(has_ended(early));
	assert_true(has_ended(late));
	close_fd(&early);
	/* and not for a server that has gone meanwhile */
	early = grant_one(513);
	tickets_announced(t, &first, false);
	is_full = false;
	time_is_over();
	assert_int_equal(n_opened, 2);
	assert_false(has_ended(early));
	close_fd(&early);
	close_fd(&late);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(more_than_there_is_room_for_wait_and_are_served,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_that_was_left_behind_makes_room_for_the_next,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_says_nothing_keeps_nobody_out, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(one_that_leaves_at_once_is_listened_to, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(what_a_full_carrier_does_not_take_is_opened_later,
						set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
