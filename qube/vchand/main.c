/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vchand, the qube's side: carries this qube's vchans over the virtio-serial port.
 *
 * Runs as:	root in the qube
 * Holds:	the port, the directory of the qube's vchan sockets
 * Trusts:	dom0; the qube's programs as much as the qube trusts them
 * Needs:	bind and connect in that directory
 *
 * The qube's own id is VCHAN_SELF in paths; on the wire it is what dom0's last greeting said, which
 * a fork changes. The port outlives its other end: while nobody holds that, the port reports a
 * hang-up all the time, so it is looked at now and then instead of being waited for.
 *
 *	vchand [--dir DIR] [--port PATH | --carrier-fd F]
 *	--dir		of the sockets, default $VCHAN_SOCKET_DIR, else /var/run/vchan
 *	--port		of the carrier, default the virtio port named org.bulkhead.vchan
 *	--carrier-fd	a connected stream socket instead (tests); ends when that is closed
 *	--rings		memory shared with dom0, default that of the ivshmem device with our magic
 *	--rings-link	where the qube's programs find it while dom0 offers it, default /run/bulkhead/rings
 */
#include "base/io.h"
#include "base/log.h"
#include "base/paths.h"
#include "base/str.h"
#include "base/vport.h"
#include "carry/carry.h"
#include "carry/places.h"
#include "proto/ring.h"
#include "vchan/vchan.h"

#include <dirent.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#define PORT_NAME       "org.bulkhead.vchan"
#define RINGS_LINK_DIR  "/run/bulkhead"
#define RINGS_LINK_PATH RINGS_LINK_DIR "/rings"
#define PCI_DEVICES     "/sys/bus/pci/devices"
/** LOOK_MS - between looks at a port whose other end is gone */
#define LOOK_MS 50
/** APPEAR_MS - between looks for a port that is not there yet */
#define APPEAR_MS 100
#define MAX_FDS   8192

struct vchand {
	const char *dir, *port;
	const char *rings_path, *rings_link;
	uint8_t *rings;
	int claims_fd;
	int fd; /* the port, or the socket */
	bool is_port;
	bool said_absent;
	uint16_t domid;
	struct carry *carry;
	struct places *places;
	struct log_limit limit;
};

static uint64_t random_nonce(void)
{
	uint64_t n = 0;

	if (getrandom(&n, sizeof(n), 0) != sizeof(n))
		abort();
	return n;
}

/* ---- places: the wire's ids, the paths' ids ---- */

static uint16_t to_path(const struct vchand *v, uint16_t id)
{
	return id == v->domid ? VCHAN_SELF : id;
}

static int path_of(const struct vchand *v, const struct vmux_where *w, char *to, size_t size)
{
	return paths_vchan_socket(v->dir, to_path(v, w->server), to_path(v, w->client), w->port, to,
				  size);
}

/* ---- hooks of carry ---- */

static void look_again(struct vchand *v);
static void offer_rings(struct vchand *v, bool up);

static void on_session(void *data, bool up, uint16_t domid)
{
	struct vchand *v = data;

	if (up)
		v->domid = domid;
	offer_rings(v, up);
	if (log_allowed(&v->limit, NULL))
		log_info(NULL,
			 up ? "in session with dom0, as domain %u" : "session of domain %u ended",
			 v->domid);
	if (up)
		look_again(v); /* our id on the wire may be a new one */
}

static enum carry_answer on_announced(void *data, const struct vmux_where *w, bool there)
{
	struct vchand *v = data;

	(void)there;
	return w->client == v->domid && w->server != v->domid ? CARRY_PROXY : CARRY_IGNORE;
}

static int do_bind(void *data, const struct vmux_where *w, int *ret_fd)
{
	char path[UNIX_PATH_MAX + 1];
	int r = path_of(data, w, path, sizeof(path));

	/* the agents' children run as the qube's user */
	if (r == 0)
		r = io_unix_listen(path, SOCK_STREAM, 0666, ret_fd);
	if (r < 0)
		log_warn(NULL, "no proxy for port %u of domain %u: %s", w->port, w->server,
			 log_errno_str(r));
	return r;
}

static void do_unbind(void *data, const struct vmux_where *w)
{
	char path[UNIX_PATH_MAX + 1];

	if (path_of(data, w, path, sizeof(path)) == 0)
		(void)unlink(path);
}

static int do_connect(void *data, const struct vmux_where *w, int *ret_fd)
{
	struct vchand *v = data;
	char path[UNIX_PATH_MAX + 1];
	int r;

	if (w->server != v->domid)
		return -ENOENT;
	r = path_of(v, w, path, sizeof(path));
	return r < 0 ? r : io_unix_connect_now(path, SOCK_STREAM, ret_fd);
}

static void on_version(void *data, uint32_t version)
{
	struct vchand *v = data;

	if (log_allowed(&v->limit, NULL))
		log_warn(NULL, "dom0 speaks version %u, this qube %u: update the template", version,
			 VMUX_VERSION);
}

static void on_given_up(void *data, const char *why)
{
	(void)data;
	log_err(NULL, "dom0: %s", why);
}

/* Has the port somebody at its other end? */
static bool port_is_alive(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	return poll(&p, 1, 0) >= 0 && !(p.revents & (POLLHUP | POLLERR | POLLNVAL));
}

static void look_at_port(void *data)
{
	struct vchand *v = data;
	int r;

	if (!port_is_alive(v->fd)) {
		carry_timer(v->carry, LOOK_MS, look_at_port, v);
		return;
	}
	r = carry_set_carrier(v->carry, v->fd);
	if (r < 0) {
		log_err(NULL, "cannot watch the port: %s", log_errno_str(r));
		_exit(EXIT_FAILURE); /* to be started again */
	}
}

static int on_cut(void *data)
{
	struct vchand *v = data;

	if (!v->is_port)
		return -ECONNRESET;
	if (log_allowed(&v->limit, NULL))
		log_info(NULL, "dom0's end of the port is gone, waiting for it");
	carry_timer(v->carry, LOOK_MS, look_at_port, v);
	return 0;
}

/* ---- hooks of places: this qube's servers ---- */

static void on_server(void *data, const struct vmux_where *path, bool there)
{
	struct vchand *v = data;
	const struct vmux_where w = {v->domid, path->client, path->port};

	/* before the first session there is no id to announce by: all is looked at again then */
	if (v->domid != 0 && path->client != VCHAN_SELF && carry_server(v->carry, &w, there) < 0)
		log_warn(NULL, "port %u cannot be announced: out of memory", w.port);
}

static void on_stale(void *data, const struct vmux_where *path)
{
	struct vchand *v = data;
	char at[UNIX_PATH_MAX + 1];

	if (path->client == VCHAN_SELF &&
	    paths_vchan_socket(v->dir, path->server, path->client, path->port, at, sizeof(at)) == 0)
		(void)unlink(at);
}

static void look_again(struct vchand *v)
{
	carry_servers_forget(v->carry);
	places_look(v->places);
}

/* ---- memory shared with dom0 ---- */

static int map_rings(struct vchand *v, const char *path)
{
	AUTO_CLOSE int fd = open(path, O_RDWR | O_CLOEXEC);
	void *p = MAP_FAILED;

	if (fd >= 0)
		p = mmap(NULL, RING_HEAD_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return fail_errno();
	v->rings = p;
	return 0;
}

static bool says(const char *device, const char *attribute, const char *value)
{
	char path[PATH_MAX];
	AUTO_FREE char *text = NULL;

	(void)snprintf(path, sizeof(path), PCI_DEVICES "/%s/%s", device, attribute);
	return io_read_file(AT_FDCWD, path, 64, &text, NULL) == 0 &&
	       strncmp(text, value, strlen(value)) == 0;
}

/* No driver has done so; firmware usually has. */
static void enable(const char *path)
{
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		(void)!write(fd, "1", 1);
}

/* The file of claims stays when we end: programs of a predecessor may still hold slots by it. */
static int open_claims(struct vchand *v)
{
	char path[PATH_MAX];

	/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): an option has its argument */
	if (strcmp(v->rings_link, RINGS_LINK_PATH) == 0)
		(void)!io_mkdirs(RINGS_LINK_DIR, 0755);
	if (snprintf(path, sizeof(path), "%s" RINGS_CLAIMS, v->rings_link) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	v->claims_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return v->claims_fd < 0 ? fail_errno() : 0;
}

/* An ivshmem device of the right size has no driver; its memory is a file in sysfs. Without one there are no rings. A fork
 * gets its device after we have started: we look again when a session begins. */
static void find_rings(struct vchand *v)
{
	DIR *dir = v->rings_path ? NULL : opendir(PCI_DEVICES);
	struct dirent *e;
	struct stat st;
	char path[PATH_MAX];
	int r = v->rings_path ? map_rings(v, v->rings_path) : -ENOENT;

	while (r < 0 && dir && (e = readdir(dir))) {
		if (e->d_name[0] == '.' || !says(e->d_name, "vendor", "0x1af4") ||
		    !says(e->d_name, "device", "0x1110"))
			continue;
		(void)snprintf(path, sizeof(path), PCI_DEVICES "/%s/enable", e->d_name);
		enable(path);
		(void)snprintf(path, sizeof(path), PCI_DEVICES "/%s/resource2_wc", e->d_name);
		if (stat(path, &st) == 0 && st.st_size == RING_REGION_SIZE)
			r = map_rings(v, path);
		if (r == 0 && !(v->rings_path = strdup(path))) {
			v->rings = NULL;
			r = -ENOMEM;
		}
	}
	if (dir)
		(void)closedir(dir);
	if (r < 0 && (r != -ENOENT || v->rings_path))
		log_warn(NULL, "no memory shared with dom0: %s", log_errno_str(r));
	r = v->rings ? open_claims(v) : 0;
	if (r < 0) {
		log_warn(NULL, "no memory shared with dom0: %s" RINGS_CLAIMS ": %s", v->rings_link,
			 log_errno_str(r));
		v->rings = NULL;
	}
}

/* A link for the qube's programs, while a session lasts in which dom0 offers rings. */
static void offer_rings(struct vchand *v, bool up)
{
	if (up && !v->rings) {
		find_rings(v);
		if (v->rings)
			carry_set_rings(v->carry, v->rings, v->claims_fd);
	}
	bool offers = up && v->rings && carry_has_rings(v->carry) && ring_is_formatted(v->rings);

	if (!v->rings)
		return;
	__atomic_store_n(ring_carrier(v->rings), offers ? (uint32_t)getpid() : 0, __ATOMIC_RELEASE);
	(void)unlink(v->rings_link);
	if (offers && symlink(v->rings_path, v->rings_link) < 0)
		log_warn(NULL, "cannot make %s: %s", v->rings_link, log_errno_str(-errno));
}

/* ---- the story ---- */

static int open_path(const char *path, int *ret_fd)
{
	int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return fail_errno();
	*ret_fd = fd;
	return 0;
}

static int acquire_port(struct vchand *v)
{
	const struct timespec pause = {.tv_nsec = APPEAR_MS * 1000000L};

	v->is_port = true;
	for (;;) {
		int r = v->port ? open_path(v->port, &v->fd) : vport_open(PORT_NAME, &v->fd);

		if (r == 0)
			return 0;
		/* absent: the device may be found later; busy: a predecessor is just ending */
		if (r != -ENOENT && r != -EBUSY && r != -ENXIO)
			return r;
		if (!v->said_absent)
			log_info(NULL, "waiting for the port %s (%s)",
				 v->port ? v->port : PORT_NAME, log_errno_str(r));
		v->said_absent = true;
		(void)nanosleep(&pause, NULL);
	}
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
	const struct carry_config config = {
		.mux = {.dom0 = false,
			.pool = 16 << 20,
			.first_window = 8192,
			.max_window = 256 << 10,
			.max_streams = 1024,
			.max_listens = 1024,
			.nonce = random_nonce},
		.rings = v->rings,
		.claims_fd = v->claims_fd,
	};
	const struct rlimit fds = {.rlim_cur = MAX_FDS, .rlim_max = MAX_FDS};
	AUTO_CLOSE int dir_fd = NO_FD;
	int r;

	(void)setrlimit(RLIMIT_NOFILE, &fds);
	r = io_mkdirs(v->dir, 0755);
	if (r < 0) {
		log_err(NULL, "cannot make %s: %s", v->dir, log_errno_str(r));
		return r;
	}
	dir_fd = open(v->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return fail_errno();
	/* any program of the qube may serve; the sticky bit keeps their sockets apart */
	if (v->is_port || v->fd < 0)
		(void)fchmod(dir_fd, 01777);
	r = v->fd >= 0 ? io_set_nonblock(v->fd, true) : acquire_port(v);
	if (r == 0)
		r = carry_new(&config, &hooks, &v->carry);
	if (r == 0)
		r = places_new(&dir_fd, VCHAN_SELF, &places_hooks, &v->places);
	return r;
}

static int serve(struct vchand *v)
{
	int r = places_start(v->places, v->carry);

	if (r < 0)
		return r;
	if (v->is_port)
		look_at_port(v);
	else
		r = carry_set_carrier(v->carry, v->fd);
	return r < 0 ? r : carry_run(v->carry);
}

static void usage(FILE *to)
{
	(void)fprintf(to, "usage: vchand [--dir DIR] [--port PATH | --carrier-fd F]\n"
			  "              [--rings PATH] [--rings-link PATH]\n"
			  "Carries this qube's vchans to dom0; see vchand(8).\n");
}

/* Returns -1 to go on, else the exit code. */
static int parse(int argc, char **argv, struct vchand *v)
{
	enum { DIR_ = 1, PORT, CARRIER, RINGS, RINGS_LINK, HELP, VERSION };
	static const struct option long_options[] = {
		{"dir", required_argument, NULL, DIR_},
		{"port", required_argument, NULL, PORT},
		{"carrier-fd", required_argument, NULL, CARRIER},
		{"rings", required_argument, NULL, RINGS},
		{"rings-link", required_argument, NULL, RINGS_LINK},
		{"help", no_argument, NULL, HELP},
		{"version", no_argument, NULL, VERSION},
		{0},
	};
	uint64_t n;
	int c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) >= 0) {
		switch (c) {
		case DIR_:
			v->dir = optarg;
			break;
		case PORT:
			v->port = optarg;
			break;
		case RINGS:
			v->rings_path = optarg;
			break;
		case RINGS_LINK:
			v->rings_link = optarg;
			break;
		case CARRIER:
			if (str_u64(optarg, MAX_FDS, &n) != 0) {
				usage(stderr);
				return 2;
			}
			v->fd = (int)n;
			break;
		case HELP:
			usage(stdout);
			return 0;
		case VERSION:
			(void)puts("vchand " BULKHEAD_VERSION);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind != argc || (v->port && v->fd >= 0)) {
		usage(stderr);
		return 2;
	}
	return -1;
}

int main(int argc, char **argv)
{
	static struct vchand v = {.fd = NO_FD,
				  .claims_fd = NO_FD,
				  .rings_link = RINGS_LINK_PATH,
				  .limit = {.interval_s = 60, .burst = 20}};
	int r;

	log_open("vchand");
	v.dir = vchan_dir();
	r = parse(argc, argv, &v);
	if (r >= 0)
		return r;
	(void)signal(SIGPIPE, SIG_IGN);
	find_rings(&v);
	r = acquire(&v);
	if (r == 0)
		r = serve(&v);
	if (r == -ECONNRESET)
		return EXIT_SUCCESS;
	log_err(NULL, "cannot go on: %s", log_errno_str(r));
	return EXIT_FAILURE;
}
