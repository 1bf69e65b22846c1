/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/program.h"

#include "base/str.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>

static int is_program(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return fail_errno();
	return S_ISREG(st.st_mode) && access(path, X_OK) == 0 ? 0 : -ENOENT;
}

static int is_folder(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return fail_errno();
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

static int own_folder(char *to, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", to, size - 1);
	char *slash;

	if (n < 0)
		return fail_errno();
	to[n] = '\0';
	slash = strrchr(to, '/');
	if (!slash)
		return -ENOENT;
	*slash = '\0';
	return 0;
}

/* flat folders, seen from the running program's: libexec itself, then libexec from /usr/bin */
static const char *const flat[] = {"", "/../libexec/bulkhead"};
/* the build tree, seen from dom0/X/X, cli/X, cli/X/X and from a test further down */
static const char *const places[] = {"/..", "/../dom0", "/../../dom0", "/../../../dom0"};

typedef int (*is_fn)(const char *path);

/* in $BULKHEAD_LIBEXEC if that is set, or in the first @n of the places above */
static int find(const char *name, is_fn is, size_t n, char *to, size_t size)
{
	const char *libexec = getenv("BULKHEAD_LIBEXEC");
	char dir[PATH_MAX];
	int r;

	if (libexec && libexec[0] != '\0') {
		r = str_format(to, size, "%s/%s", libexec, name);
		return r < 0 ? r : is(to);
	}
	r = own_folder(dir, sizeof(dir));
	for (size_t i = 0; r == 0 && i < n; i++) {
		r = i < ARRAY_LEN(flat) ? str_format(to, size, "%s%s/%s", dir, flat[i], name)
					: str_format(to, size, "%s%s/%s/%s", dir,
						     places[i - ARRAY_LEN(flat)], name, name);
		if (r == 0 && is(to) == 0)
			return 0;
	}
	return r < 0 ? r : -ENOENT;
}

int program_find(const char *name, char *to, size_t size)
{
	return find(name, is_program, ARRAY_LEN(flat) + ARRAY_LEN(places), to, size);
}

int program_find_folder(const char *name, char *to, size_t size)
{
	return find(name, is_folder, ARRAY_LEN(flat), to, size);
}

int program_find_data(const char *name, char *to, size_t size)
{
	/* from /usr/libexec/bulkhead, from /usr/bin, from dom0/X and cli/X of the build tree */
	static const char *const data[] = {"/../../share/bulkhead", "/../share/bulkhead",
					   "/../../.."};
	char dir[PATH_MAX];
	int r = own_folder(dir, sizeof(dir));

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(data); i++) {
		r = str_format(to, size, "%s%s/%s", dir, data[i], name);
		if (r == 0 && is_folder(to) == 0)
			return 0;
	}
	return r < 0 ? r : -ENOENT;
}
