/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policyd.h"

#include "sandbox/sandbox.h"

#include <fcntl.h>
#include <sys/socket.h>

int confine(uid_t uid)
{
	static const struct sandbox_call calls[] = {
		{"accept4"},   /* who has a question */
		{"lseek"},     /* the length of a table, and of a log */
		{"ftruncate"}, /* a log that is begun anew */
		{"sysinfo"},   /* qsort() of more than 1 KiB, to see how much memory there is */
		{"fcntl", 1, ~UINT64_C(0), F_GET_SEALS}, /* a table must be sealed */
	};
	const struct sandbox s = {
		.calls = calls,
		.n_calls = ARRAY_LEN(calls),
		.uid = uid,
		.gid = uid,
		.max_fds = CLIENTS_MAX + PROMPTS_MAX + 32,
		.max_memory = 512u << 20,
	};
	unsigned missing;
	int r = sandbox_enter(&s, &missing);

	if (r < 0)
		log_err(NULL, "cannot confine itself: %s", log_errno_str(r));
	else if (missing)
		log_info(NULL, "confined without %s", sandbox_missing_str(missing));
	return r;
}

int confine_loader(void)
{
	/* what may not be in the flags of an open */
	static const uint64_t writing = O_ACCMODE | O_CREAT | O_TRUNC;
	/*
	 * It connects: policyd may not, and the session's prompt, which answers in the person's
	 * name, has to be reached anew for each question. Unix sockets only; with files that it
	 * may read anyway there is nothing of a qube in this process.
	 */
	static const struct sandbox_call calls[] = {
		{"openat", 2, writing, O_RDONLY}, /* folders and files of the policy; terminals */
		{"getdents64"},                   /* what is in a folder */
		{"newfstatat"},                   /* whether it is a folder */
		{"fstat"},                        /* where stat() is not the call above */
		{"access"},                       /* whether a folder is there */
		{"faccessat"},                    /* where access() is this call */
		{"readlink"},                     /* where a link leads that leads nowhere yet */
		{"readlinkat"},                   /* where readlink() is this call */
		{"lseek"},                        /* readdir() */
		{"sysinfo"},                      /* qsort() of many files, as above */
		{"socket", 0, ~UINT64_C(0), AF_UNIX},    /* the prompt */
		{"connect"},                             /* same */
		{"getsockopt"},                          /* who listens there */
		{"geteuid"},                             /* that it is ourselves */
		{"inotify_init1"},                       /* what has changed */
		{"inotify_add_watch"},                   /* same */
		{"memfd_create"},                        /* the table */
		{"ftruncate"},                           /* same */
		{"fcntl", 1, ~UINT64_C(0), F_ADD_SEALS}, /* same */
	};

	return sandbox_calls_only(calls, ARRAY_LEN(calls));
}
