/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bulkhead exec: programs with built-in paths */
#include "bulkhead.h"

#include "ui.h"

static int run(const struct args *a)
{
	return ui_fail(a, "programs with built-in paths cannot be run on this instance yet");
}

const struct command bulkhead_exec = {
	.name = "exec",
	.summary = "run a program that expects qubesd at Qubes' own path (not there yet)",
	.synopses = {"-- PROGRAM [ARGUMENT]..."},
	.text = "Will give the program a mount namespace in which /run/qubesd.sock is this "
		"instance's. "
		"Not there yet.",
	.run = run,
};
