/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qubes-policy lint, qubes-policy-lint: faults, before they refuse every call */
#include "qubes-policy.h"

#include "base/io.h"
#include "base/str.h"
#include "ui.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define FILE_MAX (1 << 20)

enum { POLICY_DIR = OPTION_OWN, LEGACY };

int lint(const struct args *a, const char *folder, const char *legacy,
	 const struct lint_file *files, unsigned n_files, unsigned *ret_n_rules)
{
	AUTO_FREE struct policy *p = NULL;

	if (policy_load_with(a, folder, legacy, files, n_files, &p) != 0)
		return 1;
	*ret_n_rules = policy_n_rules(p);
	return 0;
}

/* under the name that it would have among the policy's files */
static const char *name_of(const char *path)
{
	const char *include = strstr(path, "include/"), *slash = strrchr(path, '/');

	if (include && (include == path || include[-1] == '/'))
		return include;
	return slash ? slash + 1 : path;
}

static int run(const struct args *a)
{
	struct lint_file *files = calloc(a->n_words + 1, sizeof(*files));
	unsigned n = 0, n_rules = 0;
	int result = 0;

	if (!files)
		return ui_fail_errno(a, NULL, -ENOMEM);
	for (unsigned i = 0; result == 0 && i < a->n_words; i++) {
		int r = io_read_file(AT_FDCWD, a->words[i], FILE_MAX, &files[i].text,
				     &files[i].len);

		if (r < 0)
			result = ui_fail_errno(a, a->words[i], r);
		files[i].name = name_of(a->words[i]);
		n++;
	}
	if (result == 0)
		result = lint(a, args_value(a, POLICY_DIR), args_value(a, LEGACY), files, n,
			      &n_rules);
	if (result == 0 && a->verbose >= 0)
		(void)printf("no fault; %u rules\n", n_rules);
	for (unsigned i = 0; i < n; i++)
		free(files[i].text);
	free(files);
	return result;
}

static const struct option options[] = {
	{POLICY_DIR, 0, "policy-dir", "DIR", "the policy, instead of this instance's",
	 .words = WORDS_FILE},
	{LEGACY, 0, "legacy-dir", "DIR", "the R4.0 policy, instead of " RULESET_LEGACY_DIR,
	 .words = WORDS_FILE},
	{0},
};

const struct command policy_lint = {
	.name = "lint",
	.summary = "look for faults in the policy",
	.synopses = {"[OPTION]... [FILE]..."},
	.text = "Says whether the policy has a fault, with which every call would be refused, and "
		"where. With files it\n"
		"says so of the policy as it would be with them in it, in the place of those of the "
		"same name:\n"
		"\n"
		"\tqubes-policy-lint ~/draft/30-user.policy\n"
		"\n"
		"A file below a folder \"include\" counts as one of the policy's own \"include\".",
	.options = options,
	.words = {WORDS_FILE},
	.run = run,
};
