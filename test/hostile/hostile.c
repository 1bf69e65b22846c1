/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A qube that means harm: root in the small template, the guest's own side of Bulkhead killed, and
 * what it talked to taken over. test/hostile.bats pushes it into a qube and watches the others.
 *
 *	hostile ATTACK
 *
 * It ends only with its qube. Static, so that it runs in any guest.
 */
#include "base/attr.h"
#include "base/bytes.h"
#include "base/io.h"
#include "base/str.h"
#include "proto/qrexec.h"
#include "proto/qubesdb.h"
#include "proto/vmux.h"
#include "vchan/vchan.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

static uint8_t block[VMUX_FRAME_MAX];
static uint64_t seed = 88172645463325252u;

static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static void fill_random(void)
{
	for (size_t i = 0; i < sizeof(block); i += 8) {
		uint64_t v = rnd();

		memcpy(block + i, &v, 8);
	}
}

static void pause_ms(long ms)
{
	const struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	(void)nanosleep(&t, NULL);
}

/* process 1 is to know nothing of that program; the others it still looks after */
static void inittab_drop(const char *name)
{
	AUTO_FREE char *text = NULL;
	char kept[4096], program[64];
	size_t n = 0;

	(void)snprintf(program, sizeof(program), "/%s", name);
	if (io_read_file(AT_FDCWD, "/etc/inittab", sizeof(kept) - 1, &text, NULL) < 0)
		return;
	for (char *at = text, *line; (line = strsep(&at, "\n"));)
		if (!strstr(line, program))
			n += (size_t)snprintf(kept + n, sizeof(kept) - n, "%s\n", line);
	(void)!io_write_file(AT_FDCWD, "/etc/inittab", kept, n, 0644);
}

/* kill the programs of that name, and see to it that process 1 does not start them again */
static void depose(const char *name)
{
	DIR *proc;

	inittab_drop(name);
	(void)kill(1, SIGHUP);
	pause_ms(1500);
	proc = opendir("/proc");
	if (!proc)
		return;
	for (struct dirent *e; (e = readdir(proc));) {
		char path[300];
		AUTO_FREE char *comm = NULL;
		uint64_t pid;

		if (str_u64(e->d_name, INT32_MAX, &pid) < 0)
			continue;
		(void)snprintf(path, sizeof(path), "/proc/%s/comm", e->d_name);
		if (io_read_file(AT_FDCWD, path, 64, &comm, NULL) < 0)
			continue;
		comm[strcspn(comm, "\n")] = '\0';
		/* comm is cut at 15 bytes */
		if (strncmp(comm, name, 15) == 0)
			(void)kill((pid_t)pid, SIGKILL);
	}
	(void)closedir(proc);
}

/* the virtio port that vchand had */
static int port_take(void)
{
	depose("vchand");
	for (;;) {
		for (unsigned bus = 0; bus < 8; bus++) {
			char path[32];
			int fd;

			(void)snprintf(path, sizeof(path), "/dev/vport%up1", bus);
			fd = open(path, O_RDWR | O_CLOEXEC);
			if (fd >= 0)
				return fd;
		}
		pause_ms(100);
	}
}

/* --- consoles --- */

static void consoles(void)
{
	static const char *const names[] = {"/dev/console", "/dev/ttyS0", "/dev/hvc0", "/dev/kmsg"};
	int fds[ARRAY_LEN(names)];

	memset(block, 'A', sizeof(block));
	memcpy(block, "\033]0;owned\007\033[2J\r\n", 16);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		fds[i] = open(names[i], O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	for (;;)
		for (size_t i = 0; i < ARRAY_LEN(names); i++)
			if (fds[i] >= 0 && write(fds[i], block, i == 3 ? 900 : 4096) < 0)
				pause_ms(1);
}

/* --- the port --- */

static void port_noise(bool zeros)
{
	int fd = port_take();

	for (;;) {
		if (!zeros)
			fill_random();
		(void)!write(fd, block, sizeof(block));
	}
}

static void hello_send(int fd, uint64_t nonce, uint64_t echo, bool synced)
{
	const struct vmux_hello h = {.version = VMUX_VERSION,
				     .synced = synced,
				     .from_qube = true,
				     .nonce = nonce,
				     .echo = echo,
				     .credit = 4096,
				     .max_streams = 1024,
				     .max_listens = 1024};
	uint8_t frame[VMUX_HELLO_FRAME_LEN];

	vmux_hello_encode(&h, frame);
	(void)!io_write_full(fd, frame, sizeof(frame));
}

/* a new session after another, never a frame in one */
static void port_hellos(void)
{
	int fd = port_take();

	for (;;)
		hello_send(fd, rnd() | 1, rnd() % 3 == 0 ? rnd() : 0, rnd() % 2 == 0);
}

/* an honest start of a session; the tag of our frames */
static uint32_t session_begin(int fd)
{
	uint64_t nonce = rnd() | 1, theirs = 0;
	static uint8_t in[65536];
	size_t n = 0;

	memset(block, 0, sizeof(block));
	(void)!io_write_full(fd, block, sizeof(block));
	hello_send(fd, nonce, 0, false);
	for (;;) {
		struct vmux_hello h;
		ssize_t got = read(fd, in + n, sizeof(in) - n);
		size_t skip;

		if (got <= 0) {
			pause_ms(20);
			continue;
		}
		n += (size_t)got;
		for (;;) {
			skip = vmux_hello_find(in, n);
			memmove(in, in + skip, n - skip);
			n -= skip;
			if (n < VMUX_HELLO_FRAME_LEN)
				break;
			if (vmux_hello_decode(in, VMUX_HELLO_FRAME_LEN, &h) == 0 && !h.from_qube) {
				if (h.nonce != theirs || !h.synced) {
					theirs = h.nonce;
					hello_send(fd, nonce, theirs, h.echo == nonce);
				}
				if (h.echo == nonce)
					return vmux_tag(nonce, theirs);
			}
			memmove(in, in + 1, n - 1);
			n--;
		}
	}
}

static void frame_send(int fd, uint32_t tag, uint8_t type, uint32_t stream, const void *payload,
		       uint32_t len)
{
	static uint8_t frame[VMUX_FRAME_MAX];
	const struct vmux_head h = {.type = type, .stream = stream, .len = len};
	struct wr w = wr_of(frame + VMUX_HEAD_LEN + len, VMUX_TAIL_LEN);

	vmux_head_encode(&h, frame);
	memcpy(frame + VMUX_HEAD_LEN, payload, len);
	wr_le32(&w, tag);
	(void)!io_write_full(fd, frame, VMUX_HEAD_LEN + len + VMUX_TAIL_LEN);
}

/* frames of the session that are each in order as such, but more than anybody was granted */
static void port_frames(void)
{
	int fd = port_take();

	for (;;) {
		uint32_t tag = session_begin(fd), stream = 1;

		for (unsigned n = 0; n < 100000; n++) {
			struct vmux_where w = {0, (uint16_t)(1 + rnd() % 32000),
					       (uint16_t)(rnd() % 1024)};
			uint8_t where[VMUX_WHERE_LEN];

			if (rnd() % 2 == 0)
				w = (struct vmux_where){w.client, 0, w.port};
			vmux_where_encode(&w, where);
			switch (rnd() % 4) {
			case 0:
				frame_send(fd, tag, VMUX_LISTEN, 0, where, sizeof(where));
				break;
			case 1:
				frame_send(fd, tag, VMUX_OPEN, stream, where, sizeof(where));
				stream += 2;
				break;
			case 2:
				frame_send(fd, tag, VMUX_DATA, 1 + 2 * (uint32_t)(rnd() % stream),
					   block, VMUX_PAYLOAD_MAX);
				break;
			default:
				frame_send(fd, tag, VMUX_CREDIT, (uint32_t)rnd(),
					   "\377\377\377\177", 4);
				break;
			}
		}
	}
}

/* in step, then neither reads nor writes: whatever dom0 has for us stays with dom0 */
static void port_mute(void)
{
	int fd = port_take();

	(void)session_begin(fd);
	for (;;)
		(void)pause();
}

/* --- QubesDB --- */

static struct vchan *qubesdb_connect(void)
{
	struct vchan *v = NULL;

	while (vchan_client_new(NULL, VCHAN_SELF, 0, QDB_PORT, 5000, &v) < 0)
		pause_ms(50);
	return v;
}

static void qubesdb_garbage(void)
{
	depose("qubesdb-daemon");
	for (;;) {
		struct vchan *v = qubesdb_connect();

		fill_random();
		while (vchan_write_full(v, block, sizeof(block)) == 0)
			continue;
		vchan_free(v);
	}
}

/* connections without end, all kept */
static void streams(void)
{
	struct vchan *v;

	depose("qubesdb-daemon");
	for (;;)
		if (vchan_client_new(NULL, VCHAN_SELF, 0, QDB_PORT, 1000, &v) < 0)
			pause_ms(5);
}

/* servers for dom0 on every port there is, all kept; each becomes a socket in dom0 */
static void listens(void)
{
	struct vchan *v;

	for (unsigned port = 2000;; port++)
		if (vchan_server_new(NULL, VCHAN_SELF, 0, port % 65000, &v) < 0)
			pause_ms(5);
}

/* well-formed writes, as many and as long as may be, and answers never read */
static void qubesdb_writes(void)
{
	static uint8_t message[QDB_HEADER + QDB_VALUE_MAX];

	depose("qubesdb-daemon");
	memset(message, 'v', sizeof(message));
	for (;;) {
		struct vchan *v = qubesdb_connect();

		for (unsigned i = 0;; i++) {
			char key[32];

			(void)snprintf(key, sizeof(key), "/flood/%u", i);
			if (qdb_head_encode(message, QDB_WRITE, key, strlen(key), QDB_VALUE_MAX) !=
				    0 ||
			    vchan_write_full(v, message, sizeof(message)) < 0)
				break;
		}
		vchan_free(v);
	}
}

/* --- qrexec --- */

static struct vchan *control_accept(void)
{
	for (;;) {
		struct vchan *v = NULL;
		struct pollfd p = {.events = POLLIN};

		if (vchan_server_new(NULL, VCHAN_SELF, 0, QREXEC_PORT_CONTROL, &v) < 0) {
			pause_ms(100);
			continue;
		}
		p.fd = vchan_fd(v);
		if (poll(&p, 1, 10000) == 1 && vchan_accept(v) == 0)
			return v;
		vchan_free(v);
	}
}

static void qrexec_garbage(void)
{
	depose("qrexec-agent");
	for (;;) {
		struct vchan *v = control_accept();

		fill_random();
		while (vchan_write_full(v, block, sizeof(block)) == 0)
			continue;
		vchan_free(v);
	}
}

/* an agent that is there and gone, again and again */
static void qrexec_flap(void)
{
	static uint8_t message[QREXEC_MESSAGE_MAX];
	const struct qrexec_msg m = {.type = QREXEC_HELLO, .version = QREXEC_VERSION};
	size_t n = qrexec_msg_encode(&m, message, sizeof(message));

	depose("qrexec-agent");
	for (;;) {
		struct vchan *v = control_accept();

		(void)!vchan_write_full(v, message, n);
		pause_ms(20);
		vchan_free(v);
	}
}

/* the next message of dom0 */
static int control_receive(struct vchan *v, uint8_t *payload, struct qrexec_msg *ret)
{
	uint8_t head[QREXEC_HEADER_LEN];
	struct qrexec_header h;

	if (vchan_read_full(v, head, sizeof(head)) < 0 ||
	    qrexec_header_decode(QREXEC_DAEMON_TO_AGENT, QREXEC_VERSION, head, &h) != 0 ||
	    vchan_read_full(v, payload, h.len) < 0 ||
	    qrexec_payload_decode(QREXEC_DAEMON_TO_AGENT, QREXEC_VERSION, &h, payload, ret) != 0)
		return -EPROTO;
	return 0;
}

/* takes each command as an agent does, and then sends what is none of the wire, never reading */
static void qrexec_data(void)
{
	static uint8_t message[QREXEC_MESSAGE_MAX];

	depose("qrexec-agent");
	for (;;) {
		struct qrexec_msg m = {.type = QREXEC_HELLO, .version = QREXEC_VERSION};
		struct vchan *v = control_accept(), *data;
		int r = vchan_write_full(v, message,
					 qrexec_msg_encode(&m, message, sizeof(message)));

		while (r == 0 && (r = control_receive(v, message, &m)) == 0) {
			if (m.type != QREXEC_EXEC_CMDLINE ||
			    vchan_client_new(NULL, VCHAN_SELF, m.domid, m.port, 5000, &data) < 0)
				continue;
			fill_random();
			for (unsigned i = 0; i < 64; i++)
				if (vchan_write_full(data, block, sizeof(block)) < 0)
					break;
			vchan_free(data);
		}
		vchan_free(v);
	}
}

/* calls for services, without end */
static void qrexec_calls(void)
{
	static uint8_t message[QREXEC_MESSAGE_MAX];

	depose("qrexec-agent");
	for (;;) {
		struct vchan *v = control_accept();
		struct qrexec_msg m = {.type = QREXEC_HELLO, .version = QREXEC_VERSION};
		size_t n = qrexec_msg_encode(&m, message, sizeof(message));

		m = (struct qrexec_msg){.type = QREXEC_TRIGGER_SERVICE4,
					.target = "dom0",
					.ident = "SOCKET1",
					.service = "qubes.Filecopy",
					.service_len = 14};
		while (vchan_write_full(v, message, n) == 0)
			n = qrexec_msg_encode(&m, message, sizeof(message));
		vchan_free(v);
	}
}

int main(int argc, char **argv)
{
	const char *attack = argc == 2 ? argv[1] : "";

	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	(void)!getrandom(&seed, sizeof(seed), 0);
	if (str_eq(attack, "console"))
		consoles();
	else if (str_eq(attack, "port-garbage"))
		port_noise(false);
	else if (str_eq(attack, "port-zeros"))
		port_noise(true);
	else if (str_eq(attack, "port-hellos"))
		port_hellos();
	else if (str_eq(attack, "port-frames"))
		port_frames();
	else if (str_eq(attack, "port-mute"))
		port_mute();
	else if (str_eq(attack, "qubesdb-garbage"))
		qubesdb_garbage();
	else if (str_eq(attack, "qubesdb-writes"))
		qubesdb_writes();
	else if (str_eq(attack, "qrexec-garbage"))
		qrexec_garbage();
	else if (str_eq(attack, "qrexec-calls"))
		qrexec_calls();
	else if (str_eq(attack, "qrexec-flap"))
		qrexec_flap();
	else if (str_eq(attack, "qrexec-data"))
		qrexec_data();
	else if (str_eq(attack, "streams"))
		streams();
	else if (str_eq(attack, "listens"))
		listens();
	(void)fprintf(stderr, "usage: hostile ATTACK (see the top of its source)\n");
	return 2;
}
