/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The list of system calls. What is not on it ends the process (SIGSYS), so that a daemon that was
 * taken over does not get a second try, and a missing row is found by the first test that meets it.
 *
 * The base set is what any daemon here needs that works on descriptors it already has. It holds no
 * call that makes a new name reachable: no open, exec, fork, socket, bind, connect, kill or ptrace.
 */
#include "sandbox/walls.h"

#include <fcntl.h>
#include <seccomp.h>
#include <sys/mman.h>

/* clang-format off */
static const struct sandbox_call base_calls[] = {
	/* bytes in and out of what we hold */
	{"read"},		/* sockets, vchans; sd-event: timerfd and signalfd */
	{"readv"},		/* two parts of a ring at once */
	{"write"},		/* sockets, vchans, log lines */
	{"writev"},		/* header and body at once; assert()'s message */
	{"recvfrom"},		/* recv() */
	{"sendto"},		/* send(); no address helps in an empty network namespace */
	{"recvmsg"},		/* descriptors in messages */
	{"sendmsg"},		/* descriptors in messages */
	{"shutdown"},		/* end of one direction of a stream */
	{"close"},		/* clients that leave */
	{"fcntl", 1, ~UINT64_C(0), F_GETFL},	/* io_set_nonblock() */
	{"fcntl", 1, ~UINT64_C(0), F_SETFL},	/* io_set_nonblock() */
	{"fcntl", 1, ~UINT64_C(0), F_GETFD},	/* io_recv_msg()'s callers checking close-on-exec */
	{"fcntl", 1, ~UINT64_C(0), F_SETFD},	/* same */
	/* waiting */
	{"poll"},		/* blocking helpers of lib/base and lib/vchan */
	{"ppoll"},		/* poll() on machines without the older call */
	{"epoll_ctl"},		/* sd-event: sources come and go */
	{"epoll_wait"},		/* sd-event */
	{"epoll_pwait"},	/* epoll_wait() on machines without the older call */
	{"epoll_pwait2"},	/* sd-event from 249 on, where the kernel has it */
	{"timerfd_create"},	/* sd-event: the first timer of a clock */
	{"timerfd_settime"},	/* sd-event: arming timers */
	{"clock_gettime"},	/* io_now_ms(), sd-event, where the vDSO cannot tell the time */
	{"gettimeofday"},	/* same */
	{"time"},		/* same */
	{"restart_syscall"},	/* the kernel's own: a poll resumed after a stop */
	/* memory: never executable */
	{"brk"},		/* malloc */
	{"mmap", 2, PROT_EXEC, 0},	/* malloc of large blocks */
	{"mprotect", 2, PROT_EXEC, 0},	/* malloc trimming its arenas */
	{"mremap"},		/* realloc of large blocks; keeps the protection */
	{"munmap"},		/* free of large blocks */
	{"madvise"},		/* free: giving pages back */
	{"getrandom"},		/* malloc's first use; session numbers; seeds of hash tables */
	{"futex"},		/* once-functions of libc and libsystemd */
	/* signals and the end */
	{"rt_sigreturn"},	/* return from a handler */
	{"rt_sigprocmask"},	/* abort(); sd-event's signal sources */
	{"rt_sigaction"},	/* abort() putting the default action back */
	{"getpid"},		/* abort(); sd-event seeing that it was not forked */
	{"gettid"},		/* abort() */
	{"exit"},		/* _exit() of a thread-less program on old kernels */
	{"exit_group"},		/* exit */
};
/* clang-format on */

const bool walls_sanitized = false;

static int add_call(scmp_filter_ctx ctx, const struct sandbox_call *c)
{
	const int nr = seccomp_syscall_resolve_name(c->name);
	int r;

	if (nr == __NR_SCMP_ERROR)
		return 0;
	if (c->mask == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 0);
	else
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 1,
				     SCMP_CMP(c->arg, SCMP_CMP_MASKED_EQ, c->mask, c->value));
	/* a call this architecture never had, and a row that stands in both tables */
	return r == -EDOM || r == -EEXIST ? 0 : r;
}

static int fill(scmp_filter_ctx ctx, const struct sandbox_call *calls, size_t n_calls)
{
	/* abort() signals the process itself, and only itself, by this call */
	const struct sandbox_call abort_call = {"tgkill", 0, UINT32_MAX, (uint32_t)getpid()};
	int r;

	r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0); /* already on */
	/* a binary tree instead of a chain: fewer steps for each call we make */
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(base_calls); i++)
		r = add_call(ctx, &base_calls[i]);
	for (size_t i = 0; r == 0 && i < n_calls; i++)
		r = add_call(ctx, &calls[i]);
	return r == 0 ? add_call(ctx, &abort_call) : r;
}

int walls_seccomp(const struct sandbox_call *calls, size_t n_calls)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r;

	if (!ctx)
		return -ENOMEM;
	r = fill(ctx, calls, n_calls);
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r;
}
