/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * A virtual machine monitor: how a qube is started, watched and changed. One folder per driver
 * (qemu/; none/ for tests, in a program of its own); which one a program has is decided as it is
 * linked.
 *
 * Two sides. A job (straight-line, blocking) starts a qube with vmm_start(): a qube-monitor is
 * spawned that outlives everything, and becomes the parent of QEMU and of the qube's daemons.
 * qubesd (event loop) attaches to that monitor with vmm_attach(), now or after its own restart,
 * gets events and gives commands.
 */
#include "base/attr.h"
#include "base/str.h"

#include <systemd/sd-event.h>

#define VMM_MAX_DISKS 8
#define VMM_MAX_CHAIN 8
#define VMM_MAX_NICS  4
/** VMM_MORE_UNIT_MIB - what can be added to a qube's memory is a multiple of this: what Linux adds it in */
#define VMM_MORE_UNIT_MIB 128

/** VMM_OVERHEAD_MIB - of a running machine beyond the memory of its guest, at least */
#define VMM_OVERHEAD_MIB 64
/** VMM_FILE_SPARE() - bytes that a file may have beyond the @size of its disk: tables, and what
 * crashes left without a user */
#define VMM_FILE_SPARE(size) ((size) / 8 + (UINT64_C(256) << 20))

/** enum vmm_format - of one file of a disk's chain */
enum vmm_format { VMM_RAW, VMM_QCOW2 };

/**
 * struct vmm_disk - one disk as the guest sees it
 * @name:	"root", "private", "volatile", "kernel" or a hot-plugged disk's own
 * @fds:	the chain of files, top (written) first, then what it rests on; borrowed
 * @formats:	of each
 * @writable:	the guest may write (only the top file is ever written)
 * @size:	of what the guest sees, in bytes; 0 = unknown. At a start it bounds how large QEMU may
 *		make any file (see VMM_FILE_SPARE): a disk that is added later must fit that too
 * @encrypted:	at a start only: what the chain holds is a LUKS disk; @key_fd: its secret as text, borrowed
 */
struct vmm_disk {
	const char *name;
	int fds[VMM_MAX_CHAIN];
	enum vmm_format formats[VMM_MAX_CHAIN];
	unsigned n_chain;
	bool writable, encrypted;
	int key_fd;
	uint64_t size;
};

/** struct vmm_nic - @fd: a connected stream socket that carries the frames (QEMU's -netdev stream);
 * borrowed */
struct vmm_nic {
	const char *id;
	const char *mac;
	int fd;
};

/** struct vmm_pair - a QubesDB entry the qube starts with; both NUL-terminated */
struct vmm_pair {
	const char *path, *value;
};

/** enum vmm_mode - how a machine begins */
enum vmm_mode {
	VMM_BOOT,
	VMM_ZYGOTE, /* boots to the end of its generic stage, is saved there and ends */
	VMM_FORK,   /* goes on where a zygote was saved */
};

/**
 * struct vmm_spec - all that a start needs
 * @run_dir:	of the instance (paths.run); the monitor makes and removes q/DOMID below it
 * @log_path:	where the guest's console goes (bounded in size, kept as the last part)
 * @more_mib:	memory that can be added while it runs, in whole VMM_MORE_UNIT_MIB; 0 = none
 * @gives_back:	pages that the guest has freed are the host's again, and it says how much it could still use
 * @kernel_fd, @initrd_fd: borrowed
 * @cmdline:	kernel command line, beyond what the driver itself adds
 * @uid:	id for QEMU and the daemons when we are root; 0 = none
 * @qrexec:	the qube has an agent: vmm_start() waits for it
 * @silent_ms:	a guest whose system shows no sign of life for so long is given up before its qrexec_timeout; 0: it is not
 * @mode:	and unless it is VMM_BOOT:
 * @memory_fd:	a memfd of the guest's memory: of a zygote empty and of its size, of a fork what became of it,
 *		sealed against every change; borrowed
 * @state_fd:	file of the devices' state, at its beginning; borrowed
 */
struct vmm_spec {
	const char *name, *uuid, *default_user;
	unsigned domid;
	unsigned memory_mib, more_mib, vcpus;
	bool gives_back;
	int kernel_fd, initrd_fd;
	const char *cmdline;
	struct vmm_disk disks[VMM_MAX_DISKS];
	unsigned n_disks;
	struct vmm_nic nics[VMM_MAX_NICS];
	unsigned n_nics;
	const struct vmm_pair *qdb;
	unsigned n_qdb;
	const char *run_dir, *log_path;
	uid_t uid;
	bool qrexec;
	unsigned qrexec_timeout_ms, silent_ms;
	bool debug;
	enum vmm_mode mode;
	int memory_fd, state_fd;
};

/** enum vmm_stage - progress of a start */
enum vmm_stage { VMM_STAGE_SPAWNED, VMM_STAGE_BOOTING, VMM_STAGE_READY };

/**
 * vmm_start() - start a qube and wait until its agent answers; for jobs
 * @progress:	called at each stage; qubesd may attach from VMM_STAGE_SPAWNED on
 * @error:	on failure a sentence for the user that names the cause and what to do
 *
 * A VMM_ZYGOTE has ended when this returns 0, and @spec->memory_fd and @spec->state_fd hold it.
 *
 * On failure nothing is left behind: no process, socket or file. Return: 0; -ETIMEDOUT the agent
 * never answered; -ETIME its system showed no sign of life (@silent_ms); -ESHUTDOWN before that it powered itself off, rebooted,
 * or its kernel crashed; -ENOENT QEMU is not installed; -ENOMEM the host cannot give that much memory;
 * -EIO QEMU failed (its own words are in @error); -errno.
 */
MUST_CHECK int vmm_start(const struct vmm_spec *spec, void (*progress)(void *, enum vmm_stage),
			 void *data, char *error, size_t error_size);

/**
 * vmm_shape() - all of a machine that its zygote must have in common with it, as text
 * @spec:	as of the machine; what makes it a qube of its own plays no part
 *
 * The program that runs it, its options, the processor it shows. Return: 0; -ENOENT; -E2BIG; -errno.
 */
MUST_CHECK int vmm_shape(const struct vmm_spec *spec, char *to, size_t size);

/** enum vmm_state - as the monitor knows it */
enum vmm_state {
	VMM_STARTING,
	VMM_RUNNING,
	VMM_PAUSED,
	VMM_FULL, /* it stopped by itself: there was no room for what it wrote. Nothing of that is lost */
	VMM_STOPPING,
	VMM_GONE,
};

struct vmm;

/**
 * struct vmm_events - what qubesd hears; called from the event loop
 * @state:	the state changed, or is told for the first time. After VMM_GONE (monitor and
 * everything below it ended) no more events come, and the callback may free the vmm. @clean: the
 *		guest powered itself off, rather than being killed or crashing; a reboot may be a
 *		crash and is not clean;
 *		@why: a sentence, or NULL
 * @agent:	the qrexec agent came or went
 */
struct vmm_events {
	void (*state)(void *data, struct vmm *v, enum vmm_state state, bool clean, const char *why);
	void (*agent)(void *data, struct vmm *v, bool up);
};

/** struct vmm_found - a running qube that vmm_scan() met; @name, @uuid: "" it runs, or may do so, and does not say who it is */
struct vmm_found {
	char name[QUBE_NAME_MAX + 1];
	char uuid[37];
	unsigned domid;
};

/** vmm_scan() - the monitors that run below @run_dir (after qubesd was restarted); removes what
 * dead ones left. -EPERM: this driver may not be used for this instance */
MUST_CHECK int vmm_scan(const char *run_dir, struct vmm_found **ret, size_t *ret_n);

/**
 * vmm_ended_clean() - did that qube, which runs no more, power itself off while nobody followed it?
 *
 * Asked once: the answer is forgotten.
 */
bool vmm_ended_clean(const char *run_dir, unsigned domid, const char *uuid);

/** vmm_attach() - follow and command a running qube; @ret is owned by the caller. Where we are short of something for that, it is done later.
 * -ENOENT, -ECONNREFUSED: it does not run */
MUST_CHECK int vmm_attach(sd_event *event, const char *run_dir, unsigned domid,
			  const struct vmm_events *events, void *data, struct vmm **ret);
/** vmm_free() - stop following; the qube goes on */
void vmm_free(struct vmm *v);

/* Commands: sent, not waited for, unless the comment says so; their effect arrives as an event. */
MUST_CHECK int vmm_shutdown(struct vmm *v); /* ACPI power button */
/** vmm_kill() - at once, or as soon as it can be told. -ESHUTDOWN: it has ended */
MUST_CHECK int vmm_kill(struct vmm *v);

/** vmm_done_fn - a command's end: @r 0 or -errno with @error a sentence */
typedef void (*vmm_done_fn)(void *data, int r, const char *error);
/** vmm_pause(), vmm_unpause() - @done may be NULL; -EIO if the state did not change. If it did, the
 * event may come before or after. One that is VMM_FULL goes on where it was, and is so again if there is still no room; pausing
 * it makes it VMM_PAUSED */
MUST_CHECK int vmm_pause(struct vmm *v, vmm_done_fn done, void *data);
MUST_CHECK int vmm_unpause(struct vmm *v, vmm_done_fn done, void *data);
MUST_CHECK int vmm_disk_add(struct vmm *v, const struct vmm_disk *disk, vmm_done_fn done,
			    void *data);
MUST_CHECK int vmm_disk_remove(struct vmm *v, const char *name, vmm_done_fn done, void *data);
/** vmm_disk_resize() - -EFBIG: so large a file it may not make, until it is started again */
MUST_CHECK int vmm_disk_resize(struct vmm *v, const char *name, uint64_t size, vmm_done_fn done,
			       void *data);
MUST_CHECK int vmm_nic_add(struct vmm *v, const struct vmm_nic *nic, vmm_done_fn done, void *data);
MUST_CHECK int vmm_nic_remove(struct vmm *v, const char *id, vmm_done_fn done, void *data);
MUST_CHECK int vmm_qdb_write(struct vmm *v, const char *path, const char *value);
MUST_CHECK int vmm_qdb_rm(struct vmm *v, const char *path);

/** vmm_get_pressed() - was its power button pressed before we began to follow it? @ret_s: seconds since
 * the last time, without those that it was paused */
bool vmm_get_pressed(const struct vmm *v, unsigned *ret_s);

/** struct vmm_usage - what a running qube uses */
struct vmm_usage {
	uint64_t memory_kib, cputime_ms;
};

/**
 * struct vmm_memory - of a qube that has @more_mib, in bytes
 * @base, @most:	what it started with, what can be added to that
 * @asked, @has:	of what can be added: what it is to have, what it has
 * @available:	what it could still use of all that, as it says itself; UINT64_MAX: it has not said
 * @swapped_out:	what it has moved to its swap since it started, as it says; it never becomes less
 */
struct vmm_memory {
	uint64_t base, most, asked, has, available, swapped_out;
};
/** vmm_get_memory() - as it was last heard; false: nothing can be added, and only @ret->base is told, or 0: nothing was heard yet */
bool vmm_get_memory(const struct vmm *v, struct vmm_memory *ret);
/** vmm_memory() - let it have @bytes of what can be added. Sent, not waited for */
MUST_CHECK int vmm_memory(struct vmm *v, uint64_t bytes);

/** vmm_get_usage() - from /proc, at once */
MUST_CHECK int vmm_get_usage(const struct vmm *v, struct vmm_usage *ret);
