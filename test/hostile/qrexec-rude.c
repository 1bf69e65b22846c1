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
#include "qrexec-rude.h"

#include "base/io.h"
#include "proto/qrexec.h"
#include "vchan/vchan.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

enum { HOARD = 300 };

/* ---- how it is taken ----------------------------------------------------------------------- */

static const struct lie *lie_find(const struct lie *lies, const char *name)
{
	for (; lies->name; lies++)
		if (strcmp(lies->name, name) == 0)
			return lies;
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

static const struct lie hoard_lies[] = {{"many", NULL, REFUSED}, {0}};

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
		    dup2(memfd_create("seats", MFD_CLOEXEC), 3) < 0)
			_exit(1);
		(void)execl(program, "qrexec-broker", "--daemon-fd=0", "--seats-fd=3",
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
		int (*play)(const char *where, const struct lie *lie);
	} roles[] = {
		{"agent", agent_lies, agent},      {"data", data_lies, data},
		{"client", client_lies, client},   {"caller", caller_lies, caller},
		{"hoard", hoard_lies, hoard},      {"broker", broker_lies, broker},
		{"program", program_lies, client},
	};

	(void)signal(SIGPIPE, SIG_IGN); // NOLINT(cert-err33-c)
	for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
		if (argc == 3 && strcmp(argv[1], "list") == 0 &&
		    strcmp(argv[2], roles[i].role) == 0) {
			for (const struct lie *l = roles[i].lies; l->name; l++)
				(void)puts(l->name);
			return 0;
		}
		if (argc == 4 && strcmp(argv[1], roles[i].role) == 0)
			return roles[i].play(argv[2], lie_find(roles[i].lies, argv[3]));
	}
	(void)fputs("usage: qrexec-rude list ROLE | ROLE WHERE LIE\n", stderr);
	return 2;
}
