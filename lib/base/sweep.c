/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/sweep.h"

#include "base/io.h"
#include "base/str.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

static int remove_at(int dir, const char *name)
{
	return unlinkat(dir, name, 0) < 0 && errno != ENOENT ? fail_errno() : 0;
}

/* links that lead to a later start of the same qube stay */
static int sweep_qrexec(const char *run_dir, unsigned domid)
{
	char path[UNIX_PATH_MAX + 1], own[32];
	DIR *dir;
	int r = str_format(path, sizeof(path), "%s/qubes", run_dir);

	r = r < 0 ? r : str_format(own, sizeof(own), "qrexec.%u", domid);
	if (r < 0)
		return r;
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? 0 : fail_errno();
	for (struct dirent *e; r == 0 && (e = readdir(dir));) {
		char target[64];
		ssize_t n = readlinkat(dirfd(dir), e->d_name, target, sizeof(target) - 1);

		target[n > 0 ? n : 0] = '\0';
		if (str_eq(e->d_name, own) || str_eq(target, own))
			r = remove_at(dirfd(dir), e->d_name);
	}
	(void)closedir(dir);
	return r;
}

static int sweep_unanswered(const char *folder)
{
	DIR *dir = opendir(folder);
	int r = 0;

	if (!dir)
		return errno == ENOENT ? 0 : fail_errno();
	for (struct dirent *e; r == 0 && (e = readdir(dir));) {
		char path[UNIX_PATH_MAX + 1];
		AUTO_CLOSE int fd = NO_FD;

		if (!str_starts(e->d_name, "qubesdb.") ||
		    str_format(path, sizeof(path), "%s/%s", folder, e->d_name) < 0)
			continue;
		if (io_unix_connect_now(path, SOCK_STREAM, &fd) == -ECONNREFUSED)
			r = remove_at(dirfd(dir), e->d_name);
	}
	(void)closedir(dir);
	return r;
}

int sweep_qube(const char *run_dir, unsigned domid, const char *name)
{
	char path[UNIX_PATH_MAX + 1];
	int r;

	if (name)
		r = str_format(path, sizeof(path), "%s/qubes/qubesdb.%s.sock", run_dir, name);
	else
		r = str_format(path, sizeof(path), "%s/qubes", run_dir);
	if (r == 0)
		r = name ? remove_at(AT_FDCWD, path) : sweep_unanswered(path);
	if (r == 0)
		r = sweep_qrexec(run_dir, domid);
	if (r == 0)
		r = str_format(path, sizeof(path), "%s/q/%u", run_dir, domid);
	return r < 0 ? r : io_remove_tree(AT_FDCWD, path);
}
