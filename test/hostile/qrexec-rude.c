/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Peers of qrexec that lie: an agent on the control channel, a qube on a data channel, as who is called and as who
 * calls, a client of the daemon, a daemon that was taken over, a program of the agent's own qube. Each lie is a row; exit 0
 * says that the other side took it as it should.
 *
 *	qrexec-rude list agent|data|caller|client|broker|program|hoard
 *	qrexec-rude agent DIR LIE	be the agent of domain 42, lie, expect to be cut off (or
 * not) qrexec-rude data DIR LIE	be an honest agent for one call, then lie on its data channel
 *	qrexec-rude caller DIR LIE	be an honest agent that calls test.Echo of dom0, then lie where it was told to
 *				connect
 *	qrexec-rude hoard DIR many	be an agent that calls test.Echo of dom0, says at once that the call is over, and keeps
 *				its channel, HOARD times: exit 0 if dom0 refuses some of them
 *	qrexec-rude client SOCKET LIE	be a client of the daemon
 *	qrexec-rude broker PROGRAM LIE	be the daemon of a qrexec-broker
 *	qrexec-rude program SOCKET LIE	be a program that asks the agent for a service
 */
#include "rude.h"

#include "base/io.h"
#include "proto/qrexec.h"
#include "vchan/vchan.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

enum { HOARD = 300 };

enum expect { CUT_OFF, KEPT, REFUSED };

struct lie {
	const char *name;
	void (*tell)(struct vchan *v);
	enum expect expect;
};

static void hello(struct vchan *v)
{
	number(v, QREXEC_HELLO, 4);
}

static void trigger4(struct vchan *v, const char *target, size_t target_len, const char *ident,
		     const void *service, size_t service_len)
{
	static uint8_t p[160 + 70000];

	memset(p, 0, sizeof(p));
	memcpy(p + 64, target, target_len);
	memcpy(p + 128, ident, strlen(ident));
	memcpy(p + 160, service, service_len);
	message(v, QREXEC_TRIGGER_SERVICE4, p, (uint32_t)(160 + service_len));
}

/* ---- the agent's lies ---------------------------------------------------------------------- */

static void no_hello(struct vchan *v)
{
	trigger4(v, "dom0", 4, "S1", "a.B", 4);
}

static void old_version(struct vchan *v)
{
	number(v, QREXEC_HELLO, 1);
}

static void version_zero(struct vchan *v)
{
	number(v, QREXEC_HELLO, 0);
}

static void garbage(struct vchan *v)
{
	uint8_t b[4096];

	for (size_t i = 0; i < sizeof(b); i++)
		b[i] = (uint8_t)(i * 37 + 11);
	raw(v, b, sizeof(b));
}

static void hello_twice(struct vchan *v)
{
	hello(v);
	hello(v);
}

static void unknown_type(struct vchan *v)
{
	hello(v);
	message(v, 0x999, "", 0);
}

static void dom0s_message(struct vchan *v)
{
	hello(v);
	message(v, QREXEC_EXEC_CMDLINE, "\0\0\0\0\1\2\0\0root:id", 16);
}

static void endless_length(struct vchan *v)
{
	hello(v);
	header(v, QREXEC_TRIGGER_SERVICE4, 0xffffffff);
}

static void no_service(struct vchan *v)
{
	hello(v);
	trigger4(v, "dom0", 4, "S1", "", 0);
}

static void service_unended(struct vchan *v)
{
	hello(v);
	trigger4(v, "dom0", 4, "S1", "a.B", 3);
}

static void target_unended(struct vchan *v)
{
	char target[64];

	hello(v);
	memset(target, 'a', sizeof(target));
	trigger4(v, target, sizeof(target), "S1", "a.B", 4);
}

static void ident_odd(struct vchan *v)
{
	hello(v);
	trigger4(v, "dom0", 4, "S1\033[2J", "a.B", 4);
}

static void terminated_short(struct vchan *v)
{
	hello(v);
	message(v, QREXEC_CONNECTION_TERMINATED, "\0\0\0\0", 4);
}

static void terminated_flood(struct vchan *v)
{
	uint8_t p[8] = {0};

	hello(v);
	for (unsigned i = 0; i < 20000; i++) {
		p[4] = (uint8_t)i;
		p[5] = (uint8_t)(i >> 8);
		message(v, QREXEC_CONNECTION_TERMINATED, p, sizeof(p));
	}
}

static void half_a_message(struct vchan *v)
{
	hello(v);
	raw(v, "\x13\x02\0\0\xa5\0\0\0abc", 11);
}

static void service_empty(struct vchan *v)
{
	hello(v);
	trigger4(v, "dom0", 4, "S1", "", 1);
}

static void service_plus(struct vchan *v)
{
	hello(v);
	trigger4(v, "dom0", 4, "S1", "+x", 3);
}

static void service_nul(struct vchan *v)
{
	hello(v);
	trigger4(v, "dom0", 4, "S1", "a\0b", 4);
}

static void service_honest(struct vchan *v)
{
	hello(v);
	trigger4(v, "@default", 8, "S1", "qubes.Filecopy", 15);
}

/* as much as it takes; it must stop taking before our memory is in its hands */
static void flood(struct vchan *v, const char *service)
{
	const uint64_t until = io_now_ms() + 2000;
	const size_t len = 160 + strlen(service) + 1;
	static uint8_t p[QREXEC_HEADER_LEN + 256];
	size_t n, total = 0;

	hello(v);
	qrexec_header_encode(QREXEC_TRIGGER_SERVICE4, len, p);
	memcpy(p + QREXEC_HEADER_LEN + 128, "S1", 2);
	memcpy(p + QREXEC_HEADER_LEN + 160, service, strlen(service));
	while (io_now_ms() < until) {
		size_t at = 0;

		while (at < QREXEC_HEADER_LEN + len && io_now_ms() < until) {
			int r = vchan_write(v, p + at, QREXEC_HEADER_LEN + len - at, &n);

			if (r < 0 && r != -EAGAIN)
				return;
			if (r == 0)
				at += n;
			else
				(void)poll(NULL, 0, 10);
		}
		total += QREXEC_HEADER_LEN + len;
	}
	if (total > 64u << 20)
		give_up("it took all of it");
}

static void flood_unread(struct vchan *v)
{
	flood(v, "");
}

static void calls_unread(struct vchan *v)
{
	flood(v, "qubes.Filecopy");
}

static void ident_twice(struct vchan *v)
{
	hello(v);
	trigger4(v, "dom0", 4, "S1", "a.B", 4);
	trigger4(v, "vault", 5, "S1", "a.B", 4);
}

static void call_then_go(struct vchan *v)
{
	hello(v);
	for (unsigned i = 0; i < 100; i++)
		trigger4(v, "dom0", 4, "S1", "a.B", 4);
	message(v, 0x999, "", 0);
}

static const struct lie agent_lies[] = {
	{"no-hello", no_hello, CUT_OFF},
	{"old-version", old_version, CUT_OFF},
	{"version-zero", version_zero, CUT_OFF},
	{"garbage", garbage, CUT_OFF},
	{"hello-twice", hello_twice, CUT_OFF},
	{"unknown-type", unknown_type, CUT_OFF},
	{"dom0s-message", dom0s_message, CUT_OFF},
	{"endless-length", endless_length, CUT_OFF},
	{"no-service", no_service, CUT_OFF},
	{"service-unended", service_unended, CUT_OFF},
	{"target-unended", target_unended, CUT_OFF},
	{"ident-odd", ident_odd, CUT_OFF},
	{"terminated-short", terminated_short, CUT_OFF},
	{"terminated-flood", terminated_flood, KEPT},
	{"half-a-message", half_a_message, KEPT},
	{"service-empty", service_empty, REFUSED},
	{"service-plus", service_plus, REFUSED},
	{"service-nul", service_nul, REFUSED},
	{"service-honest", service_honest, REFUSED},
	{"flood-unread", flood_unread, KEPT},
	{"calls-unread", calls_unread, KEPT},
	{"ident-twice", ident_twice, REFUSED},
	{"call-then-go", call_then_go, CUT_OFF},
};

/* ---- the qube's lies on a data channel ------------------------------------------------------ */

static void data_no_hello(struct vchan *v)
{
	message(v, QREXEC_DATA_STDOUT, "x", 1);
}

static void data_stdin(struct vchan *v)
{
	hello(v);
	message(v, QREXEC_DATA_STDIN, "x", 1);
}

static void data_huge(struct vchan *v)
{
	hello(v);
	header(v, QREXEC_DATA_STDOUT, 65537);
}

static void data_after_end(struct vchan *v)
{
	hello(v);
	message(v, QREXEC_DATA_STDOUT, "", 0);
	message(v, QREXEC_DATA_STDOUT, "x", 1);
}

static void data_end_twice(struct vchan *v)
{
	hello(v);
	message(v, QREXEC_DATA_STDERR, "", 0);
	message(v, QREXEC_DATA_STDERR, "", 0);
}

static void data_no_code(struct vchan *v)
{
	hello(v);
	message(v, QREXEC_DATA_STDOUT, "", 0);
	message(v, QREXEC_DATA_STDERR, "", 0);
}

static void data_cut(struct vchan *v)
{
	hello(v);
	raw(v, "\x91\x01\0\0\0\x10\0\0half", 12);
}

static void data_code_256(struct vchan *v)
{
	hello(v);
	number(v, QREXEC_DATA_EXIT_CODE, 256); /* must not become 0 */
}

static void data_code_big(struct vchan *v)
{
	hello(v);
	number(v, QREXEC_DATA_EXIT_CODE, 0xffffff00);
}

static void data_code_long(struct vchan *v)
{
	hello(v);
	message(v, QREXEC_DATA_EXIT_CODE, "\0\0\0\0\0\0\0\0", 8);
}

static void data_silence(struct vchan *v)
{
	(void)v;
}

static const struct lie data_lies[] = {
	{"no-hello", data_no_hello, CUT_OFF},
	{"garbage", garbage, CUT_OFF},
	{"old-version", old_version, CUT_OFF},
	{"stdin", data_stdin, CUT_OFF},
	{"huge", data_huge, CUT_OFF},
	{"after-end", data_after_end, CUT_OFF},
	{"end-twice", data_end_twice, CUT_OFF},
	{"no-code", data_no_code, CUT_OFF},
	{"cut", data_cut, CUT_OFF},
	{"code-256", data_code_256, CUT_OFF},
	{"code-big", data_code_big, CUT_OFF},
	{"code-long", data_code_long, CUT_OFF},
	{"silence", data_silence, CUT_OFF},
};

/* ---- the lies of a qube that calls ----------------------------------------------------------- */

static void caller_no_hello(struct vchan *v)
{
	message(v, QREXEC_DATA_STDIN, "xxxx", 4);
}

static void caller_stdout(struct vchan *v)
{
	hello(v);
	message(v, QREXEC_DATA_STDOUT, "x", 1);
}

static void caller_code(struct vchan *v)
{
	hello(v);
	number(v, QREXEC_DATA_EXIT_CODE, 0);
}

static void caller_huge(struct vchan *v)
{
	hello(v);
	header(v, QREXEC_DATA_STDIN, 65537);
}

static void caller_after_end(struct vchan *v)
{
	hello(v);
	message(v, QREXEC_DATA_STDIN, "", 0);
	message(v, QREXEC_DATA_STDIN, "x", 1);
}

static void caller_cut(struct vchan *v)
{
	hello(v);
	raw(v, "\x90\x01\0\0\0\x10\0\0half", 12);
}

static const struct lie caller_lies[] = {
	{"no-hello", caller_no_hello, CUT_OFF},
	{"garbage", garbage, CUT_OFF},
	{"old-version", old_version, CUT_OFF},
	{"hello-twice", hello_twice, CUT_OFF},
	{"stdout", caller_stdout, CUT_OFF},
	{"code", caller_code, CUT_OFF},
	{"huge", caller_huge, CUT_OFF},
	{"after-end", caller_after_end, CUT_OFF},
	{"cut", caller_cut, KEPT},
	{"silence", data_silence, KEPT},
	{"absence", NULL, KEPT}, /* it never listens where it was told to */
};

/* ---- the lies of a daemon to its broker ------------------------------------------------------ */

static void broker_honest(struct vchan *v)
{
	hello(v);
	trigger4(v, "@default", 8, "S1", "qubes.Filecopy", 15);
}

static void broker_service(struct vchan *v)
{
	hello(v);
	trigger4(v, "dom0", 4, "S1", "a.B root", 9);
}

static void broker_service_nul(struct vchan *v)
{
	hello(v);
	trigger4(v, "dom0", 4, "S1", "a\0b", 4);
}

static void broker_service_empty(struct vchan *v)
{
	hello(v);
	trigger4(v, "dom0", 4, "S1", "", 1);
}

static void broker_target(struct vchan *v)
{
	hello(v);
	trigger4(v, "a\nsource=dom0", 13, "S1", "a.B", 4);
}

static void broker_terminated(struct vchan *v)
{
	hello(v);
	message(v, QREXEC_CONNECTION_TERMINATED, "\0\0\0\0\1\2\0\0", 8);
}

static const struct lie broker_lies[] = {
	{"honest", broker_honest, REFUSED},
	{"no-hello", no_hello, CUT_OFF},
	{"garbage", garbage, CUT_OFF},
	{"hello-twice", hello_twice, CUT_OFF},
	{"dom0s-message", dom0s_message, CUT_OFF},
	{"endless-length", endless_length, CUT_OFF},
	{"service-odd", broker_service, CUT_OFF},
	{"service-nul", broker_service_nul, CUT_OFF},
	{"service-empty", broker_service_empty, CUT_OFF},
	{"target-odd", broker_target, CUT_OFF},
	{"terminated", broker_terminated, CUT_OFF},
};

/* ---- the lies of a program to its agent ------------------------------------------------------ */

static void program_other(struct vchan *v)
{
	message(v, QREXEC_CONNECTION_TERMINATED, "\0\0\0\0\1\2\0\0", 8);
}

static void program_old(struct vchan *v)
{
	static const uint8_t p[128] = "a.B";

	message(v, QREXEC_TRIGGER_SERVICE, p, sizeof(p));
}

static void program_endless(struct vchan *v)
{
	header(v, QREXEC_TRIGGER_SERVICE4, 0xffffffff);
}

static void program_empty(struct vchan *v)
{
	message(v, QREXEC_TRIGGER_SERVICE4, "", 0);
}

static void program_twice(struct vchan *v)
{
	trigger4(v, "dom0", 4, "S1", "a.B", 4);
	trigger4(v, "dom0", 4, "S1", "a.B", 4);
}

static void program_stalls(struct vchan *v)
{
	raw(v, "\x13\2\0\0\xa5\0\0\0abc", 11);
}

static const struct lie program_lies[] = {
	{"hello", hello, CUT_OFF},
	{"garbage", garbage, CUT_OFF},
	{"other", program_other, CUT_OFF},
	{"old", program_old, CUT_OFF},
	{"endless", program_endless, CUT_OFF},
	{"empty", program_empty, CUT_OFF},
	{"twice", program_twice, CUT_OFF},
	{"stall", program_stalls, CUT_OFF},
};

/* ---- rude clients -------------------------------------------------------------------------- */

static void client_hello(struct vchan *v)
{
	number(v, QREXEC_HELLO, 3);
}

static void exec_send(struct vchan *v)
{
	message(v, QREXEC_EXEC_CMDLINE, "\0\0\0\0\0\0\0\0nosuch:id", 18);
}

static void client_no_hello(struct vchan *v)
{
	exec_send(v);
}

static void client_twice(struct vchan *v)
{
	client_hello(v);
	exec_send(v);
	exec_send(v);
}

static void client_huge(struct vchan *v)
{
	client_hello(v);
	header(v, QREXEC_EXEC_CMDLINE, 8 + 65536);
}

static void client_own_domain(struct vchan *v)
{
	client_hello(v);
	message(v, QREXEC_EXEC_CMDLINE, "\x2a\0\0\0\0\0\0\0nosuch:id", 18);
}

static void client_no_domain(struct vchan *v)
{
	client_hello(v);
	message(v, QREXEC_EXEC_CMDLINE, "\0\0\1\0\0\0\0\0nosuch:id", 18);
}

static void client_connect_nowhere(struct vchan *v)
{
	static uint8_t p[8 + 32] = {7};

	memcpy(p + 8, "S1", 2);
	client_hello(v);
	message(v, QREXEC_SERVICE_CONNECT, p, sizeof(p));
}

static void client_stalls(struct vchan *v)
{
	client_hello(v);
	raw(v, "\0\2\0\0\x20\0\0\0\0\0", 10);
}

static void client_vanishes(struct vchan *v)
{
	client_hello(v);
	exec_send(v);
	(void)poll(NULL, 0, 200);
}

static const struct lie client_lies[] = {
	{"no-hello", client_no_hello, CUT_OFF},
	{"garbage", garbage, CUT_OFF},
	{"twice", client_twice, CUT_OFF},
	{"huge", client_huge, CUT_OFF},
	{"own-domain", client_own_domain, CUT_OFF},
	{"no-domain", client_no_domain, CUT_OFF},
	{"connect-nowhere", client_connect_nowhere, CUT_OFF},
	{"stall", client_stalls, CUT_OFF},
	{"vanish", client_vanishes, KEPT},
};

/* ---- how it is taken ----------------------------------------------------------------------- */

static const struct lie *lie_find(const struct lie *lies, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(lies[i].name, name) == 0)
			return &lies[i];
	give_up("no such lie");
	return NULL;
}

static int agent(const char *dir, const struct lie *lie)
{
	struct vchan *v = agent_serve(dir);
	bool refused, cut;

	lie->tell(v);
	cut = cut_off(v, lie->expect == CUT_OFF ? PATIENCE_MS : 1500, &refused);
	vchan_free(v);
	if (lie->expect == REFUSED)
		return refused ? 0 : 1;
	return cut == (lie->expect == CUT_OFF) ? 0 : 1;
}

/* honest on the control channel, until a call comes */
static unsigned call_wait(struct vchan *v)
{
	uint8_t bytes[QREXEC_HEADER_LEN + 4], head[QREXEC_HEADER_LEN], exec[256];
	struct qrexec_header h;

	hello(v);
	if (vchan_read_full(v, bytes, sizeof(bytes)) < 0 ||
	    vchan_read_full(v, head, sizeof(head)) < 0)
		give_up("no call came");
	if (qrexec_header_decode(QREXEC_DAEMON_TO_AGENT, 4, head, &h) != 0 || h.len > sizeof(exec))
		give_up("not a call");
	if (vchan_read_full(v, exec, h.len) < 0)
		give_up("half a call");
	return exec[4] | (unsigned)exec[5] << 8;
}

static int data(const char *dir, const struct lie *lie)
{
	struct vchan *control = agent_serve(dir), *v;
	unsigned port = call_wait(control);

	if (vchan_client_new(dir, DOMID, 0, port, PATIENCE_MS, &v) < 0)
		give_up("the caller does not listen");
	lie->tell(v);
	vchan_free(v);
	vchan_free(control);
	return 0;
}

/* honest until dom0 has allowed the call and says where to listen */
static unsigned connect_wait(struct vchan *v)
{
	uint8_t bytes[QREXEC_HEADER_LEN + 4], head[QREXEC_HEADER_LEN], p[8 + 32];
	struct qrexec_header h;

	hello(v);
	trigger4(v, "dom0", 4, "S1", "test.Echo", 10);
	if (vchan_read_full(v, bytes, sizeof(bytes)) < 0 ||
	    vchan_read_full(v, head, sizeof(head)) < 0)
		give_up("no answer came");
	if (qrexec_header_decode(QREXEC_DAEMON_TO_AGENT, 4, head, &h) != 0 ||
	    h.type != QREXEC_SERVICE_CONNECT)
		give_up("the call is not allowed");
	if (vchan_read_full(v, p, sizeof(p)) < 0)
		give_up("half an answer");
	return p[4] | (unsigned)p[5] << 8;
}

static int caller(const char *dir, const struct lie *lie)
{
	struct vchan *control = agent_serve(dir), *v = NULL;
	uint8_t over[8] = {0};
	const unsigned port = connect_wait(control);
	bool refused, cut = false;

	if (lie->tell && vchan_server_new(dir, DOMID, 0, port, &v) < 0)
		give_up("cannot listen");
	while (v && vchan_get_state(v) == VCHAN_WAITING) {
		struct pollfd p = {.fd = vchan_fd(v), .events = POLLIN};

		if (poll(&p, 1, PATIENCE_MS) <= 0)
			give_up("the service does not come");
		(void)!vchan_accept(v);
	}
	if (v) {
		lie->tell(v);
		cut = cut_off(v, lie->expect == CUT_OFF ? PATIENCE_MS : 1500, &refused);
	}
	vchan_free(v);
	over[4] = (uint8_t)port;
	over[5] = (uint8_t)(port >> 8);
	message(control, QREXEC_CONNECTION_TERMINATED, over, sizeof(over));
	vchan_free(control);
	return cut == (lie->expect == CUT_OFF) ? 0 : 1;
}

static const struct lie hoard_lies[] = {{"many", NULL, REFUSED}};

/* the next message of the daemon's: the port of a SERVICE_CONNECT; 0: SERVICE_REFUSED */
static unsigned answer_wait(struct vchan *v)
{
	uint8_t head[QREXEC_HEADER_LEN], p[8 + 32];
	struct qrexec_header h;

	if (vchan_read_full(v, head, sizeof(head)) < 0 ||
	    qrexec_header_decode(QREXEC_DAEMON_TO_AGENT, 4, head, &h) != 0 || h.len > sizeof(p) ||
	    vchan_read_full(v, p, h.len) < 0)
		give_up("no answer came");
	return h.type == QREXEC_SERVICE_CONNECT ? p[4] | (unsigned)p[5] << 8 : 0;
}

static int hoard(const char *dir, const struct lie *lie)
{
	static struct vchan *kept[HOARD];
	struct vchan *control = agent_serve(dir);
	uint8_t bytes[QREXEC_HEADER_LEN + 4];
	unsigned n = 0;

	(void)lie;
	hello(control);
	if (vchan_read_full(control, bytes, sizeof(bytes)) < 0)
		give_up("no HELLO came");
	for (unsigned i = 0; i < HOARD; i++) {
		uint8_t over[8] = {0};
		unsigned port;

		trigger4(control, "dom0", 4, "S1", "test.Echo", 10);
		port = answer_wait(control);
		if (port == 0)
			continue;
		if (vchan_server_new(dir, DOMID, 0, port, &kept[n]) < 0)
			give_up("cannot listen");
		while (vchan_get_state(kept[n]) == VCHAN_WAITING) {
			struct pollfd p = {.fd = vchan_fd(kept[n]), .events = POLLIN};

			if (poll(&p, 1, PATIENCE_MS) <= 0)
				give_up("the service does not come");
			(void)!vchan_accept(kept[n]);
		}
		hello(kept[n]);
		/* one that has said HELLO looks no more at what its daemon says */
		if (vchan_read_full(kept[n++], bytes, sizeof(bytes)) < 0)
			give_up("the service does not speak");
		over[4] = (uint8_t)port;
		over[5] = (uint8_t)(port >> 8);
		message(control, QREXEC_CONNECTION_TERMINATED, over, sizeof(over));
	}
	(void)printf("%u of %u\n", n, HOARD);
	for (unsigned i = 0; i < n; i++)
		vchan_free(kept[i]);
	vchan_free(control);
	return n > 0 && n < HOARD ? 0 : 1;
}

static int broker(const char *program, const struct lie *lie)
{
	struct vchan *v = NULL;
	bool refused, cut;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		give_up("no socket");
	if (fork() == 0) {
		if (dup2(pair[1], STDIN_FILENO) < 0 ||
		    dup2(memfd_create("places", MFD_CLOEXEC), 3) < 0)
			_exit(1);
		(void)execl(program, "qrexec-broker", "--daemon-fd=0", "--places-fd=3",
			    "--socket-dir=/nowhere", "--vchan-dir=/nowhere",
			    "--policy-socket=/nowhere/policy", "42", "work", (char *)NULL);
		_exit(1);
	}
	(void)close(pair[1]);
	if (vchan_new_from_fd(&pair[0], &v) < 0)
		give_up("no stream");
	lie->tell(v);
	cut = cut_off(v, PATIENCE_MS, &refused);
	vchan_free(v);
	if (lie->expect == REFUSED)
		return refused ? 0 : 1;
	return cut && !refused ? 0 : 1;
}

static int client(const char *path, const struct lie *lie)
{
	struct vchan *v = NULL;
	bool refused, cut;
	int fd;

	if (io_unix_connect(path, SOCK_STREAM, &fd) < 0 || vchan_new_from_fd(&fd, &v) < 0)
		give_up("cannot connect");
	lie->tell(v);
	cut = lie->expect == CUT_OFF ? cut_off(v, PATIENCE_MS, &refused) : false;
	vchan_free(v);
	return cut == (lie->expect == CUT_OFF) ? 0 : 1;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *role;
		const struct lie *lies;
		size_t n;
		int (*play)(const char *where, const struct lie *lie);
	} roles[] = {
		{"agent", agent_lies, ARRAY_LEN(agent_lies), agent},
		{"data", data_lies, ARRAY_LEN(data_lies), data},
		{"client", client_lies, ARRAY_LEN(client_lies), client},
		{"caller", caller_lies, ARRAY_LEN(caller_lies), caller},
		{"hoard", hoard_lies, ARRAY_LEN(hoard_lies), hoard},
		{"broker", broker_lies, ARRAY_LEN(broker_lies), broker},
		{"program", program_lies, ARRAY_LEN(program_lies), client},
	};

	(void)signal(SIGPIPE, SIG_IGN); // NOLINT(cert-err33-c)
	for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
		if (argc == 3 && strcmp(argv[1], "list") == 0 &&
		    strcmp(argv[2], roles[i].role) == 0) {
			for (size_t k = 0; k < roles[i].n; k++)
				(void)puts(roles[i].lies[k].name);
			return 0;
		}
		if (argc == 4 && strcmp(argv[1], roles[i].role) == 0)
			return roles[i].play(argv[2], lie_find(roles[i].lies, roles[i].n, argv[3]));
	}
	(void)fputs("usage: qrexec-rude list ROLE | ROLE WHERE LIE\n", stderr);
	return 2;
}
