/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qubes.FeaturesRequest, qubes.NotifyTools, qubes.NotifyUpdates and qubes.SyncAppMenus: what a qube says of itself, taken
 * from its QubesDB or from standard input and handed to qubesd as one report (doc/protocol/report.md, menu.md).
 *
 * runs as	whoever runs the instance, below qrexec-broker; nobody if that is root
 * holds	standard streams, a connection to the qube's qubesdb-daemon, one to qubesd
 * trusts	QREXEC_REMOTE_DOMAIN, which the broker sets. Not the qube, nor the daemon that reads its bytes: both are heard
 *		after this program is confined, and qubesd looks at the report again
 * needs	read and write on what it holds
 */
#include "proto/report.h"
#include "base/io.h"
#include "base/log.h"
#include "base/paths.h"
#include "base/str.h"
#include "proto/admin.h"
#include "proto/menu.h"
#include "qdb/call.h"
#include "sandbox/sandbox.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/** PATIENCE_S - then it is over, whoever does not answer */
#define PATIENCE_S 30
#define ANSWER_MAX 4096
/** HEARD_MAX - bytes of what is said of applications; most of it is in languages that we leave out */
#define HEARD_MAX (UINT64_C(32) << 20)

#define REQUESTS "/features-request/"
#define TOOLS    "/qubes-tools/"

enum source { FROM_REQUESTS, FROM_TOOLS, FROM_INPUT, FROM_MENU };

/* a report or a menu, whichever is longer */
static char payload[MENU_LEN_MAX > REPORT_LEN_MAX ? MENU_LEN_MAX : REPORT_LEN_MAX];

struct reporter {
	const char *service, *qube;
	enum source source;
	struct qdb_call *qdb; /* NULL: not needed */
	int qubesd;
	struct report report;
	int outcome; /* of what the qube said so far */
};

static int complain(const struct reporter *rep, const char *why)
{
	(void)fprintf(stderr, "%s of %s: %s\n", rep->service, rep->qube, why);
	return EXIT_FAILURE;
}

static bool service_known(struct reporter *rep, const char *argv0)
{
	static const char *const services[] = {
		[FROM_REQUESTS] = "qubes.FeaturesRequest",
		[FROM_TOOLS] = "qubes.NotifyTools",
		[FROM_INPUT] = "qubes.NotifyUpdates",
		[FROM_MENU] = "qubes.SyncAppMenus",
	};
	const char *slash = argv0 ? strrchr(argv0, '/') : NULL;

	rep->service = slash ? slash + 1 : argv0;
	for (size_t i = 0; i < ARRAY_LEN(services); i++) {
		rep->source = (enum source)i;
		if (str_eq(rep->service, services[i]))
			return true;
	}
	return false;
}

static int acquire(struct reporter *rep)
{
	AUTO(paths_done) struct paths paths = {0};
	char path[UNIX_PATH_MAX + 1];
	int r = paths_init(&paths, false);

	if (r == 0 && (rep->source == FROM_REQUESTS || rep->source == FROM_TOOLS)) {
		r = str_format(path, sizeof(path), "%s/qubes/qubesdb.%s.sock", paths.run,
			       rep->qube);
		r = r < 0 ? r : qdb_call_open(path, &rep->qdb);
	}
	if (r == 0)
		r = str_format(path, sizeof(path), "%s/qubesd.misc.sock", paths.run);
	return r < 0 ? r : io_unix_connect(path, SOCK_STREAM, &rep->qubesd);
}

static int confine(void)
{
	(void)alarm(PATIENCE_S);
	return sandbox_enter_small();
}

static void claim(struct reporter *rep, const char *name, const char *value)
{
	if (rep->outcome == 0)
		rep->outcome = report_add(&rep->report, name, value);
}

static void requested(void *data, const char *path, const char *value)
{
	/* the prefix was asked for; who answers could say anything */
	if (str_starts(path, REQUESTS))
		claim(data, path + strlen(REQUESTS), value);
}

/* a qube with tools of old says these, and nothing else of it is looked at */
static int tools_read(struct reporter *rep)
{
	static const char *const names[] = {"qrexec", "gui", "gui-emulated", "os"};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(names); i++) {
		AUTO_FREE char *value = NULL;
		char path[sizeof(TOOLS) + 16];

		(void)snprintf(path, sizeof(path), TOOLS "%s", names[i]);
		r = qdb_call_read(rep->qdb, path, &value);
		if (r == 0)
			claim(rep, names[i], value);
		else if (r == QDB_A_ENOENT)
			r = 0;
	}
	return r;
}

/* the whole lines of @buf are heard, what follows them stays in it */
static int lines_hear(struct menu *m, char *buf, size_t *len)
{
	char *at = buf, *end = buf + *len, *newline;
	int r = 0;

	while (r == 0 && (newline = memchr(at, '\n', (size_t)(end - at)))) {
		r = menu_hear(m, at, (size_t)(newline - at));
		at = newline + 1;
	}
	*len = (size_t)(end - at);
	memmove(buf, at, *len);
	return r;
}

/* A menu's bytes from the lines of standard input. Return: 0; an outcome of the menu's; -errno
 *
 * Nothing in the lines says that they are all, and half a menu is not to replace a whole one. A call that breaks off (the
 * caller's qrexec-client-vm killed, its qube gone) does not get here: our relay sends SIGHUP before it closes our input. What is
 * left is a program in the qube that dies and lets the call end in order: seen only if it dies within a line.
 */
static int menu_read(size_t *ret_len)
{
	static struct menu menu;
	static char buf[1 << 16];
	uint64_t heard = 0;
	size_t len = 0;
	ssize_t n = 1;
	int r = 0;

	while (r == 0 && n > 0) {
		/* so much of a line that is nothing is enough to know it by */
		if (len > sizeof(buf) / 2)
			len = MENU_LINE_MAX + 1;
		n = read(STDIN_FILENO, buf + len, sizeof(buf) - len);
		if (n < 0 && errno == EINTR) {
			n = 1;
			continue;
		}
		if (n < 0)
			return fail_errno();
		len += (size_t)n;
		heard += (uint64_t)n;
		r = heard > HEARD_MAX ? MENU_E_LONG : lines_hear(&menu, buf, &len);
	}
	if (r == 0 && len > 0)
		r = MENU_E_CUT;
	if (r == 0) {
		menu_settle(&menu);
		r = menu_encode(&menu, payload, ret_len);
	}
	return r;
}

/* the report's bytes, in @payload. Return: 0; an outcome of the report's; -errno */
static int hear(struct reporter *rep, size_t *ret_len)
{
	int r;

	if (rep->source == FROM_INPUT) {
		AUTO_FREE char *input = NULL;
		uint64_t n;
		size_t len;

		r = io_read_all(STDIN_FILENO, REPORT_COUNT_LEN_MAX, &input, &len);
		if (r < 0)
			return r == -EFBIG ? REPORT_E_FORMAT : r;
		r = report_count_decode(input, len, &n);
		if (r == 0)
			*ret_len = (size_t)snprintf(payload, REPORT_LEN_MAX, "%" PRIu64, n);
		return r;
	}
	r = rep->source == FROM_TOOLS ? tools_read(rep)
				      : qdb_call_each(rep->qdb, REQUESTS, true, requested, rep);
	if (r != 0)
		return r < 0 ? r : -EPROTO;
	*ret_len = report_encode(&rep->report, payload);
	return rep->outcome;
}

/* qubesd's answer decides; its text is for the log */
static int tell(const struct reporter *rep, size_t payload_len)
{
	static char request[sizeof(payload) + 256];
	struct admin_request q = {
		.dest = "dom0", .payload = (const uint8_t *)payload, .payload_len = payload_len};
	AUTO_FREE char *bytes = NULL;
	struct admin_answer a;
	char text[256];
	size_t len;
	int r = str_format(q.method, sizeof(q.method), "%s", rep->service);

	r = r < 0 ? r : str_format(q.source, sizeof(q.source), "%s", rep->qube);
	if (r < 0 || admin_request_encode(&q, request, sizeof(request), &len) != 0)
		return complain(rep, "the report cannot be written down");
	r = io_write_full(rep->qubesd, request, len);
	if (r == 0 && shutdown(rep->qubesd, SHUT_WR) < 0)
		r = fail_errno();
	r = r < 0 ? r : io_read_all(rep->qubesd, ANSWER_MAX, &bytes, &len);
	if (r < 0)
		return complain(rep, log_errno_str(r));
	if (admin_answer_decode(bytes, len, &a) != 0)
		return complain(rep, "qubesd gave no answer");
	if (a.kind == ADMIN_EXCEPTION)
		return complain(rep, admin_answer_text(&a, text, sizeof(text)));
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	static struct reporter rep = {.qubesd = NO_FD};
	const char *qube = getenv("QREXEC_REMOTE_DOMAIN");
	size_t len = 0;
	int r;

	if (!service_known(&rep, argc > 0 ? argv[0] : NULL) || !qube ||
	    !str_is_qube_name(qube, strlen(qube))) {
		(void)fputs("qube-report: a service of dom0: qrexec-broker starts it for a qube\n",
			    stderr);
		return 2;
	}
	rep.qube = qube;
	r = acquire(&rep);
	if (r < 0)
		return complain(&rep, log_errno_str(r));
	r = confine();
	if (r < 0)
		return complain(&rep, "it cannot be confined");
	r = rep.source == FROM_MENU ? menu_read(&len) : hear(&rep, &len);
	if (r != 0)
		return complain(&rep, r < 0                     ? log_errno_str(r)
				      : rep.source == FROM_MENU ? menu_outcome_str(r)
								: report_outcome_str(r));
	r = tell(&rep, len);
	qdb_call_free(rep.qdb);
	return r;
}
