/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/qmp.h"

#include "base/str.h"

#include <string.h>

static const struct {
	const char *name;
	enum qmp_event event;
} events[] = {
	{"SHUTDOWN", QMP_EVENT_SHUTDOWN},
	{"RESET", QMP_EVENT_RESET},
	{"STOP", QMP_EVENT_STOP},
	{"RESUME", QMP_EVENT_RESUME},
	{"POWERDOWN", QMP_EVENT_POWERDOWN},
	{"DEVICE_DELETED", QMP_EVENT_DEVICE_DELETED},
	{"VSERPORT_CHANGE", QMP_EVENT_VSERPORT_CHANGE},
	{"GUEST_PANICKED", QMP_EVENT_GUEST_PANICKED},
	{"BLOCK_IO_ERROR", QMP_EVENT_BLOCK_IO_ERROR},
	{"MEMORY_DEVICE_SIZE_CHANGE", QMP_EVENT_MEMORY_SIZE},
};

/* the members we know of "data", "return" and "error"; QEMU sends them in any order */
enum field {
	F_GUEST = 1 << 0,
	F_OPEN = 1 << 1,
	F_REASON = 1 << 2,
	F_DEVICE = 1 << 3,
	F_STATUS = 1 << 4,
	F_CLASS = 1 << 5,
	F_DESC = 1 << 6,
	F_SIZE = 1 << 7,
	F_STATS = 1 << 8,
	F_AVAILABLE = 1 << 9,
	F_ID = 1 << 10,
	F_SWAP_OUT = 1 << 11,
	F_TOTAL = 1 << 12,
	F_NODE = 1 << 13,
	F_NO_SPACE = 1 << 14,
};

static const struct {
	const char *name;
	enum field bit;
} fields[] = {
	{"guest", F_GUEST},
	{"open", F_OPEN},
	{"reason", F_REASON},
	{"device", F_DEVICE},
	{"status", F_STATUS},
	{"class", F_CLASS},
	{"desc", F_DESC},
	{"size", F_SIZE},
	{"stats", F_STATS},
	{"stat-available-memory", F_AVAILABLE},
	{"stat-swap-out", F_SWAP_OUT},
	{"stat-total-memory", F_TOTAL},
	{"id", F_ID},
	{"node-name", F_NODE},
	{"nospace", F_NO_SPACE},
};

static unsigned read_fields(struct jr *r, unsigned wanted, struct qmp_msg *m);

static void read_field(struct jr *r, enum field bit, struct qmp_msg *m)
{
	switch (bit) {
	case F_GUEST:
		m->guest = jr_bool(r);
		break;
	case F_OPEN:
		m->open = jr_bool(r);
		break;
	case F_REASON:
		(void)jr_str(r, m->reason, sizeof(m->reason));
		break;
	case F_DEVICE:
	case F_ID: /* of a port */
		(void)jr_str(r, m->device, sizeof(m->device));
		break;
	case F_NODE:
		(void)jr_str(r, m->node, sizeof(m->node));
		break;
	case F_STATUS:
		(void)jr_str(r, m->status, sizeof(m->status));
		break;
	case F_CLASS:
		(void)jr_str(r, m->error_class, sizeof(m->error_class));
		break;
	case F_DESC:
		(void)jr_str(r, m->error_desc, sizeof(m->error_desc));
		break;
	case F_SIZE:
		m->size = jr_u64(r);
		break;
	case F_STATS: /* these alone are wanted inside: no deeper */
		(void)read_fields(r, F_AVAILABLE | F_SWAP_OUT | F_TOTAL, m);
		break;
	case F_AVAILABLE:
		m->available = jr_u64(r);
		m->has_available = true;
		break;
	case F_SWAP_OUT:
		m->swapped_out = jr_u64(r);
		break;
	case F_TOTAL:
		m->total = jr_u64(r);
		break;
	case F_NO_SPACE:
		m->no_space = jr_bool(r);
		break;
	}
}

/* @wanted: those that may be here; all others are passed over. A member twice is refused. */
static unsigned read_fields(struct jr *r, unsigned wanted, struct qmp_msg *m)
{
	bool first = true;
	unsigned seen = 0;
	char key[32];

	(void)jr_open(r);
	while (jr_key(r, &first, key, sizeof(key))) {
		unsigned bit = 0;

		for (size_t i = 0; i < ARRAY_LEN(fields); i++)
			if (str_eq(key, fields[i].name))
				bit = fields[i].bit & wanted;
		if (bit & seen)
			r->failed = true;
		seen |= bit;
		if (bit)
			read_field(r, (enum field)bit, m);
		else
			jr_skip(r, 2);
	}
	return seen;
}

static void read_event(struct jr *r, struct qmp_msg *m)
{
	char name[32];

	m->event = QMP_EVENT_OTHER;
	if (!jr_str(r, name, sizeof(name)))
		return; /* too long for any we know */
	for (size_t i = 0; i < ARRAY_LEN(events); i++)
		if (str_eq(name, events[i].name))
			m->event = events[i].event;
}

enum top {
	T_GREETING = 1 << 0,
	T_RETURN = 1 << 1,
	T_ERROR = 1 << 2,
	T_EVENT = 1 << 3,
	T_DATA = 1 << 4,
	T_ID = 1 << 5,
};

static unsigned top_of(const char *key)
{
	static const struct {
		const char *name;
		enum top bit;
	} tops[] = {
		{"QMP", T_GREETING}, {"return", T_RETURN}, {"error", T_ERROR},
		{"event", T_EVENT},  {"data", T_DATA},     {"id", T_ID},
	};

	for (size_t i = 0; i < ARRAY_LEN(tops); i++)
		if (str_eq(key, tops[i].name))
			return tops[i].bit;
	return 0;
}

static void read_top(struct jr *r, unsigned bit, struct qmp_msg *m)
{
	switch (bit) {
	case T_RETURN:
		if (jr_peek(r) == '{')
			(void)read_fields(r, F_STATUS | F_STATS, m);
		else
			jr_skip(r, 1);
		break;
	case T_ERROR:
		if (read_fields(r, F_CLASS | F_DESC, m) != (F_CLASS | F_DESC))
			r->failed = true;
		break;
	case T_EVENT:
		read_event(r, m);
		break;
	case T_DATA:
		(void)read_fields(r,
				  F_GUEST | F_OPEN | F_REASON | F_DEVICE | F_SIZE | F_ID | F_NODE |
					  F_NO_SPACE,
				  m);
		break;
	case T_ID:
		m->id = jr_u64(r);
		m->has_id = true;
		break;
	default:
		jr_skip(r, 1);
		break;
	}
}

int qmp_decode(const void *line, size_t len, struct qmp_msg *ret)
{
	struct jr r = jr_of(line, len);
	struct qmp_msg m = {0};
	unsigned seen = 0;
	bool first = true;
	char key[16];

	if (len > QMP_LINE_MAX)
		return QMP_E_LENGTH;
	(void)jr_open(&r);
	while (jr_key(&r, &first, key, sizeof(key))) {
		unsigned bit = top_of(key);

		if (bit & seen)
			r.failed = true;
		seen |= bit;
		read_top(&r, bit, &m);
	}
	if (!jr_done(&r))
		return QMP_E_FORMAT;
	switch (seen) {
	case T_GREETING:
		m.kind = QMP_GREETING;
		break;
	case T_RETURN:
	case T_RETURN | T_ID:
		m.kind = QMP_RETURN;
		break;
	case T_ERROR: /* a line of ours that QEMU could not read has no id */
	case T_ERROR | T_ID:
		m.kind = QMP_ERROR;
		break;
	case T_EVENT:
	case T_EVENT | T_DATA:
		m.kind = QMP_EVENT;
		break;
	default:
		return QMP_E_FORMAT;
	}
	*ret = m;
	return 0;
}

void qmp_begin(struct jw *w, const char *command, uint64_t id)
{
	jw_begin(w, '{');
	jw_key(w, "execute");
	jw_str(w, command);
	jw_key(w, "id");
	jw_u64(w, id);
	jw_key(w, "arguments");
	jw_begin(w, '{');
}

size_t qmp_end(struct jw *w)
{
	jw_end(w, '}');
	jw_end(w, '}');
	jw_raw(w, "\n");
	return jw_done(w);
}

bool qmp_name_ok(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len <= QMP_DISK_NAME_MAX && bytes_are_alnum_or(name, len, "_.-") &&
	       bytes_are_alnum_or(name, 1, "");
}

static void put_str(struct jw *w, const char *key, const char *format, const char *value)
{
	char text[96];

	(void)!str_format(text, sizeof(text), format, value);
	jw_key(w, key);
	jw_str(w, text);
}

static void put_bool(struct jw *w, const char *key, bool v)
{
	jw_key(w, key);
	jw_bool(w, v);
}

/* The file's bytes. discard goes down to the file, so that what a guest frees the host has again. What the host has read of it stays: QEMU
 * would drop that where it takes up a saved machine, for which another host could have written to the file meanwhile.
 */
static void put_file(struct jw *w, const struct qmp_disk *disk, unsigned at, bool writable)
{
	char text[48];

	put_str(w, "driver", "%s", "file");
	(void)!str_format(text, sizeof(text), "/dev/fdset/%u", disk->first_set + at);
	put_str(w, "filename", "%s", text);
	put_bool(w, "read-only", !writable);
	put_str(w, "aio", "%s", "threads");
	put_bool(w, "drop-cache", false);
	put_str(w, "discard", "%s", "unmap");
}

static void put_node(struct jw *w, const struct qmp_disk *disk, unsigned at)
{
	bool writable = disk->writable && at == 0;
	char name[48];

	if (at == 0)
		(void)!str_format(name, sizeof(name), disk->encrypted ? "sealed-%s" : "disk-%s",
				  disk->name);
	else
		(void)!str_format(name, sizeof(name), "backing%u-%s", at, disk->name);
	jw_key(w, "node-name");
	jw_str(w, name);
	if (!disk->qcow2[at] && at == 0) {
		put_file(w, disk, at, writable);
		return;
	}
	/* a raw file below another has a node of its own around it: without one QEMU takes the file's name together with
	 * the name in the header above, and refuses both */
	put_str(w, "driver", "%s", disk->qcow2[at] ? "qcow2" : "raw");
	put_bool(w, "read-only", !writable);
	put_str(w, "discard", "%s", "unmap");
	jw_key(w, "file");
	jw_begin(w, '{');
	put_file(w, disk, at, writable);
	jw_end(w, '}');
	if (!disk->qcow2[at])
		return;
	/* always said: never the path that the file's header names, which somebody else wrote */
	jw_key(w, "backing");
	if (at + 1 < disk->n_chain && at + 1 < QMP_MAX_CHAIN) {
		jw_begin(w, '{');
		put_node(w, disk, at + 1);
		jw_end(w, '}');
	} else {
		jw_null(w);
	}
}

void qmp_put_blockdev(struct jw *w, const struct qmp_disk *disk)
{
	if (!disk->encrypted) {
		put_node(w, disk, 0);
		return;
	}
	put_str(w, "node-name", "disk-%s", disk->name);
	put_str(w, "driver", "%s", "luks");
	put_bool(w, "read-only", !disk->writable);
	put_str(w, "key-secret", "key-%s", disk->name);
	jw_key(w, "file");
	jw_begin(w, '{');
	put_node(w, disk, 0);
	jw_end(w, '}');
}

void qmp_put_disk_device(struct jw *w, const struct qmp_disk *disk)
{
	put_str(w, "driver", "%s", "virtio-blk-pci");
	put_str(w, "id", "dev-%s", disk->name);
	put_str(w, "drive", "disk-%s", disk->name);
	put_str(w, "serial", "%s", disk->name);
	/* a write for which the host has no room is kept, and the guest stopped, until it can be done */
	put_str(w, "werror", "%s", "enospc");
	put_str(w, "disable-legacy", "%s", "on");
}

void qmp_put_of(struct jw *w, const char *device, const char *property)
{
	put_str(w, "path", "/machine/peripheral/%s", device);
	put_str(w, "property", "%s", property);
}

void qmp_put_nic_device(struct jw *w, const char *id, const char *mac)
{
	put_str(w, "driver", "%s", "virtio-net-pci");
	put_str(w, "id", "dev-%s", id);
	put_str(w, "netdev", "net-%s", id);
	put_str(w, "mac", "%s", mac);
	put_str(w, "disable-legacy", "%s", "on");
	put_str(w, "romfile", "%s", ""); /* nobody boots from the network */
}
