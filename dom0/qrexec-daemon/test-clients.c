/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/str.h"
#include "daemon.h"
#include "qrexec/peer.h"
#include "vchan/vchan.h"

#include <fcntl.h>
#include <sys/socket.h>

static char dir[] = "/tmp/clients-test-XXXXXX";
static char path[64];
static struct daemon d;

/* what stands behind the clients: an agent that takes what @agent_result says */
static int agent_result;
static unsigned n_sent;

int agent_send(struct daemon *daemon, const struct qrexec_msg *m)
{
	(void)daemon, (void)m;
	n_sent += agent_result == 0;
	return agent_result;
}

void request_answered(struct daemon *daemon, const char *ident)
{
	(void)daemon, (void)ident;
}

int agent_lost(struct daemon *daemon, int why)
{
	(void)daemon, (void)why;
	fail();
	return 0;
}

static int set_up(void **state)
{
	int pair[2];
	struct vchan *v = NULL;

	(void)state;
	memset(dir + strlen(dir) - 6, 'X', 6);
	if (!mkdtemp(dir) || str_format(path, sizeof(path), "%s/s", dir) < 0)
		return -1;
	d = (struct daemon){.name = "work", .default_user = "user", .domid = 7, .agent_up = true};
	agent_result = 0;
	n_sent = 0;
	/* an agent whose HELLO has left: it is idle */
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ||
	    vchan_new_from_fd(&pair[0], &v) < 0 ||
	    qrexec_peer_new(&v, QREXEC_AGENT_TO_DAEMON, QREXEC_VERSION, &d.agent) < 0 ||
	    qrexec_peer_flush(d.agent) < 0)
		return -1;
	(void)close(pair[1]);
	return io_unix_listen(path, SOCK_STREAM, 0600, &d.listen_fd);
}

static int tear_down(void **state)
{
	(void)state;
	clients_drop_all(&d);
	qrexec_peer_free(d.agent);
	close_fd(&d.listen_fd);
	return io_remove_tree(AT_FDCWD, dir);
}

/* a client that has said all it has to say */
static int client_ask(void)
{
	const struct qrexec_msg hello = {.type = QREXEC_HELLO, .version = QREXEC_VERSION_LOCAL};
	const struct qrexec_msg exec = {
		.type = QREXEC_EXEC_CMDLINE, .command = "user:id", .command_len = 7};
	uint8_t bytes[256];
	size_t len = qrexec_msg_encode(&hello, bytes, sizeof(bytes));
	int fd;

	len += qrexec_msg_encode(&exec, bytes + len, sizeof(bytes) - len);
	assert_int_equal(io_unix_connect(path, SOCK_STREAM, &fd), 0);
	assert_int_equal(io_write_full(fd, bytes, len), 0);
	assert_int_equal(clients_accept(&d), 0);
	return fd;
}

static void turn(void)
{
	static struct pollfd p[CLIENTS_MAX];
	unsigned n = clients_poll(&d, p, 0);

	assert_true(poll(p, n, 0) >= 0);
	assert_int_equal(clients_turn(&d, p, n), 0);
	assert_int_equal(clients_dispatch(&d), 0);
}

/* true if the daemon has closed its side */
static bool is_closed(int fd)
{
	char bytes[256];
	ssize_t n;

	do
		n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	while (n > 0);
	return n == 0;
}

static void all_ports_taken(void)
{
	for (unsigned i = 0; i < QREXEC_N_PORTS; i++)
		assert_int_not_equal(ports_take(&d.ports, 7, 0), 0);
}

/* besides that of a client which has been served */
static void all_ports_taken_but_one(void)
{
	for (unsigned i = 1; i < QREXEC_N_PORTS; i++)
		assert_int_not_equal(ports_take(&d.ports, 7, 0), 0);
}

static void a_client_gets_the_port_that_comes_free(void **state)
{
	AUTO_CLOSE int fd = NO_FD;

	(void)state;
	all_ports_taken();
	fd = client_ask();
	turn();
	assert_int_equal(d.clients->state, CLIENT_WAITING);
	assert_int_equal(n_sent, 0);
	assert_true(ports_release(&d.ports, 0, QREXEC_PORT_DATA + 9));
	turn();
	assert_int_equal(d.clients->state, CLIENT_SERVED);
	assert_int_equal(n_sent, 1);
	/* and is not waited for any more: its call may take as long as it likes */
	assert_int_equal(clients_timeout_ms(&d), -1);
	d.clients->until_ms = 1;
	turn();
	assert_false(is_closed(fd));
}

static void a_qube_that_ends_no_call_does_not_hold_clients_for_ever(void **state)
{
	AUTO_CLOSE int fd = NO_FD;
	int left;

	(void)state;
	all_ports_taken();
	fd = client_ask();
	turn();
	left = clients_timeout_ms(&d);
	assert_true(left >= 0 && left <= WAIT_MS);
	d.clients->until_ms = 1; /* its time is over */
	turn();
	assert_int_equal(d.n_clients, 0);
	assert_true(is_closed(fd));
}

static void ports_between_qubes_differ_by_who_is_lower(void **state)
{
	struct ports p = {0};

	(void)state;
	assert_int_equal(ports_take(&p, 7, 8), 513);
	assert_int_equal(ports_take(&p, 7, 8), 515);
	assert_int_equal(ports_take(&p, 7, 6), 514);
	assert_int_equal(ports_take(&p, 7, 6), 516);
	assert_false(ports_release(&p, 6, 513)); /* not its */
	assert_true(ports_release(&p, 8, 513));
	assert_false(ports_release(&p, 8, 513));
	assert_int_equal(ports_take(&p, 7, 8), 513);
}

static void each_pair_has_ports_of_its_own(void **state)
{
	struct ports p = {0};

	(void)state;
	assert_int_equal(ports_take(&p, 7, 8), 513);
	assert_int_equal(ports_take(&p, 7, 9), 513);
	assert_int_equal(ports_take(&p, 7, 6), 514);
	assert_int_equal(ports_take(&p, 7, 0), 513);
	assert_int_equal(ports_take(&p, 7, 0), 514);
	assert_true(ports_release(&p, 9, 513));
	assert_false(ports_release(&p, 9, 513));
	assert_true(ports_release(&p, 8, 513));
	assert_int_equal(p.n_used, 3);
}

static unsigned all_that(struct ports *p, uint32_t domid)
{
	unsigned n = 0;

	while (ports_take(p, 7, domid) != 0)
		n++;
	return n;
}

static void one_caller_leaves_ports_for_the_next(void **state)
{
	struct ports p = {0};

	(void)state;
	assert_int_equal(all_that(&p, 9), 112);
	assert_int_equal(all_that(&p, 11), 56);
	assert_int_equal(all_that(&p, 6), 28);
	assert_int_equal(all_that(&p, 9), 0);
	/* what the first gives back is not the first's again */
	for (unsigned port = 513; port < 513 + 64; port += 2)
		assert_true(ports_release(&p, 9, port));
	assert_int_equal(all_that(&p, 9), 0);
	assert_int_not_equal(all_that(&p, 13), 0);
	assert_int_not_equal(all_that(&p, 0), 0);
	assert_int_equal(p.n_used, QREXEC_N_PORTS);
}

static void many_callers_together_leave_one_for_another(void **state)
{
	struct ports p = {0};

	(void)state;
	for (uint32_t domid = 8; domid < 8 + 30; domid++)
		assert_int_not_equal(all_that(&p, domid), 0);
	assert_true(p.n_used < QREXEC_N_PORTS);
	for (uint32_t domid = 8; domid < 8 + 30; domid++)
		assert_int_equal(all_that(&p, domid), 0);
	assert_int_equal(all_that(&p, 100), 1);
	/* one that ends a call gets no other before one that has none */
	while (ports_take(&p, 7, 200 + p.n_used) != 0)
		;
	assert_int_equal(p.n_used, QREXEC_N_PORTS);
	assert_true(ports_release(&p, 8, 513));
	assert_int_equal(all_that(&p, 8), 0);
	assert_int_equal(all_that(&p, 600), 1);
}

static void a_client_is_let_go_when_its_call_is_over(void **state)
{
	AUTO_CLOSE int fd = client_ask();

	(void)state;
	turn();
	assert_int_equal(d.clients->state, CLIENT_SERVED);
	assert_false(clients_end_call(&d, 0, d.clients->call_port + 1));
	assert_false(clients_end_call(&d, 8, d.clients->call_port));
	assert_true(clients_end_call(&d, 0, d.clients->call_port));
	turn();
	assert_true(is_closed(fd));
}

static void a_port_is_another_calls_when_the_last_ones_client_has_left(void **state)
{
	AUTO_CLOSE int first = client_ask(), second = NO_FD, third = NO_FD, fourth = NO_FD;
	unsigned port;

	(void)state;
	turn();
	port = d.clients->call_port;
	all_ports_taken_but_one();
	second = client_ask();
	turn();
	assert_true(clients_end_call(&d, 0, port));
	assert_false(
		clients_end_call(&d, 0, port)); /* twice is once too often, and frees nothing */
	turn();
	assert_true(is_closed(first));
	assert_int_equal(d.clients->next->state, CLIENT_WAITING);
	close_fd(&first);
	turn();
	assert_int_equal(d.clients->state, CLIENT_SERVED);
	assert_int_equal(d.clients->call_port, port);
	assert_false(is_closed(second));
	/* one that has left before its call is over holds it no longer than that */
	close_fd(&second);
	turn();
	assert_int_equal(d.n_clients, 0);
	third = client_ask();
	turn();
	assert_int_equal(d.clients->state, CLIENT_WAITING);
	assert_true(clients_end_call(&d, 0, port));
	turn();
	assert_int_equal(d.clients->state, CLIENT_SERVED);
	assert_false(is_closed(third));
	/* nor does one that never leaves: its caller may be one who never says that it is over */
	fourth = client_ask();
	assert_true(clients_end_call(&d, 0, port));
	turn();
	assert_int_equal(d.clients->state, CLIENT_LEAVING);
	assert_in_range(clients_timeout_ms(&d), LEAVE_MS / 2, LEAVE_MS);
	d.clients->until_ms = 1;
	turn();
	assert_int_equal(d.n_clients, 1);
	assert_int_equal(d.clients->state, CLIENT_SERVED);
	assert_int_equal(d.clients->call_port, port);
	assert_false(is_closed(fourth));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_client_gets_the_port_that_comes_free, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(
			a_qube_that_ends_no_call_does_not_hold_clients_for_ever, set_up, tear_down),
		cmocka_unit_test(ports_between_qubes_differ_by_who_is_lower),
		cmocka_unit_test(each_pair_has_ports_of_its_own),
		cmocka_unit_test(one_caller_leaves_ports_for_the_next),
		cmocka_unit_test(many_callers_together_leave_one_for_another),
		cmocka_unit_test_setup_teardown(a_client_is_let_go_when_its_call_is_over, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(
			a_port_is_another_calls_when_the_last_ones_client_has_left, set_up,
			tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
