/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Following and commanding running qubes, from qubesd's event loop.
 *
 * A monitor that was killed tells no GONE: its socket closes while the kernel is still killing its
 * children. We then wait for the end of QEMU, by a pidfd taken when its pid was told, so that who
 * hears GONE can touch the qube's files. A monitor that lives on though we parted (it speaks in another
 * way, or found that we do not listen) is not swept away below its qube: its own end is waited for, and QEMU's,
 * and meanwhile it is attached to again, as it is where we could not for want of something of our own.
 */
#include "found.h"
#include "qemu/qemu.h"

#include "base/io.h"
#include "base/log.h"
#include "base/sweep.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <time.h>

#define MAX_PENDING       32
#define SCAN_TIMEOUT_MS   2000
#define SCAN_AGAIN        25
#define MESSAGES_PER_TURN 16
#define AGAIN_US          UINT64_C(1000000) /* until it is tried again; twice as long each time, up to */
#define AGAIN_MOST_US     UINT64_C(16000000)

struct vmm {
	int fd, qemu_fd,
		monitor_fd; /* the monitor's socket; pidfds, the monitor's when we have parted */
	unsigned domid;
	char run_dir[UNIX_PATH_MAX + 1], name[QUBE_NAME_MAX + 1];
	sd_event *event;
	sd_event_source *source, *end;
	sd_event_source
		*again; /* made beforehand, so that nothing can be short when it is wanted */
	uint64_t again_us;
	const struct vmm_events *events;
	void *data;
	enum vmm_state state;
	bool known, agent;
	bool parted; /* from its monitor, which has said nothing since that we understand */
	bool kill;   /* as soon as it can be told */
	uint32_t qemu_pid, pressed_s, next_id;
	struct monitor_memory memory;
	struct {
		uint32_t id; /* 0: free */
		vmm_done_fn done;
		void *data;
	} pending[MAX_PENDING];
	bool *freed; /* set when vmm_free() is called below a callback of ours */
};

static int monitor_connect(const char *run_dir, unsigned domid, int *ret_fd)
{
	char path[UNIX_PATH_MAX + 1];
	int r = str_format(path, sizeof(path), "%s/q/%u/monitor.sock", run_dir, domid);

	return r < 0 ? r : io_unix_connect_now(path, SOCK_SEQPACKET, ret_fd);
}

/* Return: the vmm is still there */
static bool tell_state(struct vmm *v, enum vmm_state state, bool clean, const char *why)
{
	bool freed = false;

	v->state = state;
	v->freed = &freed;
	v->events->state(v->data, v, state, clean, why && why[0] != '\0' ? why : NULL);
	if (!freed)
		v->freed = NULL;
	return !freed;
}

static bool tell_agent(struct vmm *v, bool up)
{
	bool freed = false;

	v->agent = up;
	v->freed = &freed;
	v->events->agent(v->data, v, up);
	if (!freed)
		v->freed = NULL;
	return !freed;
}

static bool finish(struct vmm *v, uint32_t id, int r, const char *text)
{
	bool freed = false;

	for (size_t i = 0; i < ARRAY_LEN(v->pending); i++) {
		vmm_done_fn done = v->pending[i].done;

		if (v->pending[i].id != id || id == 0)
			continue;
		v->pending[i].id = 0;
		if (!done)
			break;
		v->freed = &freed;
		done(v->pending[i].data, r, text);
		if (!freed)
			v->freed = NULL;
		break;
	}
	return !freed;
}

static bool finish_all(struct vmm *v, const char *why)
{
	for (size_t i = 0; i < ARRAY_LEN(v->pending); i++)
		if (!finish(v, v->pending[i].id, -ECANCELED, why))
			return false;
	return true;
}

static const char ended[] = "The qube ended";

/* whom nobody answers for has ended: any other fault is ours, and says nothing of it */
static bool is_not_there(int r)
{
	return r == -ENOENT || r == -ECONNREFUSED;
}

static int on_gone(sd_event_source *source, int fd, uint32_t revents, void *data);

/* Return: 0: it lives, or did so when we parted, and @v->monitor_fd is its pidfd; -ESRCH: it does not; -errno: that cannot be
 * told now */
static int find_monitor(struct vmm *v)
{
	AUTO_CLOSE int fd = NO_FD, pidfd = NO_FD;
	struct pollfd closed = {.events = 0};
	struct ucred peer;
	socklen_t len = sizeof(peer);
	int r;

	if (v->monitor_fd >= 0)
		return 0;
	r = monitor_connect(v->run_dir, v->domid, &fd);
	if (r == 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		r = fail_errno();
	if (r == 0)
		pidfd = pidfd_open(peer.pid, 0);
	if (r == 0 && pidfd < 0)
		r = fail_errno();
	if (r < 0)
		return is_not_there(r) ? -ESRCH : r;
	/* a connection that stands: its process had not ended when we asked for that id, so it was no other's by then */
	closed.fd = fd;
	if (poll(&closed, 1, 0) != 0)
		return -EAGAIN;
	v->monitor_fd = take_fd(&pidfd);
	return 0;
}

/* Return: 0: its end will be heard; -ESRCH: it has ended, or was never there; -errno: that cannot be told now */
static int await(struct vmm *v, int pidfd)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	int n = pidfd >= 0 ? poll(&p, 1, 0) : 1;

	if (n != 0)
		return n < 0 ? fail_errno() : -ESRCH;
	return sd_event_add_io(v->event, &v->end, pidfd, EPOLLIN, on_gone, v);
}

static bool is_due_again(const struct vmm *v)
{
	return sd_event_source_get_enabled(v->again, NULL) > 0;
}

static void again_later(struct vmm *v)
{
	int r;

	if (is_due_again(v))
		return;
	r = sd_event_source_set_time_relative(v->again, v->again_us);
	r = r < 0 ? r : sd_event_source_set_enabled(v->again, SD_EVENT_ONESHOT);
	if (r < 0)
		log_err(v->name, "its monitor is not attached to again: %s", log_errno_str(r));
	if (v->again_us < AGAIN_MOST_US)
		v->again_us *= 2;
}

/* the monitor is awaited before QEMU, which dies with it */
static int await_end(struct vmm *v)
{
	int r = find_monitor(v);

	r = r < 0 ? r : await(v, v->monitor_fd);
	return r == -ESRCH ? await(v, v->qemu_fd) : r;
}

static void end_now(struct vmm *v)
{
	int r;

	v->end = sd_event_source_disable_unref(v->end);
	r = await_end(v);
	/* it lives, or may do so, and its qube with it */
	if (r != -ESRCH) {
		again_later(v);
		return;
	}
	(void)sd_event_source_set_enabled(v->again, SD_EVENT_OFF);
	r = sweep_qube(v->run_dir, v->domid, v->name[0] != '\0' ? v->name : NULL);
	if (r < 0)
		log_warn(v->name, "something of it stays below %s: %s", v->run_dir,
			 log_errno_str(r));
	if (finish_all(v, ended))
		(void)tell_state(v, VMM_GONE, false, "its monitor was killed");
}

static int on_gone(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	struct vmm *v = data;

	(void)source;
	(void)fd;
	(void)revents;
	v->end = sd_event_source_disable_unref(v->end);
	/* one that was attached to again may have said more; its socket closes behind that */
	if (v->fd < 0)
		end_now(v);
	return 0;
}

/* the monitor's socket closed without a GONE, or we do not understand it */
static void lost(struct vmm *v)
{
	v->source = sd_event_source_disable_unref(v->source);
	close_fd(&v->fd);
	v->parted = true;
	if (!finish_all(v, "Its monitor is not listened to any more"))
		return;
	end_now(v);
}

static enum vmm_state state_of(const struct monitor_status *s)
{
	switch (s->state) {
	case MONITOR_STARTING:
		return VMM_STARTING;
	case MONITOR_RUNNING:
		return VMM_RUNNING;
	case MONITOR_PAUSED:
		return s->error == ENOSPC ? VMM_FULL : VMM_PAUSED;
	case MONITOR_STOPPING:
		return VMM_STOPPING;
	case MONITOR_GONE:
		break;
	}
	return VMM_GONE;
}

/* for its end, should its monitor not tell that */
static void open_qemu(struct vmm *v, enum vmm_state state)
{
	struct ucred monitor;
	socklen_t len = sizeof(monitor);

	if (v->qemu_fd >= 0 || v->qemu_pid == 0 || state == VMM_GONE ||
	    getsockopt(v->fd, SOL_SOCKET, SO_PEERCRED, &monitor, &len) < 0)
		return;
	if (qemu_open((pid_t)v->qemu_pid, monitor.pid, &v->qemu_fd) < 0)
		log_debug(v->name, "its QEMU is not to be seen");
}

/* what it says is understood: we have not parted, or not for good */
static void found_again(struct vmm *v)
{
	v->again_us = AGAIN_US;
	if (!v->parted)
		return;
	v->parted = false;
	v->end = sd_event_source_disable_unref(v->end);
	close_fd(&v->monitor_fd);
	log_info(v->name, "its monitor is followed again");
}

/* Return: the vmm is still there, and goes on */
static bool on_status(struct vmm *v, const struct monitor_status *s)
{
	enum vmm_state state = state_of(s);
	bool first = !v->known;

	v->known = true;
	v->qemu_pid = s->qemu_pid;
	v->pressed_s = first ? s->pressed_s : v->pressed_s;
	(void)snprintf(v->name, sizeof(v->name), "%s", s->name);
	found_again(v);
	open_qemu(v, state);
	if (state == VMM_GONE) {
		v->source = sd_event_source_disable_unref(v->source);
		close_fd(&v->fd);
		(void)vmm_ended_clean(v->run_dir, v->domid, s->uuid); /* it is told here */
		if (finish_all(v, ended))
			(void)tell_state(v, state, s->clean, s->why);
		return false;
	}
	if ((first || state != v->state) && !tell_state(v, state, s->clean, s->why))
		return false;
	return s->agent == v->agent || tell_agent(v, s->agent);
}

static int on_message(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	struct vmm *v = data;
	struct monitor_msg msg;
	uint8_t buf[2048];

	(void)source;
	(void)revents;
	for (int i = 0; i < MESSAGES_PER_TURN; i++) {
		size_t len;
		int r = io_recv_msg(fd, buf, sizeof(buf), &len, NULL, 0, NULL);

		if (r == -EAGAIN)
			return 0;
		if (r < 0 || len == 0 || monitor_decode(buf, len, 0, &msg) != 0) {
			/* its end, killed or not, says all that there is to say; and that we part is said once */
			if (!v->parted && r < 0 && r != -ECONNRESET)
				log_warn(v->name, "its monitor is not listened to any more: %s",
					 log_errno_str(r));
			else if (!v->parted && r == 0 && len != 0)
				log_warn(
					v->name,
					"its monitor sends a malformed message (%zu bytes), closing",
					len);
			lost(v);
			return 0;
		}
		if (msg.type == MONITOR_STATUS && !on_status(v, &msg.status))
			return 0;
		if (msg.type == MONITOR_MEMORY)
			v->memory = msg.memory;
		if (msg.type == MONITOR_REPLY &&
		    !finish(v, msg.id, -(int)(msg.reply.error & 4095), msg.reply.text))
			return 0;
	}
	return 0;
}

/* Return: 0; -errno, and @v->fd is none */
static int attach(struct vmm *v)
{
	int r = monitor_connect(v->run_dir, v->domid, &v->fd);

	if (r == 0)
		r = sd_event_add_io(v->event, &v->source, v->fd, EPOLLIN, on_message, v);
	if (r < 0)
		close_fd(&v->fd);
	return r;
}

void vmm_free(struct vmm *v)
{
	if (!v)
		return;
	if (v->freed)
		*v->freed = true;
	v->source = sd_event_source_disable_unref(v->source);
	v->end = sd_event_source_disable_unref(v->end);
	v->again = sd_event_source_disable_unref(v->again);
	close_fd(&v->fd);
	close_fd(&v->qemu_fd);
	close_fd(&v->monitor_fd);
	free(v);
}

static int on_again(sd_event_source *source, uint64_t usec, void *data);

int vmm_attach(sd_event *event, const char *run_dir, unsigned domid,
	       const struct vmm_events *events, void *data, struct vmm **ret)
{
	struct vmm *v = calloc(1, sizeof(*v));
	int r;

	if (!v)
		return -ENOMEM;
	*v = (struct vmm){.fd = NO_FD,
			  .qemu_fd = NO_FD,
			  .monitor_fd = NO_FD,
			  .domid = domid,
			  .event = event,
			  .events = events,
			  .data = data,
			  .again_us = AGAIN_US,
			  .next_id = 1};
	r = str_copy(v->run_dir, sizeof(v->run_dir), run_dir, strlen(run_dir));
	r = r < 0 ? r
		  : sd_event_add_time_relative(event, &v->again, CLOCK_MONOTONIC, 0, 0, on_again,
					       v);
	r = r < 0 ? r : sd_event_source_set_enabled(v->again, SD_EVENT_OFF);
	r = r < 0 ? r : attach(v);
	if (v->again && r < 0 && !is_not_there(r)) {
		again_later(v);
		r = 0;
	}
	if (r < 0) {
		vmm_free(v);
		return r;
	}
	*ret = v;
	return 0;
}

static int command(struct vmm *v, struct monitor_msg *msg, const int *fds, size_t n_fds,
		   vmm_done_fn done, void *data)
{
	uint8_t buf[8192];
	size_t len, at = 0;
	int r;

	if (v->fd < 0)
		return -ESHUTDOWN;
	while (done && at < ARRAY_LEN(v->pending) && v->pending[at].id != 0)
		at++;
	if (at == ARRAY_LEN(v->pending))
		return -EBUSY;
	msg->id = v->next_id++;
	if (v->next_id == 0)
		v->next_id = 1;
	len = monitor_encode(msg, buf, sizeof(buf));
	if (len == 0)
		return -E2BIG;
	r = io_send_msg(v->fd, buf, len, fds, n_fds);
	if (r < 0)
		return r;
	if (done) {
		v->pending[at].id = msg->id;
		v->pending[at].done = done;
		v->pending[at].data = data;
	}
	return 0;
}

static int simple(struct vmm *v, enum monitor_type type, vmm_done_fn done, void *data)
{
	return command(v, &(struct monitor_msg){.type = type}, NULL, 0, done, data);
}

int vmm_shutdown(struct vmm *v)
{
	return simple(v, MONITOR_SHUTDOWN, NULL, NULL);
}

/* One that we have parted from, or that takes no commands, ends its qube as well when it is told to end. Return: 0; -ESRCH: it
 * has ended; -errno */
static int end_monitor(struct vmm *v)
{
	int r = find_monitor(v);

	return r == 0 && pidfd_send_signal(v->monitor_fd, SIGTERM, NULL, 0) < 0 ? fail_errno() : r;
}

int vmm_kill(struct vmm *v)
{
	int r;

	v->kill = true;
	if (v->fd >= 0 && !v->parted && simple(v, MONITOR_KILL, NULL, NULL) == 0)
		return 0;
	r = end_monitor(v);
	if (r < 0 && r != -ESRCH)
		again_later(v);
	/* if it has ended, QEMU is about to */
	return v->source || v->end || is_due_again(v) ? 0 : -ESHUTDOWN;
}

static int on_again(sd_event_source *source, uint64_t usec, void *data)
{
	struct vmm *v = data;
	int r = 0;

	(void)source;
	(void)usec;
	if (v->fd < 0)
		r = attach(v);
	if (r == 0 && v->kill)
		r = vmm_kill(v);
	if (v->fd < 0)
		end_now(v);
	return 0;
}

int vmm_pause(struct vmm *v, vmm_done_fn done, void *data)
{
	return simple(v, MONITOR_PAUSE, done, data);
}

int vmm_unpause(struct vmm *v, vmm_done_fn done, void *data)
{
	return simple(v, MONITOR_UNPAUSE, done, data);
}

int vmm_disk_add(struct vmm *v, const struct vmm_disk *disk, vmm_done_fn done, void *data)
{
	struct monitor_msg msg = {.type = MONITOR_DISK_ADD,
				  .device = {.name = disk->name,
					     .n_chain = disk->n_chain,
					     .writable = disk->writable}};

	if (disk->n_chain == 0 || disk->n_chain > MONITOR_MAX_CHAIN)
		return -EINVAL;
	for (unsigned i = 0; i < disk->n_chain; i++)
		msg.device.qcow2[i] = disk->formats[i] == VMM_QCOW2;
	return command(v, &msg, disk->fds, disk->n_chain, done, data);
}

int vmm_disk_remove(struct vmm *v, const char *name, vmm_done_fn done, void *data)
{
	return command(v,
		       &(struct monitor_msg){.type = MONITOR_DISK_REMOVE, .device = {.name = name}},
		       NULL, 0, done, data);
}

/* QEMU may make no file larger than the largest of its disks needed when it was started (limit_files()), and is ended if it
 * tries. We have given up the right to let it. */
static int allow_file(const struct vmm *v, uint64_t size)
{
	static const char label[] = "Max file size";
	AUTO_FREE char *text = NULL;
	uint64_t limit;
	char path[64], *at;
	int r;

	if (v->qemu_pid == 0)
		return -ESHUTDOWN;
	(void)snprintf(path, sizeof(path), "/proc/%u/limits", v->qemu_pid);
	r = io_read_file(AT_FDCWD, path, 4096, &text, NULL);
	if (r < 0)
		return r == -ENOENT || r == -ESRCH ? -ESHUTDOWN : r;
	at = strstr(text, label);
	if (!at)
		return -EIO;
	at += sizeof(label) - 1;
	at += strspn(at, " ");
	at[strcspn(at, " \n")] = '\0';
	if (str_eq(at, "unlimited"))
		return 0;
	r = str_u64(at, UINT64_MAX, &limit);
	return r < 0 ? r : limit < size + VMM_FILE_SPARE(size) ? -EFBIG : 0;
}

int vmm_disk_resize(struct vmm *v, const char *name, uint64_t size, vmm_done_fn done, void *data)
{
	const int r = allow_file(v, size);

	if (r < 0)
		return r;
	return command(v,
		       &(struct monitor_msg){.type = MONITOR_DISK_RESIZE,
					     .device = {.name = name, .size = size}},
		       NULL, 0, done, data);
}

int vmm_nic_add(struct vmm *v, const struct vmm_nic *nic, vmm_done_fn done, void *data)
{
	return command(v,
		       &(struct monitor_msg){.type = MONITOR_NIC_ADD,
					     .device = {.name = nic->id, .mac = nic->mac}},
		       &nic->fd, 1, done, data);
}

int vmm_nic_remove(struct vmm *v, const char *id, vmm_done_fn done, void *data)
{
	return command(v, &(struct monitor_msg){.type = MONITOR_NIC_REMOVE, .device = {.name = id}},
		       NULL, 0, done, data);
}

int vmm_memory(struct vmm *v, uint64_t bytes)
{
	return command(
		v, &(struct monitor_msg){.type = MONITOR_MEMORY_ASK, .memory = {.asked = bytes}},
		NULL, 0, NULL, NULL);
}

bool vmm_get_memory(const struct vmm *v, struct vmm_memory *ret)
{
	const struct monitor_memory *m = &v->memory;

	*ret = (struct vmm_memory){m->base, m->most,      m->asked,
				   m->has,  m->available, m->swapped_out};
	return m->most > 0;
}

int vmm_qdb_write(struct vmm *v, const char *path, const char *value)
{
	return command(v,
		       &(struct monitor_msg){.type = MONITOR_QDB_WRITE,
					     .qdb = {.path = path, .value = value}},
		       NULL, 0, NULL, NULL);
}

int vmm_qdb_rm(struct vmm *v, const char *path)
{
	return command(v, &(struct monitor_msg){.type = MONITOR_QDB_RM, .qdb = {.path = path}},
		       NULL, 0, NULL, NULL);
}

bool vmm_get_pressed(const struct vmm *v, unsigned *ret_s)
{
	if (!v->known || v->pressed_s == MONITOR_NEVER)
		return false;
	*ret_s = v->pressed_s;
	return true;
}

int vmm_get_usage(const struct vmm *v, struct vmm_usage *ret)
{
	return v->qemu_pid == 0 ? -EAGAIN : qemu_get_usage((pid_t)v->qemu_pid, ret);
}

/* ---- after a restart of qubesd ---- */

bool vmm_ended_clean(const char *run_dir, unsigned domid, const char *uuid)
{
	char path[UNIX_PATH_MAX + 1];
	AUTO_FREE char *text = NULL;
	bool clean;

	if (str_format(path, sizeof(path), "%s/q/%u.clean", run_dir, domid) < 0 ||
	    io_read_file(AT_FDCWD, path, 64, &text, NULL) < 0)
		return false;
	clean = str_eq(text, uuid); /* else of an earlier start with this id */
	(void)unlink(path);
	return clean;
}

static int ask_monitor(const char *run_dir, unsigned domid, struct vmm_found *ret)
{
	AUTO_CLOSE int fd = NO_FD;
	struct monitor_msg msg;
	uint8_t buf[2048];
	int r = monitor_connect(run_dir, domid, &fd);

	r = r < 0 ? r : qemu_recv(fd, SCAN_TIMEOUT_MS, buf, sizeof(buf), &msg);
	if (r < 0)
		return r;
	if (msg.type != MONITOR_STATUS || msg.status.domid != domid)
		return -EPROTO;
	r = str_copy(ret->name, sizeof(ret->name), msg.status.name, strlen(msg.status.name));
	return r < 0 ? r
		     : str_copy(ret->uuid, sizeof(ret->uuid), msg.status.uuid,
				strlen(msg.status.uuid));
}

static int look(const char *run_dir, unsigned domid, struct vmm_found *ret)
{
	const struct timespec nap = {.tv_nsec = 20000000};
	int r = ask_monitor(run_dir, domid, ret);

	/* it was just ending; or it lives, and has too many clients */
	for (unsigned i = 0; r == -ECONNRESET && i < SCAN_AGAIN; i++) {
		(void)nanosleep(&nap, NULL);
		r = ask_monitor(run_dir, domid, ret);
	}
	if (is_not_there(r)) {
		r = sweep_qube(run_dir, domid, NULL);
		if (r < 0)
			log_warn(NULL, "something of domain %u stays below %s: %s", domid, run_dir,
				 log_errno_str(r));
		return VMM_NOT_RUNNING;
	}
	if (r < 0) { /* it lives, or may do so: nothing of it is ours to touch */
		log_warn(NULL, "the monitor of domain %u does not answer: %s", domid,
			 log_errno_str(r));
		ret->name[0] = ret->uuid[0] = '\0';
	}
	return 0;
}

int vmm_scan(const char *run_dir, struct vmm_found **ret, size_t *ret_n)
{
	char path[UNIX_PATH_MAX + 1];
	int r = str_format(path, sizeof(path), "%s/q", run_dir);

	return r < 0 ? r : vmm_found_in(path, run_dir, look, ret, ret_n);
}
