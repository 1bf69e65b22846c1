/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench/streams: bytes per second through vchans, against raw virtio-serial ports of the same guest.
 *
 *	streams host QEMU KERNEL INITRD DOM0-VCHAND	starts guests, measures, prints; exit 0 only
 * if every ratio holds
 *	streams guest					inside: does what the host says over vchan port
 * 50
 *
 * Both ends take and give bytes with the same calls whatever the channel is, so that a ratio shows
 * what vchand costs. The guests have the processor that the product gives them under TCG. Each figure is the best of ROUNDS runs that alternate with their raw
 * counterpart, since the machine may be busy.
 */
#include "base/io.h"
#include "base/str.h"
#include "loop/ask.h"
#include "proto/ring.h"
#include "proto/ticket.h"
#include "vchan/vchan.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define BOUND        0.7
#define ROUNDS       5
#define MIB          (1u << 20)
#define CONTROL_PORT 50
#define MAX_STREAMS  256
#define WAIT_MS      120000

/** struct order - what the guest shall do; it answers one byte when done */
struct order {
	char op;  /* 's'end or 'r'eceive */
	char raw; /* 0: vchans from @port on, else raw port "raw<@raw>" */
	uint16_t peer, port, n_streams;
	uint64_t bytes; /* on each stream */
};

static void die(const char *what)
{
	(void)fprintf(stderr, "bench/stream: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- moving bytes on some channels at once; both sides use it ---- */

/** struct end - a vchan, or a raw descriptor */
struct end {
	struct vchan *v;
	int fd;
};

static ssize_t move_some(struct end *e, bool sends, char *buf, size_t len)
{
	size_t n;
	int r;

	if (!e->v)
		return sends ? write(e->fd, buf, len) : read(e->fd, buf, len);
	r = sends ? vchan_write(e->v, buf, len, &n) : vchan_read(e->v, buf, len, &n);
	if (r < 0) {
		errno = -r;
		return -1;
	}
	return (ssize_t)n;
}

static struct pollfd polls[2 * MAX_STREAMS];
static bool ready[MAX_STREAMS];
static uint64_t left[MAX_STREAMS];

/* What to poll for; whether some end is ready now. @waits: if none is, the next poll() waits. */
static bool look(bool waits, bool sends, const struct end *ends, unsigned n)
{
	bool any = false;

	for (unsigned i = 0; i < n; i++) {
		struct pollfd *p = &polls[(size_t)2 * i];

		p[0] = p[1] = (struct pollfd){.fd = NO_FD};
		ready[i] = false;
		if (left[i] == 0)
			continue;
		if (!ends[i].v)
			p[0] = (struct pollfd){.fd = ends[i].fd,
					       .events = sends ? POLLOUT : POLLIN};
		else if (waits)
			ready[i] = vchan_poll(ends[i].v, !sends, sends, p);
		else
			ready[i] = vchan_look(ends[i].v, !sends, sends, p);
		any |= ready[i];
	}
	return any;
}

static void move(bool sends, struct end *ends, unsigned n, uint64_t bytes)
{
	static char buf[65536];
	unsigned open = n;

	for (unsigned i = 0; i < n; i++) {
		left[i] = bytes;
		if (!ends[i].v && io_set_nonblock(ends[i].fd, true) < 0)
			die("a descriptor");
	}
	while (open > 0) {
		bool any = look(false, sends, ends, n);

		if (!any)
			any = look(true, sends, ends, n);
		if (poll(polls, 2 * n, any ? 0 : WAIT_MS) <= 0 && !any)
			die("no byte moves any more");
		for (unsigned i = 0; i < n; i++) {
			size_t len = left[i] < sizeof(buf) ? (size_t)left[i] : sizeof(buf);
			ssize_t did;

			if (left[i] == 0 || (!ready[i] && polls[(size_t)2 * i].revents == 0 &&
					     polls[(size_t)2 * i + 1].revents == 0))
				continue;
			did = move_some(&ends[i], sends, buf, len);
			if (did < 0 && errno == EAGAIN)
				continue;
			if (did <= 0)
				die("a channel ended early");
			left[i] -= (uint64_t)did;
			open -= left[i] == 0;
		}
	}
}

/* ---- the guest ---- */

static int open_raw(char which)
{
	DIR *dir = opendir("/sys/class/virtio-ports");
	char want[8] = {'r', 'a', 'w', which, '\n', 0}, path[512];
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		AUTO_FREE char *name = NULL;

		(void)snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", e->d_name);
		if (io_read_file(AT_FDCWD, path, 100, &name, NULL) != 0 || strcmp(name, want) != 0)
			continue;
		(void)snprintf(path, sizeof(path), "/dev/%s", e->d_name);
		(void)closedir(dir);
		return open(path, O_RDWR | O_CLOEXEC);
	}
	return -1;
}

static void obey(const struct order *o)
{
	static struct vchan *v[MAX_STREAMS];
	static struct end ends[MAX_STREAMS];

	if (o->raw) {
		ends[0] = (struct end){.fd = open_raw(o->raw)};
		if (ends[0].fd < 0)
			die("raw port");
		move(o->op == 's', ends, 1, o->bytes);
		(void)close(ends[0].fd);
		return;
	}
	for (unsigned i = 0; i < o->n_streams; i++) {
		unsigned port = o->port + i;
		int r;

		/* between qubes the sender serves */
		if (o->peer != 0 && o->op == 's')
			r = vchan_server_new(NULL, VCHAN_SELF, o->peer, port, &v[i]);
		else
			r = vchan_client_new(NULL, VCHAN_SELF, o->peer, port, WAIT_MS, &v[i]);
		if (r == 0)
			r = vchan_write_full(v[i], "", 0); /* a server waits for its peer */
		if (r < 0) {
			errno = -r;
			die("vchan");
		}
		vchan_allow_rings(v[i]);
		ends[i] = (struct end){.v = v[i]};
	}
	move(o->op == 's', ends, o->n_streams, o->bytes);
	for (unsigned i = 0; i < o->n_streams; i++)
		vchan_free(v[i]);
}

static NORETURN void guest(void)
{
	for (;;) {
		struct vchan *control;
		struct order o;

		if (vchan_client_new(NULL, VCHAN_SELF, 0, CONTROL_PORT, WAIT_MS, &control) < 0)
			die("no control channel");
		while (vchan_read_full(control, &o, sizeof(o)) == 0) {
			obey(&o);
			if (vchan_write_full(control, "k", 1) < 0)
				break;
		}
		vchan_free(control);
	}
}

/* ---- the host ---- */

struct qube {
	unsigned domid;
	char dir[96], vchan_dir[112];
	pid_t qemu, vchand, asked;
	struct vchan *control;
	int raw, rings_fd;
};

static char home[] = "/tmp/bench-stream-XXXXXX";
static pid_t to_kill[16];
static unsigned n_to_kill;

static void clean_up(void)
{
	while (n_to_kill > 0)
		(void)kill(to_kill[--n_to_kill], SIGKILL);
	(void)!io_remove_tree(AT_FDCWD, home);
}

static pid_t child(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0) {
		n_to_kill = 0;
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		return 0;
	}
	to_kill[n_to_kill++] = pid;
	return pid;
}

static int connect_later(const char *path)
{
	for (unsigned i = 0; i < 600; i++) {
		int fd;

		if (io_unix_connect(path, SOCK_STREAM, &fd) == 0)
			return fd;
		(void)poll(NULL, 0, 50);
	}
	die("QEMU made no socket");
	return -1;
}

static void start_qemu(struct qube *q, char **argv)
{
	char chardev[3][200], rings[120];

	(void)snprintf(chardev[0], sizeof(chardev[0]),
		       "socket,id=c0,path=%s/carrier,server=on,wait=off", q->dir);
	(void)snprintf(chardev[1], sizeof(chardev[1]),
		       "socket,id=c1,path=%s/raw,server=on,wait=off", q->dir);
	(void)snprintf(chardev[2], sizeof(chardev[2]), "file,id=c2,path=%s/console", q->dir);
	(void)snprintf(rings, sizeof(rings),
		       "memory-backend-file,id=rings,share=on,size=%uM,mem-path=/proc/self/fd/%d",
		       RING_REGION_SIZE >> 20, q->rings_fd);
	q->qemu = child();
	if (q->qemu != 0)
		return;
	(void)fcntl(q->rings_fd, F_SETFD, 0);
	(void)execl(argv[0], argv[0], "-M", "pc", "-accel", "tcg", "-cpu", "max,-erms,-fsrm", "-m",
		    "256", "-nodefaults", "-nographic", "-no-user-config", "-kernel", argv[1],
		    "-initrd", argv[2], "-append", "console=ttyS0 quiet panic=-1", "-chardev",
		    chardev[2], "-serial", "chardev:c2", "-device", "virtio-serial-pci", "-chardev",
		    chardev[0], "-device", "virtserialport,chardev=c0,name=org.bulkhead.vchan",
		    "-chardev", chardev[1], "-device", "virtserialport,chardev=c1,name=raw1",
		    "-object", rings, "-device", "ivshmem-plain,memdev=rings,master=on", NULL);
	_exit(99);
}

static void start_vchand(struct qube *q, const char *program)
{
	char path[128], args[6][40];
	int ask[2], carrier, dir_fd, control_fd;
	unsigned id = q->domid;

	(void)snprintf(path, sizeof(path), "%s/carrier", q->dir);
	carrier = connect_later(path);
	(void)snprintf(path, sizeof(path), "%s/tickets", q->dir);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ask) < 0 ||
	    io_unix_listen(path, SOCK_SEQPACKET, 0600, &control_fd) < 0)
		die("socket");
	q->asked = child();
	if (q->asked == 0) {
		const struct ask_rules rules = {.kinds = 14,
						.vchan_dir = q->vchan_dir,
						.bind_server = id,
						.bind_port = ASK_ANY,
						.connect_client = id,
						.connect_port = ASK_ANY};
		struct pollfd p = {.fd = 3, .events = POLLIN};
		int r;

		(void)dup2(ask[0], 3);
		(void)close_range(4, ~0u, 0);
		do {
			(void)poll(&p, 1, -1);
			r = ask_answer(3, &rules);
		} while (r == 0 || r == -EAGAIN);
		_exit(0);
	}
	dir_fd = open(q->vchan_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	q->vchand = child();
	if (q->vchand == 0) {
		const int fds[5] = {carrier, ask[1], dir_fd, control_fd, q->rings_fd};
		const char *const names[5] = {"carrier-fd", "ask-fd", "vchan-dir-fd", "control-fd",
					      "rings-fd"};

		for (unsigned i = 0; i < 5; i++) {
			(void)fcntl(fds[i], F_SETFD, 0);
			(void)snprintf(args[i], sizeof(args[i]), "--%s=%d", names[i], fds[i]);
		}
		(void)snprintf(args[5], sizeof(args[5]), "--domid=%u", id);
		(void)execl(program, "vchand", args[0], args[1], args[2], args[3], args[4], args[5],
			    "bench", NULL);
		_exit(99);
	}
	(void)close(ask[0]);
	(void)close(ask[1]);
	(void)close(carrier);
	(void)close(dir_fd);
	(void)close(control_fd);
}

static void qube_start(struct qube *q, unsigned domid, char **argv)
{
	char path[128];
	int r;

	q->domid = domid;
	(void)snprintf(q->dir, sizeof(q->dir), "%s/%u", home, domid);
	(void)snprintf(q->vchan_dir, sizeof(q->vchan_dir), "%s/vchan", q->dir);
	if (io_mkdirs(q->vchan_dir, 0700) < 0)
		die("directory");
	r = vchan_server_new(q->vchan_dir, 0, domid, CONTROL_PORT, &q->control);
	if (r < 0)
		die("control channel");
	q->rings_fd = memfd_create("rings", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (q->rings_fd < 0 || ftruncate(q->rings_fd, RING_REGION_SIZE) < 0 ||
	    fcntl(q->rings_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		die("memory");
	start_qemu(q, argv);
	start_vchand(q, argv[3]);
	(void)snprintf(path, sizeof(path), "%s/raw", q->dir);
	q->raw = connect_later(path);
}

static void qube_wait(struct qube *q)
{
	struct pollfd p = {.fd = vchan_fd(q->control), .events = POLLIN};

	if (poll(&p, 1, WAIT_MS) != 1 || vchan_accept(q->control) < 0)
		die("the guest does not answer");
}

static void order(struct qube *q, char op, char raw, unsigned peer, unsigned port, unsigned n,
		  uint64_t bytes)
{
	const struct order o = {op, raw, (uint16_t)peer, (uint16_t)port, (uint16_t)n, bytes};

	if (vchan_write_full(q->control, &o, sizeof(o)) < 0)
		die("order");
}

static void done(struct qube *q)
{
	char c;

	if (vchan_read_full(q->control, &c, 1) < 0)
		die("the guest failed; see its console");
}

static double now_s(void)
{
	return (double)io_now_ms() / 1000;
}

static unsigned next_port = 1000;

/* MiB/s between dom0 and the qube; @out: from the qube. */
static double vchan_rate(struct qube *q, bool out, unsigned n, uint64_t total)
{
	static struct vchan *v[MAX_STREAMS];
	static struct end ends[MAX_STREAMS];
	double start;

	for (unsigned i = 0; i < n; i++)
		if (vchan_server_new(q->vchan_dir, 0, q->domid, next_port + i, &v[i]) < 0)
			die("server");
	order(q, out ? 's' : 'r', 0, 0, next_port, n, total / n);
	next_port += n;
	for (unsigned i = 0; i < n; i++) {
		if (vchan_write_full(v[i], "", 0) < 0)
			die("accept");
		ends[i] = (struct end){.v = v[i]};
	}
	start = now_s();
	move(!out, ends, n, total / n);
	done(q); /* the guest has read, or written, all */
	start = now_s() - start;
	for (unsigned i = 0; i < n; i++)
		vchan_free(v[i]);
	return (double)total / MIB / start;
}

static double raw_rate(struct qube *q, bool out, uint64_t total)
{
	struct end end = {.fd = q->raw};
	double start;

	order(q, out ? 's' : 'r', '1', 0, 0, 1, total);
	if (!out)
		(void)poll(NULL, 0, 200); /* the guest opens the port */
	start = now_s();
	move(!out, &end, 1, total);
	done(q);
	return (double)total / MIB / (now_s() - start);
}

static void grant(struct qube *q, unsigned server, unsigned client, int fd)
{
	const struct ticket t = {TICKET_GRANT, (uint16_t)server, (uint16_t)client,
				 (uint16_t)next_port};
	uint8_t bytes[TICKET_LEN], answer[TICKET_ANSWER_LEN];
	AUTO_CLOSE int sock = NO_FD;
	char path[128];
	int r = -1;

	(void)snprintf(path, sizeof(path), "%s/tickets", q->dir);
	if (ticket_encode(&t, bytes) != 0 || io_unix_connect(path, SOCK_SEQPACKET, &sock) < 0 ||
	    io_send_msg(sock, bytes, sizeof(bytes), &fd, 1) < 0 ||
	    io_read_full(sock, answer, sizeof(answer)) < 0 ||
	    ticket_answer_decode(answer, sizeof(answer), &r) != 0 || r < 0)
		die("ticket");
}

static double qubes_vchan_rate(struct qube *a, struct qube *b, uint64_t total)
{
	double start;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		die("socketpair");
	order(a, 's', 0, b->domid, next_port, 1, total);
	order(b, 'r', 0, a->domid, next_port, 1, total);
	start = now_s();
	grant(a, a->domid, b->domid, pair[0]);
	grant(b, a->domid, b->domid, pair[1]);
	(void)close(pair[0]);
	(void)close(pair[1]);
	next_port++;
	done(a);
	done(b);
	return (double)total / MIB / (now_s() - start);
}

static double qubes_raw_rate(struct qube *a, struct qube *b, uint64_t total)
{
	double start;
	pid_t cat;

	order(b, 'r', '1', 0, 0, 1, total);
	(void)poll(NULL, 0, 200);
	start = now_s();
	cat = child();
	if (cat == 0) {
		(void)!io_set_nonblock(a->raw, false);
		(void)!io_set_nonblock(b->raw, false);
		(void)dup2(a->raw, 0);
		(void)dup2(b->raw, 1);
		(void)execlp("cat", "cat", NULL);
		_exit(99);
	}
	order(a, 's', '1', 0, 0, 1, total);
	done(a);
	done(b);
	start = now_s() - start;
	(void)kill(cat, SIGKILL);
	(void)waitpid(cat, NULL, 0);
	n_to_kill--;
	return (double)total / MIB / start;
}

struct result {
	const char *what, *against;
	double rate, base;
};

static void best(double *at, double rate)
{
	if (rate > *at)
		*at = rate;
}

static int report(const struct result *r, unsigned n)
{
	double least = 1e9;

	for (unsigned i = 0; i < n; i++) {
		double ratio = r[i].rate / r[i].base;

		(void)printf("%-34s %7.1f MiB/s   %-34s %7.1f MiB/s   %.2fx\n", r[i].what,
			     r[i].rate, r[i].against, r[i].base, ratio);
		least = ratio < least ? ratio : least;
	}
	(void)printf("stream: least ratio %.2f (bound %.2f)\n", least, BOUND);
	return least >= BOUND ? 0 : 1;
}

static int host(char **argv)
{
	enum { OUT, IN, OUT_MANY, IN_MANY, QUBES, N };
	struct result r[N] = {
		[OUT] = {"one vchan, out of the qube", "raw port, out", 0, 0},
		[IN] = {"one vchan, into the qube", "raw port, in", 0, 0},
		[OUT_MANY] = {"256 vchans at once, out", "one vchan, out", 0, 0},
		[IN_MANY] = {"256 vchans at once, in", "one vchan, in", 0, 0},
		[QUBES] = {"vchan, qube to qube", "two raw ports joined by cat", 0, 0},
	};
	/* many streams: 8 MiB each, of which the first 32 KiB to 100 KiB cross before it has moved to its rings */
	const uint64_t out = 256 * MIB, in = 128 * MIB, many = MAX_STREAMS * (uint64_t)(8 * MIB);
	static struct qube a, b;

	if (!mkdtemp(home))
		die("a temporary directory");
	(void)atexit(clean_up);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)fprintf(stderr, "bench/stream: starting two guests...\n");
	qube_start(&a, 7, argv);
	qube_start(&b, 9, argv);
	qube_wait(&a);
	qube_wait(&b);
	for (unsigned i = 0; i < ROUNDS; i++) {
		(void)fprintf(stderr, "bench/stream: round %u of %u...\n", i + 1, ROUNDS);
		best(&r[OUT].base, raw_rate(&a, true, out));
		best(&r[OUT].rate, vchan_rate(&a, true, 1, out));
		best(&r[OUT_MANY].rate, vchan_rate(&a, true, MAX_STREAMS, many));
		best(&r[IN].base, raw_rate(&a, false, in));
		best(&r[IN].rate, vchan_rate(&a, false, 1, in));
		best(&r[IN_MANY].rate, vchan_rate(&a, false, MAX_STREAMS, many));
		best(&r[QUBES].base, qubes_raw_rate(&a, &b, in));
		best(&r[QUBES].rate, qubes_vchan_rate(&a, &b, in));
	}
	r[OUT_MANY].base = r[OUT].rate;
	r[IN_MANY].base = r[IN].rate;
	return report(r, N);
}

int main(int argc, char **argv)
{
	const struct rlimit fds = {.rlim_cur = 4096, .rlim_max = 4096};

	(void)setrlimit(RLIMIT_NOFILE, &fds);
	if (argc == 2 && strcmp(argv[1], "guest") == 0)
		guest();
	if (argc == 6 && strcmp(argv[1], "host") == 0)
		return host(argv + 2);
	(void)fprintf(stderr,
		      "usage: streams host QEMU KERNEL INITRD DOM0-VCHAND | streams guest\n");
	return 2;
}
