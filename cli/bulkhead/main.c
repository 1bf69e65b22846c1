/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bulkhead: start and stop an instance, look at it, and ask whether this machine can run it.
 *
 * Runs as the user whose instance it is, trusts qubesd. Starts qubesd, which outlives it.
 */
#include "bulkhead.h"

static const struct command *const commands[] = {
	&bulkhead_start,  &bulkhead_stop,
	&bulkhead_status, &bulkhead_doctor,
	&bulkhead_check,  &bulkhead_import_qubes_xml,
	&bulkhead_exec,   NULL,
};

static const struct program bulkhead = {
	.name = "bulkhead",
	.summary = "start, stop and examine an instance of Bulkhead",
	.text = "An instance is a set of qubes with the daemons that run them. BULKHEAD_HOME names "
		"its "
		"folder; without\n"
		"it the instance is the user's own, in the XDG directories. The qubes themselves "
		"are "
		"managed with\n"
		"qvm.",
	.commands = commands,
	.sections =
		{
			{"EXIT STATUS",
			 "0 done, or for doctor: ready, perhaps with notes; for check: nothing is left to be "
			 "done; 1 failed, or problems, or findings; 2 "
			 "called wrongly."},
			{"FILES",
			 "state/store.db, state/pools/ and state/kernels/ hold what qubes are, "
			 "state/log/ what the daemons\n"
			 "and the qubes' consoles said. cache/ may be deleted at any time."},
		},
};

int complete_words(const char *kind)
{
	(void)kind;
	return 0;
}

int main(int argc, char **argv)
{
	return program_main(&bulkhead, argc, argv);
}
