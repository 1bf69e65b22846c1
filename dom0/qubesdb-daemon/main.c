/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qubesdb-daemon, dom0's side: one qube's database.
 *
 * Runs as: an id of its own if started as root (--uid), else as the session's user
 * Holds: two listening sockets (one for the qube, one for dom0's programs), the initial entries
 * Trusts: dom0's programs; not one byte of the qube
 * Needs: no file, no name, no process once it serves; accept, read, write
 *
 * Started by qube-monitor as
 *	qubesdb-daemon --domid N --vchan-fd F --local-fd F [--initial-fd F] [--uid U] NAME
 * with
 *	--vchan-fd	listening stream socket at vchan.0.N.111.sock
 *	--local-fd	listening stream socket at qubesdb.NAME.sock
 *	--initial-fd	initial entries: PATH NUL VALUE NUL, and so on to the end of the file
 *			(doc/protocol/qubesdb.md); a memfd open for reading and writing is kept
 *			up to date: give the same one again after a crash
 * or by hand as
 *	qubesdb-daemon [--initial-fd F] [--socket-dir DIR] DOMID NAME
 * which makes both sockets itself, the vchan's in $VCHAN_SOCKET_DIR.
 *
 * Exit codes: 1 it could not start or go on (the monitor starts it again); 2 usage; 3 the qube
 * flooded us and is cut off (do not start it again). There is no 0: SIGTERM just ends it.
 */
#include "base/io.h"
#include "base/log.h"
#include "base/paths.h"
#include "base/str.h"
#include "confine.h"
#include "journal.h"
#include "link.h"
#include "qdb/serve.h"
#include "vchan/vchan.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

struct options {
	unsigned domid;
	int vchan_fd, local_fd, initial_fd;
	uid_t uid;
	const char *socket_dir, *name;
};

struct daemon {
	struct qdb_serve serve;
	struct journal journal;
	struct link *link;
};

/* ---- changes by dom0 ------------------------------------------------------------------------- */

static void on_removed(void *data, const struct qdb_entry *e)
{
	struct daemon *d = data;

	qdb_serve_fire(&d->serve, e->path, e->path_len);
	journal_note(&d->journal, d->serve.tree, e, true);
}

static int on_change(void *data, struct qdb_client *c, const struct qdb_msg *m)
{
	struct daemon *d = data;
	const struct qdb_head *h = &m->head;
	int r;

	(void)c;
	if (h->type == QDB_RM) {
		r = qdb_tree_remove(d->serve.tree, QDB_DOM0, h->path, h->path_len, on_removed, d);
		if (r > 0)
			return QDB_ENOENT;
	} else {
		r = qdb_tree_set(d->serve.tree, QDB_DOM0, h->path, h->path_len, m->value,
				 h->value_len);
		if (r == -ENOMEM)
			return QDB_ERROR;
		qdb_serve_fire(&d->serve, h->path, h->path_len);
		journal_note(&d->journal, d->serve.tree,
			     qdb_tree_get(d->serve.tree, h->path, h->path_len), false);
	}
	if (r != 0)
		return fault(r);
	link_push(d->link, h->type, h->path, h->path_len, m->value, h->value_len);
	return QDB_OK;
}

/* ---- the story ---------------------------------------------------------------------------------
 */

static int listen_by_hand(struct options *o)
{
	char path[UNIX_PATH_MAX + 1];
	struct paths p = {0};
	const char *dir = o->socket_dir;
	char own_dir[UNIX_PATH_MAX + 1];
	int r;

	if (!dir) {
		r = paths_init(&p, true);
		if (r == 0)
			r = str_format(own_dir, sizeof(own_dir), "%s/qubes", p.run);
		paths_done(&p);
		if (r == 0)
			r = io_mkdirs(own_dir, 0700);
		if (r < 0)
			return r;
		dir = own_dir;
	}
	r = str_format(path, sizeof(path), "%s/qubesdb.%s.sock", dir, o->name);
	if (r == 0)
		r = io_unix_listen(path, SOCK_STREAM, 0600, &o->local_fd);
	if (r == 0)
		r = str_format(path, sizeof(path), "%s/vchan.0.%u.%u.sock", vchan_dir(), o->domid,
			       QDB_PORT);
	if (r == 0)
		r = io_unix_listen(path, SOCK_STREAM, 0600, &o->vchan_fd);
	if (r < 0)
		log_err(o->name, "cannot listen on %s: %s", path, log_errno_str(r));
	return r;
}

static int acquire(struct options *o, struct daemon *d)
{
	struct qdb_tree *tree;
	uint64_t seed;
	int r;

	if (o->vchan_fd < 0) {
		r = listen_by_hand(o);
		if (r < 0)
			return r;
	}
	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		return fail_errno();
	r = qdb_tree_new(seed, QDB_QUBE_ENTRIES, QDB_QUBE_BYTES, &tree);
	if (r < 0)
		return r;
	qdb_serve_init(&d->serve, tree, d);
	d->serve.change = on_change;
	r = journal_load(&d->journal, &o->initial_fd, tree);
	if (r < 0) {
		log_err(o->name, "the initial entries cannot be used: %s", log_errno_str(r));
		return r;
	}
	r = io_set_nonblock(o->vchan_fd, true);
	if (r == 0)
		r = io_set_nonblock(o->local_fd, true);
	if (r < 0)
		return r;
	qdb_serve_listen(&d->serve, &o->local_fd, false);
	return link_new(o->name, &o->vchan_fd, &d->serve, &d->journal, &d->link);
}

static int on_connection(void *data, short events)
{
	struct daemon *d = data;

	(void)events;
	return link_accept(d->link);
}

static int on_qube(void *data, short events)
{
	struct daemon *d = data;

	return link_ready(d->link, events);
}

static int serve(struct daemon *d)
{
	int r;

	do {
		int timeout_ms = -1;
		struct qdb_source sources[] = {
			link_listen_source(d->link),
			link_source(d->link, &timeout_ms),
		};

		sources[0].ready = on_connection;
		sources[1].ready = on_qube;
		r = qdb_serve_turn(&d->serve, sources, ARRAY_LEN(sources), timeout_ms);
		/* messages that waited for their time, or for room, may lie in the buffer already
		 */
		if (r == 0)
			r = link_ready(d->link, 0);
	} while (r == 0);
	return r;
}

/* ---- options -----------------------------------------------------------------------------------
 */

static const char usage_text[] =
	"usage: qubesdb-daemon --domid N --vchan-fd F --local-fd F [--initial-fd F] [--uid U] "
	"NAME\n"
	"       qubesdb-daemon [--initial-fd F] [--uid U] [--socket-dir DIR] DOMID NAME\n"
	"\n"
	"Keeps one qube's QubesDB in dom0. The first form is qube-monitor's; the second makes its\n"
	"sockets itself: the qube's in $VCHAN_SOCKET_DIR, the local one in DIR.\n"
	"\n"
	"  --domid N        domain id of the qube\n"
	"  --vchan-fd F     listening socket for the qube\n"
	"  --local-fd F     listening socket for dom0's programs\n"
	"  --initial-fd F   initial entries: PATH NUL VALUE NUL, repeated\n"
	"  --uid U          user and group id to become when started as root\n"
	"  --socket-dir D   where qubesdb.NAME.sock is made\n"
	"  --help, --version\n"
	"\n"
	"Exit codes: 1 cannot start or go on; 2 usage; 3 the qube flooded it and is cut off.\n";

static int usage(const char *what)
{
	(void)fprintf(stderr, "qubesdb-daemon: %s; see qubesdb-daemon --help\n", what);
	return -EINVAL;
}

static int number(const char *text, uint64_t max, unsigned *ret)
{
	uint64_t v;

	if (str_u64(text, max, &v) < 0)
		return usage("not a number in range");
	*ret = (unsigned)v;
	return 0;
}

static int parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"domid", required_argument, NULL, 'd'},
		{"vchan-fd", required_argument, NULL, 'v'},
		{"local-fd", required_argument, NULL, 'l'},
		{"initial-fd", required_argument, NULL, 'i'},
		{"uid", required_argument, NULL, 'u'},
		{"socket-dir", required_argument, NULL, 's'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{0},
	};
	unsigned v = 0;
	int c, r = 0;

	*o = (struct options){.vchan_fd = NO_FD, .local_fd = NO_FD, .initial_fd = NO_FD};
	while (r == 0 && (c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		switch (c) {
		case 'd':
			r = number(optarg, VCHAN_DOMID_MAX, &o->domid);
			break;
		case 'v':
		case 'l':
		case 'i':
			r = number(optarg, INT32_MAX, &v);
			*(c == 'v'   ? &o->vchan_fd
			  : c == 'l' ? &o->local_fd
				     : &o->initial_fd) = (int)v;
			break;
		case 'u':
			r = number(optarg, UINT32_MAX - 1, &o->uid);
			break;
		case 's':
			o->socket_dir = optarg;
			break;
		case 'h':
			(void)fputs(usage_text, stdout);
			exit(0);
		case 'V':
			(void)puts("qubesdb-daemon (Bulkhead) " BULKHEAD_VERSION);
			exit(0);
		default:
			return usage("unknown option");
		}
	}
	if (r < 0)
		return r;
	if ((o->vchan_fd < 0) != (o->local_fd < 0))
		return usage("--vchan-fd and --local-fd belong together");
	if (o->vchan_fd < 0) {
		if (argc - optind != 2)
			return usage("DOMID and NAME wanted");
		r = number(argv[optind++], VCHAN_DOMID_MAX, &o->domid);
		if (r < 0)
			return r;
	}
	if (argc - optind != 1 || !str_is_qube_name(argv[optind], strlen(argv[optind])))
		return usage("a qube's NAME wanted");
	o->name = argv[optind];
	return o->domid == 0 ? usage("a domain id from 1 to 32751 wanted") : 0;
}

int main(int argc, char **argv)
{
	static struct daemon d;
	struct options o;

	log_open("qubesdb-daemon");
	if (parse(argc, argv, &o) < 0)
		return 2;
	if (acquire(&o, &d) < 0 || confine(o.name, o.uid) < 0)
		return 1;
	int r = serve(&d);
	if (r < 0)
		log_err(o.name, "cannot go on: %s", log_errno_str(r));
	return r == LINK_CUT_OFF ? LINK_CUT_OFF : 1;
}
