/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * admin-gate: a call of the Admin API that a qube makes over qrexec, a service of dom0 by each method's name.
 *
 * runs as	whoever runs the instance, below qrexec-broker, one for each call; nobody if that is root
 * holds	standard streams, a connection to qubesd's door for gates, for lists and events one to policyd
 * trusts	QREXEC_*, which the broker sets when the policy has allowed the call. Not the qube: its words are taken apart in
 *		lib/proto, the payload behind walls (one that there may not be, of lists and events, is only counted, before
 *		them), and qubesd looks at both again. What comes as a stream it does not even read: qubesd's
 *		job gets it as a descriptor
 * needs	read and write on what it holds
 *
 * dom0's own clients have it executed for streams alone (bulkhead exec), with METHOD for its name and ARG for its argument.
 */
#include "gate.h"

#include "base/io.h"
#include "base/log.h"
#include "base/paths.h"
#include "base/str.h"
#include "proto/decision.h"
#include "proto/gate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/** ANSWER_MAX - of a list, which is held until it has been looked at: 10,000 qubes have 2 MiB */
#define ANSWER_MAX (8u << 20)

struct gate {
	struct admin_request q;
	const struct gate_method *method;
	int qubesd;
	struct hide hide;
};

static const char *env(const char *name)
{
	const char *value = getenv(name);

	return value ? value : "";
}

static int complain(const struct gate *g, const char *why)
{
	(void)fprintf(stderr, "%s of %s: %s\n", g->q.method[0] != '\0' ? g->q.method : "admin-gate",
		      env("QREXEC_REMOTE_DOMAIN"), why);
	return EXIT_FAILURE;
}

/* the broker says what was called; without it the name we were executed by does */
static int learn(struct gate *g, int argc, char **argv)
{
	const char *service = env("QREXEC_SERVICE_FULL_NAME"), *slash;
	const char *keyword = env("QREXEC_REQUESTED_TARGET_KEYWORD");
	const char *type = env("QREXEC_REQUESTED_TARGET_TYPE");
	AUTO_FREE char *own = NULL;

	if (service[0] == '\0' && argc > 0) {
		slash = strrchr(argv[0], '/');
		if (asprintf(&own, "%s+%s", slash ? slash + 1 : argv[0], argc > 1 ? argv[1] : "") <
		    0) {
			own = NULL;
			return -ENOMEM;
		}
		service = own;
		/* one that tells us no service tells us no keyword either */
		type = "";
	}
	return gate_request_make(service, env("QREXEC_REMOTE_DOMAIN"), type,
				 str_eq(type, "keyword") ? keyword : env("QREXEC_REQUESTED_TARGET"),
				 &g->q);
}

static int acquire(struct gate *g)
{
	AUTO(paths_done) struct paths paths = {0};
	AUTO_CLOSE int policy_fd = NO_FD, qubesd = NO_FD;
	char path[UNIX_PATH_MAX + 1];
	int r = paths_init(&paths, false);

	if (r == 0 && g->method->filter != GATE_ALL && !str_eq(g->q.source, "dom0")) {
		r = str_format(path, sizeof(path), "%s/" DECISION_SOCKET, paths.run);
		r = r < 0 ? r : io_unix_connect(path, SOCK_STREAM, &policy_fd);
	}
	r = r < 0 ? r : str_format(path, sizeof(path), "%s/qubesd.gate.sock", paths.run);
	r = r < 0 ? r : io_unix_connect(path, SOCK_STREAM, &qubesd);
	if (r < 0)
		return r;
	g->hide.policy_fd = take_fd(&policy_fd);
	g->qubesd = take_fd(&qubesd);
	return 0;
}

/* what the call is refused with, as qubesd would say it */
static int except(const struct gate *g, const char *why)
{
	char text[256], bytes[512];
	size_t len;

	(void)snprintf(text, sizeof(text), "%s: %s", g->q.method[0] ? g->q.method : "the call",
		       why);
	len = admin_exception_encode("ProtocolError", text, bytes, sizeof(bytes));
	return io_write_full(STDOUT_FILENO, bytes, len) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* the line in front of a stream, byte by byte: what is behind it is not ours */
static int hear_size(char *to, size_t *ret_len)
{
	size_t n = 0;
	int r = 0;

	while (r == 0 && n < GATE_SIZED_MAX && (n == 0 || to[n - 1] != '\n')) {
		r = io_read_full(STDIN_FILENO, to + n, 1);
		n += r == 0;
	}
	*ret_len = n;
	return r == -ENODATA ? 0 : r;
}

/* Return: 0; GATE_E_PAYLOAD; -EFBIG: more than a request may be; -errno */
static int hear(struct gate *g)
{
	static char payload[ADMIN_MAX_REQUEST + 1];
	AUTO_FREE char *all = NULL;
	size_t len = 0;
	int r = 0;

	if (g->method->payload == GATE_SIZED) {
		r = hear_size(payload, &len);
	} else if (g->method->payload != GATE_STREAM) {
		r = io_read_all(STDIN_FILENO, ADMIN_MAX_REQUEST, &all, &len);
		if (r == 0)
			memcpy(payload, all, len);
	}
	if (r < 0)
		return r;
	g->q.payload = (const uint8_t *)payload;
	g->q.payload_len = len;
	return gate_payload_check(g->method, payload, len);
}

static int ask(const struct gate *g)
{
	static char request[ADMIN_MAX_REQUEST];
	const bool stream = g->method->payload == GATE_STREAM || g->method->payload == GATE_SIZED;
	const int input = STDIN_FILENO;
	size_t len;
	int r;

	if (admin_request_encode(&g->q, request, sizeof(request), &len) != 0)
		return -EFBIG;
	r = stream ? io_send_msg(g->qubesd, request, len, &input, 1)
		   : io_write_full(g->qubesd, request, len);
	if (r == 0 && shutdown(g->qubesd, SHUT_WR) < 0)
		r = fail_errno();
	/* from here on it is the job's: when that ends, whoever writes to it is told */
	if (r == 0 && stream)
		(void)close(STDIN_FILENO);
	return r;
}

/* what is hidden from nobody, as it comes. Return: 0; -ENODATA: nothing came; -errno */
static int pass_on(int from, int to)
{
	static char bytes[65536];
	bool any = false;

	for (;;) {
		ssize_t n = read(from, bytes, sizeof(bytes));
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? fail_errno() : any ? 0 : -ENODATA;
		r = io_write_full(to, bytes, (size_t)n);
		if (r < 0)
			return r;
		any = true;
	}
}

static int answer(const struct gate *g)
{
	AUTO_FREE char *bytes = NULL;
	size_t len;
	int r;

	switch (g->method->filter) {
	case GATE_EVENTS:
		return hide_events(&g->hide, g->method, g->qubesd, STDOUT_FILENO);
	case GATE_LIST:
		r = io_read_all(g->qubesd, ANSWER_MAX, &bytes, &len);
		if (r == 0 && len == 0)
			r = -ENODATA;
		return r < 0 ? r : hide_list(&g->hide, bytes, len, STDOUT_FILENO);
	case GATE_ALL:
		break;
	}
	return pass_on(g->qubesd, STDOUT_FILENO);
}

/* the end of a call that did not get that far */
static int give_up(const struct gate *g, int r)
{
	if (r < 0)
		return complain(g, log_errno_str(r));
	return except(g, g->method->payload == GATE_NOTHING ? "unexpected payload"
							    : gate_outcome_str(r));
}

int main(int argc, char **argv)
{
	struct gate g = {.qubesd = NO_FD, .hide = {.policy_fd = NO_FD}};
	int r = learn(&g, argc, argv);
	bool filtered;

	if (r < 0)
		return complain(&g, log_errno_str(r));
	if (r == GATE_E_FORMAT)
		return complain(&g, gate_outcome_str(r));
	if (r > 0)
		return except(&g, gate_outcome_str(r));
	g.method = gate_method_find(g.q.method);
	if (!g.method)
		return except(&g, gate_outcome_str(GATE_E_METHOD));
	g.hide.source = g.q.source;
	/* a list or a stream has no payload, so there is nothing to be taken apart: its end is awaited while nothing is held
	 * yet of what others need, too */
	filtered = g.method->filter != GATE_ALL;
	r = filtered ? hear(&g) : 0;
	r = r != 0 ? r : acquire(&g);
	if (r != 0)
		return give_up(&g, r);
	r = confine();
	if (r < 0)
		return complain(&g, "it cannot be confined");
	r = filtered ? hide_begin(&g.hide, g.method) : hear(&g);
	r = r != 0 ? r : ask(&g);
	r = r != 0 ? r : answer(&g);
	return r != 0 ? give_up(&g, r) : EXIT_SUCCESS;
}
