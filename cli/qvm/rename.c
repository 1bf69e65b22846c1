/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qvm-rename: another name for a qube, and which rules of the policy still have the old one */
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

#define FILE_MAX (1u << 20) /* bytes of a policy file that are looked at */

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

static void look_at_policy(const struct args *a, const char *name)
{
	static const char *const folders[] = {"policy.d", "policy.d/include"};
	struct paths paths;
	char dir[4096];

	if (paths_init(&paths, false) < 0)
		return;
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		if (str_format(dir, sizeof(dir), "%s/%s", paths.config, folders[i]) == 0)
			look_in(a, dir, name);
	}
	paths_done(&paths);
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
	look_at_policy(a, a->words[0]);
	return 0;
}

const struct command qvm_rename = {
	.name = "rename",
	.summary = "give a qube another name",
	.synopses = {"QUBE NEW"},
	.text = "Gives a halted qube another name. Its volumes, properties and features stay, and "
		"so does every\n"
		"property that refers to it; tags that name it, as created-by-QUBE, follow. To "
		"those who watch events\n"
		"one qube goes and another comes.\n\n"
		"The policy is not changed: lines in its files that have the old name are shown. A "
		"qube that gets the\n"
		"old name later would be meant by them.",
	.sections = {{"EXAMPLES", "\tqvm-rename work work-old"}},
	.words = {WORDS_HALTED, WORDS_TEXT},
	.run = run,
};
