/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qubes-policy edit, qubes-policy-editor: change a file of the policy without ever leaving a broken
 * one. What is edited is a copy; it takes the file's place in one step, and only without a fault.
 */
#include "qubes-policy.h"

#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "ui.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define FILE_MAX     (1 << 20)
#define DEFAULT_FILE "30-user.policy"

/* as `sh -c "$EDITOR file"`, since people put options there */
static int run_editor(const struct args *a, const char *path)
{
	const char *editor = getenv("VISUAL");
	int status;
	pid_t pid;

	if (!editor || editor[0] == '\0')
		editor = getenv("EDITOR");
	if (!editor || editor[0] == '\0')
		editor = "vi";
	if (setenv("BULKHEAD_EDITOR", editor, 1) < 0 || fflush(stdout) != 0)
		return ui_fail_errno(a, NULL, -errno);
	pid = fork();
	if (pid < 0)
		return ui_fail_errno(a, NULL, -errno);
	if (pid == 0) {
		(void)execl("/bin/sh", "sh", "-c", "eval \"$BULKHEAD_EDITOR\" '\"$1\"'", "sh", path,
			    (char *)NULL);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return ui_fail_errno(a, NULL, -errno);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return ui_fail(a, "the editor %s did not end well; nothing is changed", editor);
	return 0;
}

/* edit @copy until it has no fault or the person gives up; its bytes in @ret */
static int edit(const struct args *a, const char *copy, const char *name, struct lint_file *ret)
{
	for (;;) {
		unsigned n_rules;
		int r = run_editor(a, copy);

		if (r != 0)
			return r;
		free(take_ptr(&ret->text));
		r = io_read_file(AT_FDCWD, copy, FILE_MAX, &ret->text, &ret->len);
		if (r < 0)
			return ui_fail_errno(a, copy, r);
		ret->name = name;
		if (lint(a, NULL, NULL, ret, 1, &n_rules) == 0)
			return 0;
		if (!ui_confirm("Edit it again? Otherwise nothing is changed."))
			return ui_fail(a, "%s is as it was", name);
	}
}

/* a file of the policy, and no other */
static bool is_name(const char *name)
{
	const char *include = str_starts(name, "include/") ? name + strlen("include/") : NULL;
	size_t len = strlen(name);

	if (include)
		return include[0] != '\0' && include[0] != '.' &&
		       bytes_are_alnum_or(include, strlen(include), "_.-");
	return name[0] != '.' && len > strlen(".policy") &&
	       str_eq(name + len - strlen(".policy"), ".policy") &&
	       bytes_are_alnum_or(name, len, "_.-");
}

static int install(const struct args *a, const char *path, const char *name, const char *copy)
{
	AUTO_FREE char *before = NULL;
	struct lint_file file = {0};
	size_t before_len = 0;
	int r = io_read_file(AT_FDCWD, path, FILE_MAX, &before, &before_len);

	if (r < 0 && r != -ENOENT)
		return ui_fail_errno(a, path, r);
	r = io_write_file(AT_FDCWD, copy, before ? before : "", before_len, 0600);
	if (r < 0)
		return ui_fail_errno(a, copy, r);
	r = edit(a, copy, name, &file);
	if (r == 0 && file.len == before_len &&
	    (!before || memcmp(file.text, before, file.len) == 0)) {
		ui_note(a, "nothing is changed");
	} else if (r == 0) {
		r = io_write_file(AT_FDCWD, path, file.text, file.len, 0600);
		if (r < 0)
			r = ui_fail_errno(a, path, r);
		else
			ui_note(a, "%s is changed, and holds from now on", name);
	}
	free(file.text);
	return r;
}

static int run(const struct args *a)
{
	const char *name = a->n_words > 0 ? a->words[0] : DEFAULT_FILE;
	char path[PATH_MAX], dir[] = "/tmp/qubes-policy.XXXXXX", copy[PATH_MAX];
	struct instance_folders folders;
	int r;

	if (a->n_words > 1 || !is_name(name)) {
		(void)ui_usage(a,
			       "it takes one name like 30-user.policy or include/admin-local-ro");
		return 2;
	}
	if (instance_folders(&folders) < 0)
		return ui_fail(a, "no instance runs here");
	if (str_format(path, sizeof(path), "%s/%s", folders.config, name) < 0 || !mkdtemp(dir))
		return ui_fail_errno(a, name, -errno);
	/* the copy has the file's last name, by which editors know how to colour it */
	r = str_format(copy, sizeof(copy), "%s/%s", dir,
		       strchr(name, '/') ? strchr(name, '/') + 1 : name);
	r = r < 0 ? ui_fail_errno(a, name, r) : install(a, path, name, copy);
	if (io_remove_tree(AT_FDCWD, dir) < 0)
		ui_note(a, "%s stays behind", dir);
	return r;
}

const struct command policy_edit = {
	.name = "edit",
	.summary = "change a file of the policy",
	.synopses = {"[FILE]"},
	.text = "Opens a copy of a file of the policy in $VISUAL or $EDITOR (" DEFAULT_FILE
		" if none "
		"is named). When the\n"
		"editor ends, the policy is looked at as it would be. Without a fault the copy takes the "
		"file's place in\n"
		"one step and holds at once; with one, the fault is shown, and the file stays as it was "
		"unless you edit\n"
		"again. The program qubes-policy-editor is this command.",
	.run = run,
};
