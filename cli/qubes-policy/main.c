/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qubes-policy: what the qrexec policy says, and why.
 *
 * Runs as the user, reads files and asks qubesd; changes nothing.
 */
#include "qubes-policy.h"

static const struct command *const commands[] = {
	&policy_explain,
	&policy_log,
	&policy_eval,
	NULL,
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

int main(int argc, char **argv)
{
	return program_main(&qubes_policy, argc, argv);
}
