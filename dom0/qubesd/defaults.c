/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "defaults.h"

#include "base/io.h"
#include "base/program.h"
#include "base/str.h"
#include "ruleset/ruleset.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* a file of a policy; in the source tree there are others beside them */
static bool is_policy(const char *path)
{
	const char *dot = strrchr(path, '.');

	return strchr(path, '/') || str_eq(dot, ".policy");
}

/* @file below the folder @dir, which is there; folders come before what is in them */
static int put(const char *dir, const struct policy_file *file)
{
	char path[PATH_MAX];
	int r = str_format(path, sizeof(path), "%s/%s", dir, file->path);

	if (r < 0 || !is_policy(file->path))
		return r;
	if (path[strlen(path) - 1] == '/')
		return io_mkdirs(path, 0700);
	return io_write_file(AT_FDCWD, path, file->text, file->len, 0600);
}

static int copy(const char *from, const char *to)
{
	struct ruleset AUTO(ruleset_done) rules = {0};
	AUTO_FREE char *path = NULL;
	int r = ruleset_read((const char *const[]){from, NULL}, NULL, &rules, &path);

	if (r == 0)
		r = io_remove_tree(AT_FDCWD, to);
	if (r == 0)
		r = io_mkdirs(to, 0700);
	for (unsigned i = 0; r == 0 && i < rules.files.n_files; i++)
		r = put(to, &rules.files.files[i]);
	return r;
}

int defaults_install(const struct paths *p)
{
	char from[PATH_MAX], to[PATH_MAX], new[PATH_MAX];
	int r = str_format(to, sizeof(to), "%s/policy.d", p->config);

	if (r == 0)
		r = str_format(new, sizeof(new), "%s/policy.d.new", p->config);
	if (r < 0 || access(to, F_OK) == 0)
		return r;
	r = program_find_data("policy.d", from, sizeof(from));
	if (r == 0)
		r = copy(from, new);
	if (r == 0 && rename(new, to) < 0)
		r = fail_errno();
	return r;
}
