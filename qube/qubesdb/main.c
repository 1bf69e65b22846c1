/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qubesdb-daemon, the qube's side.
 *
 * Runs as:	root of the qube, without capabilities
 * Holds:	the two local sockets, one connection to dom0 at a time, a socket to its parent
 * Trusts:	dom0; not the qube's users
 * Needs:	no file, no name, no process once it serves; accept, read, write
 *
 * Two processes: the daemon, confined, and its parent (keeper.c), which connects to dom0 for it
 * and tells systemd and the ready file when the first dump is complete.
 *
 *	qubesdb-daemon [--socket-dir DIR]
 *
 * makes DIR/qubesdb.sock, DIR/qubesdb.sock.ro and, once complete, DIR/qubesdb-ready (DIR is
 * /var/run/qubes). Clients may connect before that: they are accepted when the first dump is there.
 * The vchan's directory and our domain id are $VCHAN_SOCKET_DIR and $VCHAN_DOMAIN (32752 if unset).
 */
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "confine.h"
#include "keeper.h"
#include "link.h"
#include "qdb/serve.h"
#include "vchan/vchan.h"

#include <getopt.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

struct daemon {
	struct qdb_serve serve;
	struct link *link;
	int keeper_fd;
};

struct sockets {
	int write_fd, read_fd;
	char ready_path[UNIX_PATH_MAX + 1];
};

static int on_change(void *data, struct qdb_client *c, const struct qdb_msg *m)
{
	struct daemon *d = data;

	return link_change(d->link, c, m);
}

static void on_client_gone(void *data, struct qdb_client *c)
{
	struct daemon *d = data;

	link_client_gone(d->link, c);
}

static int on_keeper(void *data, short events)
{
	struct daemon *d = data;

	(void)events;
	return link_got(d->link);
}

static int on_dom0(void *data, short events)
{
	struct daemon *d = data;

	return link_ready(d->link, events);
}

/* ---- the story
 * ------------------------------------------------------------------------------------ */

/* users in group "qubes" may write, if the qube has that group; everyone may read */
static int share(const char *path)
{
	const struct group *g = geteuid() == 0 ? getgrnam("qubes") : NULL;

	return g && chown(path, 0, g->gr_gid) < 0 ? fail_errno() : 0;
}

static int acquire(const char *dir, struct sockets *s)
{
	char path[UNIX_PATH_MAX + 1];
	int r;

	r = io_mkdirs(dir, 0755);
	if (r == 0)
		r = str_format(s->ready_path, sizeof(s->ready_path), "%s/qubesdb-ready", dir);
	if (r == 0 && unlink(s->ready_path) < 0 && errno != ENOENT)
		r = fail_errno();
	if (r == 0)
		r = str_format(path, sizeof(path), "%s/qubesdb.sock", dir);
	if (r == 0)
		r = io_unix_listen(path, SOCK_STREAM, 0660, &s->write_fd);
	if (r == 0)
		r = share(path);
	if (r == 0)
		r = str_format(path, sizeof(path), "%s/qubesdb.sock.ro", dir);
	if (r == 0)
		r = io_unix_listen(path, SOCK_STREAM, 0666, &s->read_fd);
	if (r < 0)
		log_err(NULL, "cannot listen in %s: %s", dir, log_errno_str(r));
	return r;
}

static int prepare(struct daemon *d, struct sockets *s)
{
	struct qdb_tree *tree;
	int r = qdb_tree_new(1, 0, 0, &tree); /* empty until the first dump takes its place */

	if (r < 0)
		return r;
	qdb_serve_init(&d->serve, tree, d);
	d->serve.change = on_change;
	d->serve.client_gone = on_client_gone;
	qdb_serve_listen(&d->serve, &s->write_fd, false);
	qdb_serve_listen(&d->serve, &s->read_fd, true);
	r = io_set_nonblock(d->keeper_fd, true);
	return r < 0 ? r : link_new(d->keeper_fd, &d->serve, &d->link);
}

static int serve(struct daemon *d)
{
	int r = 0;

	while (r == 0) {
		struct qdb_source sources[] = {
			{.fd = d->keeper_fd, .events = POLLIN, .ready = on_keeper},
			link_source(d->link),
		};

		sources[1].ready = on_dom0;
		r = qdb_serve_turn(&d->serve, sources, ARRAY_LEN(sources),
				   link_timeout_ms(d->link));
		if (r == 0)
			r = link_ready(d->link, 0); /* what clients' changes put there */
		if (r == 0)
			r = link_tick(d->link);
	}
	return r;
}

static int run_daemon(struct daemon *d, struct sockets *s)
{
	int r = prepare(d, s);

	/* dom0 is looked for while the walls go up, and first heard behind them */
	if (r == 0)
		r = link_ask(d->link);
	if (r == 0)
		r = confine();
	if (r == 0)
		r = serve(d);
	if (r < 0 && r != -EPIPE)
		log_err(NULL, "cannot go on: %s", log_errno_str(r));
	return 1;
}

static int start(struct sockets *s)
{
	static struct daemon d;
	const pid_t parent = getpid();
	sigset_t chld;
	int pair[2];
	pid_t pid;

	(void)sigemptyset(&chld);
	(void)sigaddset(&chld, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &chld, NULL) < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return fail_errno();
	pid = fork();
	if (pid < 0)
		return fail_errno();
	if (pid == 0) {
		(void)close(pair[0]);
		d.keeper_fd = pair[1];
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
			_exit(1);
		_exit(run_daemon(&d, s));
	}
	(void)close(pair[1]);
	close_fd(&s->write_fd);
	close_fd(&s->read_fd);
	return keeper_run(pair[0], pid, s->ready_path);
}

static const char usage_text[] =
	"usage: qubesdb-daemon [--socket-dir DIR]\n"
	"\n"
	"Keeps this qube's copy of its QubesDB, in step with dom0's. Makes qubesdb.sock,\n"
	"qubesdb.sock.ro (reading only) and, once all is there, qubesdb-ready in DIR\n"
	"(/var/run/qubes). Finds dom0 in $VCHAN_SOCKET_DIR (/var/run/vchan).\n"
	"\n"
	"  --socket-dir DIR  where the sockets are made\n"
	"  --help, --version\n";

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"socket-dir", required_argument, NULL, 's'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{0},
	};
	struct sockets s = {.write_fd = NO_FD, .read_fd = NO_FD};
	const char *dir = "/var/run/qubes";
	int c;

	log_open("qubesdb-daemon");
	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		switch (c) {
		case 's':
			dir = optarg;
			break;
		case 'h':
			(void)fputs(usage_text, stdout);
			return 0;
		case 'V':
			(void)puts("qubesdb-daemon (Bulkhead) " BULKHEAD_VERSION);
			return 0;
		default:
			return 2;
		}
	}
	if (optind != argc) {
		(void)fprintf(stderr, "qubesdb-daemon: no arguments wanted; see --help\n");
		return 2;
	}
	if (setenv("VCHAN_DOMAIN", "32752", 0) < 0 || acquire(dir, &s) < 0)
		return 1;
	c = start(&s);
	if (c < 0)
		log_err(NULL, "cannot start: %s", log_errno_str(c));
	return c < 0 ? 1 : c;
}
