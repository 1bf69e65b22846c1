/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qvm-notes: what its owner has noted about a qube */
#include "qvm.h"

#include "base/io.h"
#include "base/str.h"
#include "qubesd.h"
#include "ui.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define NOTES_MAX 256000

enum { EDIT = OPTION_OWN, PRINT, IMPORT, SET, APPEND, DELETE, FORCE };

static int get(const struct args *a, const char *qube, struct client_answer *ret)
{
	return qubesd_call(a, "admin.vm.notes.Get", qube, NULL, NULL, ret);
}

static int set(const struct args *a, const char *qube, const char *text)
{
	return qubesd_call(a, "admin.vm.notes.Set", qube, NULL, text, NULL);
}

/* set @text in the place of notes that are not empty: the person is asked unless --force */
static int replace(const struct args *a, const char *qube, const char *text)
{
	AUTO(client_answer_done) struct client_answer had = {0};

	if (get(a, qube, &had) != 0)
		return 1;
	if (had.len > 0 && !str_eq(had.data, text) && !args_has(a, FORCE) &&
	    !ui_confirm("The notes of %s are replaced. Are you sure?", qube))
		return ui_fail(a, "the notes of %s are as they were", qube);
	return set(a, qube, text);
}

static int import(const struct args *a, const char *qube, const char *path)
{
	AUTO_CLOSE int fd = NO_FD;
	AUTO_FREE char *text = NULL;
	size_t len;
	int r;

	if (!str_eq(path, "-")) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return ui_fail_errno(a, path, -errno);
	}
	r = io_read_all(fd == NO_FD ? STDIN_FILENO : fd, NOTES_MAX, &text, &len);
	if (r == -EFBIG)
		return ui_fail(a, "%s is too long: %d bytes are the most", path, NOTES_MAX);
	if (r < 0)
		return ui_fail_errno(a, path, r);
	if (strlen(text) != len)
		return ui_fail(a, "%s is no text: it has a NUL in it", path);
	return replace(a, qube, text);
}

static int append(const struct args *a, const char *qube, const char *more)
{
	AUTO(client_answer_done) struct client_answer had = {0};
	AUTO_FREE char *text = NULL;

	if (get(a, qube, &had) != 0)
		return 1;
	if (asprintf(&text, "%s%s%s", had.data,
		     had.len > 0 && had.data[had.len - 1] != '\n' ? "\n" : "", more) < 0)
		return ui_fail(a, "out of memory");
	return set(a, qube, text);
}

/* the person's editor on the file @path; the exit code */
static int run_editor(const struct args *a, const char *path)
{
	const char *editor = getenv("VISUAL");
	AUTO_FREE char *line = NULL;
	int status;
	pid_t pid;

	if (!editor || editor[0] == '\0')
		editor = getenv("EDITOR");
	if (!editor || editor[0] == '\0')
		editor = "editor";
	/* it may be a program with arguments */
	if (asprintf(&line, "%s \"$1\"", editor) < 0)
		return ui_fail(a, "out of memory");
	(void)fflush(NULL);
	pid = fork();
	if (pid == 0) {
		(void)execl("/bin/sh", "sh", "-c", line, "sh", path, (char *)NULL);
		_exit(127);
	}
	if (pid < 0)
		return ui_fail_errno(a, editor, -errno);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return ui_fail(a, "the editor %s failed: the notes are as they were%s", editor,
			       WIFEXITED(status) && WEXITSTATUS(status) == 127
				       ? "; EDITOR names another"
				       : "");
	return 0;
}

static int edit_file(const struct args *a, const char *qube, const char *path, int fd)
{
	AUTO(client_answer_done) struct client_answer had = {0};
	AUTO_FREE char *text = NULL;
	size_t len;
	int r;

	if (get(a, qube, &had) != 0)
		return 1;
	r = io_write_full(fd, had.data, had.len);
	if (r < 0)
		return ui_fail_errno(a, path, r);
	r = run_editor(a, path);
	if (r != 0)
		return r;
	/* an editor may have put another file in its place */
	r = io_read_file(AT_FDCWD, path, NOTES_MAX, &text, &len);
	if (r == -EFBIG)
		return ui_fail(a, "that is too long: %d bytes are the most", NOTES_MAX);
	if (r < 0)
		return ui_fail_errno(a, path, r);
	if (strlen(text) != len)
		return ui_fail(a, "that is no text: it has a NUL in it");
	return str_eq(text, had.data) ? 0 : set(a, qube, text);
}

static int edit(const struct args *a, const char *qube)
{
	const char *tmp = getenv("TMPDIR");
	AUTO_CLOSE int fd = NO_FD;
	AUTO_FREE char *path = NULL;
	int r;

	if (asprintf(&path, "%s/%s-notes.XXXXXX", tmp && tmp[0] != '\0' ? tmp : "/tmp", qube) < 0)
		return ui_fail(a, "out of memory");
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return ui_fail_errno(a, path, -errno);
	r = edit_file(a, qube, path, fd);
	(void)unlink(path);
	return r;
}

static int delete (const struct args *a, const char *qube)
{
	AUTO(client_answer_done) struct client_answer had = {0};

	if (get(a, qube, &had) != 0)
		return 1;
	if (had.len == 0)
		return 0;
	if (!args_has(a, FORCE) && !ui_confirm("The notes of %s are deleted. Are you sure?", qube))
		return ui_fail(a, "the notes of %s are as they were", qube);
	return set(a, qube, "");
}

static int print(const struct args *a, const char *qube)
{
	AUTO(client_answer_done) struct client_answer had = {0};

	if (get(a, qube, &had) != 0)
		return 1;
	(void)fwrite(had.data, 1, had.len, stdout);
	if (had.len > 0 && had.data[had.len - 1] != '\n')
		(void)putchar('\n');
	return 0;
}

static int run(const struct args *a)
{
	int action = EDIT;
	unsigned n = 0;

	for (unsigned i = 0; i < a->n_given; i++) {
		if (a->given[i].key < EDIT || a->given[i].key > DELETE)
			continue;
		action = a->given[i].key;
		n++;
	}
	if (a->n_words != 1) {
		(void)ui_usage(a, a->n_words == 0 ? "name a qube" : "one qube at a time");
		return 2;
	}
	if (n > 1) {
		(void)ui_usage(a, "one of --edit, --print, --import, --set, --append and --delete");
		return 2;
	}
	switch (action) {
	case PRINT:
		return print(a, a->words[0]);
	case IMPORT:
		return import(a, a->words[0], args_value(a, IMPORT));
	case SET:
		return replace(a, a->words[0], args_value(a, SET));
	case APPEND:
		return append(a, a->words[0], args_value(a, APPEND));
	case DELETE:
		return delete (a, a->words[0]);
	default:
		return edit(a, a->words[0]);
	}
}

static const struct option options[] = {
	{EDIT, 'e', "edit", NULL, "edit them with $VISUAL or $EDITOR, as without options"},
	{PRINT, 'p', "print", NULL, "print them"},
	{IMPORT, 'i', "import", "FILE", "replace them by this file's text, or with - by our input",
	 .words = WORDS_FILE},
	{SET, 's', "set", "NOTES", "replace them by this text"},
	{APPEND, 0, "append", "NOTES", "add this text, on a line of its own"},
	{DELETE, 'd', "delete", NULL, "delete them"},
	{FORCE, 'f', "force", NULL, "do not ask before notes are replaced or deleted"},
	{0},
};

const struct command qvm_notes = {
	.name = "notes",
	.summary = "show and change the notes about a qube",
	.synopses = {"[--edit] QUBE", "--print QUBE", "[--force] --import=FILE QUBE",
		     "[--force] --set=NOTES QUBE", "--append=NOTES QUBE",
		     "[--force] --delete QUBE"},
	.text = "Notes are text that goes with a qube: what it is for, what was done to it. The "
		"qube does not see\n"
		"them. Characters that could be taken for others or do things to a terminal are "
		"kept as _.",
	.sections = {{"EXAMPLES", "\tqvm-notes work\n"
				  "\tqvm-notes work --append \"$(date +%F): new keys\"\n"
				  "\tqvm-notes -p work"}},
	.options = options,
	.words = {WORDS_QUBE},
	.run = run,
};
