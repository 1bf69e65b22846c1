/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * QMP, the control line of a QEMU, as far as qube-monitor speaks it (doc/protocol/qmp.md).
 *
 * The QEMU at the other end may have been taken over by its guest: what it says is decoded into
 * struct qmp_msg, or refused, and never believed beyond what a QEMU may do to its own guest.
 */
#include "proto/json.h"

/** QMP_LINE_MAX - longest line taken, without its end */
#define QMP_LINE_MAX 16384
/** QMP_COMMAND_MAX - longest command we make; enough for a disk with VMM_MAX_CHAIN files */
#define QMP_COMMAND_MAX 8192
/** QMP_DISK_NAME_MAX - so that "backing7-NAME" is a node name, which holds 31 bytes */
#define QMP_DISK_NAME_MAX 20
#define QMP_MAX_CHAIN     8

enum qmp_kind { QMP_GREETING, QMP_RETURN, QMP_ERROR, QMP_EVENT };

/** enum qmp_event - QMP_EVENT_OTHER: one we do not follow */
enum qmp_event {
	QMP_EVENT_OTHER,
	QMP_EVENT_SHUTDOWN,
	QMP_EVENT_RESET,
	QMP_EVENT_STOP,
	QMP_EVENT_RESUME,
	QMP_EVENT_POWERDOWN,
	QMP_EVENT_DEVICE_DELETED,
	QMP_EVENT_VSERPORT_CHANGE,
	QMP_EVENT_GUEST_PANICKED,
	QMP_EVENT_BLOCK_IO_ERROR,
	QMP_EVENT_MEMORY_SIZE,
};

/**
 * struct qmp_msg - one line from QEMU; texts are NUL-terminated
 * @id:		of the command that a return or error answers
 * @guest:	SHUTDOWN, RESET: the guest asked for it
 * @open:	VSERPORT_CHANGE
 * @reason:	SHUTDOWN, RESET, BLOCK_IO_ERROR; cut where too long, as are the others
 * @device:	DEVICE_DELETED (id), VSERPORT_CHANGE (id)
 * @node:	BLOCK_IO_ERROR: of the disk
 * @no_space:	BLOCK_IO_ERROR: the host had no room for what the guest wrote
 * @status:	of a return that has one (query-status, query-migrate)
 * @size:	MEMORY_DEVICE_SIZE_CHANGE: bytes that the guest has of it
 * @available:	of a return that has the guest's own figures (@has_available): bytes it could still use, as it says;
 *		2^64-1 where it did not say
 * @total:	of such a return: bytes of memory that it counted when it said so; 2^64-1 as above, 0 where absent
 * @swapped_out:	of such a return: bytes that it has moved to its swap since it started; likewise
 * @error_class, @error_desc: of an error; desc is for people and may hold any character but NUL
 */
struct qmp_msg {
	enum qmp_kind kind;
	enum qmp_event event;
	bool has_id, guest, open, no_space, has_available;
	uint64_t id, size, available, total, swapped_out;
	char reason[32], device[64], node[32], status[24];
	char error_class[32], error_desc[256];
};

enum qmp_outcome {
	QMP_E_FORMAT = 1, /* not JSON, or not what the page describes */
	QMP_E_LENGTH,     /* longer than QMP_LINE_MAX */
};

/** qmp_decode() - one line without its end. Return: 0; QMP_E_FORMAT, QMP_E_LENGTH */
MUST_CHECK int qmp_decode(const void *line, size_t len, struct qmp_msg *ret);

/**
 * qmp_begin(), qmp_end() - a command; its arguments are written between the two, as members
 *
 * qmp_end() returns the length with the line end, 0 if the buffer was too small.
 */
void qmp_begin(struct jw *w, const char *command, uint64_t id);
size_t qmp_end(struct jw *w);

/**
 * struct qmp_disk - a virtio disk of files that QEMU has as descriptor sets
 * @name:	[a-zA-Z0-9][a-zA-Z0-9_.-]*, at most QMP_DISK_NAME_MAX bytes; its node is
 * "disk-NAME", its device "dev-NAME"
 * @first_set:	set number of the top file; the file below it has the next, and so on
 * @encrypted:	the chain holds a LUKS disk, whose secret is QEMU's object "key-NAME"
 */
struct qmp_disk {
	const char *name;
	unsigned n_chain;
	bool qcow2[QMP_MAX_CHAIN];
	bool writable, encrypted;
	unsigned first_set;
};

/** qmp_name_ok() - @name may name a disk or network card */
bool qmp_name_ok(const char *name);
/** qmp_put_blockdev() - members of blockdev-add, and of -blockdev: the chain, node by node */
void qmp_put_blockdev(struct jw *w, const struct qmp_disk *disk);
/** QMP_HOT_BUS - the bus for what comes while the guest runs; the root's own takes nothing then */
#define QMP_HOT_BUS "hot"
/** qmp_put_disk_device() - members of device_add, and of -device */
void qmp_put_disk_device(struct jw *w, const struct qmp_disk *disk);
/** QMP_MORE_MEMORY, QMP_BALLOON - devices: memory that comes and goes; what the guest says of its memory */
#define QMP_MORE_MEMORY "more"
#define QMP_BALLOON     "balloon"
/** qmp_put_of() - members of qom-get and qom-set that say which property of which of these devices */
void qmp_put_of(struct jw *w, const char *device, const char *property);
/** qmp_put_nic_device() - members of device_add, and of -device; its back end is "net-ID" */
void qmp_put_nic_device(struct jw *w, const char *id, const char *mac);
