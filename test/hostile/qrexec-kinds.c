/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every kind of message of qrexec, lied about in every way, in each version of the protocol: made from the page's table
 * (doc/protocol/qrexec.md), which stands here once more so that the codec is not asked what it should do.
 *
 *	qrexec-kinds list ROLE			how many lies there are
 *	qrexec-kinds agent DIR FIRST STEP	be the agent of domain 42: lie to its daemon
 *	qrexec-kinds daemon DIR FIRST STEP	be the daemon of domain 42: lie to its agent
 *	qrexec-kinds caller DIR FIRST STEP	be that daemon and the caller of a command: lie to the command's side
 *	qrexec-kinds service DIR FIRST STEP CLIENT...	be that agent and a command's side: lie to the caller, CLIENT
 *	qrexec-kinds local DIR FIRST STEP CLIENT...	be that daemon, taken over: lie to dom0's own CLIENT
 *
 * Of all lies those with the numbers FIRST, FIRST + STEP... are told. Exit 0: each was taken as it should.
 */
#include "rude.h"

#include "base/io.h"
#include "base/str.h"
#include "proto/qrexec.h"
#include "vchan/vchan.h"

#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

/** KEPT_MS - who goes on is looked at for so long */
#define KEPT_MS 300

enum role { AGENT, DAEMON, CALLER, SERVICE, LOCAL, N_ROLES };

static const char *const role_names[N_ROLES] = {"agent", "daemon", "caller", "service", "local"};

/* @roles: who may say it. @text: where a text begins that the payload ends with; 0 = none. @field: a field of text, @ident: an
 * ident; -1 = none */
struct kind {
	uint32_t type;
	unsigned roles, since, min, max, text;
	int field, ident;
};

#define R(role) (1u << (role))

/* clang-format off */
static const struct kind kinds[] = {
	{0x300, R(AGENT) | R(DAEMON) | R(CALLER) | R(SERVICE) | R(LOCAL), 2, 4, 4, 0, -1, -1},	/* HELLO */
	{0x200, R(DAEMON),  2, 10, 65543, 8, -1, -1},		/* EXEC_CMDLINE */
	{0x201, R(DAEMON),  2, 10, 65543, 8, -1, -1},		/* JUST_EXEC */
	{0x202, R(DAEMON),  2, 40, 40, 0, -1, 8},		/* SERVICE_CONNECT */
	{0x203, R(DAEMON),  2, 32, 32, 0, -1, 0},		/* SERVICE_REFUSED */
	{0x210, R(AGENT),   2, 128, 128, 0, 64, 96},		/* TRIGGER_SERVICE */
	{0x211, R(AGENT),   2, 8, 8, 0, -1, -1},		/* CONNECTION_TERMINATED */
	{0x212, R(AGENT),   3, 97, 65097, 96, 0, 64},		/* TRIGGER_SERVICE3 */
	{0x213, R(AGENT),   4, 161, 65161, 160, 64, 128},	/* TRIGGER_SERVICE4 */
	{0x190, R(CALLER),  2, 0, 65536, 0, -1, -1},		/* DATA_STDIN */
	{0x191, R(SERVICE), 2, 0, 65536, 0, -1, -1},		/* DATA_STDOUT */
	{0x192, R(SERVICE), 2, 0, 65536, 0, -1, -1},		/* DATA_STDERR */
	{0x193, R(SERVICE), 2, 4, 4, 0, -1, -1},		/* DATA_EXIT_CODE */
	{0x200, R(LOCAL),   2, 8, 8, 0, -1, -1},		/* the answer to it */
	{0x201, 0, 2, 8, 8, 0, -1, -1},				/* and to what was not asked */
	{0x202, 0, 2, 8, 8, 0, -1, -1},
	{0x0,   0, 2, 0, 0, 0, -1, -1},				/* none */
	{0x204, 0, 2, 0, 0, 0, -1, -1},
	{0x301, 0, 2, 4, 4, 0, -1, -1},
	{0xffffffff, 0, 2, 0, 0, 0, -1, -1},
};
/* clang-format on */

enum way {
	UNTIMELY, /* before HELLO */
	WRONG,    /* of a kind that is not its own, or of another version */
	SHORT,
	EMPTY,
	LONG,
	ENDLESS,
	UNENDED,  /* a text without its NUL */
	INNER,    /* a text with one in it */
	FIELD,    /* a field without one */
	DIRT,     /* bytes behind a field's */
	IDENT,    /* no ident */
	NO_IDENT, /* an empty one */
	TWICE,
	OTHER,   /* the id of another qube */
	DOM0,    /* of none */
	NO_PORT, /* no data channel's */
	FAR_PORT,
	N_WAYS,
};

static const char *const way_names[N_WAYS] = {
	"untimely", "wrong", "short",    "empty", "long",  "endless", "unended", "inner",   "field",
	"dirt",     "ident", "no-ident", "twice", "other", "dom0",    "no-port", "far-port"};

struct lie {
	const struct kind *kind;
	enum way way;
	unsigned version;
	bool cut; /* it is cut off; else what it says is of no consequence */
};

static bool may(enum role role, const struct kind *k, unsigned version)
{
	return (k->roles & R(role)) && k->since <= version;
}

/* a data message is no longer than its version has it */
static unsigned longest(const struct kind *k, unsigned version)
{
	return k->max == 65536 && version == 2 ? 4096 : k->max;
}

/* whether there is such a lie; what comes of it */
static bool lie_make(enum role role, const struct kind *k, enum way way, unsigned version,
		     struct lie *ret)
{
	const bool own = may(role, k, version);
	bool is = own;

	*ret = (struct lie){k, way, version, true};
	switch (way) {
	case UNTIMELY:
		is = version == 4 && k->type != 0x300;
		break;
	case WRONG:
		is = !own;
		break;
	case SHORT:
		is = own && k->min > 1;
		break;
	case EMPTY:
		is = own && k->min > 0;
		break;
	case LONG:
	case ENDLESS:
		break;
	case UNENDED:
	case INNER:
		/* a service with a NUL in it is well-formed, and refused by itself */
		is = own && k->text > 0 && !(way == INNER && role == AGENT);
		break;
	case FIELD:
	case DIRT:
		is = own && k->field >= 0;
		break;
	case IDENT:
	case NO_IDENT:
		is = own && k->ident >= 0;
		break;
	case TWICE:
		/* of these a second one breaks no rule that its receiver could know */
		is = own && k->type != 0x193; /* who has heard the first one is gone */
		ret->cut =
			role == LOCAL || k->type == 0x300 || (k->type >= 0x190 && k->type <= 0x192);
		break;
	case OTHER:
	case DOM0:
	case NO_PORT:
	case FAR_PORT:
		is = own && role == LOCAL && k->type == 0x200;
		break;
	case N_WAYS:
		is = false;
		break;
	}
	return is;
}

/* the lie number @n, if there is one */
static bool lie_get(enum role role, unsigned n, struct lie *ret)
{
	unsigned i = 0;

	for (unsigned version = 2; version <= 4; version++)
		for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
			for (unsigned way = 0; way < N_WAYS; way++)
				if (lie_make(role, &kinds[k], (enum way)way, version, ret) &&
				    i++ == n)
					return true;
	return false;
}

/* ---- saying them --------------------------------------------------------------------------- */

static uint8_t payload[1 << 17];

/* a payload as it should be; its length */
static unsigned payload_make(const struct kind *k)
{
	unsigned len = k->min;

	memset(payload, 0, sizeof(payload));
	if (k->type == 0x300)
		payload[0] = 4;
	if (k->roles == R(LOCAL)) {
		payload[0] = DOMID;
		payload[4] = QREXEC_PORT_DATA & 0xff;
		payload[5] = QREXEC_PORT_DATA >> 8;
	}
	if (k->type == 0x211)
		payload[4] = 1; /* no port */
	if (k->type == 0x210)
		memcpy(payload, "a.B", 4);
	if (k->field >= 0)
		memcpy(payload + k->field, "dom0", 5);
	if (k->ident >= 0)
		memcpy(payload + k->ident, "S9", 3);
	if (k->text > 0) {
		/* a service that no policy allows; a command of nobody's */
		memcpy(payload + k->text, "nosuch:x", 9);
		len = k->text + 9;
	}
	return len;
}

static void hello_say(struct vchan *v, unsigned version)
{
	number(v, 0x300, version);
}

static void tell(struct vchan *v, const struct lie *l)
{
	const struct kind *k = l->kind;
	unsigned len = payload_make(k);

	if (l->way != UNTIMELY && (k->type != 0x300 || l->way == TWICE))
		hello_say(v, l->version);
	switch (l->way) {
	case SHORT:
		len = k->min - 1;
		break;
	case EMPTY:
		len = 0;
		break;
	case LONG:
		header(v, k->type, longest(k, l->version) + 1);
		return;
	case ENDLESS:
		header(v, k->type, UINT32_MAX);
		return;
	case UNENDED:
		payload[len - 1] = 'x';
		break;
	case INNER:
		payload[len - 3] = '\0';
		break;
	case FIELD:
		memset(payload + k->field, 'a', 64);
		break;
	case DIRT:
		payload[k->field + 10] = 'x';
		break;
	case IDENT:
		payload[k->ident + 1] = '\033';
		break;
	case NO_IDENT:
		payload[k->ident] = payload[k->ident + 1] = '\0';
		break;
	case TWICE:
		/* after HELLO one more is the second; of a stream its end is said twice */
		if (k->type != 0x300)
			message(v, k->type, payload, len);
		break;
	case OTHER:
		payload[0]++;
		break;
	case DOM0:
		payload[0] = 0;
		break;
	case NO_PORT:
		payload[4] = 0; /* the control channel's */
		break;
	case FAR_PORT:
		payload[6] = 1;
		break;
	case UNTIMELY:
	case WRONG:
	case N_WAYS:
		break;
	}
	message(v, k->type, payload, len);
}

static bool taken(struct vchan *v, const struct lie *l)
{
	bool refused;
	const bool cut = cut_off(v, l->cut ? PATIENCE_MS : KEPT_MS, &refused);

	return cut == l->cut;
}

/* ---- the roles ----------------------------------------------------------------------------- */

static bool as_agent(const char *dir, const struct lie *l)
{
	struct vchan *v = agent_serve(dir);
	bool ok;

	tell(v, l);
	ok = taken(v, l);
	vchan_free(v);
	return ok;
}

static struct vchan *agent_reach(const char *dir)
{
	struct vchan *v;

	if (vchan_client_new(dir, 0, DOMID, QREXEC_PORT_CONTROL, PATIENCE_MS, &v) < 0)
		give_up("the agent does not listen");
	return v;
}

static bool as_daemon(const char *dir, const struct lie *l)
{
	struct vchan *v = agent_reach(dir);
	bool ok;

	tell(v, l);
	ok = taken(v, l);
	vchan_free(v);
	return ok;
}

static void accept_wait(struct vchan *v)
{
	while (vchan_get_state(v) == VCHAN_WAITING) {
		struct pollfd p = {.fd = vchan_fd(v), .events = POLLIN};

		if (poll(&p, 1, PATIENCE_MS) <= 0)
			give_up("nobody connects");
		(void)!vchan_accept(v);
	}
}

static void message_take(struct vchan *v, enum qrexec_way way, struct qrexec_header *h,
			 uint8_t body[1024])
{
	uint8_t head[QREXEC_HEADER_LEN];

	if (vchan_read_full(v, head, sizeof(head)) < 0)
		give_up("no message came");
	if (qrexec_header_decode(way, 4, head, h) != 0 || h->len > 1024)
		give_up("not a message");
	if (vchan_read_full(v, body, h->len) < 0)
		give_up("half a message");
}

/* the agent's own process for this call hears the lie; the agent says that it is over */
static bool as_caller(const char *dir, const struct lie *l)
{
	static const char command[] = "cat";
	struct vchan *control = agent_reach(dir), *v = NULL;
	uint8_t p[256] = {0}, body[1024];
	const unsigned port = QREXEC_PORT_DATA;
	struct qrexec_header h;
	int len;
	bool ok;

	if (vchan_server_new(dir, 0, DOMID, port, &v) < 0)
		give_up("cannot listen");
	hello_say(control, 4);
	p[4] = (uint8_t)port;
	p[5] = (uint8_t)(port >> 8);
	len = snprintf((char *)p + 8, sizeof(p) - 8, "%s:%s", getpwuid(geteuid())->pw_name,
		       command);
	message(control, 0x200, p, 8 + (uint32_t)len + 1);
	accept_wait(v);
	tell(v, l);
	ok = taken(v, l);
	vchan_free(v);
	message_take(control, QREXEC_AGENT_TO_DAEMON, &h, body); /* HELLO */
	message_take(control, QREXEC_AGENT_TO_DAEMON, &h, body);
	vchan_free(control);
	return ok && h.type == 0x211 && body[4] == p[4] && body[5] == p[5];
}

static bool as_service(struct vchan *control, const char *dir, const struct lie *l, char **client)
{
	uint8_t body[1024], over[8] = {0};
	struct qrexec_header h;
	struct vchan *v;
	bool ok;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		(void)execv(client[0], client);
		_exit(1);
	}
	message_take(control, QREXEC_DAEMON_TO_AGENT, &h, body);
	if (vchan_client_new(dir, DOMID, 0, body[4] | (unsigned)body[5] << 8, PATIENCE_MS, &v) < 0)
		give_up("the caller does not listen");
	tell(v, l);
	ok = taken(v, l);
	vchan_free(v);
	over[4] = body[4];
	over[5] = body[5];
	message(control, 0x211, over, sizeof(over));
	if (waitpid(pid, &status, 0) != pid)
		return false;
	return ok && WIFEXITED(status) && WEXITSTATUS(status) == QREXEC_EXIT_DROPPED;
}

/* a client that is not told what it waits for says so and ends; of more than that it thinks that its call is over */
static bool as_local(const char *dir, const struct lie *l, char **client)
{
	const int code = l->way == TWICE && l->kind->type == 0x200 ? QREXEC_EXIT_DROPPED
								   : QREXEC_EXIT_PROBLEM;
	char path[UNIX_PATH_MAX + 1];
	struct pollfd waiting = {.events = POLLIN};
	struct vchan *v = NULL;
	int listen_fd, fd, status;
	bool refused, ok;
	pid_t pid;

	if (str_format(path, sizeof(path), "%s/qrexec.%d", dir, DOMID) < 0 ||
	    io_unix_listen(path, SOCK_STREAM, 0600, &listen_fd) < 0)
		give_up("cannot listen");
	pid = fork();
	if (pid == 0) {
		(void)execv(client[0], client);
		_exit(1);
	}
	waiting.fd = listen_fd;
	(void)poll(&waiting, 1, PATIENCE_MS);
	fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0 || vchan_new_from_fd(&fd, &v) < 0)
		give_up("no client came");
	(void)close(listen_fd);
	(void)unlink(path);
	tell(v, l);
	ok = cut_off(v, PATIENCE_MS, &refused);
	vchan_free(v);
	if (waitpid(pid, &status, 0) != pid)
		return false;
	return ok && WIFEXITED(status) && WEXITSTATUS(status) == code;
}

static bool play(enum role role, const char *dir, const struct lie *l, char **client)
{
	static struct vchan *control;
	struct qrexec_header h;
	uint8_t body[1024];

	switch (role) {
	case AGENT:
		return as_agent(dir, l);
	case DAEMON:
		return as_daemon(dir, l);
	case CALLER:
		return as_caller(dir, l);
	case SERVICE:
		if (!control) {
			control = agent_serve(dir);
			hello_say(control, 4);
			message_take(control, QREXEC_DAEMON_TO_AGENT, &h, body);
		}
		return as_service(control, dir, l, client);
	case LOCAL:
		return as_local(dir, l, client);
	case N_ROLES:
		break;
	}
	return false;
}

int main(int argc, char **argv)
{
	uint64_t first = 0, step = 1;
	enum role role = AGENT;
	const char *name = argc > 2 && strcmp(argv[1], "list") == 0 ? argv[2]
			   : argc > 1                               ? argv[1]
								    : "";
	struct lie l;

	while (role < N_ROLES && strcmp(role_names[role], name) != 0)
		role++;
	if (role == N_ROLES || argc < 3) {
		(void)fputs("usage: qrexec-kinds list ROLE | ROLE DIR FIRST STEP [CLIENT...]\n",
			    stderr);
		return 2;
	}
	if (name == argv[2]) {
		unsigned n = 0;

		while (lie_get(role, n, &l))
			n++;
		(void)printf("%u\n", n);
		return 0;
	}
	if (argc < 5 || str_u64(argv[3], 1000000, &first) != 0 ||
	    str_u64(argv[4], 1000000, &step) != 0 || step == 0 || (role >= SERVICE && argc < 6))
		give_up("it takes two numbers, and a client");
	(void)signal(SIGPIPE, SIG_IGN); // NOLINT(cert-err33-c)
	for (unsigned n = (unsigned)first; lie_get(role, n, &l); n += (unsigned)step) {
		(void)fprintf(stderr, "%u: %s, version %u, 0x%x %s\n", n, role_names[role],
			      l.version, l.kind->type, way_names[l.way]);
		if (!play(role, argv[2], &l, argv + 5))
			give_up(l.cut ? "it was not cut off" : "it was cut off");
	}
	return 0;
}
