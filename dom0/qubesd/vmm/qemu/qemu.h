/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* The parts of the QEMU driver. argv.c is pure; the others act. */
#include "proto/monitor.h"
#include "vmm.h"

#define QEMU_MAX_FDS   (2 + VMM_MAX_DISKS * (VMM_MAX_CHAIN + 1) + VMM_MAX_NICS)
#define QEMU_TEXT_SIZE 65536

/**
 * struct qemu_argv - a command line, and which of our descriptors QEMU gets at which number
 * @argv:	points into @text
 */
struct qemu_argv {
	unsigned n_args, n_fds;
	const char *argv[MONITOR_MAX_ARGS];
	int fd_from[QEMU_MAX_FDS];
	uint32_t fd_to[QEMU_MAX_FDS];
	size_t text_len;
	char text[QEMU_TEXT_SIZE];
};

/**
 * struct qemu_host - what the machine has for it
 * @program:	path of QEMU
 * @kvm:	use it, else TCG
 * @one_cpu:	no guest may have more than one processor (machine_qemu_emulates_many())
 * @tsc_khz:	how fast the processor's counter runs, which a guest under TCG reads as its own; 0: not known
 */
struct qemu_host {
	const char *program;
	bool kvm, one_cpu;
	unsigned tsc_khz;
};

/**
 * qemu_argv_build() - the command line of one qube
 *
 * Return: 0; -EINVAL: the spec holds what it must not (a name with a comma, too many disks);
 * -E2BIG.
 */
MUST_CHECK int qemu_argv_build(const struct vmm_spec *spec, const struct qemu_host *host,
			       struct qemu_argv *ret);

/**
 * qemu_open() - pidfd of @pid, if that is a child of @parent
 *
 * The number was told, and may be another process's by now. @parent lives, or is a child of ours that was not waited for.
 * Return: 0; -ESRCH: there is no such child; -errno.
 */
MUST_CHECK int qemu_open(pid_t pid, pid_t parent, int *ret_pidfd);
/** qemu_get_usage() - what it uses, from /proc */
MUST_CHECK int qemu_get_usage(pid_t pid, struct vmm_usage *ret);

/** qemu_recv() - next message of a monitor within @timeout_ms. Return: 0; -ETIMEDOUT; -ECONNRESET
 * it closed; -EPROTO; -errno */
MUST_CHECK int qemu_recv(int fd, int timeout_ms, uint8_t *buf, size_t size,
			 struct monitor_msg *ret);
