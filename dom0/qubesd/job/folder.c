/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The folder of a new pool: found without links, made if it is missing, no other pool's, and one that the driver can use.
 *
 * Told: "folder", the whole path in pieces; "there", how many bytes of it were there before. With "unmake" the other way round: what was
 * made is removed again, if it is empty.
 */
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "job/run.h"
#include "proto/argument.h"
#include "volume.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/** PIECE - of a path, in one line of progress */
#define PIECE 512

/* @dir without links, "." and "..", whether all of it exists or only the first @ret_there bytes of @real */
static int resolve(const char *dir, char real[PATH_MAX], size_t *ret_there)
{
	char there[ARGUMENT_DIR_MAX + 1], missing[ARGUMENT_DIR_MAX + 1];
	size_t len = strlen(dir), n;
	char *rest = missing, *name;

	if (len > ARGUMENT_DIR_MAX)
		return -ENAMETOOLONG;
	memcpy(there, dir, len + 1);
	while (!realpath(there, real)) {
		if (errno != ENOENT)
			return fail_errno();
		while (len > 1 && there[len - 1] == '/')
			len--;
		while (len > 1 && there[len - 1] != '/')
			len--;
		there[len] = '\0';
	}
	*ret_there = n = strlen(real);
	memcpy(missing, dir + len, strlen(dir + len) + 1);
	while ((name = strsep(&rest, "/"))) {
		if (name[0] == '\0' || str_eq(name, "."))
			continue;
		/* of something that is not there */
		if (str_eq(name, ".."))
			return -ENOENT;
		if (str_format(real + n, PATH_MAX - n, "%s%s", real[n - 1] == '/' ? "" : "/",
			       name) < 0)
			return -ENAMETOOLONG;
		n += strlen(real + n);
	}
	return n > ARGUMENT_DIR_MAX ? -ENAMETOOLONG : 0;
}

/* what was made of @real, if it is empty: all but its first @there bytes */
static void unmake(char *real, size_t there)
{
	while (strlen(real) > there && strlen(real) > 1 && rmdir(real) == 0)
		*strrchr(real, '/') = '\0';
}

/* The names in @path, on the way to @real, survive a power cut. Not every file system can do that for a folder; one that may not be
 * read (-wx) goes with all the rest.
 */
static int sync_names(const char *path, const char *real)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0)
		return fsync(fd) < 0 && errno != EINVAL && errno != EROFS ? fail_errno() : 0;
	if (errno != EACCES)
		return fail_errno();
	fd = open(real, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || syncfs(fd) < 0 ? fail_errno() : 0;
}

/* What was made of @real, all but its first @there bytes, survives a power cut; the volumes made in it say so of themselves only. Its
 * own name does in any case: who made it may have been cut off just then.
 */
static int sync_made(const char *real, size_t there)
{
	char path[PATH_MAX];
	int r = str_copy(path, sizeof(path), real, strlen(real));

	if (r < 0)
		return r;
	do {
		char *slash = strrchr(path, '/');

		slash[slash == path] = '\0';
		r = sync_names(path, real);
	} while (r == 0 && strlen(path) > there && strlen(path) > 1);
	return r;
}

/* Of a pool in the instance's own folder links may have changed; what another one had is what it was resolved to. That is
 * not looked at: it may be on a file system that does not answer.
 */
static const char *taken_by(const struct request *request, const char *real)
{
	static const char near[] = "near:", far[] = "far:";
	const char *key = NULL, *dir;
	char other[PATH_MAX];

	while ((key = request_next(request, key, &dir))) {
		const bool is_near = str_starts(key, near);

		if (!is_near && !str_starts(key, far))
			continue;
		if (is_near && !realpath(dir, other))
			continue;
		if (is_near)
			dir = other;
		if (volume_dir_is_within(real, dir) || volume_dir_is_within(dir, real))
			return key + (is_near ? strlen(near) : strlen(far));
	}
	return NULL;
}

static void tell(const char *real, size_t there)
{
	char piece[PIECE + 1];

	for (size_t at = 0; real[at] != '\0'; at += strlen(piece)) {
		(void)snprintf(piece, sizeof(piece), "%.*s", PIECE, real + at);
		run_progress("folder", piece, 0, 0);
	}
	run_progress("there", "", there, 0);
}

/* it would not come whole through lines of progress, or of a list */
static bool has_controls(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < ' ')
			return true;
	return false;
}

int run_folder(const struct request *request)
{
	const char *dir = request_get(request, "dir"), *unmade = request_get(request, "unmake");
	const char *taken, *driver = request_get(request, "driver");
	char real[PATH_MAX], error[512];
	size_t there = 0;
	int r;

	if (unmade && str_format(real, sizeof(real), "%s", unmade) == 0) {
		unmake(real, request_number(request, "there"));
		return 0;
	}
	if (!dir || !driver)
		return -EINVAL;
	r = resolve(dir, real, &there);
	if (r == 0 && has_controls(real))
		r = -EINVAL;
	taken = r == 0 ? taken_by(request, real) : NULL;
	if (taken)
		return run_fail("StoragePoolException",
				"%.200s is, or holds, or belongs to the folder of pool '%s'", dir,
				taken);
	if (r == 0)
		r = io_mkdirs(real, 0700);
	if (r == 0 && access(real, W_OK | X_OK) < 0)
		r = fail_errno();
	if (r == 0)
		r = sync_made(real, there);
	if (r == 0) {
		r = storage_probe(driver, real, error, sizeof(error));
		if (r == 0) {
			tell(real, there);
			return 0;
		}
		unmake(real, there);
		return run_fail("StoragePoolException", "%s", error);
	}
	if (there > 0)
		unmake(real, there);
	return run_fail("StoragePoolException", "%.200s: %s", dir, log_errno_str(r));
}
