/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/paths.h"

#include "base/io.h"
#include "base/str.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static uint32_t hash(const char *s)
{
	uint32_t h = 2166136261u; /* FNV-1a: tells instances apart, protects nothing */

	for (; *s != '\0'; s++)
		h = (h ^ (uint8_t)*s) * 16777619u;
	return h;
}

static int join(char **ret, const char *dir, const char *below)
{
	if (asprintf(ret, "%s/%s", dir, below) < 0) {
		*ret = NULL;
		return -ENOMEM;
	}
	return 0;
}

static int xdg_base(char **ret, const char *variable, const char *below_home)
{
	const char *dir = getenv(variable), *home = getenv("HOME");

	if (dir && dir[0] == '/') {
		*ret = strdup(dir);
		return *ret ? 0 : -ENOMEM;
	}
	if (!home || home[0] != '/')
		return -ENOENT;
	return join(ret, home, below_home);
}

static int xdg(char **ret, const char *variable, const char *below_home)
{
	AUTO_FREE char *base = NULL;
	int r = xdg_base(&base, variable, below_home);

	return r < 0 ? r : join(ret, base, "bulkhead");
}

/* the run directory must be ours alone: its sockets are the doors of dom0 */
static int check_own(const char *dir)
{
	struct stat st;

	if (lstat(dir, &st) < 0)
		return fail_errno();
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	return st.st_uid == geteuid() && (st.st_mode & 022) == 0 ? 0 : -EPERM;
}

static int run_init(struct paths *p, const char *home, bool create)
{
	const char *base = getenv("XDG_RUNTIME_DIR");
	AUTO_FREE char *link = NULL;
	char name[32];
	ssize_t n;
	int r;

	if (home) {
		r = join(&link, home, "run");
		if (r < 0)
			return r;
		n = readlink(link, p->run, sizeof(p->run) - 1);
		if (n > 0) {
			p->run[n] = '\0';
			if (check_own(p->run) == 0)
				return 0;
		}
		if (!create)
			return -ENOENT;
	}
	r = home ? str_format(name, sizeof(name), "bulkhead-%08x", hash(home))
		 : str_format(name, sizeof(name), "bulkhead");
	if (r < 0)
		return r;
	if (!base || base[0] != '/' || check_own(base) < 0 ||
	    str_format(p->run, sizeof(p->run), "%s/%s", base, name) < 0) {
		r = str_format(p->run, sizeof(p->run), "/tmp/%s-%u", name, geteuid());
		if (r < 0)
			return r;
	}
	if (create && mkdir(p->run, 0700) < 0 && errno != EEXIST)
		return fail_errno();
	r = check_own(p->run);
	if (r < 0 || !home)
		return r;
	if (unlink(link) < 0 && errno != ENOENT)
		return fail_errno();
	/* one that is there again was made by another start at the same time, to the same place */
	return symlink(p->run, link) < 0 && errno != EEXIST ? fail_errno() : 0;
}

int paths_init(struct paths *p, bool create)
{
	const char *env = getenv("BULKHEAD_HOME");
	AUTO_FREE char *home = NULL;
	int r;

	*p = (struct paths){0};
	if (env && env[0] != '\0') {
		if (create) {
			r = io_mkdirs(env, 0700);
			if (r < 0)
				return r;
		}
		home = realpath(env, NULL);
		if (!home)
			return fail_errno();
		r = join(&p->state, home, "state");
		r = r < 0 ? r : join(&p->config, home, "config");
		r = r < 0 ? r : join(&p->cache, home, "cache");
	} else {
		r = xdg(&p->state, "XDG_STATE_HOME", ".local/state");
		r = r < 0 ? r : xdg(&p->config, "XDG_CONFIG_HOME", ".config");
		r = r < 0 ? r : xdg(&p->cache, "XDG_CACHE_HOME", ".cache");
	}
	if (r == 0 && create) {
		r = io_mkdirs(p->state, 0700);
		r = r < 0 ? r : io_mkdirs(p->config, 0700);
		r = r < 0 ? r : io_mkdirs(p->cache, 0700);
	}
	if (r == 0)
		r = run_init(p, home, create);
	if (r < 0)
		paths_done(p);
	return r;
}

int paths_data(char **ret)
{
	const char *env = getenv("BULKHEAD_HOME");
	AUTO_FREE char *home = NULL;

	if (!env || env[0] == '\0')
		return xdg_base(ret, "XDG_DATA_HOME", ".local/share");
	home = realpath(env, NULL);
	return home ? join(ret, home, "share") : fail_errno();
}

void paths_done(struct paths *p)
{
	free(p->state);
	free(p->config);
	free(p->cache);
	*p = (struct paths){0};
}

int paths_vchan_dir(const struct paths *p, unsigned domid, char *to, size_t size)
{
	return str_format(to, size, "%s/q/%u/vchan", p->run, domid);
}

int paths_vchan_socket(const char *dir, unsigned server, unsigned client, unsigned port, char *to,
		       size_t size)
{
	if (server > PATHS_DOMID_MAX || client > PATHS_DOMID_MAX)
		return -EINVAL;
	return str_format(to, size, "%s/vchan.%u.%u.%u.sock", dir, server, client, port);
}
