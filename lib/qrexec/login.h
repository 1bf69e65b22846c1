/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Whose command it is: becoming a user as a login would. */
#include "base/attr.h"

#include <sys/types.h>

/** enum - outcomes */
enum {
	LOGIN_E_UNKNOWN = 1, /* no such user */
	LOGIN_E_OTHER,       /* we are not root and this is somebody else */
};

/** struct login - a user; owns its strings. @change: we are root and shall become them, with @groups */
struct login {
	uid_t uid;
	gid_t gid;
	char *name, *home, *shell;
	gid_t *groups;
	int n_groups;
	bool change;
};

/**
 * login_prepare() - look somebody up, so that whatever libraries that needs are loaded
 *
 * Should: be called once by who forks a process per call: each of them would load them anew, which costs more than the
 * rest of a call.
 */
void login_prepare(void);

/** login_find() - 0; LOGIN_E_*; -ENOMEM. On success to be given to login_done() */
MUST_CHECK int login_find(const char *user, struct login *ret);
/** login_self() - who we are, with nothing to change */
MUST_CHECK int login_self(struct login *ret);
void login_done(struct login *l);
const char *login_outcome_str(int outcome);

/** login_ids() - as root: groups and ids; else nothing. 0; -errno, and then exit */
MUST_CHECK int login_ids(const struct login *l);

/**
 * login_environment() - as root: a fresh environment, the home directory and umask 022; else what
 * we were started with, less what a caller could have left there
 */
MUST_CHECK int login_environment(const struct login *l);

/**
 * login_shell() - the user's shell, as a login shell, or without root /bin/sh
 * @arg0:	what it is called; @size at least NAME_MAX + 2
 *
 * Return: its path, borrowed from @l.
 */
const char *login_shell(const struct login *l, char *arg0, size_t size);
