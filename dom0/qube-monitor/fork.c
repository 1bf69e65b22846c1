/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Zygotes and forks (doc/decisions/0061): the state of QEMU's devices goes into a file, or comes from one. The
 * guest's memory is neither written nor read here: it is a file that QEMU maps, which x-ignore-shared leaves out.
 *
 * Both are lists of QMP commands, as those of clients are (qemu.c). A fork is told who it is on its stage port, which is
 * only written to: no byte of the qube comes this way.
 */
#include "qube-monitor.h"

#include "base/log.h"
#include "proto/fork.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>

#define STAGE_DEVICE "stage" /* as vmm/qemu calls the port */
#define STATE_NAME   "state"

static void begin(struct jw *w, struct qemu *q, const char *command)
{
	qmp_begin(w, command, q->next_id);
}

static void text(struct jw *w, const char *key, const char *value)
{
	jw_key(w, key);
	jw_str(w, value);
}

static void put_capabilities(struct jw *w, struct qemu *q)
{
	begin(w, q, "migrate-set-capabilities");
	jw_key(w, "capabilities");
	jw_begin(w, '[');
	jw_begin(w, '{');
	text(w, "capability", "x-ignore-shared");
	jw_key(w, "state");
	jw_bool(w, true);
	jw_end(w, '}');
	jw_end(w, ']');
}

static void put_state_file(struct jw *w, struct qemu *q, const struct op *op, int *ret_fd)
{
	begin(w, q, "getfd");
	text(w, "fdname", STATE_NAME);
	*ret_fd = op->fds[0];
}

static void put_resize(struct jw *w, struct qemu *q, const char *node, uint64_t size)
{
	begin(w, q, "block_resize");
	text(w, "node-name", node);
	jw_key(w, "size");
	jw_u64(w, size);
}

/* What either sends, in turn. ASK_* come again until QEMU has written, or read, all of the state. */
enum fork_command {
	END,
	STOP,
	CAPABILITIES,
	STATE_FILE,
	WRITE_STATE,
	ASK_WRITTEN,
	READ_STATE,
	ASK_READ,
	RESIZE_PRIVATE,
	RESIZE_VOLATILE,
	CONT
};

static const uint8_t save_commands[] = {STOP,        CAPABILITIES, STATE_FILE,
					WRITE_STATE, ASK_WRITTEN,  END};
static const uint8_t restore_commands[] = {CAPABILITIES,   STATE_FILE,      READ_STATE, ASK_READ,
					   RESIZE_PRIVATE, RESIZE_VOLATILE, CONT,       END};

/* one that failed is past the last */
static enum fork_command command_of(const struct op *op)
{
	if (op->type == OP_SAVE)
		return op->step < ARRAY_LEN(save_commands) ? save_commands[op->step] : END;
	return op->step < ARRAY_LEN(restore_commands) ? restore_commands[op->step] : END;
}

enum fork_step fork_step(struct qemu *q, struct op *op, struct jw *w, int *ret_fd)
{
	if (op->again) /* only after ASK_* */
		return FORK_PAUSE;
	switch (command_of(op)) {
	case STOP:
		begin(w, q, "stop");
		break;
	case CAPABILITIES:
		put_capabilities(w, q);
		break;
	case STATE_FILE:
		put_state_file(w, q, op, ret_fd);
		break;
	case WRITE_STATE:
		begin(w, q, "migrate");
		text(w, "uri", "fd:" STATE_NAME);
		break;
	case ASK_WRITTEN:
		begin(w, q, "query-migrate");
		break;
	case READ_STATE:
		begin(w, q, "migrate-incoming");
		text(w, "uri", "fd:" STATE_NAME);
		break;
	case ASK_READ:
		begin(w, q, "query-status");
		break;
	case RESIZE_PRIVATE:
		put_resize(w, q, "disk-private", op->m->disk_sizes[0]);
		break;
	case RESIZE_VOLATILE:
		put_resize(w, q, "disk-volatile", op->m->disk_sizes[1]);
		break;
	case CONT:
		begin(w, q, "cont");
		break;
	case END:
	default:
		return FORK_DONE;
	}
	return FORK_SEND;
}

void fork_answer(struct op *op, const struct qmp_msg *msg)
{
	const enum fork_command answered = command_of(op);

	if (answered == STATE_FILE)
		close_fd(&op->fds[0]);
	if (answered == ASK_WRITTEN) {
		if (str_eq(msg->status, "failed") || str_eq(msg->status, "cancelled")) {
			op->error = EIO;
			(void)snprintf(op->text, sizeof(op->text), "its state could not be saved");
			op->step = UINT8_MAX;
			return;
		}
		op->again = !str_eq(msg->status, "completed");
	}
	if (answered == CAPABILITIES)
		op->began_ms = io_now_ms();
	if (answered == ASK_READ) {
		op->again = str_eq(msg->status, "inmigrate");
		if (!op->again)
			log_info(op->m->name, "goes on from its zygote, taken up in %u ms",
				 (unsigned)(io_now_ms() - op->began_ms));
	}
	if (!op->again)
		op->step++;
}

/* 0; -errno */
static int tell_identity(const struct monitor *m)
{
	struct fork_identity id;
	uint8_t bytes[FORK_LEN];
	struct timespec now;
	ssize_t n;
	int r = 0;

	if (getrandom(id.seed, sizeof(id.seed), 0) != (ssize_t)sizeof(id.seed) ||
	    clock_gettime(CLOCK_REALTIME, &now) < 0)
		return fail_errno();
	id.time_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	fork_encode(&id, bytes);
	n = send(m->stage_fd, bytes, sizeof(bytes), MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n != (ssize_t)sizeof(bytes))
		r = n < 0 ? fail_errno() : -EAGAIN;
	explicit_bzero(&id, sizeof(id));
	explicit_bzero(bytes, sizeof(bytes));
	return r;
}

void fork_done(struct monitor *m, struct op *op)
{
	int r;

	if (op->error != 0) {
		monitor_end(m, false, EIO, "%s: %s", op->type == OP_SAVE ? "zygote" : "fork",
			    op->text);
		return;
	}
	if (op->type == OP_SAVE) {
		monitor_saved(m);
		return;
	}
	r = tell_identity(m);
	r = r < 0 ? r : weight_lower(m);
	if (r < 0)
		monitor_end(m, false, -r, "the fork cannot go on: %s", log_errno_str(r));
	else
		monitor_booted(m);
}

static void queue(struct monitor *m, enum monitor_type type)
{
	struct op *op = qemu_own_op(m, type);

	if (!op) {
		monitor_end(m, false, EBUSY, "no room for a command of our own");
		return;
	}
	op->fds[0] = take_fd(&m->state_fd);
	qemu_work(m);
}

void fork_begin(struct monitor *m)
{
	if (m->mode == MONITOR_FORK)
		queue(m, OP_RESTORE);
	else
		monitor_set_state(m, MONITOR_RUNNING);
}

void fork_on_port(struct monitor *m, const char *device, bool open)
{
	if (!str_eq(device, STAGE_DEVICE))
		return;
	if (open && m->mode == MONITOR_ZYGOTE && m->qemu.ready && m->state_fd >= 0)
		queue(m, OP_SAVE);
	if (!open && m->mode == MONITOR_FORK)
		weight_settle(m);
}
