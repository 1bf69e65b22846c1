/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The order in which the walls go up.
 *
 * Namespaces by privilege come before the privilege goes; where there is none, a user namespace of
 * our own gives just enough to make them, after the ids have changed. Landlock wants no_new_privs.
 * Limits come late, since building the seccomp list takes memory; seccomp comes last, since nothing
 * above is on its list.
 */
#include "sandbox/sandbox.h"

#include "sandbox/walls.h"

#include <grp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define NOBODY 65534

static int become(uid_t uid, gid_t gid)
{
	if (geteuid() != 0)
		return (uid == 0 || uid == geteuid()) && (gid == 0 || gid == getegid()) ? 0
											: -EPERM;
	if (uid == 0 && gid == 0)
		return 0;
	if (setgroups(0, NULL) < 0)
		return fail_errno();
	if (gid != 0 && setresgid(gid, gid, gid) < 0)
		return fail_errno();
	if (uid != 0 && setresuid(uid, uid, uid) < 0)
		return fail_errno();
	return 0;
}

/* never above what we were given: raising it is a privilege */
static int limit(int what, uint64_t value)
{
	struct rlimit l;

	if (getrlimit((__rlimit_resource_t)what, &l) < 0)
		return fail_errno();
	l.rlim_max = value < l.rlim_max ? value : l.rlim_max;
	l.rlim_cur = l.rlim_max;
	return setrlimit((__rlimit_resource_t)what, &l) < 0 ? fail_errno() : 0;
}

/* ids and namespaces, in the order that the privilege we start with asks for */
static int leave(const struct sandbox *s, unsigned *missing)
{
	const bool empty_root = !s->read_paths;
	int r = -EPERM;

	if (geteuid() == 0)
		r = walls_unshare_privileged(empty_root, s->tree_fd);
	if (r == 0)
		return become(s->uid, s->gid);
	r = become(s->uid, s->gid);
	if (r < 0)
		return r;
	if (walls_unshare_user(empty_root, s->tree_fd) < 0)
		*missing |= SANDBOX_NO_NAMESPACES;
	return 0;
}

/* a change of ids or capabilities makes the kernel forget the signal that the parent's death sends
 */
static int restore_death_signal(int signal_nr, pid_t parent)
{
	if (signal_nr == 0)
		return 0;
	if (prctl(PR_SET_PDEATHSIG, signal_nr) < 0)
		return fail_errno();
	return getppid() == parent ? 0 : -ESRCH; /* it died meanwhile */
}

int sandbox_enter(const struct sandbox *s, unsigned *ret_missing)
{
	const pid_t parent = getppid();
	struct rlimit files;
	uint64_t max_file;
	unsigned missing = 0;
	int death_signal = 0, r;

	if (prctl(PR_GET_PDEATHSIG, &death_signal) < 0)
		return fail_errno();
	r = leave(s, &missing);
	if (r < 0)
		return r;
	r = walls_drop_capabilities();
	if (r < 0)
		return r;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0)
		return fail_errno();
	r = restore_death_signal(death_signal, parent);
	if (r < 0)
		return r;
	r = walls_landlock(s->read_paths, s->tree_fd ? *s->tree_fd : NO_FD);
	if (r == -ENOSYS)
		missing |= SANDBOX_NO_LANDLOCK;
	else if (r < 0)
		return r;
	r = limit(RLIMIT_CORE, 0);
	/* standard error is a log on a disk that all qubes live from; more is an error, not a signal */
	if (signal(SIGXFSZ, SIG_IGN) == SIG_ERR)
		return fail_errno();
	if (r == 0 && getrlimit(RLIMIT_FSIZE, &files) < 0)
		return fail_errno();
	max_file = s->max_file > 0 ? s->max_file : SANDBOX_FILE_MAX;
	if (r == 0 && files.rlim_max > max_file)
		r = limit(RLIMIT_FSIZE, max_file);
	if (r == 0 && s->max_fds > 0)
		r = limit(RLIMIT_NOFILE, s->max_fds);
	if (r == 0 && s->max_memory > 0 && !walls_sanitized)
		r = limit(RLIMIT_AS, s->max_memory);
	if (r < 0)
		return r;
	r = walls_seccomp(s->calls, s->n_calls);
	if (r < 0)
		return r;
	*ret_missing = missing;
	return 0;
}

int sandbox_enter_small(void)
{
	const bool is_root = geteuid() == 0;
	const struct sandbox s = {
		.uid = is_root ? NOBODY : 0,
		.gid = is_root ? NOBODY : 0,
		.max_fds = 16,
		.max_memory = UINT64_C(64) << 20,
	};
	unsigned missing;

	return sandbox_enter(&s, &missing);
}

int sandbox_calls_only(const struct sandbox_call *calls, size_t n_calls)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0)
		return fail_errno();
	return walls_seccomp(calls, n_calls);
}

int sandbox_relay(pid_t command)
{
	const struct sandbox_call calls[] = {
		{"newfstatat"}, /* what its streams are */
		{"fstat"},      /* same, on older machines */
		{"waitid"},     /* the service's end */
		{"kill", 0, UINT32_MAX,
		 (uint32_t)(0 - command)}, /* its process group, when the caller is gone */
	};

	return sandbox_calls_only(calls, ARRAY_LEN(calls) - (command > 0 ? 0 : 1));
}

const char *sandbox_missing_str(unsigned missing)
{
	switch (missing & (SANDBOX_NO_NAMESPACES | SANDBOX_NO_LANDLOCK)) {
	case 0:
		return "nothing";
	case SANDBOX_NO_NAMESPACES:
		return "namespaces";
	case SANDBOX_NO_LANDLOCK:
		return "Landlock";
	default:
		return "namespaces and Landlock";
	}
}
