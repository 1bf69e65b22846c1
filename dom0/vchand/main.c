/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vchand, dom0's side: carries the vchans of one QEMU qube.
 *
 * Runs as:	an id of its own if started as root (--uid), else as the session's user
 * Holds:	the carrier to the qube, a socket to its parent, the control socket, the directory
 * of the qube's vchan sockets (to look at) Trusts:	its parent and who sends tickets; not one
 * byte of the qube Needs:	once it serves: accept, read, write; sockets are made by its parent
 * (loop/ask.h)
 *
 * Started by qube-monitor:
 *	vchand --domid N --carrier-fd F --ask-fd F --vchan-dir-fd F [--control-fd F] [--rings-fd F] [--uid U] NAME
 *	--carrier-fd	stream socket, connected to the qube's virtio-serial port
 *	--ask-fd	SEQPACKET socket to the parent
 *	--vchan-dir-fd	directory of the sockets vchan.SERVER.CLIENT.PORT.sock
 *	--control-fd	listening SEQPACKET socket for tickets
 *	--rings-fd	memory shared with the qube, sealed against another size (doc/protocol/ring.md)
 *
 * Exit codes: 0 the carrier was closed (QEMU is gone); 1 it could not start or go on (start it
 * again with a new carrier); 2 usage; 3 the qube broke the protocol (do not start it again, end the
 * qube).
 */
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "carry/carry.h"
#include "carry/places.h"
#include "loop/ask.h"
#include "proto/ring.h"
#include "sandbox/sandbox.h"
#include "tickets.h"

#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define EXIT_HOSTILE 3
#define MAX_FDS      4096

struct options {
	unsigned domid;
	int carrier_fd, ask_fd, control_fd, dir_fd, rings_fd;
	uid_t uid;
	const char *name;
};

struct vchand {
	struct options o;
	struct carry *carry;
	struct places *places;
	struct tickets *tickets;
	struct log_limit limit;
	uint8_t *rings;
};

static uint64_t random_nonce(void)
{
	uint64_t n = 0;

	if (getrandom(&n, sizeof(n), 0) != sizeof(n))
		abort(); /* never for so few bytes; a nonce one can guess would be worse */
	return n;
}

/* ---- hooks of carry ---- */

static int ask_place(struct vchand *v, enum ask_kind kind, const struct vmux_where *w, int *ret_fd)
{
	const struct ask q = {kind, w->server, w->client, w->port};
	int r = ask_call(v->o.ask_fd, &q, ret_fd);

	if (r == -EPIPE) {
		log_err(v->o.name, "the parent is gone, ending");
		_exit(EXIT_FAILURE);
	}
	return r;
}

static void on_session(void *data, bool up, uint16_t domid)
{
	struct vchand *v = data;

	(void)domid;
	if (!up)
		tickets_session_ended(v->tickets);
	if (log_allowed(&v->limit, v->o.name))
		log_info(v->o.name,
			 up ? "its vchand is there" : "its vchand is gone or started anew");
}

/* A server in the qube. For dom0: a proxy. For another qube: known, until a ticket needs it. */
static enum carry_answer on_announced(void *data, const struct vmux_where *w, bool there)
{
	struct vchand *v = data;

	if (w->server != v->o.domid || w->client == v->o.domid)
		return CARRY_VIOLATION;
	if (w->client == 0)
		return CARRY_PROXY;
	tickets_announced(v->tickets, w, there);
	return CARRY_IGNORE;
}

static int do_bind(void *data, const struct vmux_where *w, int *ret_fd)
{
	struct vchand *v = data;
	int r = ask_place(v, ASK_VCHAN_BIND, w, ret_fd);

	if (r < 0 && log_allowed(&v->limit, v->o.name))
		log_warn(v->o.name, "no proxy for its port %u: %s", w->port, log_errno_str(r));
	return r;
}

static void do_unbind(void *data, const struct vmux_where *w)
{
	(void)!ask_place(data, ASK_VCHAN_UNLINK, w, NULL);
}

/* The qube opens a stream: to a server of dom0 for it, or with a ticket. */
static int do_connect(void *data, const struct vmux_where *w, int *ret_fd)
{
	struct vchand *v = data;

	if (w->client != v->o.domid)
		return -EPROTO;
	if (w->server == 0)
		return ask_place(v, ASK_VCHAN_CONNECT, w, ret_fd);
	return tickets_take(v->tickets, w, ret_fd);
}

static void on_version(void *data, uint32_t version)
{
	struct vchand *v = data;

	if (log_allowed(&v->limit, v->o.name))
		log_warn(v->o.name, "its vchand speaks version %u, ours is %u: no channels",
			 version, VMUX_VERSION);
}

static void on_given_up(void *data, const char *why)
{
	struct vchand *v = data;

	log_err(v->o.name, "%s; the qube is cut off", why);
}

static int on_cut(void *data)
{
	struct vchand *v = data;

	log_info(v->o.name, "the carrier was closed, ending");
	return -ECONNRESET;
}

/* ---- hooks of places: servers of dom0 for the qube ---- */

static void on_server(void *data, const struct vmux_where *w, bool there)
{
	struct vchand *v = data;

	if (w->client == v->o.domid && carry_server(v->carry, w, there) < 0)
		log_warn(v->o.name, "port %u cannot be announced: out of memory", w->port);
}

static void on_stale(void *data, const struct vmux_where *w)
{
	struct vchand *v = data;

	if (w->server == v->o.domid && w->client == 0)
		do_unbind(v, w);
}

/* ---- the story ---- */

/* Another size than ours, or one that can still change, would end us with SIGBUS when the qube likes. */
static int map_rings(struct vchand *v)
{
	struct stat st;
	void *p;
	int seals = fcntl(v->o.rings_fd, F_GET_SEALS);

	if (fstat(v->o.rings_fd, &st) < 0 || seals < 0)
		return fail_errno();
	if (st.st_size != RING_REGION_SIZE || !(seals & F_SEAL_SHRINK))
		return -EINVAL;
	p = mmap(NULL, RING_REGION_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, v->o.rings_fd, 0);
	if (p == MAP_FAILED)
		return fail_errno();
	close_fd(&v->o.rings_fd);
	v->rings = p;
	ring_format(p);
	return 0;
}

static int acquire(struct vchand *v)
{
	const struct places_hooks places_hooks = {
		.data = v, .server = on_server, .stale = on_stale};
	const struct carry_hooks hooks = {
		.data = v,
		.session = on_session,
		.announced = on_announced,
		.bind = do_bind,
		.unbind = do_unbind,
		.connect = do_connect,
		.version = on_version,
		.given_up = on_given_up,
		.cut = on_cut,
	};
	int r = v->o.rings_fd >= 0 ? map_rings(v) : 0;
	const struct carry_config config = {
		.mux = {.dom0 = true,
			.domid = (uint16_t)v->o.domid,
			.pool = 16 << 20,
			.first_window = 8192,
			.max_window = 256 << 10,
			.max_streams = 1024,
			.max_listens = 1024,
			.nonce = random_nonce},
		.guarded = true,
		.rings = v->rings,
	};

	if (r == 0)
		r = io_set_nonblock(v->o.carrier_fd, true);
	if (r == 0)
		r = carry_new(&config, &hooks, &v->carry);
	if (r == 0)
		r = places_new(&v->o.dir_fd, 0, &places_hooks, &v->places);
	if (r == 0)
		r = tickets_new(v->o.name, (uint16_t)v->o.domid, &v->o.control_fd, &v->tickets);
	return r;
}

static int confine(const struct vchand *v)
{
	/* clang-format off */
	static const struct sandbox_call calls[] = {
		{"accept4"},		/* proxies, control socket */
		{"epoll_pwait2"},	/* carry: looking at rings in use */
		{"getdents64"},		/* places: looking again after a lost event */
		{"lseek"},		/* same: from the start of the directory */
	};
	/* clang-format on */
	const struct sandbox s = {.calls = calls,
				  .n_calls = ARRAY_LEN(calls),
				  .uid = v->o.uid,
				  .gid = (gid_t)v->o.uid,
				  .max_fds = MAX_FDS};
	unsigned missing = 0;
	int r = sandbox_enter(&s, &missing);

	if (r == 0 && missing != 0)
		log_info(v->o.name, "confined without%s%s",
			 missing & SANDBOX_NO_NAMESPACES ? " namespaces" : "",
			 missing & SANDBOX_NO_LANDLOCK ? " Landlock" : "");
	return r;
}

static int serve(struct vchand *v)
{
	int r = tickets_start(v->tickets, v->carry);

	if (r == 0)
		r = places_start(v->places, v->carry);
	if (r == 0)
		r = carry_set_carrier(v->carry, v->o.carrier_fd);
	if (r == 0)
		r = carry_run(v->carry);
	return r;
}

static void usage(FILE *to)
{
	(void)fprintf(to,
		      "usage: vchand --domid N --carrier-fd F --ask-fd F --vchan-dir-fd F\n"
		      "              [--control-fd F] [--rings-fd F] [--uid U] NAME\n"
		      "Carries the vchans of qube NAME. Started by qube-monitor; see vchand(8).\n");
}

static int parse_fd(const char *text, int *ret)
{
	uint64_t n;

	if (str_u64(text, MAX_FDS, &n) != 0 || fcntl((int)n, F_SETFD, FD_CLOEXEC) < 0)
		return -EINVAL;
	*ret = (int)n;
	return 0;
}

/* Returns -1 to go on, else the exit code. */
static int parse(int argc, char **argv, struct options *o)
{
	enum { DOMID = 1, CARRIER, ASK, DIR, CONTROL, RINGS, UID, HELP, VERSION };
	static const struct option long_options[] = {
		{"domid", required_argument, NULL, DOMID},
		{"carrier-fd", required_argument, NULL, CARRIER},
		{"ask-fd", required_argument, NULL, ASK},
		{"vchan-dir-fd", required_argument, NULL, DIR},
		{"control-fd", required_argument, NULL, CONTROL},
		{"rings-fd", required_argument, NULL, RINGS},
		{"uid", required_argument, NULL, UID},
		{"help", no_argument, NULL, HELP},
		{"version", no_argument, NULL, VERSION},
		{0},
	};
	uint64_t n = 0;
	int c, r = 0;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) >= 0 && r == 0) {
		switch (c) {
		case DOMID:
			r = str_u64(optarg, VMUX_DOMID_MAX, &n);
			o->domid = (unsigned)n;
			break;
		case UID:
			r = str_u64(optarg, UINT32_MAX - 1, &n);
			o->uid = (uid_t)n;
			break;
		case CARRIER:
			r = parse_fd(optarg, &o->carrier_fd);
			break;
		case ASK:
			r = parse_fd(optarg, &o->ask_fd);
			break;
		case DIR:
			r = parse_fd(optarg, &o->dir_fd);
			break;
		case CONTROL:
			r = parse_fd(optarg, &o->control_fd);
			break;
		case RINGS:
			r = parse_fd(optarg, &o->rings_fd);
			break;
		case HELP:
			usage(stdout);
			return 0;
		case VERSION:
			(void)puts("vchand " BULKHEAD_VERSION);
			return 0;
		default:
			r = -EINVAL;
			break;
		}
	}
	if (r < 0 || optind != argc - 1 || o->domid == 0 || o->carrier_fd < 0 || o->ask_fd < 0 ||
	    o->dir_fd < 0 || !str_is_qube_name(argv[optind], strlen(argv[optind]))) {
		usage(stderr);
		return 2;
	}
	o->name = argv[optind];
	return -1;
}

int main(int argc, char **argv)
{
	static struct vchand v = {
		.o = {.carrier_fd = NO_FD,
		      .ask_fd = NO_FD,
		      .control_fd = NO_FD,
		      .dir_fd = NO_FD,
		      .rings_fd = NO_FD},
		.limit = {.interval_s = 60, .burst = 10},
	};
	int r;

	log_open("vchand");
	r = parse(argc, argv, &v.o);
	if (r >= 0)
		return r;
	(void)signal(SIGPIPE, SIG_IGN);
	r = acquire(&v);
	if (r == 0)
		r = confine(&v);
	if (r == 0)
		r = serve(&v);
	if (r == CARRY_GIVEN_UP)
		return EXIT_HOSTILE;
	if (r == -ECONNRESET)
		return EXIT_SUCCESS;
	log_err(v.o.name, "cannot go on: %s", log_errno_str(r));
	return EXIT_FAILURE;
}
