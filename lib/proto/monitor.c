/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/monitor.h"

#include <string.h>

static unsigned get_count(struct rd *r, unsigned max)
{
	unsigned n = rd_le16(r);

	if (n > max) {
		r->failed = true;
		return 0;
	}
	return n;
}

static void put_count(struct wr *w, unsigned n, unsigned max)
{
	if (n > max)
		w->failed = true;
	wr_le16(w, (uint16_t)n);
}

static size_t get_fds(struct rd *r, struct monitor_fds *f)
{
	f->n = get_count(r, MONITOR_MAX_FDS);
	if (f->n == 0)
		r->failed = true;
	for (unsigned i = 0; i < f->n; i++) {
		f->to[i] = rd_le32(r);
		if (f->to[i] < MONITOR_FD_FIRST || f->to[i] > MONITOR_FD_MAX)
			r->failed = true;
	}
	return f->n;
}

static size_t get_start(struct rd *r, struct monitor_start *s)
{
	uint8_t mode;

	s->domid = rd_le32(r);
	s->uid = rd_le32(r);
	mode = rd_u8(r);
	if (mode > MONITOR_FORK)
		r->failed = true;
	s->mode = (enum monitor_mode)mode;
	s->private_size = rd_le64(r);
	s->volatile_size = rd_le64(r);
	s->qrexec = rd_bool(r);
	s->debug = rd_bool(r);
	s->memory_mib = rd_le32(r);
	s->more_mib = rd_le32(r);
	s->name = rd_text(r);
	s->uuid = rd_text(r);
	s->default_user = rd_text(r);
	s->run_dir = rd_text(r);
	s->program = rd_text(r);
	s->n_args = get_count(r, MONITOR_MAX_ARGS);
	for (unsigned i = 0; i < s->n_args; i++)
		s->args[i] = rd_text(r);
	s->n_qdb = get_count(r, MONITOR_MAX_QDB);
	for (unsigned i = 0; i < s->n_qdb; i++) {
		s->qdb_path[i] = rd_text(r);
		s->qdb_value[i] = rd_text(r);
	}
	return mode == MONITOR_BOOT ? 1 : 2;
}

static void put_start(struct wr *w, const struct monitor_start *s)
{
	wr_le32(w, s->domid);
	wr_le32(w, s->uid);
	wr_u8(w, (uint8_t)s->mode);
	wr_le64(w, s->private_size);
	wr_le64(w, s->volatile_size);
	wr_u8(w, s->qrexec);
	wr_u8(w, s->debug);
	wr_le32(w, s->memory_mib);
	wr_le32(w, s->more_mib);
	wr_text(w, s->name);
	wr_text(w, s->uuid);
	wr_text(w, s->default_user);
	wr_text(w, s->run_dir);
	wr_text(w, s->program);
	put_count(w, s->n_args, MONITOR_MAX_ARGS);
	for (unsigned i = 0; i < s->n_args && !w->failed; i++)
		wr_text(w, s->args[i]);
	put_count(w, s->n_qdb, MONITOR_MAX_QDB);
	for (unsigned i = 0; i < s->n_qdb && !w->failed; i++) {
		wr_text(w, s->qdb_path[i]);
		wr_text(w, s->qdb_value[i]);
	}
}

static void get_disk(struct rd *r, struct monitor_device *d)
{
	d->writable = rd_bool(r);
	d->n_chain = get_count(r, MONITOR_MAX_CHAIN);
	if (d->n_chain == 0)
		r->failed = true;
	for (unsigned i = 0; i < d->n_chain; i++)
		d->qcow2[i] = rd_bool(r);
}

static void put_disk(struct wr *w, const struct monitor_device *d)
{
	wr_u8(w, d->writable);
	put_count(w, d->n_chain, MONITOR_MAX_CHAIN);
	for (unsigned i = 0; i < d->n_chain && !w->failed; i++)
		wr_u8(w, d->qcow2[i]);
}

static void get_status(struct rd *r, struct monitor_status *s)
{
	uint8_t state = rd_u8(r), stage = rd_u8(r);

	if (state > MONITOR_GONE || stage > MONITOR_AWAKE)
		r->failed = true;
	s->state = (enum monitor_state)state;
	s->stage = (enum monitor_stage)stage;
	s->clean = rd_bool(r);
	s->agent = rd_bool(r);
	s->error = rd_le32(r);
	s->domid = rd_le32(r);
	s->qemu_pid = rd_le32(r);
	s->pressed_s = rd_le32(r);
	s->name = rd_text(r);
	s->uuid = rd_text(r);
	s->why = rd_text(r);
}

static void put_status(struct wr *w, const struct monitor_status *s)
{
	wr_u8(w, (uint8_t)s->state);
	wr_u8(w, (uint8_t)s->stage);
	wr_u8(w, s->clean);
	wr_u8(w, s->agent);
	wr_le32(w, s->error);
	wr_le32(w, s->domid);
	wr_le32(w, s->qemu_pid);
	wr_le32(w, s->pressed_s);
	wr_text(w, s->name);
	wr_text(w, s->uuid);
	wr_text(w, s->why);
}

/* Return: how many descriptors come with the message */
static size_t get_body(struct rd *r, struct monitor_msg *m)
{
	switch (m->type) {
	case MONITOR_FDS:
		return get_fds(r, &m->fds);
	case MONITOR_START:
		return get_start(r, &m->start);
	case MONITOR_SHUTDOWN:
	case MONITOR_KILL:
	case MONITOR_PAUSE:
	case MONITOR_UNPAUSE:
		return 0;
	case MONITOR_DISK_ADD:
		m->device.name = rd_text(r);
		get_disk(r, &m->device);
		return m->device.n_chain;
	case MONITOR_DISK_RESIZE:
		m->device.name = rd_text(r);
		m->device.size = rd_le64(r);
		return 0;
	case MONITOR_NIC_ADD:
		m->device.name = rd_text(r);
		m->device.mac = rd_text(r);
		return 1;
	case MONITOR_DISK_REMOVE:
	case MONITOR_NIC_REMOVE:
		m->device.name = rd_text(r);
		return 0;
	case MONITOR_QDB_WRITE:
		m->qdb.path = rd_text(r);
		m->qdb.value = rd_text(r);
		return 0;
	case MONITOR_QDB_RM:
		m->qdb.path = rd_text(r);
		return 0;
	case MONITOR_MEMORY_ASK:
		m->memory.asked = rd_le64(r);
		return 0;
	case MONITOR_MEMORY:
		m->memory.base = rd_le64(r);
		m->memory.most = rd_le64(r);
		m->memory.asked = rd_le64(r);
		m->memory.has = rd_le64(r);
		m->memory.available = rd_le64(r);
		/* a monitor that was started before there was this word says nothing of it */
		m->memory.swapped_out = r->len > 0 ? rd_le64(r) : 0;
		return 0;
	case MONITOR_STATUS:
		get_status(r, &m->status);
		return 0;
	case MONITOR_REPLY:
		m->reply.error = rd_le32(r);
		m->reply.text = rd_text(r);
		return 0;
	}
	r->failed = true;
	return 0;
}

int monitor_decode(const void *bytes, size_t len, size_t n_fds, struct monitor_msg *ret)
{
	struct rd r = rd_of(bytes, len);

	if (len > MONITOR_MSG_MAX)
		return MONITOR_E_FORMAT;
	memset(ret, 0, sizeof(*ret));
	ret->type = (enum monitor_type)rd_le32(&r);
	ret->id = rd_le32(&r);
	if (get_body(&r, ret) != n_fds || !rd_done(&r))
		return MONITOR_E_FORMAT;
	return 0;
}

static void put_body(struct wr *w, const struct monitor_msg *m)
{
	switch (m->type) {
	case MONITOR_FDS:
		put_count(w, m->fds.n, MONITOR_MAX_FDS);
		for (unsigned i = 0; i < m->fds.n && !w->failed; i++)
			wr_le32(w, m->fds.to[i]);
		break;
	case MONITOR_START:
		put_start(w, &m->start);
		break;
	case MONITOR_SHUTDOWN:
	case MONITOR_KILL:
	case MONITOR_PAUSE:
	case MONITOR_UNPAUSE:
		break;
	case MONITOR_DISK_ADD:
		wr_text(w, m->device.name);
		put_disk(w, &m->device);
		break;
	case MONITOR_DISK_RESIZE:
		wr_text(w, m->device.name);
		wr_le64(w, m->device.size);
		break;
	case MONITOR_NIC_ADD:
		wr_text(w, m->device.name);
		wr_text(w, m->device.mac);
		break;
	case MONITOR_DISK_REMOVE:
	case MONITOR_NIC_REMOVE:
		wr_text(w, m->device.name);
		break;
	case MONITOR_QDB_WRITE:
		wr_text(w, m->qdb.path);
		wr_text(w, m->qdb.value);
		break;
	case MONITOR_QDB_RM:
		wr_text(w, m->qdb.path);
		break;
	case MONITOR_MEMORY_ASK:
		wr_le64(w, m->memory.asked);
		break;
	case MONITOR_MEMORY:
		wr_le64(w, m->memory.base);
		wr_le64(w, m->memory.most);
		wr_le64(w, m->memory.asked);
		wr_le64(w, m->memory.has);
		wr_le64(w, m->memory.available);
		wr_le64(w, m->memory.swapped_out);
		break;
	case MONITOR_STATUS:
		put_status(w, &m->status);
		break;
	case MONITOR_REPLY:
		wr_le32(w, m->reply.error);
		wr_text(w, m->reply.text);
		break;
	}
}

size_t monitor_encode(const struct monitor_msg *m, void *buf, size_t size)
{
	struct wr w = wr_of(buf, size < MONITOR_MSG_MAX ? size : MONITOR_MSG_MAX);

	wr_le32(&w, m->type);
	wr_le32(&w, m->id);
	put_body(&w, m);
	return wr_done(&w);
}
