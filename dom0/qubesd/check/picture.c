/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "check.h"

#include "base/io.h"
#include "base/str.h"
#include "client/client.h"
#include "storage/storage.h"
#include "store/traces.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

/* a running qubesd writes the store into a file of ours */
static int ask_for_it(int fd, char *error, size_t error_size)
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	int r = client_call(NULL, "bulkhead.Store", "dom0", NULL, NULL, 0, fd, &answer);

	if (r == 0)
		return 0;
	if (r == -ENOENT || r == -ECONNREFUSED)
		return -EBUSY; /* another check, or a qubesd that begins, has the lock */
	(void)snprintf(error, error_size, "qubesd does not tell what it holds: %s",
		       r == CLIENT_E_EXCEPTION ? answer.data : "it gives no answer");
	return r < 0 ? r : -EIO;
}

static int copy_file(const struct check *c, const char *name, const char *dir)
{
	char from[PATH_MAX], to[PATH_MAX];
	AUTO_CLOSE int in = NO_FD;
	AUTO_CLOSE int out = NO_FD;
	ssize_t n;
	int r = str_format(from, sizeof(from), "%s/%s", c->paths.state, name);

	if (r == 0)
		r = str_format(to, sizeof(to), "%s/%s", dir, name);
	if (r < 0)
		return r;
	in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (in < 0)
		return fail_errno();
	out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (out < 0)
		return fail_errno();
	do
		n = sendfile(out, in, NULL, 1 << 20);
	while (n > 0);
	return n < 0 ? fail_errno() : 0;
}

static int copy_store(const struct check *c, const char *dir, char *error, size_t error_size)
{
	char path[PATH_MAX];
	int r;

	if (c->up) {
		AUTO_CLOSE int fd = NO_FD;

		r = str_format(path, sizeof(path), "%s/store.db", dir);
		if (r < 0)
			return r;
		fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		return fd < 0 ? fail_errno() : ask_for_it(fd, error, error_size);
	}
	r = copy_file(c, "store.db", dir);
	if (r == 0)
		r = copy_file(c, "store.db-wal", dir); /* what was not yet moved into it */
	return r == -ENOENT && access(c->paths.state, F_OK) == 0 ? 0 : r;
}

/* a store in a folder of its own; @from NULL: a new one */
static int take(const struct check *from, struct picture *ret, char *error, size_t error_size)
{
	struct picture p = {.dir = "/tmp/bulkhead-check.XXXXXX"};
	int r = 0;

	error[0] = '\0';
	*ret = (struct picture){0};
	if (!mkdtemp(p.dir))
		return fail_errno();
	if (from)
		r = copy_store(from, p.dir, error, error_size);
	if (r == 0)
		r = store_open(p.dir, !from, &p.store, error, error_size);
	if (r != 0) {
		picture_done(&p);
		return r;
	}
	*ret = p;
	return 0;
}

int picture_take(const struct check *c, bool own, struct picture *ret, char *error,
		 size_t error_size)
{
	if (!own)
		return take(c, ret, error, error_size);
	error[0] = '\0';
	*ret = (struct picture){0};
	return store_open(c->paths.state, false, &ret->store, error, error_size);
}

int picture_of_nothing(struct picture *ret, char *error, size_t error_size)
{
	return take(NULL, ret, error, error_size);
}

void picture_done(struct picture *p)
{
	store_free(p->store);
	if (p->dir[0] != '\0')
		(void)!io_remove_tree(AT_FDCWD, p->dir);
	*p = (struct picture){0};
}

static bool holds(const char *dir)
{
	DIR *d = opendir(dir);
	bool any = false;

	if (!d)
		return false;
	for (struct dirent *e; !any && (e = readdir(d));)
		any = e->d_name[0] != '.';
	(void)closedir(d);
	return any;
}

bool picture_is_lost(const struct check *c)
{
	char path[PATH_MAX], trace[PATH_MAX + 100];

	return traces_find(c->paths.state, trace, sizeof(trace)) ||
	       (str_format(path, sizeof(path), "%s/q", c->paths.run) == 0 && holds(path));
}

bool pool_dir(const struct check *c, const struct pool *pool, char *to, size_t size)
{
	if (!storage_has_driver(pool->driver))
		return false;
	if (pool->dir[0] != '\0')
		return str_format(to, size, "%s", pool->dir) == 0;
	return str_format(to, size, "%s/pools/%s", c->paths.state, pool->name) == 0;
}
