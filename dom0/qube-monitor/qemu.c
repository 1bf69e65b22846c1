/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU, as this monitor sees it: a process that may have been taken over by its guest.
 *
 * What it says arrives as checked notes of the reader (reader.c); an answer to nothing, a second
 * greeting or silence on a command end it. Commands of clients become lists of QMP commands, one
 * line out at a time; a list that fails takes back what it did. Only the end of a device waits
 * aside, since a guest may take its time to let go.
 */
#include "qube-monitor.h"

#include "base/log.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#define USEC               UINT64_C(1000000)
#define ANSWER_TIMEOUT_US  (120 * USEC)
#define REMOVAL_TIMEOUT_US (30 * USEC)
#define EXIT_TIMEOUT_US    (20 * USEC) /* from SHUTDOWN to the end of the process */
#define NOTES_PER_TURN     64
#define UNASKED_MAX        8       /* in its life */
#define VCHAN_DEVICE       "vchan" /* as vmm/qemu calls the port */
#define FIRST_FREE_SET     10000   /* descriptor sets below are those of the command line */

#define POLL_US UINT64_C(3000) /* between questions how far it is */

enum step { STEP_SEND, STEP_DONE, STEP_WAIT, STEP_PAUSE };

static void cut_off(struct monitor *m, const char *what)
{
	monitor_end(m, false, EPROTO, "QEMU broke its rules (%s): the qube was cut off", what);
}

static int on_silence(sd_event_source *source, uint64_t usec, void *data)
{
	struct monitor *m = data;

	(void)source;
	(void)usec;
	cut_off(m, m->qemu.shut_down ? "it does not end" : "no answer to a command");
	return 0;
}

static void expect_within(struct monitor *m, uint64_t usec)
{
	struct qemu *q = &m->qemu;

	q->answer_timer = sd_event_source_disable_unref(q->answer_timer);
	if (usec > 0 && sd_event_add_time_relative(m->event, &q->answer_timer, CLOCK_MONOTONIC,
						   usec, 0, on_silence, m) < 0)
		cut_off(m, "no timer for its answer");
}

static void send_line(struct monitor *m, struct jw *w, int fd)
{
	struct qemu *q = &m->qemu;
	size_t len = qmp_end(w);

	q->waiting_id = q->next_id++;
	/* one command is out at a time: a full socket is a QEMU that does not read */
	if (len == 0 || io_send_msg(q->qmp_fd, w->w.at, len, &fd, fd >= 0 ? 1 : 0) < 0) {
		if (!m->ending && !q->shut_down)
			cut_off(m, "it does not read its commands");
		return;
	}
	expect_within(m, ANSWER_TIMEOUT_US);
}

static void send_simple(struct monitor *m, const char *command)
{
	char buf[256];
	struct jw w = jw_of(buf, sizeof(buf));

	qmp_begin(&w, command, m->qemu.next_id);
	send_line(m, &w, NO_FD);
}

/* ---- commands of clients ---- */

static void member(struct jw *w, const char *key, const char *format, const char *value)
{
	char text[64];

	(void)snprintf(text, sizeof(text), format, value);
	jw_key(w, key);
	jw_str(w, text);
}

static void member_set(struct jw *w, unsigned set)
{
	jw_key(w, "fdset-id");
	jw_u64(w, set);
}

static enum step disk_add_step(struct qemu *q, struct op *op, struct jw *w, int *ret_fd)
{
	const unsigned n = op->disk.n_chain;

	if (op->step < n) {
		qmp_begin(w, "add-fd", q->next_id);
		member_set(w, op->disk.first_set + op->step);
		*ret_fd = op->fds[op->step];
		return STEP_SEND;
	}
	if (op->step == n) {
		qmp_begin(w, "blockdev-add", q->next_id);
		qmp_put_blockdev(w, &op->disk);
		return STEP_SEND;
	}
	if (op->step == n + 1) {
		qmp_begin(w, "device_add", q->next_id);
		qmp_put_disk_device(w, &op->disk);
		member(w, "bus", "%s", QMP_HOT_BUS);
		return STEP_SEND;
	}
	return STEP_DONE;
}

static enum step nic_add_step(struct qemu *q, struct op *op, struct jw *w, int *ret_fd)
{
	switch (op->step) {
	case 0:
		qmp_begin(w, "getfd", q->next_id);
		member(w, "fdname", "net-%s", op->name);
		*ret_fd = op->fds[0];
		return STEP_SEND;
	case 1:
		qmp_begin(w, "netdev_add", q->next_id);
		member(w, "type", "%s", "stream");
		member(w, "id", "net-%s", op->name);
		jw_key(w, "server");
		jw_bool(w, false);
		jw_key(w, "addr");
		jw_begin(w, '{');
		member(w, "type", "%s", "fd");
		member(w, "str", "net-%s", op->name);
		jw_end(w, '}');
		return STEP_SEND;
	case 2:
		qmp_begin(w, "device_add", q->next_id);
		qmp_put_nic_device(w, op->name, op->mac);
		member(w, "bus", "%s", QMP_HOT_BUS);
		return STEP_SEND;
	default:
		return STEP_DONE;
	}
}

static enum step remove_step(struct qemu *q, struct op *op, struct jw *w)
{
	bool disk = op->type == MONITOR_DISK_REMOVE;

	if (op->step == 0) {
		qmp_begin(w, "device_del", q->next_id);
		member(w, "id", "dev-%s", op->name);
		return STEP_SEND;
	}
	if (op->step == 1)
		return STEP_WAIT;
	if (op->step == 2) {
		qmp_begin(w, disk ? "blockdev-del" : "netdev_del", q->next_id);
		member(w, disk ? "node-name" : "id", disk ? "disk-%s" : "net-%s", op->name);
		return STEP_SEND;
	}
	if (op->step - 3 < op->n_sets) {
		qmp_begin(w, "remove-fd", q->next_id);
		member_set(w, op->disk.first_set + op->step - 3);
		return STEP_SEND;
	}
	return STEP_DONE;
}

static enum step undo_step(struct qemu *q, struct op *op, struct jw *w)
{
	if (op->has_node) {
		bool disk = op->type == MONITOR_DISK_ADD;

		op->has_node = false;
		qmp_begin(w, disk ? "blockdev-del" : "netdev_del", q->next_id);
		member(w, disk ? "node-name" : "id", disk ? "disk-%s" : "net-%s", op->name);
		return STEP_SEND;
	}
	if (op->n_sets == 0)
		return STEP_DONE;
	op->n_sets--;
	if (op->type == MONITOR_NIC_ADD) {
		qmp_begin(w, "closefd", q->next_id);
		member(w, "fdname", "net-%s", op->name);
	} else {
		qmp_begin(w, "remove-fd", q->next_id);
		member_set(w, op->disk.first_set + op->n_sets);
	}
	return STEP_SEND;
}

static enum step simple_step(struct qemu *q, struct op *op, struct jw *w, const char *command)
{
	if (op->step > 0)
		return STEP_DONE;
	qmp_begin(w, command, q->next_id);
	if (op->type == MONITOR_MEMORY_ASK) {
		qmp_put_of(w, QMP_MORE_MEMORY, "requested-size");
		jw_key(w, "value");
		jw_u64(w, op->size);
	}
	if (op->type == MONITOR_MEMORY)
		qmp_put_of(w, QMP_BALLOON, "guest-stats");
	if (op->type == MONITOR_DISK_RESIZE) {
		member(w, "node-name", "disk-%s", op->name);
		jw_key(w, "size");
		jw_u64(w, op->size);
	}
	return STEP_SEND;
}

static bool op_is_own(const struct op *op)
{
	return op->type == OP_SAVE || op->type == OP_RESTORE;
}

static enum step own_step(struct qemu *q, struct op *op, struct jw *w, int *ret_fd)
{
	switch (fork_step(q, op, w, ret_fd)) {
	case FORK_SEND:
		return STEP_SEND;
	case FORK_PAUSE:
		return STEP_PAUSE;
	case FORK_DONE:
		break;
	}
	return STEP_DONE;
}

static enum step op_step(struct qemu *q, struct op *op, struct jw *w, int *ret_fd)
{
	if (op_is_own(op))
		return own_step(q, op, w, ret_fd);
	if (op->undoing)
		return undo_step(q, op, w);
	if (op->type == MONITOR_DISK_ADD)
		return disk_add_step(q, op, w, ret_fd);
	if (op->type == MONITOR_NIC_ADD)
		return nic_add_step(q, op, w, ret_fd);
	if (op->type == MONITOR_DISK_REMOVE || op->type == MONITOR_NIC_REMOVE)
		return remove_step(q, op, w);
	if (op->type == MONITOR_DISK_RESIZE)
		return simple_step(q, op, w, "block_resize");
	if (op->type == MONITOR_MEMORY_ASK)
		return simple_step(q, op, w, "qom-set");
	if (op->type == MONITOR_MEMORY)
		return simple_step(q, op, w, "qom-get");
	if (op->type == MONITOR_PAUSE)
		return simple_step(q, op, w, "stop");
	if (op->type == MONITOR_UNPAUSE)
		return simple_step(q, op, w, "cont");
	return simple_step(q, op, w, "system_powerdown");
}

/* hot-plugged disks: which descriptor sets go with them */
static void disks_note(struct qemu *q, const struct op *op)
{
	for (size_t i = 0; i < ARRAY_LEN(q->disks); i++) {
		if (q->disks[i].n != 0)
			continue;
		(void)snprintf(q->disks[i].name, sizeof(q->disks[i].name), "%s", op->name);
		q->disks[i].first_set = op->disk.first_set;
		q->disks[i].n = op->disk.n_chain;
		return;
	}
}

static bool disks_full(const struct qemu *q)
{
	for (size_t i = 0; i < ARRAY_LEN(q->disks); i++)
		if (q->disks[i].n == 0)
			return false;
	return true;
}

/* the sets of disk @op->name, which is going, are now the op's */
static bool disks_take(struct qemu *q, struct op *op)
{
	for (size_t i = 0; i < ARRAY_LEN(q->disks); i++) {
		if (q->disks[i].n == 0 || !str_eq(q->disks[i].name, op->name))
			continue;
		op->disk.first_set = q->disks[i].first_set;
		op->n_sets = q->disks[i].n;
		q->disks[i].n = 0;
		return true;
	}
	return false;
}

static void op_free(struct op *op)
{
	op->timer = sd_event_source_disable_unref(op->timer);
	for (size_t i = 0; i < ARRAY_LEN(op->fds); i++)
		close_fd(&op->fds[i]);
	op->state = OP_FREE;
}

static void op_finish(struct monitor *m, struct op *op)
{
	if (op->client_id != 0)
		client_reply(m, op->client_id, op->id, op->error, op->text);
	op_free(op);
}

static int on_removal_timeout(sd_event_source *source, uint64_t usec, void *data)
{
	struct op *op = data;

	(void)source;
	(void)usec;
	op->error = ETIMEDOUT;
	(void)snprintf(op->text, sizeof(op->text),
		       "The qube did not let go of %s; is it still used there?", op->name);
	op_finish(op->m, op);
	return 0;
}

static int on_pause_end(sd_event_source *source, uint64_t usec, void *data)
{
	struct op *op = data;

	(void)source;
	(void)usec;
	op->timer = sd_event_source_disable_unref(op->timer);
	op->again = false;
	qemu_work(op->m);
	return 0;
}

static struct op *op_next(struct qemu *q)
{
	struct op *first = NULL;

	for (size_t i = 0; i < ARRAY_LEN(q->ops); i++)
		if (q->ops[i].state == OP_QUEUED && (!first || q->ops[i].seq < first->seq))
			first = &q->ops[i];
	return first;
}

/* QEMU tells the change before it answers: what did not come by now does not come */
static void check_paused(const struct monitor *m, struct op *op)
{
	if (op->error != 0 || !((op->type == MONITOR_PAUSE && m->state == MONITOR_RUNNING) ||
				(op->type == MONITOR_UNPAUSE && m->state == MONITOR_PAUSED)))
		return;
	op->error = EIO;
	(void)snprintf(op->text, sizeof(op->text), "%s",
		       op->type == MONITOR_PAUSE ? "QEMU did not stop"
		       : qemu_is_full(m)         ? "there is still no room for what it writes"
						 : "QEMU did not go on, or stopped again");
}

/* One that stopped by itself says why before or after; one that was told to stop as well does not go on when there is room. */
bool qemu_is_full(const struct monitor *m)
{
	return m->state == MONITOR_PAUSED && m->qemu.no_space && !m->qemu.told_to_stop;
}

static void set_reason(struct monitor *m, bool *reason)
{
	const bool was_full = qemu_is_full(m);

	*reason = true;
	if (qemu_is_full(m) != was_full)
		clients_tell(m);
}

void qemu_work(struct monitor *m)
{
	static char buf[QMP_COMMAND_MAX]; /* large; used between two lines only */
	struct qemu *q = &m->qemu;

	while (q->ready && !m->ending && !q->shut_down && q->waiting_id == 0) {
		struct jw w = jw_of(buf, sizeof(buf));
		struct op *op = q->running ? q->running : op_next(q);
		int fd = NO_FD;

		if (!op)
			return;
		q->running = op;
		switch (op_step(q, op, &w, &fd)) {
		case STEP_SEND:
			send_line(m, &w, fd);
			break;
		case STEP_WAIT:
			q->running = NULL;
			op->state = OP_WAITING;
			if (sd_event_add_time_relative(m->event, &op->timer, CLOCK_MONOTONIC,
						       REMOVAL_TIMEOUT_US, 0, on_removal_timeout,
						       op) < 0)
				op_finish(m, op);
			break;
		case STEP_PAUSE:
			if (!op->timer &&
			    sd_event_add_time_relative(m->event, &op->timer, CLOCK_MONOTONIC,
						       POLL_US, POLL_US / 4, on_pause_end, op) < 0)
				cut_off(m, "no timer for its state");
			return;
		case STEP_DONE:
			q->running = NULL;
			if (op_is_own(op))
				fork_done(m, op);
			if (op->type == MONITOR_DISK_ADD && op->error == 0)
				disks_note(q, op);
			check_paused(m, op);
			if (op->type == MONITOR_PAUSE && op->error == 0)
				set_reason(m, &q->told_to_stop);
			if (op->type == MONITOR_MEMORY_ASK && op->error == 0) {
				m->memory.now.asked = op->size;
				memory_changed(m);
			}
			op_finish(m, op);
			break;
		}
	}
}

/* the answer to the line of @op that was out */
static void op_answer(struct op *op, const struct qmp_msg *msg)
{
	bool adds = op->type == MONITOR_DISK_ADD || op->type == MONITOR_NIC_ADD;
	bool cleans_up = op->undoing || (!adds && !op_is_own(op) && op->step >= 2);
	unsigned n_fds = op->type == MONITOR_NIC_ADD ? 1 : op->disk.n_chain;

	if (msg->kind == QMP_ERROR && !cleans_up) {
		char quoted[WHY_MAX - 40];

		op->error = EIO;
		(void)snprintf(op->text, sizeof(op->text), "QEMU refused: %s",
			       log_quote(quoted, sizeof(quoted), msg->error_desc,
					 strlen(msg->error_desc)));
		op->undoing = adds;
		op->step = UINT8_MAX; /* past the last step of those that have nothing to undo */
		op->n_sets = adds ? op->n_sets : 0;
		return;
	}
	if (op->type == MONITOR_MEMORY && msg->kind == QMP_RETURN && msg->has_available)
		memory_said(op->m, msg);
	if (op_is_own(op)) {
		fork_answer(op, msg);
		return;
	}
	if (!op->undoing && adds && op->step < n_fds) {
		op->n_sets++;
		close_fd(&op->fds[op->step]);
	} else if (!op->undoing && adds && op->step == n_fds) {
		op->has_node = true;
		if (op->type == MONITOR_NIC_ADD)
			op->n_sets = 0; /* the back end took the descriptor */
	}
	op->step++;
}

static struct op *op_new(struct monitor *m, uint64_t client_id, uint32_t id, enum monitor_type type)
{
	struct qemu *q = &m->qemu;

	for (size_t i = 0; i < ARRAY_LEN(q->ops); i++) {
		struct op *op = &q->ops[i];

		if (op->state != OP_FREE)
			continue;
		*op = (struct op){.state = OP_QUEUED,
				  .seq = q->next_seq++,
				  .client_id = client_id,
				  .id = id,
				  .type = type,
				  .m = m};
		for (size_t j = 0; j < ARRAY_LEN(op->fds); j++)
			op->fds[j] = NO_FD;
		return op;
	}
	return NULL;
}

struct op *qemu_own_op(struct monitor *m, enum monitor_type type)
{
	return op_new(m, 0, 0, type);
}

static bool mac_ok(const char *mac)
{
	if (strlen(mac) != 17)
		return false;
	for (int i = 0; i < 17; i++)
		if (i % 3 == 2 ? mac[i] != ':' : !strchr("0123456789abcdef", mac[i]))
			return false;
	return true;
}

static const char *check(const struct monitor *m, const struct monitor_msg *msg)
{
	const struct monitor_device *d = &msg->device;
	bool device = msg->type >= MONITOR_DISK_ADD && msg->type <= MONITOR_NIC_REMOVE;

	if (m->ending || m->qemu.shut_down)
		return "The qube is ending";
	if (device && !qmp_name_ok(d->name))
		return "A disk's or network card's name holds 1 to 20 letters, digits, dots, "
		       "dashes, underscores";
	if (msg->type == MONITOR_NIC_ADD && !mac_ok(d->mac))
		return "A network card's address looks like 00:16:3e:5e:6c:00";
	if (msg->type == MONITOR_DISK_ADD && disks_full(&m->qemu))
		return "The qube has as many disks as it can have";
	if (msg->type == MONITOR_MEMORY_ASK && msg->memory.asked > m->memory.now.most)
		return "The qube cannot have so much memory";
	return NULL;
}

void qemu_command(struct monitor *m, uint64_t client_id, const struct monitor_msg *msg, int *fds,
		  size_t n_fds)
{
	const char *wrong = check(m, msg);
	struct op *op;

	if (wrong) {
		client_reply(m, client_id, msg->id, EINVAL, wrong);
		return;
	}
	op = op_new(m, client_id, msg->id, msg->type);
	if (!op) {
		client_reply(m, client_id, msg->id, EBUSY, "Too many commands wait for this qube");
		return;
	}
	if (msg->type >= MONITOR_DISK_ADD && msg->type <= MONITOR_NIC_REMOVE) {
		(void)snprintf(op->name, sizeof(op->name), "%s", msg->device.name);
		(void)snprintf(op->mac, sizeof(op->mac), "%s",
			       msg->device.mac ? msg->device.mac : "");
		op->size = msg->device.size;
		op->disk.name = op->name;
		op->disk.writable = msg->device.writable;
		op->disk.n_chain = msg->device.n_chain;
		memcpy(op->disk.qcow2, msg->device.qcow2, sizeof(op->disk.qcow2));
	}
	if (msg->type == MONITOR_MEMORY_ASK)
		op->size = msg->memory.asked;
	if (msg->type == MONITOR_DISK_ADD) {
		op->disk.first_set = FIRST_FREE_SET + m->qemu.next_set;
		m->qemu.next_set += op->disk.n_chain;
	}
	for (size_t i = 0; i < n_fds && i < ARRAY_LEN(op->fds); i++)
		op->fds[i] = take_fd(&fds[i]);
	qemu_work(m);
}

void qemu_ask_memory(struct monitor *m)
{
	struct op *op;

	for (size_t i = 0; i < ARRAY_LEN(m->qemu.ops); i++)
		if (m->qemu.ops[i].state != OP_FREE && m->qemu.ops[i].type == MONITOR_MEMORY)
			return;
	op = op_new(m, 0, 0, MONITOR_MEMORY);
	if (op)
		qemu_work(m);
}

/* ---- what QEMU says ---- */

/* A guest may let go of a device by itself; then what stood behind it goes as well. */
static void on_deleted(struct monitor *m, const char *device)
{
	struct qemu *q = &m->qemu;
	const char *name = str_starts(device, "dev-") ? device + 4 : "";
	struct op *op = NULL;

	if (!qmp_name_ok(name))
		return;
	for (size_t i = 0; i < ARRAY_LEN(q->ops); i++)
		if (q->ops[i].state == OP_WAITING && str_eq(q->ops[i].name, name))
			op = &q->ops[i];
	if (!op) {
		op = op_new(m, 0, 0, MONITOR_NIC_REMOVE);
		if (!op)
			return;
		(void)snprintf(op->name, sizeof(op->name), "%s", name);
		if (disks_take(q, op))
			op->type = MONITOR_DISK_REMOVE;
	} else if (op->type == MONITOR_DISK_REMOVE) {
		(void)disks_take(q, op);
	}
	op->timer = sd_event_source_disable_unref(op->timer);
	op->step = 2;
	op->state = OP_QUEUED;
}

static void on_io_error(struct monitor *m, const struct qmp_msg *msg)
{
	static struct log_limit limit = {.interval_s = 60, .burst = 3};
	char node[80], reason[80];

	if (log_allowed(&limit, m->name))
		log_warn(m->name, "QEMU could not read or write %s: %s",
			 log_quote(node, sizeof(node), msg->node, strlen(msg->node)),
			 log_quote(reason, sizeof(reason), msg->reason, strlen(msg->reason)));
	if (msg->no_space)
		set_reason(m, &m->qemu.no_space);
}

/* an UNPAUSE that is out is why it goes on: once */
static bool takes_resume(struct qemu *q)
{
	if (!q->running || q->running->type != MONITOR_UNPAUSE || q->running->resumed)
		return false;
	q->running->resumed = true;
	return true;
}

static void on_event(struct monitor *m, const struct qmp_msg *msg)
{
	struct qemu *q = &m->qemu;

	switch (msg->event) {
	case QMP_EVENT_SHUTDOWN:
		if (q->shut_down)
			break;
		q->shut_down = true;
		/* a kernel that fell over reboots as well: only a power-off is a clean end */
		q->guest_asked = msg->guest && str_eq(msg->reason, "guest-shutdown");
		q->rebooted = msg->guest && !q->guest_asked;
		expect_within(m, EXIT_TIMEOUT_US);
		monitor_set_state(m, MONITOR_STOPPING);
		break;
	case QMP_EVENT_STOP:
		if (q->running && q->running->type == MONITOR_PAUSE && m->state == MONITOR_PAUSED)
			set_reason(m, &q->told_to_stop);
		else if (q->running && q->running->type == MONITOR_PAUSE)
			q->told_to_stop = true;
		if (m->state == MONITOR_RUNNING)
			monitor_set_state(m, MONITOR_PAUSED);
		break;
	case QMP_EVENT_RESUME:
		if (m->state != MONITOR_PAUSED)
			break;
		q->told_to_stop = q->no_space = false;
		/* it stops by itself where a disk is full, but goes on when it is told to: one that
		 * does both by itself would keep all who follow it busy */
		if (!takes_resume(q) && ++q->n_unasked > UNASKED_MAX)
			cut_off(m, "it stops and goes on unasked");
		else
			monitor_set_state(m, MONITOR_RUNNING);
		break;
	case QMP_EVENT_DEVICE_DELETED:
		on_deleted(m, msg->device);
		break;
	case QMP_EVENT_GUEST_PANICKED:
		monitor_end(m, false, 0, "its kernel crashed; the console's log says more");
		break;
	case QMP_EVENT_BLOCK_IO_ERROR:
		on_io_error(m, msg);
		break;
	case QMP_EVENT_MEMORY_SIZE:
		memory_has(m, msg->size);
		break;
	case QMP_EVENT_VSERPORT_CHANGE:
		fork_on_port(m, msg->device, msg->open);
		if (msg->open && str_eq(msg->device, VCHAN_DEVICE))
			monitor_awake(m);
		break;
	case QMP_EVENT_RESET:
	case QMP_EVENT_POWERDOWN:
	case QMP_EVENT_OTHER:
		break;
	}
}

static void on_answer(struct monitor *m, const struct qmp_msg *msg)
{
	struct qemu *q = &m->qemu;

	if (q->waiting_id == 0 || !msg->has_id || msg->id != q->waiting_id) {
		cut_off(m, "an answer to no command");
		return;
	}
	q->waiting_id = 0;
	if (!q->shut_down)
		expect_within(m, 0);
	if (q->ready) {
		if (q->running)
			op_answer(q->running, msg);
		return;
	}
	if (msg->kind == QMP_ERROR) {
		cut_off(m, "it refuses the first commands");
		return;
	}
	if (msg->status[0] == '\0') {
		send_simple(m, "query-status");
		return;
	}
	q->ready = true;
	if (m->mode == MONITOR_BOOT)
		monitor_booted(m);
	else
		fork_begin(m);
}

static void on_qmp(struct monitor *m, const struct qmp_msg *msg)
{
	struct qemu *q = &m->qemu;

	switch (msg->kind) {
	case QMP_GREETING:
		if (q->greeted) {
			cut_off(m, "a second greeting");
			return;
		}
		q->greeted = true;
		send_simple(m, "qmp_capabilities");
		break;
	case QMP_RETURN:
	case QMP_ERROR:
		on_answer(m, msg);
		break;
	case QMP_EVENT:
		on_event(m, msg);
		break;
	}
	qemu_work(m);
}

/* what QEMU wrote to standard error: told when it ends badly */
static void on_words(struct monitor *m, const char *words)
{
	static struct log_limit limit = {.interval_s = 60, .burst = 10};
	size_t len = strlen(m->qemu.words);

	(void)snprintf(m->qemu.words + len, sizeof(m->qemu.words) - len, "%s", words);
	if (m->qemu.ready && log_allowed(&limit, m->name)) {
		char quoted[220];

		log_warn(m->name, "QEMU says: %s",
			 log_quote(quoted, sizeof(quoted), words, strcspn(words, "\n")));
	}
}

static int on_notes(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	struct monitor *m = data;
	struct reader_note note;

	(void)revents;
	for (int i = 0; i < NOTES_PER_TURN; i++) {
		int r = reader_take(fd, &note);

		if (r == -EAGAIN)
			return 0;
		if (r < 0 || note.kind == READER_END) {
			(void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
			if (r < 0 && !m->ending)
				monitor_end(
					m, false, EIO,
					"the reader of QEMU's bytes ended: the qube was cut off");
			return 0;
		}
		if (note.kind == READER_CUT)
			cut_off(m, note.words);
		else if (note.kind == READER_WORDS)
			on_words(m, note.words);
		else
			on_qmp(m, &note.qmp);
	}
	return 0;
}

/*
 * The first line that QEMU wrote, without its own name and in printable characters. An option that
 * it repeats before its complaint was not typed by anybody: of a -blockdev the disk's name is kept.
 */
static const char *first_words(const struct qemu *q, char *to, size_t size)
{
	static const char own[] = "qemu-system-x86_64: ", node[] = "\"node-name\":\"disk-";
	const char *at = q->words, *disk, *end;
	size_t len;

	if (str_starts(at, own))
		at += strlen(own);
	len = strcspn(at, "\n");
	end = memmem(at, len, "}: ", 3);
	disk = memmem(at, len, node, strlen(node));
	if (str_starts(at, "-") && end) {
		size_t used = 0;

		if (disk && disk < end) {
			disk += strlen(node);
			used = (size_t)snprintf(to, size, "disk %.*s: ", (int)strcspn(disk, "\""),
						disk);
		}
		end += 3;
		if (used < size / 2)
			(void)log_quote(to + used, size - used, end, len - (size_t)(end - at));
		return to;
	}
	return log_quote(to, size, at, len);
}

static void on_qemu_end(void *data, const struct child_end *end)
{
	struct monitor *m = data;
	struct qemu *q = &m->qemu;
	char how[64], quoted[WHY_MAX - 80];
	struct reader_note note;

	child_free(q->child);
	q->child = NULL;
	expect_within(m, 0);
	/* its last words may still be on their way */
	for (int i = 0; i < 50 && !m->ending && q->notes_fd >= 0; i++) {
		int r = reader_take(q->notes_fd, &note);

		if (r == -EAGAIN) {
			(void)usleep(2000);
			continue;
		}
		if (r < 0 || note.kind == READER_END)
			break;
		if (note.kind == READER_WORDS)
			on_words(m, note.words);
		else if (note.kind == READER_QMP && note.qmp.kind == QMP_EVENT)
			on_event(m, &note.qmp);
	}
	if (q->shut_down && end->signal == 0 && end->code == 0)
		monitor_end(m, q->guest_asked,
			    m->stage == MONITOR_READY       ? 0
			    : q->guest_asked || q->rebooted ? ESHUTDOWN
							    : EIO,
			    "%s",
			    q->guest_asked ? "it powered itself off"
			    : q->rebooted  ? "it rebooted, or its kernel crashed; start it again"
					   : "QEMU was told to end");
	else if (q->words[0] != '\0')
		monitor_end(m, false, EIO, "QEMU ended: %s",
			    first_words(q, quoted, sizeof(quoted)));
	else
		monitor_end(m, false, EIO, "QEMU ended (%s)", child_end_str(end, how, sizeof(how)));
	monitor_check_end(m);
}

static void on_reader_end(void *data, const struct child_end *end)
{
	struct monitor *m = data;
	char how[64];

	if (end->signal != 0 && !m->ending)
		log_err(m->name, "the reader of QEMU's bytes ended: %s",
			child_end_str(end, how, sizeof(how)));
	child_free(m->qemu.reader);
	m->qemu.reader = NULL;
}

int qemu_serve(struct monitor *m, int pidfd, pid_t pid, int reader_pidfd)
{
	struct qemu *q = &m->qemu;
	int r;

	q->pid = pid;
	q->next_id = 1;
	r = child_new(m->event, reader_pidfd, on_reader_end, m, &q->reader);
	if (r < 0)
		return r;
	r = child_new(m->event, pidfd, on_qemu_end, m, &q->child);
	if (r < 0)
		return r;
	r = sd_event_add_io(m->event, &q->notes, q->notes_fd, EPOLLIN, on_notes, m);
	if (r < 0)
		return r;
	/* until the greeting */
	expect_within(m, ANSWER_TIMEOUT_US);
	return 0;
}

void qemu_done(struct qemu *q)
{
	q->notes = sd_event_source_disable_unref(q->notes);
	q->answer_timer = sd_event_source_disable_unref(q->answer_timer);
	q->settle = sd_event_source_disable_unref(q->settle);
	for (size_t i = 0; i < ARRAY_LEN(q->ops); i++)
		if (q->ops[i].state != OP_FREE)
			op_free(&q->ops[i]);
	child_free(q->child);
	child_free(q->reader);
	q->child = q->reader = NULL;
	close_fd(&q->qmp_fd);
	close_fd(&q->notes_fd);
}
