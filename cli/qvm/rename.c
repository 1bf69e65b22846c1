/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qvm-rename: another name for a qube, and for the rules of the person's own policy; which others still have the old one */
#include "qvm.h"

#include "base/io.h"
#include "base/paths.h"
#include "base/str.h"
#include "qubesd.h"
#include "ui.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define FILE_MAX  (1u << 20) /* bytes of a policy file that are looked at */
#define USER_FILE "30-user.policy"

enum { UPDATE = OPTION_OWN, KEEP };

/* each line of a file that names the qube, but for comments */
static void look_at(const struct args *a, const char *dir, const char *file, const char *name)
{
	AUTO_FREE char *path = NULL, *text = NULL;
	char *rest, *line;
	unsigned n = 0;

	if (asprintf(&path, "%s/%s", dir, file) < 0) {
		path = NULL;
		return;
	}
	if (io_read_file(AT_FDCWD, path, FILE_MAX, &text, NULL) < 0)
		return;
	rest = text;
	while ((line = strsep(&rest, "\n"))) {
		n++;
		if (line[strspn(line, " \t")] != '#' && text_names(line, name))
			ui_note(a, "%s:%u still says %s: qubes-policy-editor changes it", path, n,
				name);
	}
}

static void look_in(const struct args *a, const char *dir, const char *name)
{
	DIR *d = opendir(dir);
	const struct dirent *e;

	while (d && (e = readdir(d))) {
		if (e->d_name[0] != '.')
			look_at(a, dir, e->d_name, name);
	}
	if (d)
		(void)closedir(d);
}

/* bytes of a rule's word that stand before what may be a qube's name: of a target or default behind the action, of the
 * template of a disposable */
static size_t before_name(const char *word, unsigned n)
{
	static const char *const options[] = {"target=", "default_target="}, *const disp =
										     "@dispvm:";
	size_t at = 0;

	for (size_t i = 0; n > 4 && i < ARRAY_LEN(options); i++)
		if (str_starts(word, options[i]))
			at = strlen(options[i]);
	return str_starts(word + at, disp) ? at + strlen(disp) : at;
}

/* A rule is SERVICE ARGUMENT SOURCE TARGET ACTION OPTION...: of the words a source, a target and two options name qubes */
static void put_rule(FILE *to, const char *line, const char *name, const char *new)
{
	const size_t name_len = strlen(name);

	for (unsigned n = 0; *line != '\0'; n++) {
		const size_t blanks = strspn(line, " \t"), len = strcspn(line + blanks, " \t");
		const char *word = line + blanks;
		const size_t at = before_name(word, n);

		(void)fwrite(line, 1, blanks, to);
		if ((n == 2 || n == 3 || (n > 4 && at > 0)) && len == at + name_len &&
		    memcmp(word + at, name, name_len) == 0)
			(void)fprintf(to, "%.*s%s", (int)at, word, new);
		else
			(void)fwrite(word, 1, len, to);
		line = word + len;
	}
}

static bool is_rule(const char *line)
{
	const char *word = line + strspn(line, " \t");

	return *word != '\0' && *word != '#' && *word != '!';
}

/* @text as it is with the new name; how many rules of it change, and they are shown */
static unsigned translate(const struct args *a, char *text, const char *path, FILE *to)
{
	const char *name = a->words[0], *new = a->words[1];
	unsigned n = 0, n_changed = 0;

	for (char *line = text, *end; *line != '\0'; line = end) {
		AUTO_FREE char *changed = NULL;
		size_t len;
		FILE *f = open_memstream(&changed, &len);
		bool last;

		end = line + strcspn(line, "\n");
		last = *end == '\0';
		if (!last)
			*end++ = '\0';
		n++;
		if (f && is_rule(line))
			put_rule(f, line, name, new);
		if (f && fclose(f) == 0 && is_rule(line) && !str_eq(line, changed)) {
			ui_note(a, "%s:%u: %s", path, n, line);
			(void)fputs(changed, to);
			n_changed++;
		} else {
			(void)fputs(line, to);
		}
		if (!last)
			(void)fputc('\n', to);
	}
	return n_changed;
}

/* is the file still what the person was asked about? Somebody may have edited it while the question stood */
static bool is_still(const char *path, const char *text)
{
	AUTO_FREE char *now = NULL;

	return io_read_file(AT_FDCWD, path, FILE_MAX, &now, NULL) == 0 && str_eq(now, text);
}

/* the rules of the person's own file; 0, or 1 and said why */
static int update(const struct args *a, const char *dir)
{
	AUTO_FREE char *text = NULL, *lines = NULL, *changed = NULL;
	char path[4096];
	size_t len = 0;
	FILE *to;
	unsigned n;
	int r;

	if (args_has(a, KEEP) || str_format(path, sizeof(path), "%s/" USER_FILE, dir) < 0 ||
	    io_read_file(AT_FDCWD, path, FILE_MAX, &text, NULL) < 0)
		return 0;
	lines = strdup(text);
	to = lines ? open_memstream(&changed, &len) : NULL;
	if (!to)
		return ui_fail(a, "out of memory");
	n = translate(a, lines, path, to);
	if (fclose(to) != 0)
		return ui_fail(a, "out of memory");
	if (n == 0 || !(args_has(a, UPDATE) ||
			(isatty(STDIN_FILENO) &&
			 ui_confirm("Say %s instead of %s in %s (%u rule%s)?", a->words[1],
				    a->words[0], USER_FILE, n, n == 1 ? "" : "s"))))
		return 0;
	if (!is_still(path, text))
		return ui_fail(a, "%s has changed meanwhile and stays as it is now", path);
	r = io_write_file(AT_FDCWD, path, changed, len, 0600);
	if (r < 0)
		return ui_fail_errno(a, path, r);
	ui_note(a, "%s: %u rule%s changed", path, n, n == 1 ? " is" : "s are");
	return 0;
}

static int look_at_policy(const struct args *a)
{
	static const char *const folders[] = {"policy.d", "policy.d/include"};
	struct paths paths;
	char dir[4096];
	int r = 0;

	if (paths_init(&paths, false) < 0)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		if (str_format(dir, sizeof(dir), "%s/%s", paths.config, folders[i]) < 0)
			continue;
		if (i == 0)
			r = update(a, dir);
		look_in(a, dir, a->words[0]);
	}
	paths_done(&paths);
	return r;
}

static int run(const struct args *a)
{
	if (a->n_words != 2) {
		(void)ui_usage(a, "name the qube and its new name");
		return 2;
	}
	if (!str_is_qube_name(a->words[1], strlen(a->words[1])))
		return qvm_no_name(a, a->words[1]);
	if (qubesd_call(a, "bulkhead.vm.Rename", a->words[0], a->words[1], NULL, NULL) != 0)
		return 1;
	return look_at_policy(a);
}

static const struct option options[] = {
	{UPDATE, 'p', "update-policy", NULL,
	 "change the rules of " USER_FILE " that name the qube, without asking"},
	{KEEP, 0, "keep-policy", NULL, "leave them as they are, without asking"},
	{0},
};

const struct command qvm_rename = {
	.name = "rename",
	.summary = "give a qube another name",
	.synopses = {"[OPTION]... QUBE NEW"},
	.text = "Gives a halted qube another name. Its volumes, properties and features stay, and "
		"so does every\n"
		"property that refers to it; tags that name it, as created-by-QUBE, follow. To "
		"those who watch events\n"
		"one qube goes and another comes.\n\n"
		"Rules of your own policy, in " USER_FILE ", that name the qube as source, target "
		"or default are\n"
		"shown, and on a terminal you are asked whether they are to have the new name. Other "
		"files of the policy\n"
		"are not changed: lines in them that have the old name are shown. A qube that gets the\n"
		"old name later would be meant by them.",
	.sections = {{"EXAMPLES", "\tqvm-rename work work-old"}},
	.options = options,
	.words = {WORDS_HALTED, WORDS_TEXT},
	.run = run,
};
