/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qrexec-policyd: decides every call from one qube to another or to dom0.
 *
 * Runs as	an id of its own if started as root (--uid), else as the session's user
 * Holds	the listening socket for questions, the connection to qubesd, the log of decisions
 * Trusts	qubesd; who may connect (dom0's programs) to say who the caller is; no other word of
 *		a question, for a qube wrote it
 * Needs	no file, no name, no process once it serves; accept, read, write
 *
 * Started by qubesd (doc/protocol/picture.md) as
 *	qrexec-policyd --feed-fd F --listen-fd F [--log-fd F --log-fd F] [--uid U]
 *		--policy-dir DIR... [--legacy-dir DIR] [--prompt-socket PATH]
 *
 * Its child, the loader, reads the policy's files, and hands it the compiled table each time that
 * they change; and a connection to the session's prompt for each call that the policy asks about. Until it has a table and a picture of the qubes it refuses every call; so it does
 * while the policy has a fault. It ends when qubesd or the loader do, and qubesd starts another.
 */
#include "policyd.h"

#include "base/io.h"
#include "base/str.h"
#include "ruleset/ruleset.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#define FOLDERS_MAX 4

struct options {
	int feed_fd, listen_fd, log_fds[2];
	unsigned n_log_fds, n_folders;
	uid_t uid;
	const char *folders[FOLDERS_MAX + 1], *legacy, *prompt, *instance;
};

static const char usage_text[] =
	"usage: qrexec-policyd --feed-fd F --listen-fd F [--log-fd F --log-fd F] [--uid U]\n"
	"                      [--policy-dir DIR]... [--legacy-dir DIR] [--prompt-socket PATH]\n"
	"                      [--instance DIR]\n"
	"\n"
	"Decides qrexec calls by the policy. qubesd starts it.\n"
	"\n"
	"  --feed-fd F       connected to qubesd, which says what the qubes are\n"
	"  --listen-fd F     listening socket for questions\n"
	"  --log-fd F        file for decisions beside the journal; two are written in turn\n"
	"  --uid U           user and group id to become when started as root\n"
	"  --policy-dir DIR  folder of policy files; of two with one name the former folder's counts\n"
	"                    (default /run/qubes/policy.d and /etc/qubes/policy.d)\n"
	"  --legacy-dir DIR  folder of R4.0 policy files (default /etc/qubes-rpc/policy)\n"
	"  --prompt-socket PATH  where the person is asked, or in terminals/ beside it; else refused\n"
	"  --instance DIR    whose decisions these are, as the journal is told\n"
	"  --help, --version\n"
	"\n"
	"Exit codes: 1 it could not start or go on; 2 usage.\n";

static int usage(const char *what)
{
	(void)fprintf(stderr, "qrexec-policyd: %s; see qrexec-policyd --help\n", what);
	return -EINVAL;
}

static int number(const char *text, uint64_t max, int *ret)
{
	uint64_t v;

	if (str_u64(text, max, &v) < 0)
		return usage("not a number in range");
	*ret = (int)v;
	return 0;
}

static int folder(const char *path, const char **ret)
{
	if (path[0] != '/' || path[strlen(path) - 1] == '/')
		return usage("a folder's absolute path wanted, without a slash at its end");
	*ret = path;
	return 0;
}

static int parse_one(struct options *o, int c)
{
	int uid = 0, r;

	switch (c) {
	case 'f':
		return number(optarg, INT32_MAX, &o->feed_fd);
	case 'l':
		return number(optarg, INT32_MAX, &o->listen_fd);
	case 'L':
		if (o->n_log_fds == 2)
			return usage("two files for decisions, no more");
		return number(optarg, INT32_MAX, &o->log_fds[o->n_log_fds++]);
	case 'u':
		r = number(optarg, INT32_MAX, &uid);
		o->uid = (uid_t)uid;
		return r;
	case 'd':
		if (o->n_folders == FOLDERS_MAX)
			return usage("too many folders");
		return folder(optarg, &o->folders[o->n_folders++]);
	case 'r':
		return folder(optarg, &o->legacy);
	case 'p':
		return folder(optarg, &o->prompt);
	case 'i':
		return folder(optarg, &o->instance);
	case 'h':
		(void)fputs(usage_text, stdout);
		exit(0);
	case 'V':
		(void)puts("qrexec-policyd (Bulkhead) " BULKHEAD_VERSION);
		exit(0);
	default:
		return usage("unknown option");
	}
}

static int parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"feed-fd", required_argument, NULL, 'f'},
		{"listen-fd", required_argument, NULL, 'l'},
		{"log-fd", required_argument, NULL, 'L'},
		{"uid", required_argument, NULL, 'u'},
		{"policy-dir", required_argument, NULL, 'd'},
		{"legacy-dir", required_argument, NULL, 'r'},
		{"prompt-socket", required_argument, NULL, 'p'},
		{"instance", required_argument, NULL, 'i'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{0},
	};
	int c, r = 0;

	*o = (struct options){.feed_fd = NO_FD,
			      .listen_fd = NO_FD,
			      .log_fds = {NO_FD, NO_FD},
			      .legacy = RULESET_LEGACY_DIR};
	while (r == 0 && (c = getopt_long(argc, argv, "h", longs, NULL)) != -1)
		r = parse_one(o, c);
	if (r < 0)
		return r;
	if (optind < argc || o->feed_fd < 0 || o->listen_fd < 0)
		return usage("--feed-fd and --listen-fd wanted, and no words");
	if (o->n_log_fds == 1)
		return usage("--log-fd is given twice or not at all");
	if (o->n_folders == 0) {
		o->folders[0] = "/run/qubes/policy.d";
		o->folders[1] = "/etc/qubes/policy.d";
	}
	return 0;
}

/* it has heard of policy and qubes, or has waited for that long enough */
static bool is_ready(const struct policyd *d)
{
	return (d->table.heard && d->qubes.settled) || io_now_ms() >= d->started_ms + READY_MS;
}

static int acquire(const struct options *o, struct policyd *d)
{
	const struct loader_places places = {o->folders, o->legacy, o->prompt};
	int r = loader_start(&places, &d->loader_fd);

	if (r < 0) {
		log_err(NULL, "the policy's loader cannot be started: %s", log_errno_str(r));
		return r;
	}
	d->feed_fd = o->feed_fd;
	d->listen_fd = o->listen_fd;
	d->clients_last = &d->clients;
	d->started_ms = io_now_ms();
	r = io_set_nonblock(d->listen_fd, true);
	if (r < 0)
		return r;
	d->audit.fds[0] = o->log_fds[0];
	d->audit.fds[1] = o->log_fds[1];
	d->audit.instance = o->instance;
	return audit_init(&d->audit);
}

static int least(int a, int b)
{
	if (a < 0 || b < 0)
		return a < 0 ? b : a;
	return a < b ? a : b;
}

static int timeout_ms(const struct policyd *d, uint64_t now)
{
	int ms = clients_timeout_ms(d);

	if (!is_ready(d))
		ms = least(ms, READY_MS);
	return d->accept_ms > now ? least(ms, (int)(d->accept_ms - now)) : ms;
}

static int turn(struct policyd *d)
{
	static struct pollfd p[3 + CLIENTS_MAX + PROMPTS_MAX];
	/* looked at once: while the listener is left out there is an end to the wait */
	const uint64_t now = io_now_ms();
	const bool whole = qubes_are_whole(&d->qubes);
	const bool accepting =
		whole && is_ready(d) && d->n_clients < CLIENTS_MAX && now >= d->accept_ms;
	const unsigned n_clients = whole ? clients_poll(d, p + 3) : 0;
	int r = 0;

	p[0] = (struct pollfd){d->feed_fd, POLLIN, 0};
	p[1] = (struct pollfd){d->loader_fd, POLLIN, 0};
	p[2] = (struct pollfd){accepting ? d->listen_fd : NO_FD, POLLIN, 0};
	if (d->qubes.out_len > 0)
		p[0].events |= POLLOUT;
	if (poll(p, 3 + n_clients, whole ? timeout_ms(d, now) : -1) < 0)
		return errno == EINTR ? 0 : fail_errno();
	/* first what has changed, so that no question is answered by what was before. It was looked at before the questions:
	 * one may have come in between, and what it is about before that */
	if (p[0].revents == 0 && poll(p, 1, 0) < 0)
		return errno == EINTR ? 0 : fail_errno();
	if (p[0].revents != 0)
		r = qubes_turn(d);
	if (r == 0 && p[1].revents != 0)
		r = table_turn(d);
	if (r < 0)
		return r;
	/* half of a large picture: who asks may know of what the rest of it says, and that is on its way */
	if (!qubes_are_whole(&d->qubes))
		return 0;
	clients_turn(d, p + 3, n_clients);
	return p[2].revents != 0 ? clients_accept(d) : 0;
}

static int serve(struct policyd *d)
{
	int r;

	do
		r = turn(d);
	while (r == 0);
	return r;
}

int main(int argc, char **argv)
{
	static struct policyd d;
	struct options o;
	int r;

	log_open("qrexec-policyd");
	if (parse(argc, argv, &o) < 0)
		return 2;
	if (acquire(&o, &d) < 0 || confine(o.uid) < 0)
		return 1;
	r = serve(&d);
	if (r == -EPIPE || r == -ECONNRESET)
		log_info(NULL, "ends with qubesd");
	else
		log_err(NULL, "cannot go on: %s", log_errno_str(r));
	return 1;
}
