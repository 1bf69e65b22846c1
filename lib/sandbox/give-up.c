/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The wall of programs that start others: what neither they nor any child of theirs needs is refused
 * with an error. The short lists of confined daemons come on top.
 */
#include "sandbox/walls.h"

#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>

/* clang-format off */
/* Not needed by qubesd, its jobs, qube-monitor, QEMU or any daemon. */
static const char *const refused[] = {
	"ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd",	/* other processes */
	"bpf", "perf_event_open", "userfaultfd",			/* parts of the kernel with a history */
	"io_uring_setup", "io_uring_enter", "io_uring_register",
	"keyctl", "add_key", "request_key",
	"init_module", "finit_module", "delete_module",			/* the machine */
	"kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff", "acct", "quotactl",
	"settimeofday", "clock_settime", "adjtimex", "clock_adjtime",
	"open_by_handle_at", "setns", "mknod", "mknodat", "vhangup", "syslog", "iopl", "ioperm",
};
/* clang-format on */

int sandbox_give_up(void)
{
	scmp_filter_ctx ctx;
	int r = 0;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail_errno();
	if (walls_sanitized)
		return 0;
	ctx = seccomp_init(SCMP_ACT_ALLOW);
	if (!ctx)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_LEN(refused) && r == 0; i++) {
		int nr = seccomp_syscall_resolve_name(refused[i]);

		if (nr != __NR_SCMP_ERROR)
			r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), nr, 0);
	}
	/* no network of any kind */
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
				     SCMP_A0(SCMP_CMP_NE, AF_UNIX));
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r;
}
