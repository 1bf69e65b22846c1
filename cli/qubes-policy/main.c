/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qubes-policy: what the qrexec policy says, and why.
 *
 * Runs as the user, reads files and asks qubesd and policyd. Some of its commands have the names of
 * Qubes' programs too.
 */
#include "qubes-policy.h"

#include "base/str.h"

#include <string.h>

static const struct command *const commands[] = {
	&policy_explain,        &policy_log,  &policy_grant, &policy_edit, &policy_lint,
	&policy_decide_command, &policy_eval, NULL,
};

static const struct program qubes_policy = {
	.name = "qubes-policy",
	.summary = "what the qrexec policy says, and why",
	.text = "The qrexec policy decides every call from one qube to another or to dom0.",
	.commands = commands,
	.sections =
		{
			{"EXIT STATUS",
			 "0 done; 1 failed, the policy has a fault, or answers differ; 2 "
			 "called wrongly."},
		},
};

int complete_words(const char *kind)
{
	(void)kind;
	return 0;
}

/* what a program of Qubes is called here */
static const struct {
	const char *program, *command;
} others[] = {
	{"qrexec-policy-exec", "decide"},
	{"qubes-policy-lint", "lint"},
	{"qubes-policy-editor", "edit"},
};

int main(int argc, char **argv)
{
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
	const char *name = slash ? slash + 1 : argc > 0 ? argv[0] : "";
	char **words;

	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		if (!str_eq(others[i].program, name))
			continue;
		words = calloc((size_t)argc + 2, sizeof(*words));
		if (!words)
			return 1;
		words[0] = (char *)(uintptr_t)qubes_policy.name;
		words[1] = (char *)(uintptr_t)others[i].command;
		for (int k = 1; k < argc; k++)
			words[k + 1] = argv[k];
		argc = program_main(&qubes_policy, argc + 1, words);
		free(words);
		return argc;
	}
	return program_main(&qubes_policy, argc, argv);
}
