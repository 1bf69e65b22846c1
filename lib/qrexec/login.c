/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qrexec/login.h"

#include "base/str.h"
#include "qrexec/service.h"

#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define USER_PATH "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"
#define ROOT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/** GROUPS_MAX - most groups of one user */
#define GROUPS_MAX 65536

static int groups_find(struct login *l)
{
	int n = 32;

	for (;;) {
		gid_t *more = reallocarray(l->groups, (size_t)n, sizeof(*more));

		if (!more)
			return -ENOMEM;
		l->groups = more;
		l->n_groups = n;
		if (getgrouplist(l->name, l->gid, l->groups, &l->n_groups) >= 0)
			return 0;
		if (n >= GROUPS_MAX)
			return -E2BIG;
		n *= 4;
	}
}

void login_prepare(void)
{
	struct login l;

	if (login_find("root", &l) == 0)
		login_done(&l);
}

static int take(const struct passwd *pw, bool change, struct login *ret)
{
	struct login l = {.change = change};

	l.uid = pw->pw_uid;
	l.gid = pw->pw_gid;
	l.name = strdup(pw->pw_name);
	l.home = strdup(pw->pw_dir);
	l.shell = strdup(pw->pw_shell && pw->pw_shell[0] != '\0' ? pw->pw_shell : "/bin/sh");
	if (!l.name || !l.home || !l.shell || (change && groups_find(&l) < 0)) {
		login_done(&l);
		return -ENOMEM;
	}
	*ret = l;
	return 0;
}

int login_find(const char *user, struct login *ret)
{
	const bool root = geteuid() == 0;
	struct passwd *pw;

	errno = 0;
	pw = getpwnam(user);
	if (!pw)
		return errno == ENOMEM ? -ENOMEM : LOGIN_E_UNKNOWN;
	if (!root && pw->pw_uid != geteuid())
		return LOGIN_E_OTHER;
	return take(pw, root, ret);
}

int login_self(struct login *ret)
{
	struct passwd *pw;

	errno = 0;
	pw = getpwuid(geteuid());
	if (!pw)
		return errno == ENOMEM ? -ENOMEM : LOGIN_E_UNKNOWN;
	return take(pw, false, ret);
}

void login_done(struct login *l)
{
	free(l->name);
	free(l->home);
	free(l->shell);
	free(l->groups);
	*l = (struct login){0};
}

const char *login_outcome_str(int outcome)
{
	switch (outcome) {
	case LOGIN_E_UNKNOWN:
		return "no such user here";
	case LOGIN_E_OTHER:
		return "who is not root runs commands of its own user only";
	default:
		return "cannot look the user up";
	}
}

int login_ids(const struct login *l)
{
	if (!l->change)
		return 0;
	if (setgroups((size_t)l->n_groups, l->groups) < 0 ||
	    setresgid(l->gid, l->gid, l->gid) < 0 || setresuid(l->uid, l->uid, l->uid) < 0)
		return fail_errno();
	return 0;
}

static int runtime_dir_set(uid_t uid)
{
	char path[32];
	struct stat st;

	(void)snprintf(path, sizeof(path), "/run/user/%u", (unsigned)uid);
	if (stat(path, &st) < 0 || st.st_uid != uid)
		return 0;
	return setenv("XDG_RUNTIME_DIR", path, 1);
}

int login_environment(const struct login *l)
{
	static const char *const kept[] = {"LANG", "LC_ALL", "TZ", "QREXEC_SERVICE_PATH",
					   "QUBES_RPC_CONFIG_PATH"};
	char *values[ARRAY_LEN(kept)];
	bool ok = true;

	if (!l->change) {
		service_clearenv();
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		const char *value = getenv(kept[i]);

		values[i] = value ? strdup(value) : NULL;
	}
	ok = clearenv() == 0;
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		if (values[i])
			ok = ok && setenv(kept[i], values[i], 1) == 0;
		free(values[i]);
	}
	ok = ok && setenv("HOME", l->home, 1) == 0 && setenv("SHELL", l->shell, 1) == 0 &&
	     setenv("USER", l->name, 1) == 0 && setenv("LOGNAME", l->name, 1) == 0 &&
	     setenv("PATH", l->uid == 0 ? ROOT_PATH : USER_PATH, 1) == 0 &&
	     runtime_dir_set(l->uid) == 0;
	if (!ok)
		return -ENOMEM;
	(void)umask(022);
	if (chdir(l->home) < 0 && chdir("/") < 0)
		return fail_errno();
	return 0;
}

const char *login_shell(const struct login *l, char *arg0, size_t size)
{
	const char *shell = l->change ? l->shell : "/bin/sh";
	const char *name = strrchr(shell, '/');

	/* the leading '-' makes it a login shell: /etc/profile and its like are read */
	(void)snprintf(arg0, size, "%s%s", l->change ? "-" : "", name ? name + 1 : shell);
	return shell;
}
