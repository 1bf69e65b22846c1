/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qube-monitor: one per running qube, and the parent of everything that belongs to it.
 *
 * Runs as	qubesd does: the session's user, or root.
 * Holds	pidfds of QEMU, of its reader and of the qube's daemons; QMP's writing side; the
 * qube's sockets. Outlives the job that started it, and qubesd. Trusts	qubesd and its jobs. Not
 * QEMU: its bytes are read by the reader, a process of its own that keeps nothing and tells in
 * fixed-size notes. Not the daemons, which read the qube's bytes: they may ask what daemon.c's table
 * has for them, in fixed-size questions. Needs	fork, exec and, as root, the change of ids, as long
 * as the qube runs, since daemons are started again. So it cannot wear the daemons' short list; it
 * gives up what no child of it needs either (confine.c).
 *
 * A start is told on descriptor 3 (doc/protocol/monitor.md). Then follow, in this order: folders
 * and sockets, the reader, QEMU, the event loop; QMP's greeting, the daemons, the agent. The end,
 * for whatever reason, is one function: monitor_end() kills what runs, and when the last child is
 * gone everything that was made is removed, GONE is told, and the program ends.
 *
 * If this program is killed, the kernel kills all of its children (PR_SET_PDEATHSIG).
 */
#include "qube-monitor.h"

#include "base/log.h"
#include "confine.h"
#include "proto/ring.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define START_FD         3
#define START_TIMEOUT_MS 30000
#define END_TIMEOUT_US   UINT64_C(10000000)

/* ---- the end ---- */

static int on_end_timeout(sd_event_source *source, uint64_t usec, void *data)
{
	struct monitor *m = data;

	(void)source;
	(void)usec;
	log_err(m->name, "a process of it does not end although killed; giving up on it");
	return sd_event_exit(m->event, 1);
}

void monitor_end(struct monitor *m, bool clean, int error, const char *format, ...)
{
	va_list args;

	if (m->ending)
		return;
	m->ending = true;
	m->clean = clean;
	m->error = (uint32_t)error;
	va_start(args, format);
	(void)vsnprintf(m->why, sizeof(m->why), format, args);
	va_end(args);
	log_info(m->name, "ends: %s", m->why);
	if (m->qemu.child)
		spawn_signal(child_get_pidfd(m->qemu.child), SIGKILL);
	daemons_kill(m);
	if (m->event && sd_event_add_time_relative(m->event, &m->end_timer, CLOCK_MONOTONIC,
						   END_TIMEOUT_US, 0, on_end_timeout, m) < 0)
		log_warn(m->name, "no timer for its end");
	monitor_set_state(m, MONITOR_STOPPING);
	monitor_check_end(m);
}

void monitor_check_end(struct monitor *m)
{
	if (m->ending && !m->qemu.child && !daemons_alive(m) && m->event)
		(void)sd_event_exit(m->event, 0);
}

void monitor_set_state(struct monitor *m, enum monitor_state state)
{
	const uint64_t now_ms = io_now_ms();

	if (m->state == MONITOR_GONE || (m->state == MONITOR_STOPPING && state != MONITOR_GONE))
		return;
	if (state == MONITOR_PAUSED && m->state != MONITOR_PAUSED)
		m->paused_ms = now_ms;
	/* a guest that stands still cannot be late */
	else if (m->state == MONITOR_PAUSED && m->pressed_ms > 0)
		m->pressed_ms +=
			now_ms - (m->paused_ms > m->pressed_ms ? m->paused_ms : m->pressed_ms);
	m->state = state;
	clients_tell(m);
}

static void set_ready(struct monitor *m)
{
	m->stage = MONITOR_READY;
	log_info(m->name, "is running");
	clients_tell(m);
}

void monitor_booted(struct monitor *m)
{
	m->stage = MONITOR_BOOTING;
	monitor_set_state(m, MONITOR_RUNNING);
	if (daemons_start(m) < 0)
		return;
	if (!m->qrexec)
		set_ready(m);
}

void monitor_awake(struct monitor *m)
{
	if (m->stage != MONITOR_BOOTING || m->ending)
		return;
	m->stage = MONITOR_AWAKE;
	clients_tell(m);
}

void monitor_saved(struct monitor *m)
{
	m->stage = MONITOR_READY;
	log_info(m->name, "is saved");
	clients_tell(m);
}

void monitor_set_agent(struct monitor *m, bool up)
{
	if (m->agent == up || m->ending)
		return;
	m->agent = up;
	if (up && m->stage != MONITOR_READY)
		set_ready(m);
	else
		clients_tell(m);
}

/* ---- the start ---- */

static struct {
	uint8_t buf[MONITOR_MSG_MAX]; /* texts of the start point into it */
	struct monitor_msg msg;
	struct spawn_fd fds[SPAWN_MAX_FDS];
	unsigned n_fds;
	int log_fd, state_fd;
} given;

static int give_fd(int from, int to)
{
	if (given.n_fds >= ARRAY_LEN(given.fds))
		return -E2BIG;
	given.fds[given.n_fds++] = (struct spawn_fd){.from = from, .to = to};
	return 0;
}

/* descriptors for QEMU, then START; a slip of ours or a job that died: nothing was made yet */
static int read_start(void)
{
	struct pollfd p = {.fd = START_FD, .events = POLLIN};

	for (;;) {
		int fds[MONITOR_MAX_FDS], r;
		size_t len, n_fds;

		if (poll(&p, 1, START_TIMEOUT_MS) <= 0)
			return -ETIMEDOUT;
		r = io_recv_msg(START_FD, given.buf, sizeof(given.buf), &len, fds, ARRAY_LEN(fds),
				&n_fds);
		if (r < 0)
			return r;
		if (len == 0)
			return -ECANCELED;
		if (monitor_decode(given.buf, len, n_fds, &given.msg) != 0)
			return -EPROTO;
		if (given.msg.type == MONITOR_START) {
			given.log_fd = fds[0];
			given.state_fd = n_fds > 1 ? fds[1] : NO_FD;
			return 0;
		}
		if (given.msg.type != MONITOR_FDS)
			return -EPROTO;
		for (size_t i = 0; i < n_fds; i++) {
			r = give_fd(fds[i], (int)given.msg.fds.to[i]);
			if (r < 0)
				return r;
		}
	}
}

/* PATH NUL VALUE NUL for each entry: doc/protocol/qubesdb.md, "Initial entries" */
static int make_qdb(const struct monitor_start *s, int *ret_fd)
{
	AUTO_CLOSE int fd = memfd_create("qubesdb", MFD_CLOEXEC);

	if (fd < 0)
		return fail_errno();
	for (unsigned i = 0; i < s->n_qdb; i++) {
		int r = io_write_full(fd, s->qdb_path[i], strlen(s->qdb_path[i]) + 1);

		r = r < 0 ? r : io_write_full(fd, s->qdb_value[i], strlen(s->qdb_value[i]) + 1);
		if (r < 0)
			return r;
	}
	*ret_fd = take_fd(&fd);
	return 0;
}

/* Nobody can shrink it under those who look into it. It takes memory as the qube uses it. */
static int make_rings(int *ret_fd)
{
	AUTO_CLOSE int fd = memfd_create("rings", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, RING_REGION_SIZE) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return fail_errno();
	*ret_fd = take_fd(&fd);
	return 0;
}

static int make_seats(int *ret_fd)
{
	*ret_fd = memfd_create("seats", MFD_CLOEXEC);
	return *ret_fd < 0 ? fail_errno() : 0;
}

static int take_start(struct monitor *m, const struct monitor_start *s)
{
	size_t uuid_len = strlen(s->uuid);
	int r;

	if (!str_is_qube_name(s->name, strlen(s->name)) || uuid_len >= sizeof(m->uuid) ||
	    !bytes_are_alnum_or(s->uuid, uuid_len, "-") ||
	    !bytes_are_alnum_or(s->default_user, strlen(s->default_user), "_+,.-@") ||
	    s->default_user[0] == '-' || s->domid == 0 || s->domid > 32751 || s->n_args == 0)
		return -EPROTO;
	r = str_copy(m->name, sizeof(m->name), s->name, strlen(s->name));
	r = r < 0 ? r : str_copy(m->uuid, sizeof(m->uuid), s->uuid, uuid_len);
	r = r < 0 ? r
		  : str_copy(m->default_user, sizeof(m->default_user), s->default_user,
			     strlen(s->default_user));
	if (r < 0)
		return r;
	m->domid = s->domid;
	m->uid = s->uid;
	m->qrexec = s->qrexec;
	m->debug = s->debug;
	m->memory.now = (struct monitor_memory){.base = (uint64_t)s->memory_mib << 20,
						.most = (uint64_t)s->more_mib << 20,
						.available = MONITOR_UNKNOWN};
	m->memory.used = MONITOR_UNKNOWN;
	m->mode = s->mode;
	m->disk_sizes[0] = s->private_size;
	m->disk_sizes[1] = s->volatile_size;
	m->state_fd = take_fd(&given.state_fd);
	r = make_qdb(s, &m->qdb_fd);
	r = r < 0 ? r : make_rings(&m->rings_fd);
	r = r < 0 ? r : make_seats(&m->seats_fd);
	return r < 0 ? r : rundir_make(&m->dir, s->run_dir, s->domid, s->name);
}

static int pair(int type, int *ret_ours, int to)
{
	int fds[2], r;

	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds) < 0)
		return fail_errno();
	*ret_ours = fds[0];
	r = give_fd(fds[1], to);
	if (r < 0)
		(void)close(fds[1]);
	return r;
}

struct started {
	int qmp, console, errors, reader_pidfd, qemu_pidfd;
	pid_t qemu_pid;
};

static int start_qemu(struct monitor *m, struct started *s)
{
	const struct monitor_start *start = &given.msg.start;
	char *argv[MONITOR_MAX_ARGS + 1];
	int r;

	for (unsigned i = 0; i < start->n_args; i++)
		argv[i] = (char *)start->args[i]; /* exec's old habit; nobody writes there */
	argv[start->n_args] = NULL;
	r = pair(SOCK_STREAM, &s->qmp, MONITOR_FD_QMP);
	r = r < 0 ? r : pair(SOCK_STREAM, &s->console, MONITOR_FD_CONSOLE);
	r = r < 0 ? r : pair(SOCK_STREAM, &s->errors, STDERR_FILENO);
	r = r < 0 ? r : give_fd(m->dir.carrier_fd, MONITOR_FD_VCHAN);
	if (m->mode != MONITOR_ZYGOTE)
		r = r < 0 ? r : give_fd(m->rings_fd, MONITOR_FD_RINGS);
	if (m->mode != MONITOR_BOOT)
		r = r < 0 ? r : pair(SOCK_STREAM, &m->stage_fd, MONITOR_FD_STAGE);
	if (r < 0)
		return r;
	r = reader_start(m->name, m->uid, s->qmp, s->console, s->errors, given.log_fd,
			 &s->reader_pidfd, &m->qemu.notes_fd);
	if (r < 0)
		return r;
	r = spawn(&(struct spawn){.path = start->program,
				  .argv = argv,
				  .fds = given.fds,
				  .n_fds = given.n_fds,
				  .uid = geteuid() == 0 ? m->uid : 0,
				  .gid = geteuid() == 0 ? (gid_t)m->uid : 0,
				  .death_signal = SIGKILL,
				  .new_group = true,
				  .no_new_privs = true,
				  /* one that takes up a saved machine runs no guest yet */
				  .niceness = m->mode == MONITOR_FORK ? 0 : QEMU_NICENESS,
				  .prepare = confine_qemu,
				  .data = (void *)start->program},
		  &s->qemu_pid, &s->qemu_pidfd);
	/* QEMU's ends are QEMU's alone, so that its end is their end */
	for (unsigned i = 0; i < given.n_fds; i++)
		if (given.fds[i].from != m->dir.carrier_fd && given.fds[i].from != m->rings_fd)
			close_fd(&given.fds[i].from);
	close_fd(&given.log_fd);
	close_fd(&s->console);
	close_fd(&s->errors);
	m->qemu.qmp_fd = take_fd(&s->qmp);
	return r;
}

/* ---- serving ---- */

static int on_terminate(sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
	(void)source;
	(void)info;
	monitor_end(data, false, ECANCELED, "its monitor was told to end");
	return 0;
}

static int serve(struct monitor *m, struct started *s)
{
	sigset_t set;
	int r;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return fail_errno();
	r = sd_event_new(&m->event);
	if (r < 0)
		return r;
	r = sd_event_add_signal(m->event, &m->terminate, SIGTERM, on_terminate, m);
	if (r < 0)
		return r;
	r = qemu_serve(m, s->qemu_pidfd, s->qemu_pid, s->reader_pidfd);
	if (r < 0)
		return r;
	r = memory_serve(m);
	if (r < 0)
		return r;
	r = clients_serve(m, START_FD);
	if (r < 0)
		return r;
	return sd_event_loop(m->event);
}

static void done(struct monitor *m)
{
	daemons_done(m);
	memory_done(m);
	qemu_done(&m->qemu);
	/* before: a qubesd that begins just now and finds no socket looks for it once */
	if (m->clean && m->stage == MONITOR_READY && rundir_note_clean(&m->dir, m->uuid) < 0)
		log_warn(m->name, "that it ended cleanly cannot be noted");
	rundir_remove(&m->dir, m->name);
	m->state = MONITOR_GONE;
	clients_tell(m); /* only now: who hears it finds nothing left */
	clients_done(m);
	m->terminate = sd_event_source_disable_unref(m->terminate);
	m->end_timer = sd_event_source_disable_unref(m->end_timer);
	m->event = sd_event_unref(m->event);
	close_fd(&m->qdb_fd);
	close_fd(&m->rings_fd);
	close_fd(&m->seats_fd);
	close_fd(&m->stage_fd);
	close_fd(&m->state_fd);
}

/* a start that failed before the loop: one GONE on the start channel tells why */
static int give_up(struct monitor *m, int r)
{
	uint8_t buf[1024];
	size_t len;

	log_err(m->name[0] != '\0' ? m->name : NULL, "cannot start: %s", log_errno_str(r));
	rundir_remove(&m->dir, m->name);
	(void)snprintf(m->why, sizeof(m->why), "%s",
		       r == -EEXIST ? "a monitor for this domain id runs already"
				    : log_errno_str(r));
	len = monitor_encode(&(struct monitor_msg){.type = MONITOR_STATUS,
						   .status = {.state = MONITOR_GONE,
							      .error = (uint32_t)-r,
							      .domid = m->domid,
							      .pressed_s = MONITOR_NEVER,
							      .name = m->name,
							      .uuid = m->uuid,
							      .why = m->why}},
			     buf, sizeof(buf));
	if (len > 0)
		(void)!io_send_msg(START_FD, buf, len, NULL, 0);
	return 1;
}

static int usage(int fd, int code)
{
	static const char text[] =
		"Usage: qube-monitor RUN-DIRECTORY QUBE\n"
		"The parent of all that belongs to one running qube. Started by qubesd, which "
		"says\n"
		"what to run on descriptor 3 (qube-monitor(8)); of no use by hand.\n";

	return write(fd, text, sizeof(text) - 1) < 0 ? 1 : code;
}

int main(int argc, char **argv)
{
	static struct monitor m;
	struct started s = {NO_FD, NO_FD, NO_FD, NO_FD, NO_FD, 0};
	int type, r;
	socklen_t len = sizeof(type);

	log_open("qube-monitor");
	if (argc == 2 && str_eq(argv[1], "--help"))
		return usage(STDOUT_FILENO, 0);
	if (argc == 2 && str_eq(argv[1], "--version")) {
		(void)puts("qube-monitor (Bulkhead) " BULKHEAD_VERSION);
		return 0;
	}
	/* the run directory and the qube's name are for ps(1); what counts is START */
	if (argc != 3 || getsockopt(START_FD, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
	    type != SOCK_SEQPACKET)
		return usage(STDERR_FILENO, 2);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)umask(0077);
	m.rings_fd = m.seats_fd = m.qdb_fd = m.qdb_conn = m.qemu.qmp_fd = m.qemu.notes_fd = NO_FD;
	m.stage_fd = m.state_fd = given.state_fd = given.log_fd = NO_FD;
	m.dir = RUNDIR_NONE;
	for (unsigned i = 0; i < N_DAEMONS; i++)
		m.daemons[i] =
			(struct daemon){.m = &m, .kind = i, .ask_fd = NO_FD, .knock_fd = NO_FD};

	r = fcntl(START_FD, F_SETFD, FD_CLOEXEC) < 0 ? fail_errno() : 0;
	r = r < 0 ? r : confine_monitor();
	r = r < 0 ? r : read_start();
	r = r < 0 ? r : take_start(&m, &given.msg.start);
	r = r < 0 ? r : start_qemu(&m, &s);
	if (r < 0)
		return give_up(&m, r);
	r = serve(&m, &s);
	if (r < 0)
		log_err(m.name, "cannot go on: %s", log_errno_str(r));
	done(&m);
	return r == 0 ? 0 : 1;
}
