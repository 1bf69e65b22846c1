/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * What qubesd and its jobs say to qube-monitor, and hear from it (doc/protocol/monitor.md). One
 * message is one SEQPACKET packet, with its descriptors beside it.
 */
#include "base/bytes.h"

/** MONITOR_MSG_MAX - longest message */
#define MONITOR_MSG_MAX   131072
#define MONITOR_MAX_FDS   16
#define MONITOR_MAX_ARGS  192
#define MONITOR_MAX_QDB   512
#define MONITOR_MAX_CHAIN 8
/** MONITOR_FD_FIRST, MONITOR_FD_MAX - numbers that MONITOR_FDS may give to QEMU's descriptors;
 * lower ones are the monitor's own: the descriptors below */
#define MONITOR_FD_FIRST   16
#define MONITOR_FD_MAX     1023
#define MONITOR_FD_QMP     3
#define MONITOR_FD_VCHAN   4 /* listening */
#define MONITOR_FD_CONSOLE 5
#define MONITOR_FD_RINGS   6 /* memory shared with the qube: doc/protocol/ring.md */
#define MONITOR_FD_STAGE   7 /* the port on which a fork is told who it is: doc/protocol/fork.md */

enum monitor_type {
	/* on the start channel only, in this order */
	MONITOR_FDS = 1,
	MONITOR_START,
	/* commands; answered by MONITOR_REPLY with their id */
	MONITOR_SHUTDOWN = 16,
	MONITOR_KILL,
	MONITOR_PAUSE,
	MONITOR_UNPAUSE,
	MONITOR_DISK_ADD,
	MONITOR_DISK_REMOVE,
	MONITOR_DISK_RESIZE,
	MONITOR_NIC_ADD,
	MONITOR_NIC_REMOVE,
	MONITOR_QDB_WRITE,
	MONITOR_QDB_RM,
	MONITOR_MEMORY_ASK,
	/* from the monitor */
	MONITOR_STATUS = 128,
	MONITOR_REPLY,
	MONITOR_MEMORY,
};

/** struct monitor_fds - @to: QEMU's number of each descriptor that comes along */
struct monitor_fds {
	unsigned n;
	uint32_t to[MONITOR_MAX_FDS];
};

/** enum monitor_mode - what a monitor makes of its QEMU */
enum monitor_mode {
	MONITOR_BOOT,
	MONITOR_ZYGOTE, /* boots to the end of its generic stage, and its state is saved: READY */
	MONITOR_FORK,   /* goes on from the state of a zygote */
};

/**
 * struct monitor_start - all a monitor needs; texts are NUL-terminated and borrowed
 *
 * Descriptors come along: the console's log file, open for reading and writing; but for MONITOR_BOOT also
 * the file of the devices' state, to be written or read from its beginning.
 * @memory_mib:	what it has at the start
 * @more_mib:	what can be added while it runs: the size of the device QMP_MORE_MEMORY; 0 = there is none
 */
struct monitor_start {
	uint32_t domid, uid, memory_mib, more_mib;
	enum monitor_mode mode;
	uint64_t private_size, volatile_size; /* of a fork's disks; 0 else */
	bool qrexec, debug;
	const char *name, *uuid, *default_user, *run_dir, *program;
	unsigned n_args; /* of QEMU, argv[0] included */
	const char *args[MONITOR_MAX_ARGS];
	unsigned n_qdb;
	const char *qdb_path[MONITOR_MAX_QDB], *qdb_value[MONITOR_MAX_QDB];
};

/** struct monitor_device - a disk (@n_chain descriptors, @qcow2 of each) or network card (one, and
 * @mac), by @name; @size for a resize */
struct monitor_device {
	const char *name, *mac;
	unsigned n_chain;
	bool qcow2[MONITOR_MAX_CHAIN];
	bool writable;
	uint64_t size;
};

/** MONITOR_UNKNOWN - for @available */
#define MONITOR_UNKNOWN UINT64_MAX

/**
 * struct monitor_memory - of a qube, in bytes; of MONITOR_MEMORY_ASK only @asked
 * @base, @most:	what it started with; what can be added to that: if nothing can, nothing else is told
 * @asked, @has:	of what can be added: what it is to have, what it has
 * @available:	what it could still use of all that, as it says; MONITOR_UNKNOWN: it has not said
 * @swapped_out:	what it has moved to its swap since it started, as it says; it never becomes less. 0: nothing, or it has not said
 */
struct monitor_memory {
	uint64_t base, most, asked, has, available, swapped_out;
};

struct monitor_qdb {
	const char *path, *value;
};

enum monitor_state {
	MONITOR_STARTING,
	MONITOR_RUNNING,
	MONITOR_PAUSED,
	MONITOR_STOPPING,
	MONITOR_GONE,
};

/** MONITOR_NEVER - for @pressed_s */
#define MONITOR_NEVER UINT32_MAX

/**
 * enum monitor_stage - how far a start has come: in this order
 *
 * The numbers are the wire's, and stay: monitors outlive the qubesd that started them.
 */
enum monitor_stage {
	MONITOR_SPAWNED = 0,
	MONITOR_BOOTING = 1,
	MONITOR_AWAKE = 3, /* vchand in it has opened its port; on the start channel only */
	MONITOR_READY = 2,
};

/**
 * struct monitor_status - sent after a client connected and at each change
 * @clean:	MONITOR_GONE: the guest powered itself off
 * @error:	MONITOR_GONE: why a start failed, a positive errno; MONITOR_PAUSED: ENOSPC: it stopped by itself, since there was no
 *		room for what it wrote; else 0
 * @why:	MONITOR_GONE, MONITOR_STOPPING: a sentence; may be empty
 * @pressed_s:	seconds since the guest's power button was last pressed, without those that it was paused; MONITOR_NEVER
 */
struct monitor_status {
	enum monitor_state state;
	enum monitor_stage stage;
	bool clean, agent;
	uint32_t error, domid, qemu_pid, pressed_s;
	const char *name, *uuid, *why;
};

/** struct monitor_reply - @error 0 or a positive errno, with a sentence */
struct monitor_reply {
	uint32_t error;
	const char *text;
};

/** struct monitor_msg - @id: of a command and its reply; 0 else */
struct monitor_msg {
	enum monitor_type type;
	uint32_t id;
	union {
		struct monitor_fds fds;
		struct monitor_start start;
		struct monitor_device device;
		struct monitor_qdb qdb;
		struct monitor_memory memory;
		struct monitor_status status;
		struct monitor_reply reply;
	};
};

enum monitor_outcome {
	MONITOR_E_FORMAT = 1, /* not what the page describes */
};

/**
 * monitor_decode() - one message
 * @n_fds:	descriptors that came with it; must be what the type says
 * @ret:	texts point into @bytes
 *
 * Return: 0; MONITOR_E_FORMAT.
 */
MUST_CHECK int monitor_decode(const void *bytes, size_t len, size_t n_fds, struct monitor_msg *ret);
/** monitor_encode() - length of the message; 0 if it does not fit @size or goes over a limit */
MUST_CHECK size_t monitor_encode(const struct monitor_msg *m, void *buf, size_t size);
