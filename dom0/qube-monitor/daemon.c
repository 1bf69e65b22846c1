/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemons of one qube. Each confines itself and lives from the descriptors it is given here and
 * from what its row of the table lets it ask.
 *
 * One that dies is started again, at most RESTARTS times in RESTART_WINDOW_MS; one that ends with
 * EXIT_HOSTILE met a qube that breaks the rules, and the qube is cut off.
 */
#include "qube-monitor.h"

#include "base/log.h"
#include "base/program.h"
#include "loop/ask.h"
#include "proto/qubesdb.h"

#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define RESTARTS          5
#define RESTART_WINDOW_MS 60000
#define RESTART_DELAY_US  UINT64_C(200000)
#define EXIT_HOSTILE      3
#define ASKS_PER_TURN     16

/* numbers of the descriptors in a daemon */
enum { FD_A = 3 };

struct plan {
	struct spawn_fd fds[5];
	unsigned n_fds;
	int opened; /* here, for this start only; closed after it */
	char args[10][160];
	unsigned n_args;
};

static const struct {
	const char *program;
	uint32_t asks;
} table[N_DAEMONS] = {
	[DAEMON_VCHAND] = {"vchand",
			   1u << ASK_VCHAN_BIND | 1u << ASK_VCHAN_UNLINK | 1u << ASK_VCHAN_CONNECT},
	[DAEMON_QUBESDB] = {"qubesdb-daemon", 0},
	[DAEMON_QREXEC] = {"qrexec-daemon", 1u << ASK_VCHAN_CONNECT | 1u << ASK_QREXEC_BIND |
						    1u << ASK_QREXEC_UNLINK |
						    1u << ASK_AGENT_STATE | 1u << ASK_BROKER},
};

static void add_arg(struct plan *p, const char *format, ...) PRINTF_LIKE(2, 3);
static void add_arg(struct plan *p, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(p->args[p->n_args++], sizeof(p->args[0]), format, args);
	va_end(args);
}

static void add_fd(struct plan *p, const char *option, int from)
{
	int to = FD_A + (int)p->n_fds;

	p->fds[p->n_fds++] = (struct spawn_fd){.from = from, .to = to};
	add_arg(p, "--%s=%d", option, to);
}

static int plan_make(struct daemon *d, int ask_child_fd, struct plan *p)
{
	struct monitor *m = d->m;
	int r;

	add_arg(p, "%s", table[d->kind].program);
	if (d->kind == DAEMON_QREXEC)
		add_arg(p, "--direct");
	else
		add_arg(p, "--domid=%u", m->domid);
	if (m->uid != 0 && geteuid() == 0)
		add_arg(p, "--uid=%u", m->uid);
	switch (d->kind) {
	case DAEMON_VCHAND:
		/* QEMU takes one connection at a time and listens again when it ends */
		r = io_unix_connect_now(m->dir.carrier, SOCK_STREAM, &p->opened);
		if (r < 0)
			return r;
		add_fd(p, "carrier-fd", p->opened);
		add_fd(p, "ask-fd", ask_child_fd);
		add_fd(p, "control-fd", m->dir.vchand_fd);
		add_fd(p, "vchan-dir-fd", m->dir.vchan_dir_fd);
		add_fd(p, "rings-fd", m->rings_fd);
		break;
	case DAEMON_QUBESDB:
		add_fd(p, "vchan-fd", m->dir.qubesdb_vchan_fd);
		add_fd(p, "local-fd", m->dir.qubesdb_local_fd);
		add_fd(p, "initial-fd", m->qdb_fd);
		break;
	case DAEMON_QREXEC:
		add_fd(p, "ask-fd", ask_child_fd);
		add_fd(p, "vchan-dir-fd", m->dir.vchan_dir_fd);
		add_arg(p, "%u", m->domid);
		break;
	case N_DAEMONS:
		return -EINVAL;
	}
	add_arg(p, "%s", m->name);
	if (d->kind == DAEMON_QREXEC && m->default_user[0] != '\0')
		add_arg(p, "%s", m->default_user);
	return 0;
}

static void agent_state(void *data, bool up)
{
	monitor_set_agent(data, up);
}

static void on_broker_end(void *data, const struct child_end *end)
{
	struct child **at = data;

	(void)end;
	child_free(*at);
	*at = NULL;
}

/* Who carries out the calls that the qube makes; not confined, and no daemon: it lives as long as qrexec-daemon holds the
 * other end. */
static int broker_start(void *data, int *ret_fd)
{
	struct monitor *m = data;
	struct plan p = {.opened = NO_FD};
	struct child **slot = m->brokers;
	AUTO_CLOSE int own = NO_FD, its = NO_FD, pidfd = NO_FD;
	char path[PATH_MAX], *argv[ARRAY_LEN(p.args) + 1];
	int pair[2], r = program_find("qrexec-broker", path, sizeof(path));

	if (r < 0)
		return r;
	while (slot < m->brokers + ARRAY_LEN(m->brokers) && *slot)
		slot++;
	if (slot == m->brokers + ARRAY_LEN(m->brokers))
		return -EAGAIN;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return fail_errno();
	own = pair[0];
	its = pair[1];
	add_arg(&p, "qrexec-broker");
	add_fd(&p, "daemon-fd", its);
	add_fd(&p, "seats-fd", m->seats_fd);
	add_arg(&p, "--socket-dir=%s", m->dir.qrexec);
	add_arg(&p, "--vchan-dir=%s", m->dir.vchan);
	add_arg(&p, "--run-dir=%s", m->dir.run);
	add_arg(&p, "%u", m->domid);
	add_arg(&p, "%s", m->name);
	for (unsigned i = 0; i < p.n_args; i++)
		argv[i] = p.args[i];
	argv[p.n_args] = NULL;
	r = spawn(&(struct spawn){.path = path,
				  .argv = argv,
				  .fds = p.fds,
				  .n_fds = p.n_fds,
				  .death_signal = SIGTERM},
		  NULL, &pidfd);
	if (r < 0)
		return r;
	r = child_new(m->event, pidfd, on_broker_end, slot, slot);
	if (r < 0)
		return r; /* it ends with its socket */
	(void)take_fd(&pidfd);
	*ret_fd = take_fd(&own);
	return 0;
}

static int on_ask(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	struct daemon *d = data;
	struct monitor *m = d->m;
	const bool vchand = d->kind == DAEMON_VCHAND;
	const struct ask_rules rules = {
		.kinds = table[d->kind].asks,
		.vchan_dir = m->dir.vchan,
		.bind_server = m->domid,
		.bind_client = 0,
		.bind_port = ASK_ANY,
		.connect_server = vchand ? 0 : m->domid,
		.connect_client = vchand ? m->domid : 0,
		.connect_port = vchand ? ASK_ANY : 512,
		.qrexec_dir = m->dir.qrexec,
		.name = m->name,
		.uuid = m->uuid,
		.domid = m->domid,
		.agent_state = agent_state,
		.broker = broker_start,
		.data = m,
	};

	(void)revents;
	for (int i = 0; i < ASKS_PER_TURN; i++) {
		int r = ask_answer(fd, &rules);

		if (r == -EAGAIN)
			break;
		if (r < 0) {
			/* closed or out of its mind: its end is told by its pidfd, now or soon */
			(void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
			if (r != -ECONNRESET)
				log_warn(m->name, "%s asks what it must not (%s), ending it",
					 table[d->kind].program, log_errno_str(r));
			if (d->child)
				spawn_signal(child_get_pidfd(d->child), SIGKILL);
			break;
		}
	}
	return 0;
}

static void forget(struct daemon *d)
{
	d->ask = sd_event_source_disable_unref(d->ask);
	d->again = sd_event_source_disable_unref(d->again);
	close_fd(&d->ask_fd);
	close_fd(&d->knock_fd);
	child_free(d->child);
	d->child = NULL;
}

static int start(struct daemon *d);

static int on_again(sd_event_source *source, uint64_t usec, void *data)
{
	struct daemon *d = data;
	int r;

	(void)source;
	(void)usec;
	d->again = sd_event_source_disable_unref(d->again);
	r = d->m->ending ? 0 : start(d);
	if (r < 0)
		monitor_end(d->m, false, -r, "%s could not be started again: %s",
			    table[d->kind].program, log_errno_str(r));
	return 0;
}

/*
 * A QEMU that notices the end of vchand's connection while it writes holds back what the guest sends from then on, also
 * to the next one, until a connection ends otherwise (it throttles the port behind the close). So one that brings nothing
 * comes in between. It stays open here, to be ended by QEMU when it reads that end: a write to it must not fail. The
 * guest sees the port closed again long before vchand is back.
 */
static void knock(struct daemon *d)
{
	int r = io_unix_connect_now(d->m->dir.carrier, SOCK_STREAM, &d->knock_fd);

	if (r == 0 && shutdown(d->knock_fd, SHUT_WR) < 0)
		r = fail_errno();
	if (r < 0)
		log_warn(d->m->name, "cannot reach QEMU's port: %s", log_errno_str(r));
}

static bool may_restart(struct daemon *d)
{
	uint64_t now = io_now_ms();

	if (d->n_ends == 0 || now - d->window_ms > RESTART_WINDOW_MS) {
		d->window_ms = now;
		d->n_ends = 0;
	}
	return d->n_ends++ < RESTARTS;
}

static void on_end(void *data, const struct child_end *end)
{
	struct daemon *d = data;
	struct monitor *m = d->m;
	const char *program = table[d->kind].program;
	char how[64];

	forget(d);
	if (d->kind == DAEMON_QREXEC)
		monitor_set_agent(m, false);
	if (d->kind == DAEMON_QUBESDB)
		close_fd(&m->qdb_conn);
	if (m->ending) {
		monitor_check_end(m);
		return;
	}
	(void)child_end_str(end, how, sizeof(how));
	if (end->signal == 0 && end->code == EXIT_HOSTILE) {
		monitor_end(m, false, EPROTO,
			    "it broke the rules of the wire to %s and was cut off", program);
		return;
	}
	if (!may_restart(d)) {
		monitor_end(m, false, EIO, "%s ended again and again (%s); see the log", program,
			    how);
		return;
	}
	log_warn(m->name, "%s ended (%s), starting it again", program, how);
	if (d->kind == DAEMON_VCHAND)
		knock(d);
	if (sd_event_add_time_relative(m->event, &d->again, CLOCK_MONOTONIC, RESTART_DELAY_US, 1000,
				       on_again, d) < 0)
		monitor_end(m, false, ENOMEM, "%s could not be started again", program);
}

static int start(struct daemon *d)
{
	struct plan p = {.opened = NO_FD};
	struct monitor *m = d->m;
	AUTO_CLOSE int ask_child_fd = NO_FD;
	char path[PATH_MAX], *argv[ARRAY_LEN(p.args) + 1];
	int pair[2], pidfd, r;

	r = program_find(table[d->kind].program, path, sizeof(path));
	if (r < 0)
		return r;
	if (table[d->kind].asks != 0) {
		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
			return fail_errno();
		d->ask_fd = pair[0];
		ask_child_fd = pair[1];
		r = sd_event_add_io(m->event, &d->ask, d->ask_fd, EPOLLIN, on_ask, d);
		if (r < 0)
			return r;
	}
	r = plan_make(d, ask_child_fd, &p);
	if (r == 0) {
		for (unsigned i = 0; i < p.n_args; i++)
			argv[i] = p.args[i];
		argv[p.n_args] = NULL;
		r = spawn(&(struct spawn){.path = path,
					  .argv = argv,
					  .fds = p.fds,
					  .n_fds = p.n_fds,
					  .death_signal = SIGKILL,
					  .no_new_privs = true},
			  NULL, &pidfd);
	}
	close_fd(&p.opened);
	if (r == 0) {
		r = child_new(m->event, pidfd, on_end, d, &d->child);
		if (r < 0) {
			spawn_signal(pidfd, SIGKILL);
			close_fd(&pidfd);
		}
	}
	if (r < 0)
		forget(d);
	return r;
}

int daemons_start(struct monitor *m)
{
	for (unsigned i = 0; i < N_DAEMONS; i++) {
		struct daemon *d = &m->daemons[i];
		int r;

		if (i == DAEMON_QREXEC && !m->qrexec)
			continue;
		r = start(d);
		if (r < 0) {
			monitor_end(m, false, -r, "%s could not be started: %s", table[i].program,
				    log_errno_str(r));
			return r;
		}
	}
	return 0;
}

void daemons_kill(struct monitor *m)
{
	for (unsigned i = 0; i < N_DAEMONS; i++)
		if (m->daemons[i].child)
			spawn_signal(child_get_pidfd(m->daemons[i].child), SIGKILL);
}

bool daemons_alive(const struct monitor *m)
{
	for (unsigned i = 0; i < N_DAEMONS; i++)
		if (m->daemons[i].child)
			return true;
	return false;
}

void daemons_done(struct monitor *m)
{
	for (unsigned i = 0; i < N_DAEMONS; i++)
		forget(&m->daemons[i]);
	for (unsigned i = 0; i < ARRAY_LEN(m->brokers); i++)
		child_free(m->brokers[i]);
	close_fd(&m->qdb_conn);
}

/* The daemon answers in order on one connection; what it answers nobody waits for. */
static int qdb_send(struct monitor *m, const void *bytes, size_t len)
{
	uint8_t answers[4096];
	ssize_t n;
	int r;

	while (m->qdb_conn >= 0) {
		n = recv(m->qdb_conn, answers, sizeof(answers), MSG_DONTWAIT);
		if (n == 0)
			close_fd(&m->qdb_conn);
		if (n <= 0)
			break;
	}
	if (m->qdb_conn < 0) {
		r = io_unix_connect_now(m->dir.qubesdb, SOCK_STREAM, &m->qdb_conn);
		if (r < 0)
			return r;
	}
	n = send(m->qdb_conn, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n == (ssize_t)len)
		return 0;
	r = n < 0 ? fail_errno() : -EAGAIN;
	close_fd(&m->qdb_conn); /* half a message: never go on behind it */
	return r;
}

int daemons_qdb(struct monitor *m, const char *path, const char *value)
{
	uint8_t bytes[QDB_HEADER + QDB_VALUE_MAX];
	size_t len = value ? strlen(value) : 0;

	if (len > QDB_VALUE_MAX ||
	    qdb_head_encode(bytes, value ? QDB_WRITE : QDB_RM, path, strlen(path), len) != 0)
		return -EINVAL;
	if (len > 0)
		memcpy(bytes + QDB_HEADER, value, len);
	return qdb_send(m, bytes, QDB_HEADER + len);
}
